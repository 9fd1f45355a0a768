"""Measures that other packages bring: found by name, and run only when a model is measured.

A package registers a function under the entry point group `circuitspec.measures`. A metric names
it like a measure of ours, `metric m = top_margin(IO)`. Reading a spec looks the name up in the
installed packages' metadata, which imports nothing of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from circuitspec.task.records import Metric

GROUP = "circuitspec.measures"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A function of another package: `measure(logits [P, V], tokens [P, A]) -> [P, A]`, float64.

    It gives each named token's measure from all logits at a place; `at` is `module:function`.
    """

    name: str
    package: str
    version: str
    at: str

    def __str__(self) -> str:
        return f"`{self.name}` of {self.package} {self.version} ({self.at})"

    def load(self) -> Callable[[Tensor, Tensor], Tensor]:
        """The function itself: this imports its package. Raises ImportError or AttributeError."""
        from importlib.metadata import EntryPoint

        function: Callable[[Tensor, Tensor], Tensor] = EntryPoint(self.name, self.at, GROUP).load()
        return function


def registered(name: str) -> Registered | None:
    """The measure of that name, if an installed package brings it; imports nothing of it."""
    from importlib.metadata import entry_points  # only where a spec has a name that is not ours

    for found in entry_points(group=GROUP, name=name):
        if found.dist is not None:
            return Registered(
                name=name, package=found.dist.name, version=found.dist.version, at=found.value
            )
    return None


def borrowed(metrics: Iterable[Metric]) -> Iterator[str]:
    """A sentence for each metric that another package measures."""
    for metric in metrics:
        for each in dict.fromkeys(t.quantity for t in metric.terms):
            if isinstance(each, Registered):
                yield f"metric {metric.name} is measured by {each}"
