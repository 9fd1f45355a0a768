"""What path patching's second pass holds: how many channel inputs, and how many differ."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.apart import apart
from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.values import Values
from circuitspec.engine.plan.by_paths import Held
from circuitspec.engine.plan.graph import NOTHING, Graph
from circuitspec.engine.runs import Touched
from circuitspec.language.nodes import Channel


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
