"""The shipped spec of the packaged model holds; its rivals fail by the claims named in advance."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from circuitspec.judge.records import RunResult
from circuitspec.report import json as as_json
from circuitspec.report.lock import differences, parse, path_beside
from circuitspec.verification import Options, verify

from .conftest import ROOT, claim, only

SPECS = ROOT / "specs"

pytestmark = pytest.mark.slow

Verified = Callable[[Path], RunResult]


def test_the_spec_holds(verified: Verified) -> None:
    result = verified(SPECS / "ioi_mini.circuit")
    assert {c.name: c.verdict for c in only(result).claims if c.verdict != "holds"} == {}
    assert result.verdict == "holds"
    assert all(check.passed for check in only(result).self_checks)


def test_its_figures_are_those_of_its_lock(verified: Verified) -> None:
    result = verified(SPECS / "ioi_mini.circuit")
    lock = parse(path_beside(SPECS / "ioi_mini.circuit").read_text("utf-8"))
    assert lock is not None
    assert differences(lock, result) == ()


def test_it_holds_on_five_other_seeds() -> None:
    result, _ = verify(SPECS / "ioi_mini.circuit", options=Options(replicate=5))
    assert result is not None
    replicates = only(result).replicates
    assert [r.seed for r in replicates] == [1, 2, 3, 4, 5]
    assert [r.verdict for r in replicates] == ["holds"] * 5


def test_heads_at_wrong_positions_are_refuted(verified: Verified) -> None:
    result = verified(SPECS / "ioi_mini_wrong_positions.circuit")
    assert claim(result, "faithful_by_nodes").verdict == "refuted"
    assert claim(result, "faithful_by_edges").verdict == "refuted"
    assert result.verdict == "refuted"


def test_a_story_that_only_the_mean_would_pass_is_blind(verified: Verified) -> None:
    result = verified(SPECS / "ioi_mini_only_suppression.circuit")
    mean_alone = claim(result, "mean_alone")
    assert mean_alone.verdict == "invalid"
    assert mean_alone.reason is not None
    assert mean_alone.reason.startswith("blind")
    # The mean itself is as good as the true circuit's: that is the trap.
    assert 0.75 <= mean_alone.measures["ratio"] <= 1.25
    assert claim(result, "names_the_answer").verdict == "refuted"


def test_the_layout_of_the_literature_is_refuted(verified: Verified) -> None:
    result = verified(SPECS / "ioi_mini_literature.circuit")
    assert claim(result, "faithful_by_nodes").verdict == "refuted"
    assert claim(result, "name_movers_attend").verdict == "refuted"


def test_twice_the_same_json(verified: Verified) -> None:
    path = SPECS / "ioi_mini_literature.circuit"
    again, _ = verify(path)
    assert again is not None

    def without_times(result: RunResult) -> dict[str, object]:
        record = json.loads(as_json.render(result))
        del record["seconds"]
        return record

    assert without_times(verified(path)) == without_times(again)
