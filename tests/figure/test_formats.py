"""DOT, Mermaid and JSON: complete, and the same as before."""

from __future__ import annotations

import json

from syrupy.assertion import SnapshotAssertion

from circuitspec.report.figure.dot import to_dot
from circuitspec.report.figure.json import to_json
from circuitspec.report.figure.layout import layout
from circuitspec.report.figure.mermaid import to_mermaid
from tests.figure.scenes import scene, scene_of_file
from tests.figure.test_svg import FOUR_NODES


def test_dot(snapshot: SnapshotAssertion) -> None:
    assert to_dot(scene(FOUR_NODES)) == snapshot


def test_mermaid(snapshot: SnapshotAssertion) -> None:
    assert to_mermaid(scene(FOUR_NODES)) == snapshot


def test_dot_has_every_bundle() -> None:
    ioi = scene_of_file("specs/ioi_gpt2.circuit", "ioi")
    text = to_dot(ioi)
    for bundle in ioi.bundles:
        assert f'"{bundle.source}" -> "{bundle.target}" [' in text
    assert text.count("subgraph cluster_") == 5
    assert text.count("{") == text.count("}")


def test_mermaid_has_every_bundle() -> None:
    ioi = scene_of_file("specs/ioi_gpt2.circuit", "ioi")
    lines = to_mermaid(ioi).splitlines()
    assert lines[0] == "flowchart BT"
    assert sum("-->" in line for line in lines) == len(ioi.bundles)
    assert sum("linkStyle" in line for line in lines) == len(ioi.bundles)


def test_json_has_every_edge() -> None:
    ioi = scene_of_file("specs/ioi_gpt2.circuit", "ioi")
    data = json.loads(to_json(layout(ioi)))
    edges = {
        (e["sender"], e["receiver"], e["channel"], e["position"])
        for arrow in data["arrows"]
        for e in arrow["edges"]
    }
    # 182 head-level edges of ACDC's transcription, and the input to the induction heads' queries.
    assert len({(s, r, c) for s, r, c, _ in edges}) == 182 + 4
    assert ("a5.h5", "a7.h3", "k", "S2") in edges
    heads = {n["node"] for box in data["boxes"] if box["kind"] == "role" for n in box["nodes"]}
    assert len(heads) == 26
    known = {thing["id"] for part in ("columns", "boxes", "logits") for thing in data[part]}
    for arrow in data["arrows"]:
        assert {arrow["source"], arrow["target"]} <= known
