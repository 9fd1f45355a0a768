"""Path patching, as instances: how far a first pass moves what receivers read, then a second with
that held."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from circuitspec.engine.plan.by_edges import Reads, logits_index, receiver_index
from circuitspec.engine.plan.by_nodes import Listed
from circuitspec.engine.plan.graph import (
    AS_BASE,
    LIVE,
    NOTHING,
    Displaced,
    Graph,
    Moved,
)
from circuitspec.engine.plan.layout import Layout
from circuitspec.engine.runs import Path
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Channel

Held = dict[tuple[int, Channel, int], int]
"""How far what each receiver channel reads has moved, by receiver, channel and segment."""


def receivers(path: Path, layout: Layout, shape: ModelShape) -> list[tuple[int, Channel, int]]:
    """The receiver channels that are held, by receiver, channel and segment."""
    found: Reads = {}
    for node, channel, position in path.receivers:
        index = receiver_index(node, shape)
        for segment in layout.where(position):
            found[index, channel, segment] = 1
    return sorted(found)


def lower_paths(
    graph: Graph,
    senders: Listed,
    code: int,
    through_mlps: bool,
    asked: Iterable[tuple[int, Channel, int]],
) -> tuple[tuple[int, ...], Held]:
    """The final residual stream of every segment, and what was held.

    `senders` [S, nodes] take their values from `code`.
    """
    wanted = list(asked)
    held: Held = {}
    for segment in range(graph.segments):
        here = [(node, channel) for node, channel, s in wanted if s == segment]
        if here:
            moves = _moves(graph, senders[segment], code, through_mlps, segment)
            for node, channel in here:
                held[node, channel, segment] = moves[_depth(graph.shape, node)]
    return _second_pass(graph, held), held


def _depth(shape: ModelShape, node: int) -> int:
    """The depth of the residual stream that a receiver reads."""
    if node == logits_index(shape):
        return 2 * shape.n_layers
    layer, column = divmod(node - 1, shape.n_heads + 1)
    if column == shape.n_heads and not shape.parallel:
        return 2 * layer + 1
    return 2 * layer


def _moves(
    graph: Graph,
    senders: np.ndarray[tuple[int], np.dtype[np.bool_]],
    code: int,
    through_mlps: bool,
    segment: int,
) -> list[int]:
    """How far the stream has moved at every depth, at one segment. Nothing attends: heads are
    frozen, so that what happens elsewhere does not matter."""
    shape, moved = graph.shape, NOTHING
    if senders[0]:
        only = np.array([code], dtype=np.int16).tobytes()
        moved = graph.add(Moved(segment, -1, NOTHING, only, "input"))
    found = []
    for layer in range(shape.n_layers):
        found.append(moved)
        before = moved
        first = 1 + layer * graph.width
        heads = senders[first : first + shape.n_heads]
        if heads.any():
            codes = np.where(heads, np.int16(code), np.int16(AS_BASE)).tobytes()
            moved = graph.add(Moved(segment, layer, moved, codes, "heads"))
        found.append(moved)
        if not shape.has_mlps:
            continue
        read = before if shape.parallel else moved
        own = code if senders[first + shape.n_heads] else LIVE
        frozen = graph.mlp_code(graph.base_codes[segment], layer) != LIVE
        if own == LIVE and (not through_mlps or frozen or read == NOTHING):
            continue
        only = np.array([own], dtype=np.int16).tobytes()
        x = read if own == LIVE else NOTHING
        moved = graph.add(Moved(segment, layer, moved, only, "mlp", x))
    found.append(moved)
    return found


def _second_pass(graph: Graph, held: Held) -> tuple[int, ...]:
    shape, segments = graph.shape, range(graph.segments)

    def displaced(depth: int, segment: int, node: int, channel: Channel, otherwise: int) -> int:
        key = (node, channel, segment)
        if key not in held:
            return otherwise
        if held[key] == NOTHING:
            return graph.base[depth]
        return graph.add(Displaced(segment, depth, held[key]))

    read = [graph.start(s, int(graph.base_codes[s, 0])) for s in segments]
    for layer in range(shape.n_layers):
        depth, first = 2 * layer, 1 + layer * graph.width
        mids = []
        for s in segments:
            codes = graph.head_codes(graph.base_codes[s], layer)
            seen = range(graph.visible(s))
            reads = []
            for head in np.flatnonzero(codes == LIVE):
                node = first + int(head)
                reads.append(
                    (
                        displaced(depth, s, node, "q", read[s]),
                        tuple(displaced(depth, v, node, "k", read[v]) for v in seen),
                        tuple(displaced(depth, v, node, "v", read[v]) for v in seen),
                    )
                )
            mids.append(graph.attended(layer, s, read[s], codes.tobytes(), reads))
        past = []
        for s in segments:
            x, at = (read[s], depth) if shape.parallel else (mids[s], depth + 1)
            if shape.has_mlps:
                x = displaced(at, s, first + shape.n_heads, "in", x)
            code = graph.mlp_code(graph.base_codes[s], layer) if shape.has_mlps else LIVE
            past.append(graph.after_mlp(layer, s, mids[s], x, code))
        read = past
    logits = logits_index(shape)
    return tuple(displaced(2 * shape.n_layers, s, logits, "", read[s]) for s in segments)
