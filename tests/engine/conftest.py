"""The executors under test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from circuitspec.engine.engine import Engine

# Whatever computes runs: (weights, prompt sets, metrics, batch_size=...) with `evaluate`.
EXECUTORS: dict[str, Callable[..., Any]] = {"first": Engine}


@pytest.fixture(scope="session", params=EXECUTORS)
def make_engine(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The constructor of an executor."""
    return EXECUTORS[request.param]
