"""Like statements on consecutive lines, with their columns lined up."""

from __future__ import annotations

from circuitspec.language.phrases import Cell

SPREAD = 24
"""Columns line up where the widest cell is at most this much wider than the narrowest."""


def line_up(rows: dict[int, list[Cell]], room: int) -> dict[int, Cell]:
    """The pieces of each row, padded so that columns stand below each other in `room` columns.

    A row whose first cell is far wider than the others' is left out. A row that does not fit on
    one line shares the first column only, and so do rows that would not fit any more.
    """
    texts = {n: [" ".join(cell) for cell in cells] for n, cells in rows.items()}
    narrowest = min((len(row[0]) for row in texts.values()), default=0)
    texts = {n: row for n, row in texts.items() if len(row[0]) <= narrowest + SPREAD}
    if len(texts) < 2:
        return {}
    first = max(len(row[0]) for row in texts.values())
    if first > room // 2:
        return {}
    out = {n: _first_padded(rows[n], first) for n in texts}
    fitting = {n: texts[n] for n in texts if len(" ".join(out[n])) <= room}
    for count in range(max(len(row) for row in texts.values()) - 1, 1, -1):
        chosen = fitting
        while len(chosen) > max(1, 2 * len(fitting) // 3):
            lines = _padded(chosen, first, count)
            widest = max(lines, key=lambda n: len(lines[n]))
            if len(lines[widest]) <= room:
                return out | {n: [line] for n, line in lines.items()}
            chosen = {n: row for n, row in chosen.items() if n != widest}
    return out


def _first_padded(cells: list[Cell], width: int) -> Cell:
    """The pieces of a row whose first cell is as wide as its column."""
    head, *rest = [piece for cell in cells[1:] for piece in cell] or [""]
    return [f"{' '.join(cells[0]).ljust(width)} {head}".rstrip(), *rest]


def _padded(rows: dict[int, list[str]], first: int, count: int) -> dict[int, str]:
    """Lines with their first `count` columns padded, or fewer where widths differ too much."""
    padded = {n: [row[0].ljust(first), *row[1:]] for n, row in rows.items()}
    for column in range(1, count):
        widths = [len(row[column]) for row in rows.values() if column < len(row) - 1]
        if not widths or max(widths) - min(widths) > SPREAD:
            break
        for row in padded.values():
            if column < len(row) - 1:
                row[column] = row[column].ljust(max(widths))
    return {n: " ".join(cell for cell in row if cell).rstrip() for n, row in padded.items()}
