"""The circuit as a networkx graph of (node, position), for drawing, exporting and walking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from circuitspec.hypothesis.ordering import channel_key, edge_key, node_key, position_key
from circuitspec.hypothesis.places import meet
from circuitspec.hypothesis.product import reads
from circuitspec.hypothesis.records import Circuit, Edge, Hypothesis, Place
from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    INPUT,
    LOGITS,
    Channel,
    Head,
    Input,
    Logits,
    Mlp,
    Position,
)

if TYPE_CHECKING:
    import networkx as nx

Vertex = tuple[Input | Head | Mlp | Logits, Position]
"""A node at the position where its output is written (for the logits: where they are read)."""


def graph_of(hypothesis: Hypothesis, circuit: Circuit | None = None) -> nx.DiGraph[Any]:
    """The declared graph, or with a circuit its whole one, keeps included.

    Vertices are `Vertex` pairs with `role` (a name, or None for the input, the logits and kept
    nodes) and `kept`. Edges have `channels`, in the order q, k, v, in, and `reads`, the positions
    at which the receiver reads: for keys and values not the position of the receiver's vertex.
    """
    import networkx as nx  # 0.1 s to import, and `check` has no use for it

    info = task_info(hypothesis.task)
    places: dict[Input | Head | Mlp | Logits, list[Place]] = {
        INPUT: [Place(query=ALL_POSITIONS)],
        LOGITS: [Place(query=p) for p in info.logit_positions()],
    }
    graph: nx.DiGraph[Any] = nx.DiGraph(hypothesis=hypothesis.name)
    for _, role in sorted(hypothesis.roles.items()):
        for node in role.nodes:
            places.setdefault(node, []).extend(role.places)
            for place in role.places:
                graph.add_node((node, place.query), role=role.name, kept=False)
    for element in sorted(
        circuit.kept if circuit else (),
        key=lambda e: (node_key(e.node), position_key(e.position)),
    ):
        places.setdefault(element.node, []).append(Place(query=element.position))
        graph.add_node((element.node, element.position), role=None, kept=True)
    declared: Iterable[Edge] = (e for part in hypothesis.edges for e in part.edges)
    for edge in sorted(circuit.edges if circuit else set(declared), key=edge_key):
        for source in _sending(edge, places, info):
            for target in _reading(edge, places, info):
                for vertex in (source, target):
                    if vertex not in graph:
                        graph.add_node(vertex, role=None, kept=False)
                _join(graph, source, target, edge)
    return graph


def _join(graph: nx.DiGraph[Any], source: Vertex, target: Vertex, edge: Edge) -> None:
    channels: set[Channel] = {edge.channel}
    positions = {edge.position}
    if graph.has_edge(source, target):
        channels |= set(graph.edges[source, target]["channels"])
        positions |= set(graph.edges[source, target]["reads"])
    graph.add_edge(
        source,
        target,
        channels=tuple(sorted(channels, key=channel_key)),
        reads=tuple(sorted(positions, key=position_key)),
    )


def _sending(
    edge: Edge, places: dict[Input | Head | Mlp | Logits, list[Place]], info: TaskInfo
) -> list[Vertex]:
    """Where the sender of an edge lives: the input stands at the position that is read."""
    if isinstance(edge.sender, Input):
        return [(edge.sender, edge.position)]
    lives = [p.query for p in places.get(edge.sender, ())]
    return [(edge.sender, q) for q in dict.fromkeys(lives) if meet((q,), (edge.position,), info)]


def _reading(
    edge: Edge, places: dict[Input | Head | Mlp | Logits, list[Place]], info: TaskInfo
) -> list[Vertex]:
    """The places of the receiver that read its channel at the edge's position."""
    found = [
        place.query
        for place in places.get(edge.receiver, ())
        if meet((edge.position,), reads(place, edge.channel), info)
    ]
    return [(edge.receiver, q) for q in dict.fromkeys(found)]
