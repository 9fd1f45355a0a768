"""What `bench/startup.py` times is a whole verification."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from circuitspec.verification import verify

BENCH = Path(__file__).parents[2] / "bench"


def test_the_toy_is_verified_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    startup = importlib.import_module("startup")
    result, diagnostics = verify(startup.toy(tmp_path))
    assert result is not None, diagnostics
    (hypothesis,) = result.hypotheses
    assert len(hypothesis.claims) == 5
    assert all(claim.requirements for claim in hypothesis.claims)
    assert all(check.passed for check in hypothesis.self_checks)
