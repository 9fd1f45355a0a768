"""Scan tables: the strong cells stand out, weak rows are counted and not hidden silently."""

from __future__ import annotations

import json
import math
import re

import pytest
from rich.cells import cell_len

from circuitspec.report import scan
from circuitspec.report.json import dumps

GRID = scan.Grid(
    name="knock-out",
    caption="Change of logit_diff when the node's output is replaced by its mean there.",
    unit="logits",
    rows=("a0.h0", "a0.h1", "a1.h0", "m1"),
    columns=("IO", "S1+1", "END"),
    values=((0.0, -2.5, 0.01), (1.25, 0.0, None), (0.001, 0.0, 0.02), (math.nan, 0.0, 0.7)),
)


def sample(*grids: scan.Grid) -> scan.Scan:
    return scan.Scan(
        model="ioi-mini", task="ioi", metric="logit_diff", mean=5.12, interval=(5.0, 5.25),
        n=200, seed=3, grids=grids,
    )  # fmt: skip


def test_a_table_with_strong_cells_as_numbers_and_weak_ones_as_dots() -> None:
    page = scan.render(sample(GRID), width=80)
    rows = [line.split() for line in page.splitlines() if re.match(r"a\d|m\d", line)]
    assert rows[:4] == [
        ["a0.h0", "·", "−2.50", "·"],
        ["a0.h1", "1.25", "·"],
        ["a1.h0", "·", "·", "·"],
        ["m1", "NaN", "·", "0.70"],
    ]
    assert "logit_diff 5.12 [5.00, 5.25] unmodified; n 200, seed 3" in page
    assert "knock-out: a0.h0 @ S1+1 −2.5, a0.h1 @ IO 1.25, m1 @ END 0.7" in page


def test_weak_rows_are_left_out_and_counted() -> None:
    page = scan.render(sample(GRID), width=80, most=2)
    shown = [line.split()[0] for line in page.splitlines() if re.match(r"a\d|m\d", line)]
    assert shown == ["a0.h0", "a0.h1"]
    assert "2 weaker rows not shown" in page


@pytest.mark.parametrize("width", [30, 45, 80])
def test_wide_tables_are_broken_into_blocks(width: int) -> None:
    columns = tuple(f"POSITION{i}" for i in range(12))
    values = (tuple(float(i + 1) for i in range(12)),)
    grid = scan.Grid(
        name="g", caption="c", unit="u", rows=("a0.h0",), columns=columns, values=values
    )
    page = scan.render(sample(grid), width=width)
    assert all(column in page for column in columns)
    assert all(cell_len(line) <= max(width, 40) for line in page.splitlines())


def test_colour_shades_and_says_the_same() -> None:
    plain = scan.render(sample(GRID))
    coloured = scan.render(sample(GRID), color=True)
    assert "\x1b[" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [x.rstrip() for x in stripped.splitlines()] == plain.splitlines()


def test_nothing_moves() -> None:
    grid = scan.Grid(
        name="g", caption="c", unit="u", rows=("a0.h0",), columns=("END",), values=((0.0,),)
    )
    assert "all values are 0" in scan.render(sample(grid))


def test_json_is_unrounded_and_finite() -> None:
    document = json.loads(dumps(scan.document(sample(GRID))))
    assert document["schema"] == "circuitspec.scan/1"
    assert document["grids"][0]["values"][0] == [0.0, -2.5, 0.01]
    assert document["grids"][0]["values"][3][0] is None
