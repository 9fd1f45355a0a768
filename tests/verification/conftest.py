"""What these tests share: the shipped specs, and each verified once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from circuitspec.judge.records import ClaimResult, HypothesisResult, RunResult
from circuitspec.verification import verify

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def verified() -> Callable[[Path], RunResult]:
    """The result of a spec that has no mistakes, computed once a session."""

    @cache
    def of(path: Path) -> RunResult:
        result, diagnostics = verify(path)
        assert result is not None, diagnostics
        return result

    return of


def only(result: RunResult) -> HypothesisResult:
    (hypothesis,) = result.hypotheses
    return hypothesis


def claim(result: RunResult, name: str) -> ClaimResult:
    return next(c for c in only(result).claims if c.name == name)
