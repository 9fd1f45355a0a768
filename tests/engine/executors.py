"""Whatever computes runs: each is held to the same oracle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from circuitspec.engine.engine import Engine

# (weights, prompt sets, metrics, batch_size=...) -> something with `evaluate`
EXECUTORS: dict[str, Callable[..., Any]] = {
    "dense": partial(Engine, executor="dense"),
    "compiled": partial(Engine, executor="compiled"),
}
"""The executors under test."""
