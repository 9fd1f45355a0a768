"""Timing in units of a plain forward: interleaved, each time beside a plain pass of its own.

The machine may be shared and its speed drift by a factor of two within a minute, so no time is
compared with one taken long before or after it: a round goes through all cases once, a plain pass
is timed again whenever the last one is stale, and a case's ratio is to the mean of the plain passes
before and after it. A row is the median over rounds, with the smallest and largest.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

STALE = 3.0
"""How many plain passes may go by before the next one is timed."""

STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is timed: `run`, after `prepare`, which is not. `scale` extrapolates from a sample.

    `most` is in how many rounds, at most; `predicted` what it should take, in plain forwards.
    """

    name: str
    prepare: Callable[[], None]
    run: Callable[[], object]
    scale: float = 1.0
    sampled: int | None = None
    most: int | None = None
    predicted: float | None = None


@dataclass(slots=True, kw_only=True)
class Row:
    """What a case took: `ratios` to a plain pass, one a round; `seconds` likewise, extrapolated."""

    case: Case
    ratios: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    peak_mb: float | None = None
    flops: float | None = None

    def json(self, shape: str, peak: float | None) -> dict[str, object]:
        """The row as it is written; `peak` is the device's own floating-point operations a
        second."""
        found: dict[str, object] = {
            "name": self.case.name,
            "shape": shape,
            "plain": round(median(self.ratios), 4),
            "spread": [round(min(self.ratios), 4), round(max(self.ratios), 4)],
            "peak_mb": None if self.peak_mb is None else round(self.peak_mb, 1),
            "ms": round(1000 * median(self.seconds), 2),
            "repeats": len(self.ratios),
        }
        if self.case.predicted is not None:
            found["predicted"] = round(self.case.predicted, 4)
        if self.case.sampled is not None:
            found["extrapolated_from"] = self.case.sampled
        if self.flops is not None:
            found["gflop"] = round(self.flops / 1e9, 6)
            if peak is not None:
                found["share_of_peak"] = round(self.flops / median(self.seconds) / peak, 4)
        return found


@dataclass(slots=True, kw_only=True)
class Clock:
    """Times cases on a device. `plain` is a plain pass; `taken` all of its times, in seconds.

    `now` is the time: the processor's own, of one thread, where other jobs hold the machine.
    """

    device: torch.device
    plain: Callable[[], None]
    now: Callable[[], float] = time.perf_counter
    taken: list[float] = field(default_factory=list)

    def seconds(self, run: Callable[[], object]) -> float:
        """How long `run` takes, until the device is done."""
        self._wait()
        start = self.now()
        run()
        self._wait()
        return self.now() - start

    def measure(
        self,
        cases: Sequence[Case],
        repeats: int,
        *,
        flops: bool = False,
        tell: Callable[[str], None] = lambda text: None,
        each_round: Callable[[list[Row]], None] = lambda rows: None,
    ) -> list[Row]:
        """All cases, `repeats` rounds; memory is watched in the first. `each_round` gets the rows
        as they stand after it."""
        rows = [Row(case=case) for case in cases]
        self.seconds(self.plain)
        for number in range(repeats):
            waiting: list[tuple[Row, float, float]] = []
            before = self._plain()
            since = self.now()
            for row in rows:
                if row.case.most is not None and number >= row.case.most:
                    continue
                row.case.prepare()
                gc.collect()
                if self.now() - since > STALE * before:
                    after = self._plain()
                    self._settle(waiting, after)
                    before, since = after, self.now()
                if number == 0:
                    memory = Memory(self.device)
                    taken = self.seconds(row.case.run)
                    row.peak_mb = memory.peak()
                else:
                    taken = self.seconds(row.case.run)
                waiting.append((row, taken, before))
                tell(f"round {number + 1}/{repeats} {row.case.name} {taken / before:.2f}")
            self._settle(waiting, self._plain())
            each_round(rows)
        if flops:
            for row in rows:
                row.case.prepare()
                row.flops = row.case.scale * counted(row.case.run)
        return rows

    def _plain(self) -> float:
        taken = self.seconds(self.plain)
        self.taken.append(taken)
        return taken

    @staticmethod
    def _settle(waiting: list[tuple[Row, float, float]], after: float) -> None:
        """Ratios of what was timed between two plain passes."""
        for row, taken, before in waiting:
            row.seconds.append(taken * row.case.scale)
            row.ratios.append(taken * row.case.scale / ((before + after) / 2))
        waiting.clear()

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def counted(run: Callable[[], object]) -> float:
    """Floating-point operations of the matrix products in `run`."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def peak_rate(device: torch.device) -> float:
    """Floating-point operations a second of a large float32 product here: the best of five."""
    size = 8192 if device.type == "cuda" else 1536
    left, right = torch.randn(2, size, size, device=device).unbind(0)
    clock = Clock(device=device, plain=lambda: None)

    def product() -> None:
        left @ right

    return 2 * size**3 / min(clock.seconds(product) for _ in range(5))


class Memory:
    """Memory taken above what was held when it was made, in MB; None where it cannot be known."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.held: float | None = None
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
            self.held = torch.cuda.memory_allocated(device) / 2**20
        elif sys.platform == "linux":
            # what the allocator keeps for later would hide what is taken
            ctypes.CDLL(None).malloc_trim(0)
            Path("/proc/self/clear_refs").write_text("5")
            self.held = _status("VmRSS")

    def peak(self) -> float | None:
        """The most there was, less what was held."""
        if self.held is None:
            return None
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device) / 2**20 - self.held
        return max(0.0, _status("VmHWM") - self.held)


def _status(name: str) -> float:
    for line in STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return float(line.split()[1]) / 1024
    raise ValueError(f"{STATUS} has no {name}")
