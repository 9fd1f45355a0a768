"""Drop what is dead: from what is read backwards, which instances are needed, and of them what.

A head is needed where something adds its output; its keys and values at the segments it sees; a
residual that holds for all segments only at those where it is read. What is already known (kept
from an earlier call) is needed and not computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from circuitspec.engine.plan.graph import (
    NOTHING,
    AfterHeads,
    AfterMlp,
    Attend,
    Base,
    Displaced,
    Graph,
    MlpOut,
    Moved,
    Start,
)


@dataclass(slots=True)
class LayerDemand:
    """What of one layer is computed: node numbers, each list ascending.

    `attends` maps each attention instance to the heads that are needed of it.
    """

    attends: dict[int, set[int]] = field(default_factory=dict)
    heads: list[int] = field(default_factory=list)
    mlps: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    moved: list[int] = field(default_factory=list)
    displaced: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Demand:
    """What is computed, and at which segments.

    `where` has the segments at which a residual (or an MLP's output) is needed, as bits.
    """

    layers: list[LayerDemand]
    starts: list[int] = field(default_factory=list)
    where: dict[int, int] = field(default_factory=dict)

    def segments(self, number: int) -> list[int]:
        """The segments where an instance is needed."""
        bits = self.where[number]
        return [s for s in range(bits.bit_length()) if bits >> s & 1]


def demand(
    graph: Graph,
    roots: Iterable[tuple[int, int]],
    known: Mapping[int, int] = MappingProxyType({}),
) -> Demand:
    """What the residuals `roots` (number, segment) depend on.

    `known[number]` has the segments, as bits, at which a residual need not be computed.
    """
    found = Demand([LayerDemand() for _ in range(graph.shape.n_layers)])
    where = found.where
    every_head = set(range(graph.shape.n_heads))
    pending: dict[int, None] = {}

    def need(number: int, segments: int) -> None:
        where[number] = where.get(number, 0) | segments
        pending[number] = None

    for number, segment in roots:
        need(number, 1 << segment)
    order = _descending(graph, pending)
    attended: dict[int, set[int]] = {}
    for number in order:
        node = graph.nodes[number]
        if isinstance(node, Attend):
            heads = attended.get(number)
            if not heads:
                continue
            found.layers[node.layer].attends[number] = heads if graph.passes.drop else every_head
            need(node.q, 1 << node.segment)
            for channel in (node.k, node.v):
                for segment, residual in enumerate(channel):
                    need(residual, 1 << segment)
            continue
        bits = where.get(number, 0)
        if not bits or isinstance(node, Base):
            continue
        if not bits & ~known.get(number, 0):
            continue
        match node:
            case Start():
                found.starts.append(number)
            case AfterHeads():
                found.layers[node.layer].heads.append(number)
                need(node.prev, bits)
                for attend, heads_of in node.live:
                    attended.setdefault(attend, set()).update(heads_of)
            case AfterMlp():
                found.layers[node.layer].after.append(number)
                need(node.prev, bits)
                if node.mlp != NOTHING:
                    need(node.mlp, bits)
            case MlpOut():
                found.layers[node.layer].mlps.append(number)
                need(node.x, bits)
            case Moved():
                found.layers[max(0, node.layer)].moved.append(number)
                for part in (node.prev, node.x):
                    if part != NOTHING:
                        need(part, bits)
            case Displaced():
                found.layers[min(node.depth // 2, len(found.layers) - 1)].displaced.append(number)
                if node.moved != NOTHING:
                    need(node.moved, bits)
    for layer in found.layers:
        for numbers in (layer.heads, layer.mlps, layer.after, layer.moved, layer.displaced):
            numbers.reverse()
        layer.attends = dict(sorted(layer.attends.items()))
    found.starts.reverse()
    return found


def _descending(graph: Graph, roots: Iterable[int]) -> list[int]:
    """Everything reachable, later instances first: each comes before what it is made from."""
    seen = set(roots)
    stack = list(seen)
    while stack:
        for part in _parts(graph, stack.pop()):
            if part not in seen:
                seen.add(part)
                stack.append(part)
    return sorted(seen, reverse=True)


def _parts(graph: Graph, number: int) -> tuple[int, ...]:
    """The instances that an instance is made from."""
    match graph.nodes[number]:
        case AfterHeads(prev=prev, live=live):
            return (prev, *(attend for attend, _ in live))
        case AfterMlp(prev=prev, mlp=mlp):
            return (prev,) if mlp == NOTHING else (prev, mlp)
        case Attend(q=q, k=k, v=v):
            return (q, *k) if k is v else (q, *k, *v)
        case MlpOut(x=x):
            return (x,)
        case Moved(prev=prev, x=x):
            return tuple(part for part in (prev, x) if part != NOTHING)
        case Displaced(moved=moved):
            return () if moved == NOTHING else (moved,)
        case _:
            return ()
