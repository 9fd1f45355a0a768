"""What a self-check says, and what of a run is there to be checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from circuitspec.engine.engine import Engine
from circuitspec.engine.repeated import OffsetScores
from circuitspec.engine.runs import Run
from circuitspec.engine.scrubbing.scrub import Scrubbed


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: whether it passed, the figure it turned on, and what was compared."""

    name: str
    passed: bool
    value: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Computed:
    """All that claims had computed on one engine: its runs, and what is no run of an engine's."""

    engine: Engine
    runs: Sequence[Run]
    apart: Sequence[Scrubbed | OffsetScores] = ()
