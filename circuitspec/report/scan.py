"""Heat maps of a scan: how much the metric moves when each node is cut or patched, by position."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from circuitspec.language.nodes import Head, Input, Mlp, depth
from circuitspec.report.json import Json, plain
from circuitspec.report.numbers import fixed, short
from circuitspec.report.terminal import GAP, NARROWEST, fold, to_string

if TYPE_CHECKING:
    from circuitspec.claims.scan import ScanResult

SCHEMA = "circuitspec.scan/1"
QUIET = 0.02
"""Share of the largest value below which a cell is printed as a dot: it would only be noise."""

TIED = "\u00a0"
"""A blank that a line is not broken at, until it is."""

_UP = ("on #fee5d9", "on #fcae91", "on #fb6a4a", "on #cb181d")
_DOWN = ("on #eff3ff", "on #bdd7e7", "on #6baed6", "on #2171b5")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One measure of every node (a row) at every position (a column).

    `values[row][column]` is in `unit`, `None` where the node cannot be measured there. `caption`
    says what the number means, `joint` is what stands between row and column in a list of cells.
    """

    name: str
    caption: str
    unit: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    joint: str = " @ "

    def largest(self) -> float:
        """The largest absolute value, 0 for an empty grid."""
        found = [abs(v) for row in self.values for v in row if v is not None and math.isfinite(v)]
        return max(found, default=0.0)


CAPTIONS = {
    "knockout": (
        "change of the metric when the output becomes its mean over the template's reference"
        " prompts: negative, and the model needs it"
    ),
    "patch": "change of the metric when the output comes from the paired counterfactual",
    "direct": "the same, when only the logits see it (path patching, nothing between)",
    "dla": "what the output adds to the metric through the final norm (direct logit attribution)",
}
ATTENTION = "attention"
LOOKS = 0.4
"""Attention from which a head is said to look somewhere; the JSON has all of it."""


def grids_of(result: ScanResult) -> tuple[Grid, ...]:
    """A grid a measure, nodes by positions, and one of attention: heads by (query → key)."""
    columns = tuple(dict.fromkeys(cell.element.position for cell in result.cells))
    rows = sorted({cell.element.node for cell in result.cells}, key=depth_and_index)
    at = {(cell.element.node, cell.element.position): cell.effects for cell in result.cells}
    measures = tuple(dict.fromkeys(name for effects in at.values() for name in effects))
    grids = []
    for measure in measures:
        values = {key: effects.get(measure) for key, effects in at.items()}
        kept = [p for p in columns if any(values.get((node, p)) is not None for node in rows)]
        grids.append(
            Grid(
                name=measure,
                caption=CAPTIONS.get(measure, measure),
                unit=result.metric,
                rows=tuple(str(node) for node in rows),
                columns=tuple(str(p) for p in kept),
                values=tuple(tuple(values.get((node, p)) for p in kept) for node in rows),
            )
        )
    return (*grids, *_attention(result))


def _attention(result: ScanResult) -> Iterator[Grid]:
    """Heads by (query → key), for the pairs that some head looks along; not at its own place."""
    along = [g for g in result.gazes if g.query != g.key]
    order = {position: i for i, position in enumerate(result.positions)}
    looked = {(g.query, g.key) for g in along if g.attention >= LOOKS}
    if not looked:
        return
    pairs = sorted(looked, key=lambda pair: [order[position] for position in pair])
    heads = sorted({g.head for g in along})
    seen = {(g.head, g.query, g.key): g.attention for g in along}
    yield Grid(
        name=ATTENTION,
        caption=(
            "mean attention from a position (before the arrow) to another, where some head gives"
            f" {LOOKS:g} or more"
        ),
        unit="share of 1",
        rows=tuple(map(str, heads)),
        columns=tuple(f"{query}→{key}" for query, key in pairs),
        values=tuple(tuple(seen.get((head, *pair)) for pair in pairs) for head in heads),
        joint=" ",
    )


def depth_and_index(node: Head | Mlp | Input) -> tuple[int, int, int]:
    """Nodes in the order of the model: the input, then each layer's heads before its MLP."""
    return (*depth(node), node.index if isinstance(node, Head) else 0)


def document(result: ScanResult) -> Json:
    """The scan as plain values for JSON, unrounded."""
    return {
        "schema": SCHEMA,
        "model": result.model,
        "task": result.task,
        "metric": result.metric,
        "baseline": result.baseline,
        "mean": plain(result.mean),
        "n": result.n,
        "seed": result.seed,
        "cells": [
            {
                "node": str(cell.element.node),
                "position": str(cell.element.position),
                **plain(cell.effects),
            }
            for cell in result.cells
        ],
        "attention": [
            {
                "head": str(gaze.head),
                "query": str(gaze.query),
                "key": str(gaze.key),
                "attention": plain(gaze.attention),
            }
            for gaze in result.gazes
        ],
    }


