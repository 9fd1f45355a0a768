"""From a run to its instances on a layout, and to what it writes there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.edges import readers_of, senders_of
from circuitspec.engine.plan.by_edges import Reads, edge_reads, lower_edges
from circuitspec.engine.plan.by_nodes import (
    Coded,
    Listed,
    listed,
    lower_nodes,
    n_nodes,
    node_codes,
    node_index,
    written,
)
from circuitspec.engine.plan.by_paths import Held, lower_paths, receivers
from circuitspec.engine.plan.graph import Graph
from circuitspec.engine.plan.layout import Layout
from circuitspec.engine.runs import Replace, Run, Touched
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Position

Counted = Callable[[Chunk], Touched]
"""What a run writes on a chunk, and what of it differs from the base run."""


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """A run on a layout: final residuals by segment; what it writes; what it holds (path patching:
    how far the residual that each receiver channel reads has moved)."""

    finals: dict[int, int]
    counted: Counted
    held: Held


def lower(
    run: Run, layout: Layout, graph: Graph, segments: tuple[int, ...], coded: Coded
) -> Lowered:
    """The instances of a run whose final residuals are read at `segments`."""
    shape = graph.shape
    if run.edges is not None:
        code = coded(run.edges.source, run.given)
        reads = edge_reads(run.edges.edges, layout, shape)
        finals = lower_edges(graph, reads, code, all_but=run.edges.all_but, segments=segments)
        return Lowered(finals, _count_edges(reads, code, shape, run.edges.all_but), {})
    if run.path is not None:
        code = coded(run.path.source, run.given)
        senders = listed(run.path.senders, layout, shape)
        asked = receivers(run.path, layout, shape)
        every, held = lower_paths(graph, senders, code, run.path.through == "mlps", asked)
        return Lowered({s: every[s] for s in segments}, _count_senders(senders), held)
    codes = node_codes(run.given, run.writes, layout, shape, coded)
    every = lower_nodes(graph, codes)
    masks = [(written(w, layout, shape), coded(w.source, run.given)) for w in run.writes]
    return Lowered({s: every[s] for s in segments}, _count_writes(masks), {})


def _count_writes(masks: list[tuple[Listed, int]]) -> Counted:
    def count(chunk: Chunk) -> Touched:
        tokens = chunk.layout.length.sum(1)
        total = Touched()
        for mask, code in masks:
            found = chunk.differences(code)
            changed = int(found.changed[mask].sum())
            total += Touched(
                written=int((mask.sum(1) * tokens).sum()),
                changed=changed,
                largest=float(found.largest[mask].max()) if changed else 0.0,
            )
        return total

    return count


def _count_senders(senders: Listed) -> Counted:
    """Senders are written in the first pass; what of it shows is counted at the receivers."""

    def count(chunk: Chunk) -> Touched:
        return Touched(written=int((senders.sum(1) * chunk.layout.length.sum(1)).sum()))

    return count


def _count_edges(reads: Reads, code: int, shape: ModelShape, all_but: bool) -> Counted:
    """Reads along edges that are treated against the rule; and what is cut and differs.

    Without `all_but` what is cut is all but `reads`: every read of every sender is counted, and
    those along live edges are taken away.
    """
    segments = max((s for _, _, s in reads), default=-1) + 1
    named = np.zeros((segments, n_nodes(shape)), dtype=np.int64)
    for (_, _, segment), senders in reads.items():
        for node in range(senders.bit_length()):
            named[segment, node] += senders >> node & 1
    counts = np.zeros(n_nodes(shape), dtype=np.int64)
    for sender in senders_of(shape):
        counts[node_index(sender, shape)] = readers_of(sender, shape)

    def count(chunk: Chunk) -> Touched:
        tokens = chunk.layout.length.sum(1)[:segments]
        found = chunk.differences(code)
        along = int((found.changed[:segments] * named).sum())
        if all_but:
            changed = along
            sizes = found.largest[:segments][named > 0]
        else:
            changed = int((found.changed.sum(0) * counts).sum()) - along
            sizes = found.largest.reshape(-1)
        return Touched(
            written=int((named.sum(1) * tokens).sum()),
            changed=changed,
            largest=float(sizes.max(initial=0.0)) if changed else 0.0,
        )

    return count


def distinct_reads(run: Run, layout: Layout, shape: ModelShape) -> int:
    """How many different residual streams a run by edges has, at most, at a segment and depth.

    Two receivers have one stream up to the depth where what they read begins to differ.
    """
    assert run.edges is not None
    reads = edge_reads(run.edges.edges, layout, shape)
    width, most = shape.n_heads + 1, 0
    by_segment: dict[int, set[tuple[int, int]]] = {}
    for (receiver, _, segment), senders in reads.items():
        by_segment.setdefault(segment, set()).add(((receiver - 1) // width, senders))
    for found in by_segment.values():
        for layer in range(1, shape.n_layers + 1):
            below = (1 << (1 + layer * width)) - 1
            streams = {senders & below for depth, senders in found if depth >= layer}
            most = max(most, len(streams))
    return most


def positions_of(run: Run) -> set[Position]:
    """Every position at which a run treats tokens otherwise than elsewhere."""
    found: set[Position] = set()
    for write in (*run.given, *run.writes):
        elements = write.elements if isinstance(write, Replace) else write.live
        found.update(element.position for element in elements)
    if run.edges is not None:
        found.update(edge.position for edge in run.edges.edges)
    if run.path is not None:
        found.update(element.position for element in run.path.senders)
        found.update(position for _, _, position in run.path.receivers)
    return found
