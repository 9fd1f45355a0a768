"""Scrubs of trained models whose explanation is known, and of the packaged one."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.judge.records import HypothesisResult
from circuitspec.verification import Options, verify

ROOT = Path(__file__).parents[2]
needs_shared = pytest.mark.skipif(
    not (ROOT.parent / "shared" / "models").is_dir(),
    reason="the trained toy models are not in ../shared/models",
)


def verified(spec: str, *only: str) -> dict[str, HypothesisResult]:
    result, found = verify(ROOT / "specs" / spec, options=Options(only=only))
    assert result is not None, found
    for hypothesis in result.hypotheses:
        assert {c.name: c.verdict for c in hypothesis.claims} == {
            c.name: "holds" for c in hypothesis.claims
        }
    return {h.name: h for h in result.hypotheses}


def recovered(hypothesis: HypothesisResult, metric: str = "") -> float:
    (claim,) = (c for c in hypothesis.claims if c.name == "scrubbed")
    return claim.measures[f"scrub_recovered{metric}"]


@needs_shared
def test_induction() -> None:
    found = verified("models/induction.circuit")
    assert 0.93 < recovered(found["finds_by_previous_token"]) < 0.99
    assert recovered(found["finds_by_nothing"]) < 0.5
    assert recovered(found["tells_own_token"]) < 0.5
    (wrong,) = (c for c in found["tells_own_token"].claims if c.name == "scrubbed")
    leaks = {role: values["right"] for role, values in wrong.measures["leaks"].items()}
    assert min(leaks, key=lambda role: leaks[role]) == "previous"
    assert recovered(found["destroyed"]) > 1.05


@pytest.mark.slow
def test_brackets() -> None:
    """Finer stories recover more; sign and height lose the same, and so differ by draws alone."""
    names = ("everything", "gates_know_signs", "gates_know_the_height", "checkers_compare_counts")
    found = verified("models/brackets.circuit", *(f"{name}.scrubbed" for name in names))
    assert recovered(found["everything"]) == pytest.approx(1, abs=1e-3)
    assert 0.8 < recovered(found["gates_know_signs"]) < 0.95
    assert recovered(found["gates_know_the_height"]) < 0.65
    assert recovered(found["checkers_compare_counts"]) < 0.65


@pytest.mark.slow
def test_digit_addition() -> None:
    """Each grain recovers no more than the finer one, for every digit of the sum."""
    names = ("digits", "sums", "sums_and_carries", "no_carry")
    found = verified("models/digit_addition.circuit", *names)
    for digit in ("hundreds", "tens", "units"):
        fine, sums, carries, none = (recovered(found[name], f"({digit})") for name in names)
        assert fine == pytest.approx(1, abs=0.01)
        assert 0.9 < carries < sums < fine
        assert none < fine + 1e-3
    assert recovered(found["no_carry"], "(tens)") < 0.8


@needs_shared
@pytest.mark.slow
def test_modular_addition() -> None:
    found = verified("models/modular_addition.circuit")
    assert recovered(found["adds"]) == pytest.approx(1, abs=1e-3)
    assert recovered(found["adds_from_heads"]) == pytest.approx(1, abs=1e-3)
    assert recovered(found["only_parity"]) < 0.1
    assert 0.4 < recovered(found["each_head_adds"]) < 0.7


@needs_shared
@pytest.mark.slow
def test_max_of_two() -> None:
    found = verified("models/max_of_two.circuit")
    assert recovered(found["copies_the_larger"]) == pytest.approx(1, abs=1e-3)
    assert recovered(found["undertrained"]) == pytest.approx(1, abs=1e-3)
    assert recovered(found["copies_the_last"]) < 0.5


@needs_shared
@pytest.mark.slow
def test_sort_five() -> None:
    found = verified("models/sort_five.circuit")
    assert recovered(found["says_the_next"], "(last)") == pytest.approx(1, abs=1e-3)
    assert recovered(found["says_the_current"], "(last)") < 0.2


@pytest.mark.slow
def test_the_packaged_model() -> None:
    """The story holds; told the wrong name, the suppressors are where it leaks."""
    names = ("names_are_passed_on", "suppressor_hears_the_object", "one_name_is_copied")
    found = verified("ioi_mini_scrubbing.circuit", *(f"{name}.scrubbed" for name in names))
    assert 0.55 < recovered(found["names_are_passed_on"]) < 0.75
    assert recovered(found["suppressor_hears_the_object"]) < 0.15
    assert recovered(found["one_name_is_copied"]) < 0.1
    (wrong,) = found["suppressor_hears_the_object"].claims
    leaks = {role: values["logit_diff"] for role, values in wrong.measures["leaks"].items()}
    assert min(leaks, key=lambda role: leaks[role]) == "suppressor"
