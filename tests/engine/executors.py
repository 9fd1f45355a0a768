"""Whatever computes runs: each is held to the same oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from circuitspec.engine.engine import Engine

# (weights, prompt sets, metrics, batch_size=...) -> something with `evaluate`
EXECUTORS: dict[str, Callable[..., Any]] = {"dense": Engine}
"""The executors under test."""
