"""A comparison laid out as headings, sentences, lists and tables, for every format with these."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuitspec.hypothesis.expand import ablation_text
from circuitspec.report.numbers import decimals_for, fixed, level_text, short
from circuitspec.report.rows import SIGNS, competence_notes, count, labelled, model_line, row_of

if TYPE_CHECKING:
    from circuitspec.comparing.records import Comparison, Difference, Pair, Score
    from circuitspec.judge.intervals import Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """The title of what follows; `level` 1 for a part, 2 for a section of it."""

    text: str
    level: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph:
    """Sentences. `strong`: what the reader came for."""

    text: str
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Items:
    """A list, one line of text an item."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text; the first column has their names."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Heading | Paragraph | Items | Table

MOST_LISTED = 8
"""Nodes or edges that are listed by name; JSON has all of them."""
MOST_MOVES = 10
MOST_SETS = 6
"""Drawn and searched sets that have a row of their own, the most telling first."""


def blocks(result: Comparison) -> Iterator[Block]:
    """The whole comparison: the reading, the rivals side by side, then each pair."""
    first, *others = (rival.name for rival in result.rivals)
    yield Heading(text=f"{first} against {', '.join(others)}", level=1)
    for pair in result.pairs:
        yield Paragraph(text=pair.reading[0], strong=True)
    yield from _side_by_side(result)
    for pair in result.pairs:
        if len(result.pairs) > 1:
            yield Heading(text=f"{pair.first} against {pair.second}", level=1)
        yield from _pair(pair, result)
    yield Paragraph(text=_footer(result))


def _side_by_side(result: Comparison) -> Iterator[Block]:
    names = tuple(rival.name for rival in result.rivals)
    yield Heading(text="size against recovered performance")
    results = [rival.result for rival in result.rivals]
    rows: list[tuple[str, ...]] = [
        ("verdict of its own claims", *(f"{SIGNS[r.verdict]} {r.verdict}" for r in results)),
        ("nodes", *(str(r.n_nodes) for r in results)),
        ("nodes at positions", *(str(rival.n_elements) for rival in result.rivals)),
        ("edges", *(str(r.n_edges) for r in results)),
    ]
    models = {model_line(r.model) for r in results}
    if len(models) > 1:
        rows.insert(0, ("model", *(r.model.name for r in results)))
    for ablation in result.ablations:
        rows.append((f"{ablation_text(ablation)}:", *("" for _ in names)))
        by_rival = [[s for s in r.scores if s.ablation == ablation] for r in result.rivals]
        for metric in dict.fromkeys(s.metric for each in by_rival for s in each):
            scores = [next((s for s in each if s.metric == metric), None) for each in by_rival]
            rows += _score_rows(metric, scores)
    yield Table(head=("", *names), rows=tuple(rows))
    for note in dict.fromkeys(n for r in results for n in competence_notes(r.competence)):
        yield Paragraph(text=note, strong=True)
    claims = tuple(_claims(result))
    if claims:
        yield Heading(text="claims")
        yield Table(head=("", *names), rows=claims)


def _score_rows(metric: str, scores: Sequence[Score | None]) -> Iterator[tuple[str, ...]]:
    def row(name: str, values: Sequence[Interval | None]) -> tuple[str, ...]:
        return (f"  {name}", *(_measured(value) if value else "–" for value in values))

    yield row(f"recovered of {metric}", [s.recovered if s else None for s in scores])
    yield row(f"{metric} / the model's", [s.ratio if s else None for s in scores])
    yield row("agreement", [s.agreement if s else None for s in scores])


def _claims(result: Comparison) -> Iterator[tuple[str, ...]]:
    """A row a claim and one a requirement, in the order in which the rivals state them."""
    claims: dict[str, dict[str, dict[str, str]]] = {}
    for rival in result.rivals:
        for claim in rival.result.claims:
            for requirement in claim.requirements:
                row = row_of(requirement)
                cells = claims.setdefault(claim.name, {}).setdefault(labelled(row), {})
                cells[rival.name] = f"{row.sign} {row.estimate} {row.interval}"
    for name, requirements in claims.items():
        yield f"{name}:", *("" for _ in result.rivals)
        for text, cells in requirements.items():
            yield f"  {text}", *(cells.get(rival.name, "–") for rival in result.rivals)


# ── Pairs ────────────────────────────────────────────────────────────────────────────────────────


def _pair(pair: Pair, result: Comparison) -> Iterator[Block]:
    if pair.reading[1:]:
        yield Heading(text="why")
        yield Items(items=pair.reading[1:])
    if pair.differences:
        yield Heading(
            text=f"how far from the model, and by how much {pair.first} is nearer "
            f"({level_text(result.level)} intervals)"
        )
        yield Table(
            head=("", pair.first, pair.second, "nearer by", "called"),
            rows=tuple(_differences(pair)),
        )
    if pair.claims:
        yield Heading(text=f"claims of both, {pair.first} less {pair.second}")
        yield Table(
            head=("", "difference"),
            rows=tuple(
                (
                    f"{c.claim}{f', {c.arm}' if c.arm else ''}: {c.requirement}",
                    _measured(c.difference),
                )
                for c in pair.claims
            ),
        )
    yield from _unnamed(pair)
    yield from _apart(pair)
    yield from _decides(pair)
    yield from _prompts(pair)
    if pair.notes:
        yield Heading(text="not measured")
        yield Items(items=pair.notes)


