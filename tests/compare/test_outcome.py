"""Which differences rank two rivals, and which only tell them apart."""

from __future__ import annotations

import pytest

from circuitspec.comparing.reading import outcome
from circuitspec.comparing.records import Called, Difference, Measure, Question, Worst
from circuitspec.hypothesis.records import Ablation, CutSet
from circuitspec.judge.intervals import Interval

ABLATION = Ablation(by="nodes", kind="zero")
INTERVAL = Interval(estimate=0.0, low=0.0, high=0.0, level=95.0, method="bca", n=100)
ROLE = CutSet(name="role", elements=frozenset())


def difference(called: Called, measure: Measure = "miss", *, cut: bool = False) -> Difference:
    both = (INTERVAL, INTERVAL)
    cuts = (ROLE, ROLE) if cut else None
    return Difference(
        question=Question(ablation=ABLATION, name="role" if cut else "", cuts=cuts),
        metric="m",
        measure=measure,
        values=both,
        within=both,
        nearer=INTERVAL,
        family=INTERVAL,
        scale=1.0,
        margin=0.01,
        called=called,
    )


def worst(called: Called) -> Worst:
    return Worst(
        ablation=ABLATION,
        metric="m",
        sets=("", "role"),
        misses=(INTERVAL, INTERVAL),
        at_least=(0.0, 0.0),
        at_most=(0.0, 0.0),
        margin=0.01,
        called=called,
    )


OPEN, WHOLE, KNOCKED = difference("undecided"), difference("first"), difference("first", cut=True)


@pytest.mark.parametrize(
    ("differences", "largest", "expected"),
    [
        ([OPEN], "undecided", "undecided"),
        ([difference("same"), difference("same", cut=True)], "undecided", "same"),
        ([difference("same"), OPEN], "undecided", "undecided"),
        # Faithfulness alone, by any measure, ranks nothing.
        ([WHOLE], "undecided", "apart"),
        ([difference("first", "agreement"), difference("first", "error")], "undecided", "apart"),
        # A knock-out does, where nothing at all tells against it.
        ([OPEN, KNOCKED], "undecided", "first"),
        ([OPEN, difference("second", cut=True)], "undecided", "second"),
        ([difference("second"), KNOCKED], "undecided", "apart"),
        ([KNOCKED, difference("second", cut=True)], "undecided", "apart"),
        # The largest miss outweighs single sets, and the mean of the whole circuit,
        ([difference("second"), difference("second", cut=True), KNOCKED], "first", "first"),
        # but not what a mean of differences cannot see.
        ([KNOCKED, difference("second", "agreement")], "first", "mixed"),
        ([KNOCKED, difference("second", "error")], "first", "mixed"),
    ],
)
def test_outcomes(differences: list[Difference], largest: Called, expected: str) -> None:
    assert outcome(differences, [worst(largest)]) == expected


def test_ablations_that_disagree_rank_nobody() -> None:
    differences = [KNOCKED, difference("second", cut=True)]
    assert outcome(differences, [worst("first"), worst("second")]) == "mixed"
