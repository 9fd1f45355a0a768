"""Runs by edges, as instances: every channel reads its own residual, equal ones are one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from circuitspec.engine.plan.by_nodes import node_index
from circuitspec.engine.plan.graph import LIVE, Graph
from circuitspec.engine.plan.layout import Layout
from circuitspec.hypothesis.records import Edge
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Channel, Head, Logits, Mlp, Position

Senders = int
"""A set of senders as bits, by `node_index`."""

Reads = dict[tuple[int, Channel, int], Senders]
"""Which senders the edges name, by receiver (`node_index`, the logits after all), channel and
segment."""


def logits_index(shape: ModelShape) -> int:
    """Where the logits stand among receivers."""
    return 1 + shape.n_layers * (shape.n_heads + 1)


def receiver_index(receiver: Head | Mlp | Logits, shape: ModelShape) -> int:
    """Where a receiver stands: its `node_index`, the logits after all nodes."""
    return logits_index(shape) if isinstance(receiver, Logits) else node_index(receiver, shape)


Named = tuple[tuple[int, Channel, Position, Senders], ...]


@lru_cache(maxsize=256)
def named_by(edges: frozenset[Edge], shape: ModelShape) -> Named:
    """Edges by what reads them, wherever that is: receiver, channel, position, senders.

    Remembered: a run's edges are asked about several times, and there may be tens of thousands.
    """
    found: dict[tuple[int, Channel, Position], Senders] = {}
    for edge in edges:
        key = (receiver_index(edge.receiver, shape), edge.channel, edge.position)
        found[key] = found.get(key, 0) | 1 << node_index(edge.sender, shape)
    return tuple((*key, senders) for key, senders in found.items())


def edge_reads(edges: frozenset[Edge], layout: Layout, shape: ModelShape) -> Reads:
    """What every channel reads along `edges`, segment by segment."""
    found: Reads = {}
    where = cache(layout.where)
    for receiver, channel, position, senders in named_by(edges, shape):
        for segment in where(position):
            key = (receiver, channel, segment)
            found[key] = found.get(key, 0) | senders
    return found


@dataclass(slots=True)
class _Stream:
    """The residual streams of one run by edges: one a segment, depth and set of live senders."""

    graph: Graph
    reads: Reads
    code: int
    all_but: bool
    known: dict[tuple[int, int, Senders], int]
    values: dict[tuple[int, int], tuple[int, tuple[int, ...], tuple[int, ...]]]

    def live(self, receiver: int, channel: Channel, segment: int) -> Senders:
        """The senders that a channel reads live."""
        named = self.reads.get((receiver, channel, segment), 0)
        return ~named if self.all_but else named

    def at(self, depth: int, segment: int, live: Senders) -> int:
        """The residual at a depth, with the senders `live` below it live and all others cut."""
        graph, width = self.graph, self.graph.width
        layer, after_heads = divmod(depth, 2)
        below = 1 + layer * width + (graph.shape.n_heads if after_heads else 0)
        key = (depth, segment, live & ((1 << below) - 1))
        if key in self.known:
            return self.known[key]
        live = key[2]
        if depth == 0:
            code = int(graph.base_codes[segment, 0]) if live & 1 else self.code
            number = graph.start(segment, code)
        elif after_heads:
            number = self._past_heads(layer, segment, live)
        else:
            number = self._past_mlp(layer - 1, segment, live)
        self.known[key] = number
        return number

    def _past_heads(self, layer: int, segment: int, live: Senders) -> int:
        graph = self.graph
        first = 1 + layer * graph.width
        base = graph.head_codes(graph.base_codes[segment], layer)
        codes = np.array(
            [
                int(base[h]) if live >> (first + h) & 1 else self.code
                for h in range(graph.shape.n_heads)
            ],
            dtype=np.int16,
        )
        prev = self.at(2 * layer, segment, live)
        alive = [h for h in range(graph.shape.n_heads) if codes[h] == LIVE]
        reads = [self._head(layer, h, segment) for h in alive]
        return graph.attended(layer, segment, prev, codes.tobytes(), reads)

    def _head(
        self, layer: int, head: int, segment: int
    ) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """What a head's q reads here, and its k and v at all that q sees."""
        index = 1 + layer * self.graph.width + head
        key = (index, segment)
        if key not in self.values:
            depth = 2 * layer
            seen = range(self.graph.visible(segment))
            self.values[key] = (
                self.at(depth, segment, self.live(index, "q", segment)),
                tuple(self.at(depth, s, self.live(index, "k", s)) for s in seen),
                tuple(self.at(depth, s, self.live(index, "v", s)) for s in seen),
            )
        return self.values[key]

    def _past_mlp(self, layer: int, segment: int, live: Senders) -> int:
        graph = self.graph
        mid = self.at(2 * layer + 1, segment, live)
        if not graph.shape.has_mlps:
            return graph.after_mlp(layer, segment, mid, mid, LIVE)
        index = (layer + 1) * graph.width
        if not live >> index & 1:
            return graph.after_mlp(layer, segment, mid, mid, self.code)
        code = graph.mlp_code(graph.base_codes[segment], layer)
        depth = 2 * layer if graph.shape.parallel else 2 * layer + 1
        x = self.at(depth, segment, self.live(index, "in", segment)) if code == LIVE else mid
        return graph.after_mlp(layer, segment, mid, x, code)


def lower_edges(
    graph: Graph, reads: Reads, code: int, *, all_but: bool, segments: Iterable[int]
) -> dict[int, int]:
    """What the logits read at some segments, in a run whose cut senders are `code`."""
    stream = _Stream(graph, reads, code, all_but, {}, {})
    logits, depth = logits_index(graph.shape), 2 * graph.shape.n_layers
    return {s: stream.at(depth, s, stream.live(logits, "", s)) for s in segments}
