"""A verdict that rounding could turn is decided again in float64; no other is."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.verification import Options, verify

from .conftest import ROOT, only

TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
HEAD = TEXT[: TEXT.index('  """These heads at these positions')].replace(
    "evaluation 240, reference 100", "evaluation 48, reference 20"
)
CLAIM = """  expect cut {{
    ablate suppressor by nodes with mean from abc over template
    require logit_diff >= {threshold!r} ci 95
  }}
}}
"""
FAR, OFF = 1e-3, 2e-6


def decided(path: Path, threshold: float, dtype: str = "float32") -> tuple[str, float, str]:
    """In what it was decided, the lower end of the interval, and the verdict."""
    spec = path / "close.circuit"
    spec.write_text(HEAD + CLAIM.format(threshold=threshold), "utf-8")
    result, diagnostics = verify(spec, options=Options(controls=0, dtype=dtype))
    assert result is not None, diagnostics
    (claim,) = only(result).claims
    (requirement,) = claim.requirements
    assert requirement.interval is not None
    again = dtype == "float32" and only(result).model.dtype == "float64"
    assert any("in float64" in note for note in only(result).notes) == again
    return only(result).model.dtype, requirement.interval[0], requirement.verdict


def test_a_verdict_near_its_threshold_is_that_of_float64(tmp_path: Path) -> None:
    _, end, _ = decided(tmp_path, -50.0, dtype="float64")
    assert decided(tmp_path, end - FAR)[::2] == ("float32", "holds")
    near = {sign: decided(tmp_path, end - sign * OFF) for sign in (1, -1)}
    assert [near[sign][0] for sign in (1, -1)] == ["float64", "float64"]
    # on either side of the exact end, whatever float32 takes it for
    assert [near[sign][2] for sign in (1, -1)] == ["holds", "inconclusive"]
    assert near[1][1] == pytest.approx(end, abs=1e-12)
