"""What a comparison says in words, and which of two rivals it says is the better explanation.

Nobody is ranked on faithfulness alone: the circuit that Wang et al. (2022) call naive is as
faithful to GPT-2 small as their full one, and only knocking roles out tells the two apart. So a
rival is the better one only where its largest miss over every set K, K = ∅ among them, is smaller
than the other's, and neither agreement nor the error a prompt turns against it; or where a
knock-out tells for it, and nothing at all against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from circuitspec.comparing.questions import title
from circuitspec.comparing.records import Apart, Called, Difference, Outcome, Pair, Worst
from circuitspec.hypothesis.expand import ablation_text

SIDES: Set[Called] = {"first", "second"}

MOST_TOLD = 3
"""Differences that are put into words; the table has all of them."""


def outcome(differences: Sequence[Difference], worst: Sequence[Worst]) -> Outcome:
    """What the differences of a pair come to."""
    told = {d.called for d in differences} & SIDES
    knocked_out = {d.called for d in differences if d.question.cuts is not None} & SIDES
    hidden = {d.called for d in differences if d.measure != "miss"} & SIDES
    ahead = {w.called for w in worst} & SIDES
    if len(ahead) == 1 and not hidden - ahead:
        return _side(ahead)
    if len(told) == 1 and told == knocked_out:
        return _side(told)
    if len(ahead | hidden) > 1:
        return "mixed"
    if told:
        return "apart"
    return "same" if differences and {d.called for d in differences} == {"same"} else "undecided"


def _side(sides: Set[Called]) -> Outcome:
    return "first" if sides == {"first"} else "second"


def reading(
    names: tuple[str, str],
    found: Outcome,
    differences: Sequence[Difference],
    worst: Sequence[Worst],
    apart: Apart,
    n: int,
) -> tuple[str, ...]:
    """The comparison of a pair in sentences, the conclusion first."""
    return tuple(_sentences(names, found, differences, worst, apart, n))


def _sentences(
    names: tuple[str, str],
    found: Outcome,
    differences: Sequence[Difference],
    worst: Sequence[Worst],
    apart: Apart,
    n: int,
) -> Iterator[str]:
    first, second = names
    if apart.one_circuit:
        same = "the same circuit" if not apart.others else "circuits of the same nodes and edges"
        yield f"not distinguishable at this n ({n}): {first} and {second} are {same}"
        if any(apart.features):
            yield (
                "they differ in what its parts carry or attend to, which no ablation tests: scrub, "
                "or claim attention"
            )
        return
    match found:
        case "same":
            yield (
                f"not distinguishable at this n ({n}): by every measure {first} and {second} lie "
                "within the margin of each other"
            )
        case "undecided":
            yield (
                f"not distinguishable at this n ({n}): no difference between {first} and {second} "
                "is clear"
            )
        case "first" | "second":
            better, worse = names if found == "first" else (second, first)
            yield f"{better} is the better explanation of the two"
            yield from _why(better, worse, found, differences, worst)
        case "mixed":
            yield f"neither is the better explanation: {first} and {second} each win a test"
        case "apart":
            yield (
                f"{first} and {second} are told apart, but not ranked: faithfulness alone ranks "
                "nothing, and what knock-outs tell does not favour one of them throughout"
            )
    yield from _told(names, differences)


def _why(
    better: str, worse: str, side: str, differences: Sequence[Difference], worst: Sequence[Worst]
) -> Iterator[str]:
    faithful = [d for d in differences if d.question.cuts is None]
    for each in worst:
        if each.called != side:
            continue
        good, bad = (0, 1) if side == "first" else (1, 0)
        out = f"without {each.sets[bad]}," if each.sets[bad] else "as a whole"
        yield (
            f"{ablation_text(each.ablation)}: {out} {worse} misses the model's {each.metric} by at "
            f"least {each.at_least[bad]:.3g}; {better} is nowhere off by more than "
            f"{each.at_most[good]:.3g}"
        )
        own = [d for d in faithful if d.question.ablation == each.ablation]
        if own and all(d.called not in ("first", "second") for d in own):
            yield "as whole circuits the two are not told apart by it: only knock-outs do"


def _told(names: tuple[str, str], differences: Sequence[Difference]) -> Iterator[str]:
    """Every difference that is called, the clearest first."""
    told = [d for d in differences if d.called in ("first", "second")]
    for each in sorted(told, key=lambda d: -abs(d.family.estimate) / d.scale)[:MOST_TOLD]:
        nearer = names[0] if each.called == "first" else names[1]
        yield (
            f"{nearer} is nearer by {abs(each.nearer.estimate):.3g} in {_what(each)} "
            f"({title(each.question)})"
        )


def _what(difference: Difference) -> str:
    measure = {"miss": "mean", "error": "error a prompt", "agreement": "agreement"}
    return f"the {measure[difference.measure]} of {difference.metric}"


def overall(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """One sentence a pair, then how they stand as a whole."""
    return tuple(pair.reading[0] for pair in pairs)
