"""What both rivals of a pair are asked, and what their circuits answer, prompt by prompt.

A question knocks the same set K out of the model and of either circuit: K = ∅ (faithfulness), then
every role and group of either rival (completeness); `further` has the sets without a name. A set
that one of them does not have at all is asked of it as well: the model without it is what both
circuits have to follow.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuitspec.claims.context import Context, agreement, averaged
from circuitspec.claims.drawn import rests_on_draws
from circuitspec.claims.measured import Series
from circuitspec.comparing.differences import linearised
from circuitspec.comparing.records import Measure, Question
from circuitspec.engine.runs import Floats, Readings, Run
from circuitspec.hypothesis.expand import ablation_text
from circuitspec.hypothesis.ordering import cut_key
from circuitspec.hypothesis.records import AblateComplement, Ablation, Claim, CutSet, Element
from circuitspec.judge.facts import Facts
from circuitspec.language.nodes import ALL_POSITIONS


def ablations_of(claims: Iterable[Claim]) -> tuple[Ablation, ...]:
    """Every ablation under which a claim is about a whole circuit; else every one there is."""
    stated = [c for c in claims if c.ablation is not None and c.ablation.kind != "noise"]
    whole = [
        c.ablation
        for c in stated
        if isinstance(c.intervention, AblateComplement)
        or c.completeness is not None
        or c.minimality is not None
    ]
    return tuple(dict.fromkeys(a for a in whole or [c.ablation for c in stated] if a is not None))


def measurable(ablation: Ablation, context: Context) -> bool:
    """Whether a rival's task has what cut outputs become."""
    task = context.task
    known = {*task.references, *task.counterfactuals, *task.noise}
    return ablation.baseline is None or ablation.baseline in known


def questions(
    ablation: Ablation, first: Context, second: Context, *, same_model: bool
) -> tuple[Question, ...]:
    """K = ∅, then the sets K, those of the layers below first."""
    found = [Question(ablation=ablation)]
    named = _shared_sets(first, second) if same_model else _sets_of_one_name(first, second)
    for name, cuts in sorted(named, key=lambda each: cut_key(each[1][0])):
        cut = cuts
        if ablation.by == "edges" and same_model:
            # A set is the same for both: every edge of either circuit that leaves it.
            edges = first.edges(cuts[0]) | second.edges(cuts[1])
            cut = _both(CutSet(name=name, elements=frozenset(), edges=edges))
            if not edges:
                continue
        found.append(Question(ablation=ablation, name=name, cuts=cut))
    return tuple(found)


def _sets(context: Context) -> Iterator[CutSet]:
    """The roles and groups of a hypothesis, as far as they can be cut at all."""
    roles = context.hypothesis.roles
    for name, members in {
        **{name: (name,) for name in roles},
        **context.hypothesis.groups,
    }.items():
        elements = frozenset(e for member in members for e in roles[member].elements)
        yield CutSet(name=name, elements=elements & context.circuit.members)


Named = tuple[str, tuple[CutSet, CutSet]]


def _shared_sets(first: Context, second: Context) -> Iterator[Named]:
    """Every set of either rival, of nodes that neither keeps; once, if both have it."""
    kept = first.circuit.kept | second.circuit.kept
    by_elements: dict[frozenset[Element], list[tuple[int, str]]] = {}
    for number, context in enumerate((first, second)):
        for cut in _sets(context):
            free = frozenset(e for e in cut.elements if not is_kept(e, kept))
            if free:
                by_elements.setdefault(free, []).append((number, cut.name))
    names = [tuple(dict.fromkeys(name for _, name in held)) for held in by_elements.values()]
    for (elements, held), own in zip(by_elements.items(), names, strict=True):
        name = " = ".join(own)
        if sum(name in other for other in names for name in own) > len(own):
            hypotheses = (first.hypothesis.name, second.hypothesis.name)
            name = " = ".join(f"{hypotheses[number]}.{role}" for number, role in held)
        yield name, _both(CutSet(name=name, elements=elements))


