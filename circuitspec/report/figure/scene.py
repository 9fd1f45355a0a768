"""A hypothesis as what a figure shows: tokens, boxes of nodes, bundles of edges between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from circuitspec.hypothesis.ordering import channel_key, edge_key, node_key
from circuitspec.hypothesis.places import meet
from circuitspec.hypothesis.product import reads
from circuitspec.hypothesis.records import Edge, Hypothesis, Kept, Place
from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.hypothesis.text import expression_text
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    Channel,
    Head,
    Input,
    Logits,
    Mlp,
    Position,
)
from circuitspec.report.figure.columns import reading_order, words_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A token position: its label, and the template's word there where it is not a slot."""

    position: Position
    words: str = ""

    @property
    def id(self) -> str:
        """The name of the token, as the source of edges from the input."""
        return f"input@{self.position}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """Nodes that are drawn together: a role at one of its query positions, or what is open there.

    `notes` are what the role carries, or why the nodes are open. `attends` are key positions.
    """

    id: str
    kind: Literal["role", "open", "kept"]
    name: str
    position: Position
    nodes: tuple[Head | Mlp, ...]
    notes: tuple[str, ...] = ()
    attends: tuple[Position, ...] = ()
    column: Position = ALL_POSITIONS
    """The column it stands in: its position, other names for places written out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """All edges from one box (or token) to another (or the logits), as one arrow.

    No edges: the target attends to the source's position, and no edge is stated from there.
    `note` is what stands at its head beside the channels, such as what was measured along it.
    """

    source: str
    target: str
    channels: tuple[Channel, ...]
    edges: tuple[Edge, ...]
    note: str = ""

    @property
    def attends(self) -> bool:
        """Whether this only says where heads attend."""
        return not self.edges


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything a figure shows, before anything has a place."""

    name: str
    doc: str | None
    model: str
    columns: tuple[Column, ...]
    boxes: tuple[Box, ...]
    logits: tuple[Position, ...]
    bundles: tuple[Bundle, ...]
    kept: tuple[str, ...] = ()
    templates: tuple[tuple[str, str], ...] = ()


def scene_of(hypothesis: Hypothesis) -> Scene:
    """What the figure of a hypothesis shows; works on the text alone, no model is needed."""
    info = task_info(hypothesis.task)
    boxes = _boxes(hypothesis, info)
    used = {e for part in hypothesis.edges for e in part.edges}
    bundles = _bundles(used, boxes, info)
    bundles += _attended(boxes, bundles, info)
    positions = [b.column for b in boxes]
    positions += [info.canonical(p) for b in boxes for p in b.attends]
    positions += [info.canonical(e.position) for e in used if isinstance(e.sender, Input)]
    reached = {bundle.target for bundle in bundles}
    read_at = (info.canonical(p) for p in info.logit_positions())
    logits = tuple(p for p in dict.fromkeys(read_at) if f"logits@{p}" in reached)
    columns = tuple(
        Column(position=p, words=words_at(p, info))
        for p in reading_order((*positions, *logits), info)
    )
    revision = f" revision {hypothesis.revision}" if hypothesis.revision else ""
    return Scene(
        name=hypothesis.name,
        doc=hypothesis.doc,
        model=f"{hypothesis.model}{revision}",
        columns=columns,
        boxes=boxes,
        logits=logits,
        bundles=tuple(sorted(bundles, key=lambda b: (b.source, b.target))),
        kept=tuple(_kept_text(k) for k in hypothesis.kept),
        templates=tuple((t.name, _template_text(t.texts, t.labels)) for t in info.templates),
    )


def _boxes(hypothesis: Hypothesis, info: TaskInfo) -> tuple[Box, ...]:
    """Roles at their places, open nodes, and the kept nodes that edges name."""
    found: dict[str, Box] = {}
    for role in hypothesis.roles.values():
        for place in role.places:
            box = Box(
                id=f"{role.name}@{place.query}",
                kind="role",
                name=role.name,
                position=place.query,
                nodes=tuple(sorted(role.nodes, key=node_key)),
                notes=tuple(expression_text(feature) for feature in role.carries),
                attends=place.keys,
                column=info.canonical(place.query),
            )
            found.setdefault(box.id, box)
    opened: dict[tuple[Position, str], list[Head | Mlp]] = {}
    for element, reason in hypothesis.open_nodes:
        if not isinstance(element.node, Input):
            opened.setdefault((element.position, reason), []).append(element.node)
    for number, ((position, reason), nodes) in enumerate(opened.items()):
        id_ = f"open{number}@{position}"
        ordered = tuple(sorted(set(nodes), key=node_key))
        found[id_] = Box(
            id=id_,
            kind="open",
            name="open",
            position=position,
            nodes=ordered,
            notes=(reason,),
            column=info.canonical(position),
        )
    placed = {node for role in hypothesis.roles.values() for node in role.nodes}
    for node in _named_by_edges(hypothesis) - placed:
        for position in _kept_at(node, hypothesis.kept):
            id_ = f"{node}@{position}"
            found[id_] = Box(
                id=id_,
                kind="kept",
                name="kept",
                position=position,
                nodes=(node,),
                column=info.canonical(position),
            )
    return tuple(sorted(found.values(), key=lambda b: (b.kind != "role", b.id)))


def _named_by_edges(hypothesis: Hypothesis) -> set[Head | Mlp]:
    ends = [n for s in hypothesis.edges for e in s.edges for n in (e.sender, e.receiver)]
    return {node for node in ends if isinstance(node, Head | Mlp)}


def _kept_at(node: Head | Mlp, kept: tuple[Kept, ...]) -> Iterable[Position]:
    for one in kept:
        named = one.nodes
        everything = "heads" if isinstance(node, Head) else "mlps"
        if named == everything or (not isinstance(named, str) and node in named):
            yield from one.positions


def _kept_text(kept: Kept) -> str:
    nodes = kept.nodes if isinstance(kept.nodes, str) else ", ".join(map(str, kept.nodes))
    return f"{nodes} @ {', '.join(map(str, kept.positions))}"


def _template_text(texts: tuple[str, ...], labels: tuple[str, ...]) -> str:
    gaps = [f"{{{label}}}" for label in labels] + [""]
    return "".join(text + gap for text, gap in zip(texts, gaps, strict=True))


def _bundles(edges: Iterable[Edge], boxes: tuple[Box, ...], info: TaskInfo) -> list[Bundle]:
    """Edges by the boxes they join: one arrow for each pair, whatever the lines they come from."""
    of_node: dict[Head | Mlp, list[Box]] = {}
    for box in boxes:
        if box.kind != "open":
            for node in box.nodes:
                of_node.setdefault(node, []).append(box)
    joined: dict[tuple[str, str], set[Edge]] = {}
    for edge in edges:
        for source in _sources(edge, of_node, info):
            for target in _targets(edge, of_node, info):
                joined.setdefault((source, target), set()).add(edge)
    return [
        Bundle(
            source=source,
            target=target,
            channels=tuple(sorted({e.channel for e in found}, key=channel_key)),
            edges=tuple(sorted(found, key=edge_key)),
        )
        for (source, target), found in joined.items()
    ]


def _sources(edge: Edge, of_node: dict[Head | Mlp, list[Box]], info: TaskInfo) -> list[str]:
    if isinstance(edge.sender, Input):
        return [f"input@{info.canonical(edge.position)}"]
    boxes = of_node.get(edge.sender, [])
    return [b.id for b in boxes if meet((b.position,), (edge.position,), info)]


def _targets(edge: Edge, of_node: dict[Head | Mlp, list[Box]], info: TaskInfo) -> list[str]:
    if isinstance(edge.receiver, Logits):
        return [
            f"logits@{info.canonical(p)}"
            for p in info.logit_positions()
            if meet((edge.position,), (p,), info)
        ]
    found = []
    for box in of_node.get(edge.receiver, []):
        place = Place(query=box.position, keys=box.attends)
        if meet((edge.position,), reads(place, edge.channel), info):
            found.append(box.id)
    return found


def _attended(boxes: tuple[Box, ...], bundles: list[Bundle], info: TaskInfo) -> list[Bundle]:
    """Where heads attend and no edge tells what they read there: shown, or it would be lost."""
    fed: set[tuple[str, Position]] = set()
    for bundle in bundles:
        positions = {e.position for e in bundle.edges if e.channel in ("k", "v")}
        fed |= {(bundle.target, info.canonical(p)) for p in positions}
    return [
        Bundle(source=f"input@{key}", target=box.id, channels=(), edges=())
        for box in boxes
        for key in dict.fromkeys(info.canonical(p) for p in box.attends)
        if (box.id, key) not in fed and key != ALL_POSITIONS
    ]
