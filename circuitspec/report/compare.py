"""A comparison as the table a person reads, on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from circuitspec.report.compare_blocks import Block, Heading, Items, Paragraph, Table, blocks
from circuitspec.report.terminal import GAP, fold, to_string

if TYPE_CHECKING:
    from circuitspec.comparing.records import Comparison

NAMES = 30
"""Columns that the first column of a table keeps, however many rivals stand beside it."""


def render(result: Comparison, *, width: int = 100, color: bool = False) -> str:
    """The comparison at most `width` columns wide; with ANSI colours where `color`."""
    lines = (line for block in blocks(result) for line in _lines(block, width))
    return to_string(lines, width=width, color=color)


def _lines(block: Block, width: int) -> Iterator[Text]:
    match block:
        case Heading(text=text, level=level):
            yield Text()
            yield from (
                Text(line, style="bold" if level == 1 else "dim") for line in fold(text, width)
            )
        case Paragraph(text=text, strong=strong):
            yield from (Text(line, style="bold" if strong else "dim") for line in fold(text, width))
        case Items(items=items):
            for item in items:
                for number, line in enumerate(fold(item, width - 2)):
                    yield Text(f"{'  ' if number else '· '}{line}")
        case Table():
            yield from _table(block, width)


def _table(table: Table, width: int) -> Iterator[Text]:
    """Columns as wide as they need; as many rivals a go as fit beside the rows' names."""
    widths = [max(map(cell_len, column)) for column in zip(table.head, *table.rows, strict=True)]
    room = width - sum(w + len(GAP) for w in widths[1:])
    first = min(widths[0], max(NAMES, room), width - max(widths[1:]) - len(GAP))
    start = 1
    while start < len(widths):
        stop, room = start + 1, width - first - widths[start] - len(GAP)
        while stop < len(widths) and room >= widths[stop] + len(GAP):
            room -= widths[stop] + len(GAP)
            stop += 1
        shown = slice(start, stop)
        yield Text(_row("", table.head[shown], first, widths[shown]), style="dim")
        for name, *cells in table.rows:
            if not any(cells):
                yield from (Text(line) for line in fold(name, width))
                continue
            indent = " " * (len(name) - len(name.lstrip()))
            head, *rest = fold(name, first)
            yield Text(_row(head, cells[start - 1 : stop - 1], first, widths[shown]))
            yield from (Text(f"{indent}  {line.strip()}"[:width]) for line in rest)
        start = stop


def _row(name: str, cells: tuple[str, ...] | list[str], first: int, widths: list[int]) -> str:
    padded = (f"{' ' * (w - cell_len(cell))}{cell}" for cell, w in zip(cells, widths, strict=True))
    return GAP.join([name + " " * (first - cell_len(name)), *padded])