def render(
    result: ScanResult,
    *,
    width: int = 100,
    color: bool = False,
    most: int | None = 24,
    top: int = 10,
) -> str:
    """Every grid as a table, at most `most` rows each (the strongest), and the `top` cells of all.

    With colour, cells are shaded (red raises the metric, blue lowers it); without, small values
    are dots, so that the large ones stand out on paper too.
    """
    return to_string(lines(result, width=width, most=most, top=top), width=width, color=color)


def lines(
    result: ScanResult, *, width: int = 100, most: int | None = 24, top: int = 10
) -> list[Text]:
    """The report as styled lines."""
    width = max(width, NARROWEST)
    grids = grids_of(result)
    title = f"{result.model} on {result.task}"
    head = (
        f"{result.metric} {short(result.mean)} unmodified; baseline {result.baseline};"
        f" n {result.n}, seed {result.seed}"
    )
    out = [Text(line, style="bold") for line in fold(title, width)]
    out += [Text(line, style="dim") for line in fold(head, width)]
    for grid in grids:
        out += [Text(), *_grid(grid, width, most)]
    return [*out, Text(), *_ranking(grids, width, top)]


def _grid(grid: Grid, width: int, most: int | None) -> Iterator[Text]:
    yield Text.assemble((grid.name, "bold"), (f" ({grid.unit})", "dim"))
    for line in fold(grid.caption, width):
        yield Text(line, style="dim")
    largest = grid.largest()
    if largest == 0:
        yield Text("all values are 0")
        return
    kept = _strongest(grid, most)
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 6)
    label = max(cell_len(grid.rows[i]) for i in kept)
    cells = [[_cell(v, largest, decimals) for v in grid.values[i]] for i in kept]
    sizes = [
        max(cell_len(name), *(cell_len(row[j]) for row in cells))
        for j, name in enumerate(grid.columns)
    ]
    for block in _blocks(sizes, width - label):
        heads = [_right(grid.columns[j], sizes[j]) for j in block]
        yield Text(" " * label + GAP + GAP.join(heads), style="dim")
        for i, row in zip(kept, cells, strict=True):
            shaded = Text(grid.rows[i].ljust(label))
            for j in block:
                shaded.append(GAP)
                shaded.append(_right(row[j], sizes[j]), style=_shade(grid.values[i][j], largest))
            yield shaded
    hidden = len(grid.rows) - len(kept)
    if hidden:
        yield Text(f"{hidden} weaker rows not shown", style="dim")


def _strongest(grid: Grid, most: int | None) -> list[int]:
    """The rows to show, in their own order: all, or those with the largest values."""
    order = range(len(grid.rows))
    if most is None or len(grid.rows) <= most:
        return list(order)

    def strength(i: int) -> float:
        return max((abs(v) for v in grid.values[i] if v is not None), default=0.0)

    return sorted(sorted(order, key=strength, reverse=True)[:most])


def _blocks(sizes: list[int], room: int) -> Iterator[list[int]]:
    """Columns that fit side by side; what does not fit goes below."""
    block: list[int] = []
    used = 0
    for j, size in enumerate(sizes):
        if block and used + size + len(GAP) > room:
            yield block
            block, used = [], 0
        block.append(j)
        used += size + len(GAP)
    if block:
        yield block


def _cell(value: float | None, largest: float, decimals: int) -> str:
    if value is None:
        return ""
    return "·" if abs(value) < QUIET * largest else fixed(value, decimals)


def _shade(value: float | None, largest: float) -> str:
    if value is None or not math.isfinite(value) or abs(value) < QUIET * largest:
        return "dim"
    steps = _UP if value > 0 else _DOWN
    step = min(int(abs(value) / largest * len(steps)), len(steps) - 1)
    return f"{'white' if step == len(steps) - 1 else 'black'} {steps[step]}"


def _right(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text


def _ranking(grids: tuple[Grid, ...], width: int, top: int) -> Iterator[Text]:
    """The strongest cells of each grid, side by side as a reader would list them."""
    for grid in grids:
        ranked = sorted(
            (
                (abs(v), f"{row}{grid.joint}{column} {short(v, 3)}".replace(" ", TIED))
                for row, values in zip(grid.rows, grid.values, strict=True)
                for column, v in zip(grid.columns, values, strict=True)
                if v is not None and math.isfinite(v) and v != 0
            ),
            key=lambda pair: -pair[0],
        )
        if ranked:
            strongest = ", ".join(text for _, text in ranked[:top])
            folded = fold(strongest, width - cell_len(grid.name) - 2)
            first, *rest = (line.replace(TIED, " ") for line in folded)
            yield Text.assemble((f"{grid.name}: ", "dim"), first)
            yield from (Text(" " * (cell_len(grid.name) + 2) + line) for line in rest)
