"""`until decided`: a clear case costs little, a close one is not called, the rest is untouched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitspec.judge.records import RunResult
from circuitspec.judge.sequential import asymptotic_interval
from circuitspec.loading import load_spec
from circuitspec.report.json import render
from circuitspec.task.export import prompt_lines
from circuitspec.verification import verify

from .conftest import ROOT, claim

TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
HEAD = TEXT[: TEXT.index('  """These heads at these positions')]

CLEAR = """
  expect clear {
    ablate suppressor by nodes with mean from abc over template
    until decided, at most 600
    require model.logit_diff - logit_diff >= 0.1 ci 95
    require accuracy >= 0.5 ci 95
  }
"""
CLOSE = """
  expect close {
    until decided, at most 300
    require logit_diff >= 7 ci 95
  }
"""
FIXED = """
  expect fixed {
    require logit_diff >= 1 ci 95
  }
"""


def verified(folder: Path, *expects: str) -> RunResult:
    path = folder / "spec.circuit"
    path.write_text(HEAD + "".join(expects) + "}\n", "utf-8")
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    return result


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return verified(tmp_path_factory.mktemp("until"), CLEAR, CLOSE, FIXED)


def test_a_clear_claim_stops_at_the_first_look(together: RunResult) -> None:
    clear = claim(together, "clear")
    assert clear.verdict == "holds"
    assert clear.measures["looks"] == [128]
    assert {r.n for r in clear.requirements} == {128}
    assert [r.method for r in clear.requirements] == ["asymptotic-cs", "beta-binomial-cs"]


def test_a_close_claim_is_left_open_at_the_cap(together: RunResult) -> None:
    close = claim(together, "close")
    assert close.verdict == "inconclusive"
    assert close.measures["looks"] == [128, 256, 300]
    (requirement,) = close.requirements
    assert requirement.n == 300
    assert requirement.interval is not None
    low, high = requirement.interval
    assert low < 7 < high


def test_other_claims_are_what_they_are_without_it(together: RunResult, tmp_path: Path) -> None:
    alone = claim(verified(tmp_path, FIXED), "fixed")
    assert claim(together, "fixed") == alone
    assert {r.n for r in alone.requirements} == {240}


def test_prompts_go_up_to_the_cap(tmp_path: Path) -> None:
    path = tmp_path / "spec.circuit"
    path.write_text(HEAD + CLEAR + "}\n", "utf-8")
    loaded = load_spec(path)
    (bound,) = loaded.bound
    assert bound.task is not None
    lines = list(prompt_lines(bound.task))
    assert sum(line["set"] == "evaluation" for line in lines) == 600
    assert sum(line["set"] == "counterfactual:abc" for line in lines) == 600
    assert bound.task.stated == 240


def test_an_interval_is_the_sequence_of_the_first_prompts(tmp_path: Path) -> None:
    """The first look's figures, from a run whose only prompts they are."""
    few = HEAD.replace("sample evaluation 240", "sample evaluation 128")
    path = tmp_path / "few.circuit"
    path.write_text(few + FIXED + "}\n", "utf-8")
    result, _ = verify(path)
    assert result is not None
    mean = claim(result, "fixed").measures["model.logit_diff"]
    again = claim(verified(tmp_path, CLOSE.replace(">= 7", ">= 1")), "close")
    assert again.measures["looks"] == [128]
    assert again.measures["model.logit_diff"] == pytest.approx(mean, abs=1e-6)
    (requirement,) = again.requirements
    assert requirement.interval is not None
    values = [mean - 1.0, mean + 1.0] * 64
    plain = asymptotic_interval(values, level=95, cap=300)
    assert plain.low < mean < plain.high
    assert sum(requirement.interval) / 2 == pytest.approx(mean, abs=1e-5)


def test_greedy_sets_are_refused(tmp_path: Path) -> None:
    text = """
  expect greedily under nodes {
    knockouts greedy 2x2x2
    until decided, at most 300
    require incompleteness <= 20 ci 95
  }
"""
    greedily = claim(verified(tmp_path, text), "greedily")
    assert greedily.verdict == "invalid"
    assert "greedy" in str(greedily.reason)


def test_the_result_prints_as_json(together: RunResult) -> None:
    (hypothesis,) = json.loads(render(together))["hypotheses"]
    assert hypothesis["claims"][0]["measures"]["looks"] == [128]