def _both(cut: CutSet) -> tuple[CutSet, CutSet]:
    return cut, cut


def is_kept(element: Element, kept: frozenset[Element]) -> bool:
    """Whether a node is kept at a position, or at all of them."""
    return element in kept or Element(element.node, ALL_POSITIONS) in kept


def _sets_of_one_name(first: Context, second: Context) -> Iterator[Named]:
    """Across models a set is what both call by one name."""
    others = {cut.name: cut for cut in _sets(second)}
    for cut in _sets(first):
        other = others.get(cut.name)
        if other is not None and cut.elements and other.elements:
            yield cut.name, (cut, other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One rival's answer to a question: the readings of C\\K and of M\\K, a run a repetition."""

    circuit: tuple[Readings, ...]
    model: tuple[Readings, ...]
    drawn: bool
    rows: tuple[int, ...] | None = None

    def value(self, metric: str) -> Floats:
        """m_i(C\\K) on the prompts that K is judged on: float64 [n]."""
        return self._judged(averaged(self.circuit, metric))

    def target(self, metric: str) -> Floats:
        """m_i(M\\K) on the prompts that K is judged on: float64 [n]."""
        return self._judged(averaged(self.model, metric))

    def _judged(self, values: Floats) -> Floats:
        return values if self.rows is None else values[list(self.rows)]

    def series(self, measure: Measure, metric: str, *, per: Floats | None = None) -> Series:
        """How the circuit falls short, prompt by prompt.

        `per`: as a share of the mean of these values, the unmodified model's, where rivals explain
        different models and the metric's units are not the same for both.
        """
        if measure == "agreement":
            found = agreement(self.circuit, self.model[0], metric)
            return replace(found, values=self._judged(found.values), drawn=self.drawn)
        if measure == "miss":
            values = self.value(metric) - self.target(metric)
        else:
            model = averaged(self.model, metric)
            each = [np.abs(run.metrics[metric] - model) for run in self.circuit]
            values = self._judged(np.mean(each, axis=0))
        if per is not None:
            values = linearised(values, self._judged(per))
        return Series(values=values, drawn=self.drawn)


def _asked(
    question: Question, side: int, context: Context
) -> tuple[tuple[Run, ...], tuple[Run, ...]]:
    """The runs of a rival's answer: C\\K, then M\\K."""
    if question.cuts is None:
        return context.circuit_runs(question.ablation, detail=True), (context.model_run(),)
    cut = question.cuts[side]
    return (
        context.circuit_runs(question.ablation, cut),
        context.knockout_runs(question.ablation, cut),
    )


def runs_of(question: Question, side: int, context: Context) -> tuple[Run, ...]:
    """Everything that a rival's answer needs computed."""
    circuit, model = _asked(question, side, context)
    return *circuit, *model


def answer(question: Question, side: int, context: Context) -> Answer:
    """A rival's answer. Raises EngineError where it cannot be measured."""
    circuit, model = (context.evaluate(runs) for runs in _asked(question, side, context))
    whole = Claim(name="", refuted=False, ablation=question.ablation, intervention=None)
    return Answer(
        circuit=tuple(circuit),
        model=tuple(model),
        drawn=rests_on_draws(whole, context),
        rows=question.rows,
    )


def facts_for(question: Question, facts: Facts) -> Facts:
    """The sample's design on the prompts that a question is judged on."""
    if question.rows is None:
        return facts
    return replace(facts, strata=tuple(facts.strata[row] for row in question.rows))


def measures(question: Question) -> Sequence[Measure]:
    """What is read off an answer: of a whole circuit also what a mean of differences hides."""
    return ("miss", "error", "agreement") if question.cuts is None else ("miss",)


def title(question: Question) -> str:
    """`without name_mover, by nodes with mean from abc over template`."""
    under = ablation_text(question.ablation)
    return under if question.cuts is None else f"without {question.name}, {under}"
