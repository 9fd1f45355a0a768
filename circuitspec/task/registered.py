"""Measures and baselines that other packages bring: found by name, run where a spec is measured.

A package registers a function under the entry point group `circuitspec.measures` or
`circuitspec.baselines`. A spec names it like one of ours, `metric m = top_margin(IO)`,
`baseline near = nearest(IO, S1)`. Reading a spec looks the name up in the installed packages'
metadata, which imports nothing of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Group = Literal["circuitspec.measures", "circuitspec.baselines"]
MEASURES: Group = "circuitspec.measures"
BASELINES: Group = "circuitspec.baselines"


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A function of another package; `at` is `module:function`.

    A measure is `measure(logits [P, V], tokens [P, A]) -> [P, A]`, float64: each named token's
    measure from all logits at a place. A baseline is described in `foreign`.
    """

    name: str
    package: str
    version: str
    at: str
    group: Group = MEASURES

    def __str__(self) -> str:
        return f"`{self.name}` of {self.package} {self.version} ({self.at})"

    def load(self) -> Callable[..., Any]:
        """The function itself: this imports its package, which may raise anything."""
        from importlib.metadata import EntryPoint

        function: Callable[..., Any] = EntryPoint(self.name, self.at, self.group).load()
        return function


def registered(name: str, group: Group = MEASURES) -> Registered | None:
    """The function of that name, if an installed package brings it; imports nothing of it."""
    from importlib.metadata import entry_points  # only where a spec has a name that is not ours

    for found in entry_points(group=group, name=name):
        if found.dist is not None:
            return Registered(
                name=name,
                package=found.dist.name,
                version=found.dist.version,
                at=found.value,
                group=group,
            )
    return None
