"""What a comparison says in words, and which of two rivals it says is the better explanation.

Nobody is ranked on faithfulness alone: the circuit that Wang et al. (2022) call naive is as
faithful to GPT-2 small as their full one, and only knocking roles out tells the two apart. So a
rival is the better one only where its largest miss over every set K, K = ∅ among them, is smaller
than the other's, and neither agreement nor the error a prompt turns against it; or where a
knock-out tells for it, and nothing at all against it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

from circuitspec.comparing.questions import title
from circuitspec.comparing.records import Apart, Called, Difference, Measure, Outcome, Worst
from circuitspec.hypothesis.expand import ablation_text

SIDES: Set[Called] = {"first", "second"}

WORDS: Mapping[Measure, str] = {
    "miss": "the mean of {}",
    "error": "the error a prompt of {}",
    "agreement": "agreement where {} is read",
}

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
    first, second = names
    if apart.one_circuit:
        same = f"not distinguishable at this n ({n}): {first} and {second} are the same circuit"
        if not any(apart.features):
            return (same,)
        return same, (
            "they differ in what its parts carry or attend to, which no knock-out tests: scrub "
            "claims and claims of attention do"
        )
    reasons = (*_largest(names, found, worst), *_equally_faithful(differences))
    return (_conclusion(names, found, n), *reasons, *_told(names, differences))


def _conclusion(names: tuple[str, str], found: Outcome, n: int) -> str:
    first, second = names
    match found:
        case "first":
            return f"{first} is a better explanation than {second}"
        case "second":
            return f"{second} is a better explanation than {first}"
        case "mixed":
            return f"neither {first} nor {second} is the better explanation: each wins a test"
        case "apart":
            return (
                f"{first} and {second} are told apart, but not ranked: faithfulness alone ranks "
                "nothing, and what knock-outs tell does not favour one of them throughout"
            )
        case "same":
            return (
                f"not distinguishable at this n ({n}): by every measure {first} and {second} lie "
                "within the margin of each other"
            )
        case _:
            return (
                f"not distinguishable at this n ({n}): no difference between {first} and {second} "
                "is clear"
            )


def _largest(names: tuple[str, str], found: Outcome, worst: Sequence[Worst]) -> Iterator[str]:
    """Where the largest miss of one is clearly larger than any of the other's."""
    for each in worst:
        if each.called != found:
            continue
        good, bad = (0, 1) if found == "first" else (1, 0)
        out = f"without {each.sets[bad]}" if each.sets[bad] else "as a whole"
        yield (
            f"{ablation_text(each.ablation)}: {names[bad]} {out} misses {each.metric} by at least "
            f"{each.at_least[bad]:.3g}, where {names[good]} is nowhere off by more than "
            f"{each.at_most[good]:.3g}"
        )


def _equally_faithful(differences: Sequence[Difference]) -> Iterator[str]:
    """Ablations under which faithfulness says nothing, and knock-outs do."""
    for ablation in dict.fromkeys(d.question.ablation for d in differences):
        mine = [d for d in differences if d.question.ablation == ablation]
        told = {d.question.cuts is None for d in mine if d.called in SIDES}
        if told == {False}:
            yield (
                f"{ablation_text(ablation)}: as whole circuits they are not told apart; only "
                "knock-outs tell"
            )


def _told(names: tuple[str, str], differences: Sequence[Difference]) -> Iterator[str]:
    """The differences that are called, the clearest first."""
    told = [d for d in differences if d.called in SIDES]
    for each in sorted(told, key=lambda d: -abs(d.family.estimate) / d.scale)[:MOST_TOLD]:
        nearer = names[0] if each.called == "first" else names[1]
        yield (
            f"{nearer} is nearer by {abs(each.nearer.estimate):.3g} in "
            f"{WORDS[each.measure].format(each.metric)} ({title(each.question)})"
        )
