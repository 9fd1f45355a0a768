"""Sets K beyond roles and groups: drawn and searched for as widely as a rival's claims state.

What has a name is asked of every pair. `random N` and `greedy RxSxC` are asked where a completeness
claim of either rival states them, since each set makes all intervals of the pair wider. Both rivals
are asked about the same sets. These are made of the parts of either circuit that neither keeps; of
nested rivals they are the very sets of the larger one's claim. A greedy K is searched for twice, to
be worst for the one rival and for the other, on one half of the prompts; the other half judges all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from math import prod

from circuitspec.claims.context import Context
from circuitspec.claims.greedy import Search, search, searched_metric
from circuitspec.claims.sets import Part, cut_of, halves, parts_of, random_sets
from circuitspec.comparing.questions import is_kept
from circuitspec.comparing.records import Question
from circuitspec.comparing.sides import Side
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.records import Ablation, Circuit, Claim, Completeness, CutSet


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """The most that claims state of one ablation: random sets, and by metric a search's size."""

    random: int = 0
    greedy: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def anything(self) -> bool:
        """Whether any claim looks further than at what has a name."""
        return bool(self.random or self.greedy)


def stated(ablation: Ablation, sides: Iterable[Side]) -> Stated:
    """What the completeness claims of the rivals state under an ablation."""
    random, greedy, problems = 0, dict[str, tuple[int, int, int]](), list[str]()
    for side in sides:
        for claim, asked in _completeness(side.job.claims, ablation):
            random = max(random, asked.random)
            if asked.greedy is None:
                continue
            try:
                metric = searched_metric(claim, side.context)
            except EngineError as error:
                problems.append(f"{side.name}, {claim.name}: {error}")
                continue
            greedy[metric] = max(greedy.get(metric, (0, 0, 0)), asked.greedy, key=_reach)
    return Stated(random=random, greedy=greedy, problems=tuple(problems))


def _completeness(
    claims: Iterable[Claim], ablation: Ablation
) -> Iterator[tuple[Claim, Completeness]]:
    for claim in claims:
        if claim.ablation == ablation and claim.completeness is not None:
            yield claim, claim.completeness


def _reach(size: tuple[int, int, int]) -> tuple[int, tuple[int, int, int]]:
    """How many sets a search looks at, at most; of as many, the same whoever comes first."""
    return prod(size), size


def random_questions(
    count: int, ablation: Ablation, sides: tuple[Side, Side], known: Sequence[Question]
) -> Iterator[Question]:
    """Sets at random, but for K = ∅ and those that `known` ask about, or an earlier draw."""
    drawn = random_sets(_parts(ablation, *sides), sides[0].context.seed, count)
    seen = _cut_by(ablation, known)
    for cut in drawn:
        if _what(cut) not in seen:
            seen.add(_what(cut))
            yield Question(ablation=ablation, name=cut.name, cuts=(cut, cut), kind="random")


def greedy_questions(
    size: tuple[int, int, int],
    metric: str,
    ablation: Ablation,
    sides: tuple[Side, Side],
    known: Sequence[Question],
) -> Iterator[Question]:
    """What searches find to be worst for either rival, but for K = ∅ and what is known already.

    Nothing was searched in order to know of those, so all prompts may judge them.
    """
    parts = _parts(ablation, *sides)
    searched, judged = halves(sides[0].context)
    found: dict[frozenset[Part], list[tuple[str, CutSet]]] = {}
    for side in sides:
        asked = Search(ablation=ablation, metric=metric, size=size, parts=parts, prompts=searched)
        for cut in search(asked, side.context):
            found.setdefault(_what(cut), []).append((f"{cut.name} of {side.name}", cut))
    seen = _cut_by(ablation, known)
    rows = None if len(judged) == len(sides[0].context.task.evaluation) else judged
    for what, each in found.items():
        if what in seen:
            continue
        name = " = ".join(sorted(name for name, _ in each))
        cut = cut_of(name, what)
        yield Question(ablation=ablation, name=name, cuts=(cut, cut), kind="greedy", rows=rows)


def _parts(ablation: Ablation, first: Side, second: Side) -> tuple[Part, ...]:
    """The parts of either circuit that neither keeps, in the order that draws are made in."""
    return parts_of(_united(first.context, second.context), ablation)


def _united(first: Context, second: Context) -> Circuit:
    one, other = first.circuit, second.circuit
    kept = one.kept | other.kept
    return Circuit(
        members=frozenset(e for e in one.members | other.members if not is_kept(e, kept)),
        kept=kept,
        edges=one.edges | other.edges,
        kept_edges=one.kept_edges | other.kept_edges,
    )


def _what(cut: CutSet) -> frozenset[Part]:
    return cut.elements | cut.edges


def _cut_by(ablation: Ablation, known: Iterable[Question]) -> set[frozenset[Part]]:
    """What questions cut; the empty set among it, which K = ∅ asks about."""
    cuts = [q.cuts[0] for q in known if q.cuts is not None and q.ablation == ablation]
    found: set[frozenset[Part]] = {frozenset()}
    for cut in cuts:
        found.add(frozenset(cut.elements) if ablation.by == "nodes" else frozenset(cut.edges))
    return found
