"""Rows, lanes and cells: where boxes stand on a grid of layers and positions, before any size.

A row is a layer (attention below the MLP of the same layer), a lane a strip of one column: boxes
of one position whose layers overlap stand in lanes side by side. Between lanes run gutters, between
rows channels, both for wires. A cell is (X, Y): gutter g is X = 2g, lane c is X = 2c + 1; channel h
is Y = 2h, row r is Y = 2r + 1, counted from the left and from below. The tokens stand below
channel 0, the logits above the last one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from circuitspec.language.nodes import depth
from circuitspec.report.figure.scene import Box, Column, Scene

Row = tuple[int, int]
"""(layer, 0 for attention or 1 for the MLP)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A box on the grid: its lane, and its rows from `bottom` to `top`, both included."""

    box: Box
    lane: int
    bottom: int
    top: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """Rows from below, lanes from the left, and a spot for each box.

    `lanes[c]` is the number of the column that lane c belongs to.
    """

    rows: tuple[Row, ...]
    lanes: tuple[int, ...]
    columns: tuple[Column, ...]
    spots: Mapping[str, Spot]

    @property
    def width(self) -> int:
        """The X of the last gutter."""
        return 2 * len(self.lanes)

    @property
    def height(self) -> int:
        """The Y of the last channel."""
        return 2 * len(self.rows)

    def lanes_of(self, column: int) -> tuple[int, ...]:
        """The lanes of a column, from the left."""
        return tuple(lane for lane, of in enumerate(self.lanes) if of == column)

    def row(self, row: Row) -> int:
        """The number of a row, from below."""
        return self.rows.index(row)


def grid_of(scene: Scene) -> Grid:
    """A place for every box: columns by position, rows by layer, lanes where layers overlap."""
    rows = tuple(sorted({depth(node) for box in scene.boxes for node in box.nodes}))
    number = {row: n for n, row in enumerate(rows)}
    column_of = {column.position: n for n, column in enumerate(scene.columns)}
    lanes: list[int] = []
    spots: dict[str, Spot] = {}
    for n in range(len(scene.columns)):
        here = [box for box in scene.boxes if column_of[box.column] == n]
        extents = {box.id: sorted(number[depth(node)] for node in box.nodes) for box in here}
        here.sort(key=lambda b: (b.kind != "role", extents[b.id][0], extents[b.id][-1], b.id))
        taken: list[list[tuple[int, int]]] = []
        for box in here:
            bottom, top = extents[box.id][0], extents[box.id][-1]
            lane = next(
                (i for i, t in enumerate(taken) if all(top < b or bottom > a for b, a in t)), None
            )
            if lane is None:
                lane = len(taken)
                taken.append([])
            taken[lane].append((bottom, top))
            spots[box.id] = Spot(box=box, lane=len(lanes) + lane, bottom=bottom, top=top)
        lanes += [n] * max(1, len(taken))
    return Grid(rows=rows, lanes=tuple(lanes), columns=scene.columns, spots=spots)
