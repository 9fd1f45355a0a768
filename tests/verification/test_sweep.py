"""`sweep`: every other ablation, with the figures that a spec saying so has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitspec.report import sweep as report
from circuitspec.report.json import dumps
from circuitspec.sweeping import SweepResult, Swept, sweep
from circuitspec.verification import Options, verify

from .conftest import ROOT, claim

SPEC = ROOT / "specs" / "ioi_mini.circuit"


@pytest.fixture(scope="module")
def swept() -> SweepResult:
    only = ("faithful_by_nodes", "suppressor_attends")
    result, diagnostics = sweep(SPEC, options=Options(only=only))
    assert result is not None, diagnostics
    return result


def one(result: SweepResult) -> Swept:
    (found,) = result.swept
    return found


def test_every_ablation_once(swept: SweepResult) -> None:
    found = one(swept)
    assert found.stated.ablation == "by nodes with mean from abc over template"
    names = [cell.ablation for cell in found.others]
    assert len(names) == len(set(names)) == 11  # 2 x (zero, 3 means, resample, counterfactual) - 1
    assert swept.passed_over == ("suppressor_attends",)


def test_what_turns_is_told(swept: SweepResult) -> None:
    """Zero is far from anything that the model computes with, a batch mean forgets the template."""
    turned = {cell.ablation: cell.verdict for cell in one(swept).turned}
    assert turned["by nodes with zero"] == "refuted"
    assert turned["by nodes with mean from abc over batch"] == "refuted"
    assert "by edges with mean from abc over template" not in turned


def test_figures_are_those_of_a_spec_that_says_so(swept: SweepResult, tmp_path: Path) -> None:
    text = SPEC.read_text("utf-8")
    stated = "ablate by nodes with mean from abc over template"
    assert stated in text
    path = tmp_path / "zero.circuit"
    path.write_text(text.replace(stated, "ablate by nodes with zero"), "utf-8")
    result, diagnostics = verify(path, options=Options(only=("faithful_by_nodes",)))
    assert result is not None, diagnostics
    alone = claim(result, "faithful_by_nodes")
    cell = next(c for c in one(swept).others if c.ablation == "by nodes with zero")
    assert cell.verdict == alone.verdict
    assert cell.measured["ratio"] == pytest.approx(alone.measures["ratio"], abs=1e-6)


def test_it_prints(swept: SweepResult) -> None:
    text = report.render(swept, width=100)
    assert max(map(len, text.splitlines())) <= 100
    assert "as stated" in text
    assert "refuted under" in text
    (entry,) = json.loads(dumps(report.document(swept)))["claims"]
    assert entry["stated"]["verdict"] == "holds"
    assert "by nodes with zero" in entry["turned"]
