"""Runs that replace outputs of nodes, as instances: knock-outs, ablated complements, patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from circuitspec.engine.plan.graph import LIVE, Codes, Graph
from circuitspec.engine.plan.layout import Layout
from circuitspec.engine.runs import Replace, Source, Write
from circuitspec.hypothesis.records import Element
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Head, Input, Mlp

Coded = Callable[[Source, tuple[Write, ...]], int]
"""The code of an ablation value whose own runs are under some knock-outs."""

Listed = NDArray[np.bool_]


def node_index(node: Input | Head | Mlp, shape: ModelShape) -> int:
    """Where a node stands in codes: the input, then layer by layer the heads and the MLP."""
    match node:
        case Head(layer=layer, index=index):
            return 1 + layer * (shape.n_heads + 1) + index
        case Mlp(layer=layer):
            return 1 + layer * (shape.n_heads + 1) + shape.n_heads
        case Input():
            return 0


def n_nodes(shape: ModelShape) -> int:
    """How many entries codes have; an attention-only model has an unused one a layer."""
    return 1 + shape.n_layers * (shape.n_heads + 1)


def listed(elements: Iterable[Element], layout: Layout, shape: ModelShape) -> Listed:
    """Which nodes are named at which segments: bool [S, nodes]."""
    found = np.zeros((len(layout.segments), n_nodes(shape)), dtype=np.bool_)
    for element in elements:
        column = node_index(element.node, shape)
        for segment in layout.where(element.position):
            found[segment, column] = True
    return found


def written(write: Write, layout: Layout, shape: ModelShape) -> Listed:
    """What a write replaces: bool [S, nodes]."""
    if isinstance(write, Replace):
        return listed(write.elements, layout, shape)
    replaced = ~listed(write.live, layout, shape)
    replaced[:, 0] = False
    if not shape.has_mlps:
        replaced[:, shape.n_heads + 1 :: shape.n_heads + 1] = False
    return replaced


def node_codes(
    given: tuple[Write, ...],
    writes: Sequence[Write],
    layout: Layout,
    shape: ModelShape,
    coded: Coded,
) -> Codes:
    """What every node is replaced by at every segment, the later writes over the earlier: codes
    [S, nodes]."""
    codes = np.full((len(layout.segments), n_nodes(shape)), LIVE, dtype=np.int16)
    for write in given:
        codes[written(write, layout, shape)] = coded(write.source, ())
    for write in writes:
        codes[written(write, layout, shape)] = coded(write.source, given)
    return codes


def lower_nodes(graph: Graph, codes: Codes) -> tuple[int, ...]:
    """The final residual stream of every segment in a run with `codes` [S, nodes]."""
    shape, segments = graph.shape, range(graph.segments)
    width = graph.width
    buffers = [row.tobytes() for row in codes]
    read = [graph.start(s, int(codes[s, 0])) for s in segments]
    for layer in range(shape.n_layers):
        first = 2 * (1 + layer * width)
        last = first + 2 * shape.n_heads
        every = tuple(read)
        mids = [
            graph.after_heads(
                layer, s, read, every[: s + 1] if shape.causal else every, buffers[s][first:last]
            )
            for s in segments
        ]
        column = (layer + 1) * width
        read = [
            graph.after_mlp(
                layer, s, mids[s], read[s] if shape.parallel else mids[s], int(codes[s, column])
            )
            for s in segments
        ]
    return tuple(read)
