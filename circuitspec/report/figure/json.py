"""The figure as data: what it shows and where, for programs that draw it their own way."""

from __future__ import annotations

import json
from typing import Any

from circuitspec.report.figure.layout import Layout, Point, Rect

FORMAT = 1
"""Rises when a key changes its meaning or goes; new keys may come at any time."""


def to_json(layout: Layout) -> str:
    """The figure as JSON, indented, ending in a newline; lengths in pixels, y downwards.

    `columns` are token positions from left to right, `boxes` roles (`kind` "role"), open or kept
    nodes; `arrows` bundle the head-level `edges` from one to another, `path` has the corners.
    """
    scene = layout.scene
    data: dict[str, Any] = {
        "format": FORMAT,
        "hypothesis": scene.name,
        "doc": scene.doc,
        "model": scene.model,
        "width": _n(layout.width),
        "height": _n(layout.height),
        "templates": dict(scene.templates),
        "kept": list(scene.kept),
        "columns": [
            {"id": c.id, "position": str(c.position), "words": c.words, "rect": _rect(rect)}
            for c, rect in layout.tokens
        ],
        "rows": [{"layer": row.label, "rect": _rect(row.rect)} for row in layout.rows],
        "logits": [{"id": id_, "rect": _rect(rect)} for id_, rect in layout.logits],
        "boxes": [
            {
                "id": placed.box.id,
                "kind": placed.box.kind,
                "name": placed.box.name,
                "position": str(placed.box.position),
                "attends": [str(p) for p in placed.box.attends],
                "notes": list(placed.box.notes),
                "rect": _rect(placed.rect),
                "nodes": [
                    {"node": str(n.node), "layer": n.node.layer, "rect": _rect(n.rect)}
                    for n in placed.nodes
                ],
            }
            for placed in layout.boxes
        ],
        "arrows": [
            {
                "source": wire.bundle.source,
                "target": wire.bundle.target,
                "channels": [c or "out" for c in wire.bundle.channels],
                "attends": wire.bundle.attends,
                "path": [_point(p) for p in wire.points],
                "edges": [
                    {
                        "sender": str(e.sender),
                        "receiver": str(e.receiver),
                        "channel": e.channel,
                        "position": str(e.position),
                    }
                    for e in wire.bundle.edges
                ],
            }
            for wire in layout.wires
        ],
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _rect(rect: Rect) -> list[float]:
    """x, y, width, height."""
    return [_n(rect.x), _n(rect.y), _n(rect.width), _n(rect.height)]


def _point(point: Point) -> list[float]:
    return [_n(point[0]), _n(point[1])]


def _n(number: float) -> float:
    return round(number, 1)
