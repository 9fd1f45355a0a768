"""What holds of every figure: nothing overlaps, all is there, every arrow rises."""

from __future__ import annotations

from itertools import combinations, pairwise

import pytest
from hypothesis import HealthCheck, given, settings

from circuitspec.language.nodes import depth
from circuitspec.report.figure.layout import Layout, PlacedWire, Rect, layout
from tests.figure.scenes import scene, scene_of_file, scenes

SOME = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def frames(figure: Layout) -> dict[str, Rect]:
    found = {placed.box.id: placed.rect for placed in figure.boxes}
    found |= {column.id: rect for column, rect in figure.tokens}
    return found | dict(figure.logits)


def check_boxes(figure: Layout) -> None:
    rects = frames(figure)
    for (name, rect), (other, other_rect) in combinations(rects.items(), 2):
        assert not rect.overlaps(other_rect), (name, other)
    for rect in rects.values():
        assert rect.x >= 0
        assert rect.y >= 0
        assert rect.right <= figure.width
        assert rect.bottom <= figure.height


def check_nodes(figure: Layout) -> None:
    """Every node is in its box, apart from the others, at the height of its layer."""
    shown = {(placed.box.id, node.node) for placed in figure.boxes for node in placed.nodes}
    assert shown == {(box.id, node) for box in figure.scene.boxes for node in box.nodes}
    height: dict[tuple[int, int], set[float]] = {}
    labels = {row.label: row.rect for row in figure.rows}
    for placed in figure.boxes:
        for node in placed.nodes:
            assert placed.rect.x <= node.rect.x
            assert node.rect.right <= placed.rect.right
            assert placed.rect.y < node.rect.y
            assert node.rect.bottom < placed.rect.bottom
            layer, block = depth(node.node)
            row = labels[f"{layer} mlp" if block else str(layer)]
            assert row.y <= node.rect.y
            assert node.rect.bottom <= row.bottom
            height.setdefault(depth(node.node), set()).add(row.y)
        for one, other in combinations(placed.nodes, 2):
            assert not one.rect.overlaps(other.rect)
    tops = [min(height[row]) for row in sorted(height)]
    assert tops == sorted(tops, reverse=True)


def check_wires(figure: Layout) -> None:
    """One arrow for each bundle, from frame to frame, in right angles and never downwards."""
    drawn = sorted((wire.bundle.source, wire.bundle.target) for wire in figure.wires)
    assert drawn == [(b.source, b.target) for b in figure.scene.bundles]
    rects = frames(figure)
    for wire in figure.wires:
        assert on_frame(wire.points[0], rects[wire.bundle.source])
        assert on_frame(wire.points[-1], rects[wire.bundle.target])
        for (x, y), (to_x, to_y) in pairwise(wire.points):
            assert x == to_x or y == to_y
            assert to_y <= y + 1e-6
        assert wire.points[-1][1] < wire.points[0][1]


def on_frame(point: tuple[float, float], rect: Rect) -> bool:
    x, y = point
    beside = x in (rect.x, rect.right) and rect.y <= y <= rect.bottom
    return beside or (y in (rect.y, rect.bottom) and rect.x <= x <= rect.right)


def check_apart(figure: Layout) -> None:
    """Wires of different nets may cross and never run on one another."""
    pieces = [
        (wire, piece, sorted(piece)) for wire in figure.wires for piece in pairwise(wire.points)
    ]
    for (one, _, (a, b)), (other, _, (c, d)) in combinations(pieces, 2):
        if one.net == other.net:
            continue
        for axis in (0, 1):
            if a[axis] == b[axis] == c[axis] == d[axis]:
                along = 1 - axis
                assert min(b[along], d[along]) <= max(a[along], c[along]), (one, other)


def check_behind(figure: Layout) -> None:
    """Where there is no way round a box, wires pass behind it from side to side, never along it."""
    for wire in figure.wires:
        for (x, y), (to_x, to_y) in pairwise(wire.points):
            if x == to_x:
                for placed in figure.boxes:
                    inside = placed.rect.x < x < placed.rect.right
                    above = min(y, to_y) < placed.rect.bottom - 0.5
                    below = max(y, to_y) > placed.rect.y + 0.5
                    assert not (inside and above and below), (wire, placed.box.id)


CHECKS = [check_boxes, check_nodes, check_wires, check_apart, check_behind]


@SOME
@given(scenes())
def test_of_any_scene(made) -> None:
    figure = layout(made)
    for check in CHECKS:
        check(figure)


@pytest.mark.parametrize("name", ["ioi", "ioi_naive"])
def test_of_the_whole_ioi_circuit(name: str) -> None:
    figure = layout(scene_of_file("specs/ioi_gpt2.circuit", name))
    for check in CHECKS:
        check(figure)


def test_positions_are_in_reading_order_and_layers_rise() -> None:
    figure = layout(scene_of_file("specs/ioi_gpt2.circuit", "ioi"))
    by_x = sorted(figure.tokens, key=lambda token: token[1].x)
    assert [str(c.position) for c, _ in by_x] == ["IO", "S1", "S1+1", "S2", "END"]
    assert [row.label for row in figure.rows] == ["0", *(str(n) for n in range(2, 12))]
    assert [row.broken for row in figure.rows] == [False, True, *[False] * 9]
    for placed in figure.boxes:
        column = next(r for c, r in figure.tokens if c.position == placed.box.column)
        assert column.x - 0.01 <= placed.rect.x
        assert placed.rect.right <= column.right + 0.01


def behind(figure: Layout) -> list[PlacedWire]:
    """Wires with a piece that passes behind a box from side to side."""
    return [
        wire
        for wire in figure.wires
        for (x, y), (to_x, to_y) in pairwise(wire.points)
        for placed in figure.boxes
        if y == to_y
        and placed.rect.y < y < placed.rect.bottom
        and min(x, to_x) < placed.rect.x + 1
        and placed.rect.right - 1 < max(x, to_x)
    ]


def test_nothing_passes_behind_a_box_of_ioi() -> None:
    assert behind(layout(scene_of_file("specs/ioi_gpt2.circuit", "ioi"))) == []


def test_the_order_of_statements_does_not_matter() -> None:
    text = (
        'circuitspec 1 hypothesis h { model "gpt2" task t { template a "{X} and {Y} went"'
        " slot X, Y from names.english distinct one_token metric m = logit(X) }\n"
    )
    statements = [
        "role early = a0.h1, a1.h1 @ Y attends X\n",
        "role late = a2.h1 @ END attends Y\n",
        "role last = a3.h1 @ END attends Y, X\n",
        "edge input -> early.qkv, last.v\n",
        "edge early -> late.kv\n",
        "edge late -> last.q, logits\n",
        "edge last -> logits\n",
    ]
    forwards = layout(scene(text + "".join(statements) + "}"))
    backwards = layout(scene(text + "".join(reversed(statements)) + "}"))
    assert forwards == backwards
    assert len(forwards.wires) == 8


def test_a_hypothesis_without_roles_has_a_figure() -> None:
    figure = layout(scene("circuitspec 1 hypothesis h { }"))
    assert figure.boxes == ()
    assert figure.width > 0
