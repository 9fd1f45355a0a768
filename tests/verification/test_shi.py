"""The tests of Shi et al. (2024) beside a faithfulness claim, recomputed by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from circuitspec.judge.records import RunResult
from circuitspec.verification import verify

from .conftest import ROOT, claim

SPEC = ROOT / "specs" / "ioi_mini.circuit"


def test_they_stand_beside_the_verdict(verified: Callable[[Path], RunResult]) -> None:
    """The share of wins that is printed has the binomial p-value that is printed."""
    faithful = claim(verified(SPEC), "faithful_by_nodes")
    tests = faithful.measures["tests"]["logit_diff"]
    wins = tests["equivalence"]["statistic"] * 240
    assert wins == pytest.approx(round(wins))
    far = abs(wins - 120)
    law = stats.binom(240, 0.6)
    expected = law.sf(120 + far - 1) + law.cdf(120 - far)
    assert tests["equivalence"]["p"] == pytest.approx(expected, rel=1e-9)
    assert 0 < tests["independence"]["p"] <= 1
    # without the circuit there is next to nothing left, and it does not know which prompts are easy
    assert abs(faithful.measures["complement.logit_diff"]) < 0.15 * 7.04
    assert tests["independence"]["p"] > 0.05


def test_a_circuit_that_leaves_half_behind_fails_independence(tmp_path: Path) -> None:
    """Only one suppressor: what is cut out leaves most of the model, which knows what is easy."""
    text = SPEC.read_text("utf-8")
    task = text[: text.index('"""')]
    path = tmp_path / "little.circuit"
    path.write_text(
        task
        + """
hypothesis little {
  model "ioi-mini"
  task ioi
  role suppressor = a3.h1 @ END attends S2 carries token(S1)
  keep mlps @ *
  edge input -> suppressor.kv
  edge suppressor -> logits
  expect faithful under nodes {
    ablate complement
    require logit_diff within 25% of model.logit_diff ci 95
  }
}
""",
        "utf-8",
    )
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    faithful = claim(result, "faithful")
    assert faithful.verdict == "refuted"
    tests = faithful.measures["tests"]["logit_diff"]
    assert tests["independence"]["p"] <= 0.01
    assert tests["equivalence"]["p"] <= 1e-6
    assert tests["equivalence shown"]["p"] > 0.99