def _differences(pair: Pair) -> Iterator[tuple[str, ...]]:
    called = {"first": pair.first, "second": pair.second, "same": "the same", "undecided": "–"}
    for ablation in dict.fromkeys(d.question.ablation for d in pair.differences):
        yield f"{ablation_text(ablation)}:", "", "", "", ""
        asked = [d for d in pair.differences if d.question.ablation == ablation]
        nameless = [d for d in asked if d.question.kind != "named"]
        telling = sorted(nameless, key=lambda d: (d.called == "undecided", -abs(d.family.estimate)))
        for difference in (
            *(d for d in asked if d.question.kind == "named"),
            *telling[:MOST_SETS],
        ):
            yield (
                f"  {_measure(difference, pair)}",
                *(short(v.estimate, 3) for v in difference.values),
                _measured(difference.nearer),
                called[difference.called],
            )
        for outcome, name in called.items():
            number = sum(d.called == outcome for d in telling[MOST_SETS:])
            if number:
                yield f"  {count(number, 'more set')} without a name", "", "", "", name
        for worst in pair.worst:
            if worst.ablation == ablation:
                misses = (short(miss.estimate, 3) for miss in worst.misses)
                name = "  largest miss" if _one_metric(pair) else f"  largest {worst.metric} miss"
                yield name, *misses, "", called[worst.called]
                yield "    when what is out is", *(each or "nothing" for each in worst.sets), "", ""


def _unnamed(pair: Pair) -> Iterator[Block]:
    """What is in the drawn and searched sets that the reading or the tables name."""
    shown = [pair.deciding.question] if pair.deciding is not None else []
    largest = {(worst.ablation, name) for worst in pair.worst for name in worst.sets}
    shown += [
        d.question for d in pair.differences if (d.question.ablation, d.question.name) in largest
    ]
    found = tuple(
        f"{question.name}: {_listed(question.parts(), question.ablation.by.removesuffix('s'))}"
        for question in dict.fromkeys(shown)
        if question.kind != "named"
    )
    if found:
        yield Heading(text="what is in the sets without a name")
        yield Items(items=found)


def _measure(difference: Difference, pair: Pair) -> str:
    """`miss without name_mover`; of which metric, where there are several."""
    of = "" if _one_metric(pair) else f" of {difference.metric}"
    cut = f" without {difference.question.name}" if difference.question.cuts else ""
    return f"{difference.measure}{of}{cut}"


def _one_metric(pair: Pair) -> bool:
    return len({difference.metric for difference in pair.differences}) == 1


def _apart(pair: Pair) -> Iterator[Block]:
    listed = []
    names = (pair.first, pair.second)
    for name, elements, edges, features in zip(
        names, pair.apart.elements, pair.apart.edges, pair.apart.features, strict=True
    ):
        listed += [f"only {name} has {_listed(elements, 'node')}"] if elements else []
        listed += [f"only {name} has {_listed(edges, 'edge')}"] if edges else []
        listed += [
            f"{name} alone says `{s.text}` of {_listed(s.elements, 'node')}" for s in features
        ]
    yield Heading(text="what differs")
    yield Items(items=(*pair.apart.others, *listed) or ("nothing",))


def _listed(found: Sequence[str], what: str) -> str:
    shown = ", ".join(found[:MOST_LISTED])
    more = len(found) - MOST_LISTED
    return f"{count(len(found), what)}: {shown}{f' and {more} more' if more > 0 else ''}"


def _decides(pair: Pair) -> Iterator[Block]:
    if pair.deciding is None or not pair.moves:
        return
    under = ablation_text(pair.deciding.question.ablation)
    yield Heading(text=f"which differences decide the {_measure(pair.deciding, pair)}, {under}")
    yield Table(
        head=("", "only in", f"moved in {pair.first}", f"moved in {pair.second}"),
        rows=tuple(
            (
                move.name,
                pair.first if move.held_by == "first" else pair.second,
                _measured(move.in_first),
                _measured(move.in_second),
            )
            for move in pair.moves[:MOST_MOVES]
        ),
    )
    if len(pair.moves) > MOST_MOVES:
        yield Paragraph(text=f"{count(len(pair.moves) - MOST_MOVES, 'smaller one')} left out")


def _prompts(pair: Pair) -> Iterator[Block]:
    if not pair.disagreements:
        return
    yield Heading(text="prompts on which they disagree most")
    yield Table(
        head=("", pair.first, pair.second, "model"),
        rows=tuple(
            (
                f"{prompt.index}  {prompt.text}",
                *(short(value, 3) for value in prompt.circuits),
                " / ".join(dict.fromkeys(short(value, 3) for value in prompt.models)),
            )
            for prompt in pair.disagreements
        ),
    )


def _measured(interval: Interval) -> str:
    """`6.51 [6.22, 6.79]`; of an enumerated population the number alone."""
    bounds = None if interval.exact else (interval.low, interval.high)
    decimals = decimals_for(interval.estimate, bounds)
    text = fixed(interval.estimate, decimals)
    if bounds is None:
        return text
    return f"{text} [{fixed(bounds[0], decimals)}, {fixed(bounds[1], decimals)}]"


def _footer(result: Comparison) -> str:
    cost = short(result.cost["plain_forwards"], 3)
    return (
        "a difference is called where its interval, at a level that holds for all differences of "
        f"a pair at once, lies beyond {result.margin:g}% of the model's metric; n {result.n}; "
        f"seed {result.seed}; batch {result.batch_size}; {result.seconds:.1f} s; "
        f"cost {cost}× a plain forward pass"
    )
