"""The packaged model's spec against its three rivals, as the command line compares them."""

from __future__ import annotations

import json

import pytest

from circuitspec.comparing.records import Comparison
from circuitspec.report import compare_json
from circuitspec.report.json import dumps

from .conftest import RIVALS


@pytest.mark.slow
def test_it_is_better_than_each_of_its_rivals(result: Comparison) -> None:
    assert {pair.second: pair.outcome for pair in result.pairs} == dict.fromkeys(RIVALS, "first")
    assert all(check.passed for check in result.self_checks)


@pytest.mark.slow
def test_verdicts_are_those_of_verify(result: Comparison) -> None:
    verdicts = {rival.name: rival.result.verdict for rival in result.rivals}
    assert verdicts == {"ioi_mini": "holds", **dict.fromkeys(RIVALS, "refuted")}


@pytest.mark.slow
def test_what_the_mean_hides_is_told(result: Comparison) -> None:
    """By edges only the suppressors write the answer: as good a mean, and another top token."""
    pair = next(p for p in result.pairs if p.second == "only_suppression")
    whole = {
        d.measure: d.called
        for d in pair.differences
        if d.question.ablation.by == "edges" and d.question.cuts is None
    }
    assert whole["miss"] not in ("first", "second")
    assert whole["agreement"] == "first"
    assert pair.deciding is not None
    assert pair.deciding.measure == "agreement"
    assert {move.name.split(" -> ")[1] for move in pair.moves} == {"logits @ END"}
    assert pair.moves[0].in_second.low > 0.0


@pytest.mark.slow
def test_what_differs_and_what_decides(result: Comparison) -> None:
    pair = next(p for p in result.pairs if p.second == "wrong_positions")
    mine, theirs = pair.apart.elements
    assert "m0 @ S2" not in mine  # kept everywhere by both
    assert "a0.h0 @ S2" in mine
    assert "a0.h0 @ S2+1" in theirs
    sizes = [max(abs(m.in_first.estimate), abs(m.in_second.estimate)) for m in pair.moves]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0.1
    assert len(pair.disagreements) == 5


@pytest.mark.slow
def test_json_has_all_of_it(result: Comparison) -> None:
    document = json.loads(dumps(compare_json.document(result)))
    assert [rival["name"] for rival in document["rivals"]] == ["ioi_mini", *RIVALS]
    assert [len(pair["differences"]) for pair in document["pairs"]] == [
        len(pair.differences) for pair in result.pairs
    ]
