"""What a run writes and holds on a chunk: how many activations, and how many of them differ."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.apart import apart
from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.values import Values
from circuitspec.engine.edge_masks import senders_of
from circuitspec.engine.edges import readers_of
from circuitspec.engine.plan.by_edges import edge_reads
from circuitspec.engine.plan.by_nodes import Coded, listed, n_nodes, node_index, written
from circuitspec.engine.plan.by_paths import Held
from circuitspec.engine.plan.graph import NOTHING, Graph
from circuitspec.engine.runs import LiveEdges, Run, Touched
from circuitspec.language.nodes import Channel


def count_written(run: Run, chunk: Chunk, coded: Coded) -> Touched:
    """What a run writes, and what of it differs from the base run.

    Of path patching the senders are written in the first pass; what of it shows is counted at the
    receivers (`count_held`).
    """
    layout, shape = chunk.layout, chunk.weights.shape
    if run.edges is not None:
        return _count_edges(chunk, run.edges, coded(run.edges.source, run.given))
    tokens = layout.length.sum(1)
    if run.path is not None:
        senders = listed(run.path.senders, layout, shape)
        return Touched(written=int((senders.sum(1) * tokens).sum()))
    total = Touched()
    for write in run.writes:
        mask = written(write, layout, shape)
        found = chunk.differences(coded(write.source, run.given))
        changed = int(found.changed[mask].sum())
        total += Touched(
            written=int((mask.sum(1) * tokens).sum()),
            changed=changed,
            largest=float(found.largest[mask].max()) if changed else 0.0,
        )
    return total


def _count_edges(chunk: Chunk, live: LiveEdges, code: int) -> Touched:
    """Reads along edges that are treated against the rule; and what is cut and differs.

    Without `all_but` what is cut is all but `edges`: every read of every sender is counted, and
    those along live edges are taken away.
    """
    layout, shape = chunk.layout, chunk.weights.shape
    named = np.zeros((len(layout.segments), n_nodes(shape)), dtype=np.int64)
    for (_, _, segment), senders in edge_reads(live.edges, layout, shape).items():
        for node in range(senders.bit_length()):
            named[segment, node] += senders >> node & 1
    found = chunk.differences(code)
    changed = int((found.changed * named).sum())
    sizes = found.largest[named > 0]
    if not live.all_but:
        readers = np.zeros(n_nodes(shape), dtype=np.int64)
        for sender in senders_of(shape):
            readers[node_index(sender, shape)] = readers_of(sender, shape)
        changed = int((found.changed.sum(0) * readers).sum()) - changed
        sizes = found.largest.reshape(-1)
    return Touched(
        written=int((named.sum(1) * layout.length.sum(1)).sum()),
        changed=changed,
        largest=float(sizes.max(initial=0.0)) if changed else 0.0,
    )


def count_held(chunk: Chunk, graph: Graph, values: Values, held: Held) -> Touched:
    """The held inputs of receivers: written, and differing from the base run's.

    Of heads q, k and v are compared, after projection; of MLPs and the logits the residual.
    """
    total = Touched()
    for (node, channel, segment), moved in held.items():
        place = chunk.place([segment])
        if moved == NOTHING:
            total += Touched(written=place.count)
            continue
        layer, column = divmod(node - 1, graph.width)
        mlp = column == graph.shape.n_heads and layer < graph.shape.n_layers
        depth = 2 * layer + (mlp and not graph.shape.parallel)
        base = chunk.base(depth)[0]
        index = place.rows_in(chunk.everywhere)
        base = base if index is None else base[index]
        new = base + values.rows([moved], place)[0]
        if channel in ("q", "k", "v"):
            new, base = (_projected(chunk, layer, channel, column, x) for x in (new, base))
        sizes = apart(new, base, "read")
        changed = int((sizes != 0).sum())
        total += Touched(
            written=place.count,
            changed=changed,
            largest=float(sizes.max()) if changed else 0.0,
        )
    return total


def _projected(chunk: Chunk, layer: int, channel: Channel, head: int, x: Tensor) -> Tensor:
    block = chunk.weights.blocks[layer]
    heads = torch.tensor([head], device=x.device)
    return kernels.project(block, channel, block.ln1(x)[None], heads)[0, :, 0]
