"""Wires that share a gutter, a lane or a channel, side by side: each stretch gets a track.

Stretches of different nets that meet get different tracks, in the order that makes them cross
least. A net's stretches on one line of the grid are one: its wires share a trunk.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from circuitspec.report.figure.routes import Cell, Net, Wire

PASSES = 4
TURNS = 12


@dataclass(slots=True, kw_only=True)
class Stretch:
    """A straight piece of a net: on line `at` (X if upright, else Y) from `low` to `high`.

    `lower`, `upper`: where it is joined by pieces that come from a lower or lead to a higher line.
    `track` counts from 0, from the left or from below, among `among` that lie side by side.
    """

    net: Net
    upright: bool
    at: int
    low: float
    high: float
    lower: list[Stretch] = field(default_factory=list)
    upper: list[Stretch] = field(default_factory=list)
    track: int = 0
    among: int = 1
    place: float = 0.0
    """`at`, moved a little by the track: what others see of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracks:
    """The stretches of all nets, and how many tracks each line needs."""

    stretches: tuple[Stretch, ...]
    columns: Mapping[int, int]
    rows: Mapping[int, int]

    def of(self, net: Net, first: Cell, second: Cell) -> Stretch:
        """The stretch that a straight piece of a wire lies on."""
        upright = first[0] == second[0]
        at = first[0] if upright else first[1]
        low, high = sorted((first[1], second[1]) if upright else (first[0], second[0]))
        return next(
            s
            for s in self.stretches
            if (s.net, s.upright, s.at) == (net, upright, at) and s.low <= low and high <= s.high
        )


def tracks(wires: Iterable[Wire]) -> Tracks:
    """Stretches with their tracks."""
    stretches = _stretches(wires)
    lines: dict[tuple[bool, int], list[Stretch]] = {}
    for stretch in stretches:
        stretch.place = stretch.at
        lines.setdefault((stretch.upright, stretch.at), []).append(stretch)
    for _ in range(PASSES):
        for line in lines.values():
            _order(line)
    counts = {key: 1 + max(s.track for s in line) for key, line in lines.items()}
    for line in lines.values():
        for beside in _clusters(line):
            among = 1 + max(s.track for s in beside)
            for stretch in beside:
                stretch.among = among
    return Tracks(
        stretches=tuple(stretches),
        columns={at: n for (upright, at), n in counts.items() if upright},
        rows={at: n for (upright, at), n in counts.items() if not upright},
    )


def _clusters(line: list[Stretch]) -> list[list[Stretch]]:
    """The stretches of a line in groups that share no part of it with each other."""
    groups: list[list[Stretch]] = []
    end = float("-inf")
    for stretch in sorted(line, key=lambda s: s.low):
        if stretch.low > end:
            groups.append([])
        groups[-1].append(stretch)
        end = max(end, stretch.high)
    return groups


def _stretches(wires: Iterable[Wire]) -> list[Stretch]:
    pieces: dict[tuple[Net, bool, int], list[tuple[float, float]]] = {}
    for wire in wires:
        for first, second in pairwise(wire.path):
            upright = first[0] == second[0]
            at = int(first[0] if upright else first[1])
            low, high = sorted((first[1], second[1]) if upright else (first[0], second[0]))
            pieces.setdefault((wire.net, upright, at), []).append((low, high))
    found = [
        Stretch(net=net, upright=upright, at=at, low=low, high=high)
        for (net, upright, at), spans in sorted(pieces.items())
        for low, high in _merged(spans)
    ]
    uprights = [s for s in found if s.upright]
    for flat in (s for s in found if not s.upright):
        for rising in uprights:
            if (
                rising.net == flat.net
                and flat.low <= rising.at <= flat.high
                and rising.low <= flat.at <= rising.high
            ):
                if flat.high > rising.at:
                    rising.upper.append(flat)
                if flat.low < rising.at:
                    rising.lower.append(flat)
                if rising.high > flat.at:
                    flat.upper.append(rising)
                if rising.low < flat.at:
                    flat.lower.append(rising)
    return found


def _merged(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Overlapping and touching intervals as one."""
    merged: list[tuple[float, float]] = []
    for low, high in sorted(spans):
        if merged and low <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return merged


def _order(line: list[Stretch]) -> None:
    """Tracks for the stretches of one line: few crossings first, then as few tracks as possible."""
    order = sorted(line, key=lambda s: (s.track, s.low, s.high, s.net))
    cost = {
        (id(a), id(b)): _crossings(a, b) for a in order for b in order if a is not b and _meet(a, b)
    }
    for _ in range(TURNS):
        improved = False
        for i in range(len(order) - 1):
            # Moving one past several may help where no single swap does.
            for j in range(i + 1, len(order)):
                a, between = order[i], order[i + 1 : j + 1]
                now = sum(cost.get((id(a), id(b)), 0) for b in between)
                then = sum(cost.get((id(b), id(a)), 0) for b in between)
                if then < now:
                    order[i : j + 1] = [*between, a]
                    improved = True
                    break
        if not improved:
            break
    for n, stretch in enumerate(order):
        below = [o.track for o in order[:n] if _meet(o, stretch)]
        stretch.track = 1 + max(below, default=-1)
    count = 1 + max(s.track for s in order)
    for stretch in order:
        stretch.place = stretch.at + 0.8 * ((stretch.track + 1) / (count + 1) - 0.5)


def _meet(a: Stretch, b: Stretch) -> bool:
    return a.net != b.net and a.low <= b.high and b.low <= a.high


def _crossings(first: Stretch, second: Stretch) -> int:
    """How often two stretches of a line cross when `first` has the lower track."""
    return sum(second.low < s.place < second.high for s in first.upper) + sum(
        first.low < s.place < first.high for s in second.lower
    )
