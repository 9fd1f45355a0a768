"""The circuit C that a hypothesis states, on a model of known shape.

By nodes C is what the roles and keeps place; by edges it is the declared edges and those that
keeps add: every edge between a kept node and the input, the logits, or another member of C.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from circuitspec.hypothesis.places import meet
from circuitspec.hypothesis.product import fits, reads
from circuitspec.hypothesis.records import Circuit, CutSet, Edge, Element, Hypothesis, Place
from circuitspec.hypothesis.sets import leaving
from circuitspec.hypothesis.shape import ModelShape, exists
from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    INPUT,
    LOGITS,
    QKV,
    Channel,
    Head,
    HeadIndex,
    Input,
    Layer,
    Logits,
    Mlp,
    Position,
    is_upstream,
)

Placed = dict[Input | Head | Mlp | Logits, tuple[Place, ...]]
"""Where nodes live and read. The logits are read where the task's metrics read them."""

_CHANNELS: tuple[Channel, ...] = (*QKV, "in", "")


def circuit_of(hypothesis: Hypothesis, shape: ModelShape) -> Circuit:
    """The circuit, keeps and their edges included; what the model does not have is left out."""
    info = task_info(hypothesis.task)
    kept = frozenset(_kept(hypothesis, shape))
    kept_everywhere = {e.node for e in kept if e.position == ALL_POSITIONS}
    members = frozenset(
        e
        for role in hypothesis.roles.values()
        for e in role.elements
        if exists(e.node, shape) and e not in kept and e.node not in kept_everywhere
    )
    declared = frozenset(
        e
        for part in hypothesis.edges
        for e in part.edges
        if exists(e.sender, shape)
        and exists(e.receiver, shape)
        and is_upstream(e.sender, e.receiver, parallel=shape.parallel)
    )
    added = frozenset(_kept_edges(hypothesis, kept, members, info, shape)) - declared
    return Circuit(members=members, kept=kept, edges=declared | added, kept_edges=added)


def edges_of(cut: CutSet, circuit: Circuit, info: TaskInfo) -> frozenset[Edge]:
    """What a named set K cuts by edges: every edge of C that leaves its elements.

    Those that lead to kept nodes are among them: a role is not out of the circuit while MLPs
    still read it. Sets that were made of edges (`each edge`) are those edges.
    """
    if not cut.elements:
        return cut.edges
    return leaving(cut.elements, circuit.edges, info) | cut.edges


def edges_without(circuit: Circuit, cut: frozenset[Edge]) -> frozenset[Edge]:
    """C\\K by edges: what is left of C's edges where exactly those of K are cut.

    A declared edge may be one of those that keeps add, at some of its positions (`m0 @ S2` is a
    role, and `keep mlps @ *`). It counts as declared: what keeps add has to leave its tokens out.
    """
    declared: dict[tuple[Input | Head | Mlp, Head | Mlp | Logits, Channel], list[Position]] = {}
    for edge in sorted(cut - circuit.kept_edges, key=str):
        declared.setdefault((edge.sender, edge.receiver, edge.channel), []).append(edge.position)
    found = set()
    for edge in circuit.edges - cut:
        but = declared.get((edge.sender, edge.receiver, edge.channel))
        whole = replace(edge.position, but=())
        if but and replace(edge, position=whole) in circuit.kept_edges:
            edge = replace(edge, position=replace(whole, but=(*edge.position.but, *but)))
        found.add(edge)
    return frozenset(found)


def kept_nodes(
    nodes: tuple[Head | Mlp | Input, ...] | str, shape: ModelShape
) -> tuple[Head | Mlp | Input, ...]:
    """The nodes of a `keep` line on a model: `mlps` and `heads` written out."""
    layers = [Layer(i) for i in range(shape.n_layers)]
    if nodes == "mlps":
        return tuple(Mlp(layer) for layer in layers) if shape.has_mlps else ()
    if nodes == "heads":
        return tuple(Head(layer, HeadIndex(h)) for layer in layers for h in range(shape.n_heads))
    return tuple(n for n in nodes if not isinstance(n, str) and exists(n, shape))


def _kept(hypothesis: Hypothesis, shape: ModelShape) -> Iterator[Element]:
    for kept in hypothesis.kept:
        for node in kept_nodes(kept.nodes, shape):
            for position in kept.positions:
                yield Element(node, position)


def _kept_edges(
    hypothesis: Hypothesis,
    kept: frozenset[Element],
    members: frozenset[Element],
    info: TaskInfo,
    shape: ModelShape,
) -> Iterator[Edge]:
    """Every edge with a kept node at one end and the input, the logits or a member at the other.

    `input` is in every circuit by nodes, so a kept `input` adds no edges of its own.
    """
    closed: Placed = {}
    for element in kept:
        if not isinstance(element.node, Input):
            place = Place(query=element.position)
            closed[element.node] = (*closed.get(element.node, ()), place)
    others: Placed = {INPUT: (Place(query=ALL_POSITIONS),)}
    others[LOGITS] = tuple(Place(query=p) for p in info.logit_positions())
    inside = {e.node for e in members}
    for role in hypothesis.roles.values():
        for node in role.nodes:
            if node in inside:
                others[node] = (*others.get(node, ()), *role.places)
    yield from _between(closed, closed, info, shape)
    yield from _between(closed, others, info, shape)
    yield from _between(others, closed, info, shape)


def _between(
    senders: Placed, receivers: Placed, info: TaskInfo, shape: ModelShape
) -> Iterator[Edge]:
    for sender, sends in senders.items():
        lives = [p.query for p in sends]
        for receiver, places in receivers.items():
            if isinstance(sender, Logits) or isinstance(receiver, Input):
                continue
            if not is_upstream(sender, receiver, parallel=shape.parallel):
                continue
            for channel in _CHANNELS:
                if fits(receiver, channel):
                    for position in _met(lives, places, channel, info):
                        yield Edge(sender, receiver, channel, position)


def _met(
    lives: list[Position], places: Iterable[Place], channel: Channel, info: TaskInfo
) -> set[Position]:
    return {p for place in places for p in meet(lives, reads(place, channel), info)}
