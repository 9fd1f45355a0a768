"""Total orders over the graph's parts, so that no output depends on the order of declarations."""

from __future__ import annotations

from circuitspec.hypothesis.records import CutSet, Edge, Element
from circuitspec.language.nodes import Channel, Head, Node, Position, depth

NodeKey = tuple[int, int, int]
PositionKey = tuple[str, int, str]

_CHANNEL_ORDER: dict[Channel, int] = {"q": 0, "k": 1, "v": 2, "in": 3, "": 4}


def node_key(node: Node) -> NodeKey:
    """Input first, then layer by layer (heads before the MLP), the logits last."""
    layer, block = depth(node)
    return (layer, block, node.index if isinstance(node, Head) else 0)


def position_key(position: Position) -> PositionKey:
    """By label, then offset, then index; says nothing of where a label stands in a prompt."""
    index = "" if position.index is None else f"[{position.index}]"
    return (position.label, position.offset, index)


def channel_key(channel: Channel) -> int:
    """q, k, v, in, then the logits."""
    return _CHANNEL_ORDER[channel]


def element_key(element: Element) -> tuple[NodeKey, PositionKey]:
    """Sort key of an element: node, then position."""
    return (node_key(element.node), position_key(element.position))


def cut_key(cut: CutSet) -> tuple[list[tuple[NodeKey, PositionKey]], str]:
    """Sort key of a set: from the input up by its elements, so that roles come in layer order."""
    return (sorted(map(element_key, cut.elements)), cut.name)


def edge_key(edge: Edge) -> tuple[NodeKey, NodeKey, int, PositionKey]:
    """Sort key of an edge: sender, receiver, channel, position."""
    return (
        node_key(edge.sender),
        node_key(edge.receiver),
        channel_key(edge.channel),
        position_key(edge.position),
    )
