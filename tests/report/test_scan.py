"""Scan tables: the strong cells stand out, weak rows are counted and not hidden silently."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

from rich.cells import cell_len

from circuitspec.claims.scan import Cell, Gaze, ScanResult
from circuitspec.hypothesis.records import Element
from circuitspec.language.nodes import Head, HeadIndex, Layer, Mlp, Position
from circuitspec.report import scan
from circuitspec.report.json import dumps

S1, END = Position("S1"), Position("END")


def head(layer: int, index: int) -> Head:
    return Head(Layer(layer), HeadIndex(index))


def cell(node: Head | Mlp, position: Position, knockout: float, dla: float | None) -> Cell:
    return Cell(element=Element(node, position), effects={"knockout": knockout, "dla": dla})


RESULT = ScanResult(
    model="ioi-mini",
    task="ioi",
    metric="logit_diff",
    baseline="abc",
    n=200,
    seed=3,
    mean=5.1234,
    positions=(S1, Position("S2"), END),
    cells=(
        cell(Mlp(Layer(0)), S1, 0.7, None),
        cell(head(0, 10), S1, -2.5, None),
        cell(head(0, 10), END, 0.01, 1.25),
        cell(head(0, 2), S1, 0.0, None),
        cell(head(0, 2), END, math.nan, 0.0),
        cell(Mlp(Layer(0)), END, 0.001, 0.0),
    ),
    gazes=(
        Gaze(head=head(0, 10), query=END, key=S1, attention=0.9),
        Gaze(head=head(0, 2), query=END, key=END, attention=0.8),
        Gaze(head=head(0, 2), query=END, key=S1, attention=0.2),
        Gaze(head=head(0, 2), query=END, key=Position("S2"), attention=0.3),  # nobody looks there
    ),
)


def table(page: str, name: str) -> list[list[str]]:
    lines = page.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"{name} ("))
    found = []
    for line in lines[start + 1 :]:
        if not line:
            break
        found.append(line.split())
    return found[1:]  # without the caption


def test_nodes_by_positions_in_the_order_of_the_model() -> None:
    page = scan.render(RESULT, width=100)
    assert table(page, "knockout")[-4:] == [
        ["S1", "END"],
        ["a0.h2", "·", "NaN"],
        ["a0.h10", "−2.50", "·"],
        ["m0", "0.70", "·"],
    ]
    assert "logit_diff 5.123 unmodified; baseline abc; n 200, seed 3" in page


def test_a_measure_has_no_column_where_it_is_not_defined() -> None:
    assert table(scan.render(RESULT), "dla")[0] == ["END"]


def test_attention_from_position_to_position() -> None:
    assert table(scan.render(RESULT), "attention") == [
        ["END→S1"],
        ["a0.h2", "0.200"],
        ["a0.h10", "0.900"],
    ]
    assert "attention: a0.h10 END→S1 0.9, a0.h2 END→S1 0.2" in scan.render(RESULT)


def test_the_strongest_cells_in_order() -> None:
    assert "knockout: a0.h10 @ S1 −2.5, m0 @ S1 0.7, a0.h10 @ END 0.01" in scan.render(RESULT)


def test_weak_rows_are_left_out_and_counted() -> None:
    page = scan.render(RESULT, most=1)
    assert [row[0] for row in table(page, "knockout")[-3:]] == ["S1", "a0.h10", "2"]
    assert "2 weaker rows not shown" in page


def test_wide_tables_are_broken_into_blocks() -> None:
    positions = tuple(Position(f"POSITION{i}") for i in range(12))
    cells = tuple(cell(head(0, 0), p, 1.0 + i, None) for i, p in enumerate(positions))
    page = scan.render(replace(RESULT, cells=cells, positions=positions, gazes=()), width=45)
    assert all(str(position) in page for position in positions)
    assert all(cell_len(line) <= 45 for line in page.splitlines())


def test_colour_shades_and_says_the_same() -> None:
    coloured = scan.render(RESULT, color=True)
    assert "\x1b[" in coloured
    stripped = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert [x.rstrip() for x in stripped.splitlines()] == scan.render(RESULT).splitlines()


def test_json_is_unrounded_and_finite() -> None:
    document = json.loads(dumps(scan.document(RESULT)))
    assert document["schema"] == "circuitspec.scan/1"
    assert document["mean"] == 5.1234
    assert document["cells"][2] == {
        "node": "a0.h10", "position": "END", "knockout": 0.01, "dla": 1.25,
    }  # fmt: skip
    assert document["cells"][4]["knockout"] is None
    assert document["attention"][0] == {
        "head": "a0.h10", "query": "END", "key": "S1", "attention": 0.9,
    }  # fmt: skip
