"""Metrics, top tokens and KL of a run while its chunks come in, in the order of its prompts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch import Tensor

from circuitspec.engine.plan.rows import Integers as Rows
from circuitspec.engine.runs import Floats, Integers, Readings, Touched


class Collected:
    """Readings of one run; what has not come in is NaN, and −1 for tokens."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.rows: Rows = np.zeros(0, dtype=np.int64)
        self.metrics: dict[str, Floats] = {}
        self.top: dict[str, Integers] = {}
        self.kl: dict[str, Floats] = {}

    def add_metric(self, name: str, rows: Rows, values: Tensor) -> None:
        """A metric's values on some rows, the same ones every time."""
        self.rows = rows
        self._add(self.metrics, name, rows, values)

    def add_kl(self, name: str, rows: Rows, values: Tensor) -> None:
        """KL at a metric's position on some rows."""
        self._add(self.kl, name, rows, values)

    def add_top(self, name: str, rows: Rows, values: Tensor) -> None:
        """Top tokens at a metric's position on some rows."""
        if name not in self.top:
            self.top[name] = np.full(self.n, -1, dtype=np.int64)
        self.top[name][rows] = values.cpu().numpy()

    def take(self, other: Collected) -> None:
        """Everything that has come in at `other`, which has some of the prompts."""
        for ours, theirs in ((self.metrics, other.metrics), (self.kl, other.kl)):
            for name, values in theirs.items():
                into = ours.setdefault(name, np.full(self.n, np.nan))
                into[other.rows] = values[other.rows]
        for name, tokens in other.top.items():
            top = self.top.setdefault(name, np.full(self.n, -1, dtype=np.int64))
            top[other.rows] = tokens[other.rows]

    def _add(self, into: dict[str, Floats], name: str, rows: Rows, values: Tensor) -> None:
        if name not in into:
            into[name] = np.full(self.n, np.nan)
        into[name][rows] = values.cpu().numpy()

    def readings(self, count: Callable[[], Touched]) -> Readings:
        """Everything that came in; `count` gives what was touched."""
        return Readings(metrics=self.metrics, top=self.top, kl=self.kl, count=count)
