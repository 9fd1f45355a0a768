"""A measure of another package: found by entry point, run by `verify` only, named in results."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import circuitspec

MODULE = """\
'''A measure from elsewhere.'''


def top_margin(logits, tokens):
    '''A token's logit less the largest of all others.'''
    named = logits.gather(1, tokens)
    others = [logits.scatter(1, one[:, None], float("-inf")).max(1).values for one in tokens.T]
    return named - __import__("torch").stack(others, dim=1)


def no_measure(logits, tokens):
    return logits.max(1).values
"""

SPEC = """\
circuitspec 1

hypothesis mini {
  model "ioi-mini"
  task ioi {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    slot IO, S1 from names.english distinct one_token
    slot S2 from S1
    slot place from nouns.ioi_places one_token
    slot thing from nouns.ioi_things one_token
    metric margin = MEASURE(IO)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 24, reference 24 each template, seed 0
    bos no
  }
  role late = a3.h1 @ END attends S2
  edge input -> late.qkv
  edge late -> logits
  expect first { require margin >= -50 ci 95 }
  expect without_it {
    ablate late by nodes with mean from abc over template
    require margin >= -50 ci 95
  }
}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with two measures."""
    (tmp_path / "acme_measures.py").write_text(MODULE)
    info = tmp_path / "acme_measures-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-measures\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text(
        "[circuitspec.measures]\n"
        "top_margin = acme_measures:top_margin\n"
        "no_measure = acme_measures:no_measure\n"
        "gone = acme_measures:gone\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme_measures", raising=False)
    return tmp_path


def spec(folder: Path, measure: str) -> Path:
    path = folder / f"{measure}.circuit"
    path.write_text(SPEC.replace("MEASURE", measure))
    return path


def test_opening_a_spec_runs_nothing_and_says_so(package: Path) -> None:
    loaded = circuitspec.load(spec(package, "top_margin"))
    assert loaded.ok, loaded.diagnostics
    assert circuitspec.check(spec(package, "top_margin")) == tuple(
        d for d in loaded.diagnostics if d.code.startswith("H")
    )
    assert loaded.not_checked == (
        "metric margin is measured by `top_margin` of acme-measures 1.2 "
        "(acme_measures:top_margin), which runs with the model",
    )
    assert "acme_measures" not in sys.modules


def test_verify_runs_it_and_the_result_names_it(package: Path) -> None:
    result = circuitspec.verify(spec(package, "top_margin"))
    (hypothesis,) = result.hypotheses
    assert any("`top_margin` of acme-measures 1.2" in note for note in hypothesis.notes)
    assert all(check.passed for check in hypothesis.self_checks)
    assert [claim.verdict for claim in hypothesis.claims] == ["holds", "holds"]
    measured = hypothesis.competence["metrics"]["margin"]
    right = measured["accuracy"]["mean"]  # above 0 is where IO comes first
    assert (measured["mean"] > 0) == (right > 0.5)


@pytest.mark.parametrize(
    ("measure", "reason"), [("no_measure", "gives values of shape"), ("gone", "cannot be loaded")]
)
def test_what_is_no_measure_costs_its_claims(package: Path, measure: str, reason: str) -> None:
    with pytest.raises(circuitspec.SpecError, match=reason):
        circuitspec.verify(spec(package, measure))


def test_a_name_that_nobody_registers_is_a_mistake(tmp_path: Path) -> None:
    found = circuitspec.check(spec(tmp_path, "top_margin"))
    assert any(d.code == "T018" and "no measure of a prompt" in d.message for d in found)
