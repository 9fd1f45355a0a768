"""Path patching, values held (Wang et al. 2022, appendix B; Goldowsky-Dill et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch
from circuitspec.engine.forward import Edits, Trace, Written
from circuitspec.engine.runs import Hop, Path
from circuitspec.engine.sources import Outputs
from circuitspec.engine.writes import masks_by_node
from circuitspec.language.nodes import (
    INPUT,
    QKV,
    Channel,
    Head,
    HeadIndex,
    Layer,
    Logits,
    Mlp,
    Position,
)
from circuitspec.model.weights import BlockWeights, Weights


def hold_along(
    weights: Weights,
    batch: Batch,
    path: Path,
    onward: Sequence[Hop],
    clean: Trace,
    counterfactual: Outputs,
    given: Edits,
) -> tuple[Edits, int]:
    """What the last receivers of a path are held at, and how often all before them were written.

    A path of one step is `hold_receivers`. Of several, each step starts from what the receivers of
    the step before put out (`respond`).
    """
    edits, written = hold_receivers(weights, batch, path, clean, counterfactual, given)
    for hop in onward:
        sent, held = respond(weights, edits, clean, given)
        step = replace(path, senders=hop.senders, receivers=hop.receivers)
        edits, again = hold_receivers(weights, batch, step, clean, sent, given)
        written += held + again
    return edits, written


def respond(weights: Weights, held: Edits, clean: Trace, given: Edits) -> tuple[Outputs, int]:
    """Every sender's output where its own channels are held and all else is as in `clean`.

    Receivers do not see each other: each is computed from clean values and its own. Also how many
    activations were written.
    """
    zs, mlps = list(clean.z), list(clean.mlps)
    places = [*held.channels.values(), *held.mlp_inputs.values()]
    places += [] if held.final is None else [held.final]
    written = sum(int(place.mask.sum()) for place in places)
    for layer in sorted({layer for layer, _ in held.channels}):
        block = weights.blocks[layer]
        read = _channels(block, clean.pre[layer], {"q", "k", "v"})
        heads = torch.zeros(weights.shape.n_heads, dtype=torch.bool, device=clean.input.device)
        for channel in QKV:
            if (layer, channel) in held.channels:
                mask, value, _ = held.channels[layer, channel]
                read[channel] = torch.where(mask[..., None], value, read[channel])
                heads |= mask.flatten(0, 1).any(0)
        z, _ = kernels.attend(block, read["q"], read["k"], read["v"], causal=weights.shape.causal)
        z = torch.where(heads[:, None], z, clean.z[layer])
        for mask, value, _ in given.heads.get(layer, ()):
            z = torch.where(mask[..., None], value, z)
        zs[layer] = z
    for layer, (mask, value, _) in held.mlp_inputs.items():
        block = weights.blocks[layer]
        assert block.mlp is not None
        assert block.ln2 is not None
        out = kernels.mlp_output(
            block.mlp, block.ln2(torch.where(mask[..., None], value, clean.mid[layer]))
        )
        for mask_given, value_given, _ in given.mlps.get(layer, ()):
            out = torch.where(mask_given[..., None], value_given, out)
        mlps[layer] = out
    return Outputs(clean.input, tuple(zs), tuple(mlps)), written


def hold_receivers(
    weights: Weights,
    batch: Batch,
    path: Path,
    clean: Trace,
    counterfactual: Outputs,
    given: Edits,
) -> tuple[Edits, int]:
    """Pass 1: the receivers' channels as edits to be held in pass 2, and how often senders wrote.

    `clean` is the run in which all heads are frozen; `counterfactual` holds the senders' values
    from x'. The residual stream is carried as clean + `moved`, so a receiver that no sender reaches
    gets bitwise its clean value. `given` knock-outs stay in force on recomputed MLPs.
    """
    edits = Edits()
    written = 0
    senders = masks_by_node(batch, path.senders)
    receivers = _by_node(path)
    moved = torch.zeros_like(clean.input)

    def send(value: Tensor, old: Tensor, mask: Tensor) -> Tensor:
        nonlocal written
        written += int(mask.sum())
        return torch.where(mask[..., None], value - old, 0.0)

    if INPUT in senders:
        moved = moved + send(counterfactual.input, clean.input, senders[INPUT])
    for layer, block in enumerate(weights.blocks):
        heads = [Head(Layer(layer), HeadIndex(index)) for index in range(weights.shape.n_heads)]
        asked = [
            (head, channel, positions)
            for head in heads
            for channel, positions in receivers.get(head, {}).items()
        ]
        if asked:
            read_by = {channel for _, channel, _ in asked}
            old = _channels(block, clean.pre[layer], read_by)
            new = _channels(block, clean.pre[layer] + moved, read_by)
        for head, channel, positions in asked:
            mask = batch.union_mask(positions)
            _hold(edits, layer, channel, head.index, mask, new[channel])
            here = head.index
            edits.compare(mask, new[channel][:, :, here], old[channel][:, :, here], "read")
        before = moved
        for head in heads:
            if head in senders:
                own = clean.z[layer][:, :, head.index]
                change = send(counterfactual.value(head), own, senders[head])
                moved = moved + change @ block.w_o[head.index]
        if block.mlp is None:
            continue
        mlp = Mlp(Layer(layer))
        read = clean.mid[layer] + (before if weights.shape.parallel else moved)
        for positions in receivers.get(mlp, {}).values():
            mask = batch.union_mask(positions)
            edits.mlp_inputs[layer] = Written(mask, read)
            edits.compare(mask, read, clean.mid[layer], "read")
        frozen = clean.mlps[layer]
        assert frozen is not None
        assert block.ln2 is not None
        out = frozen
        if path.through == "mlps":
            out = kernels.mlp_output(block.mlp, block.ln2(read))
            for mask, value, _ in given.mlps.get(layer, ()):
                out = torch.where(mask[..., None], value, out)
        if mlp in senders:
            change = send(counterfactual.value(mlp), frozen, senders[mlp])
            out = torch.where(senders[mlp][..., None], frozen + change, out)
        moved = moved + (out - frozen)
    for node, channels in receivers.items():
        if isinstance(node, Logits):
            for positions in channels.values():
                mask = batch.union_mask(positions)
                edits.final = Written(mask, clean.final + moved)
                edits.compare(mask, clean.final + moved, clean.final, "read")
    return edits, written


def _channels(block: BlockWeights, x: Tensor, asked: set[Channel]) -> dict[Channel, Tensor]:
    """q, k or v of every head from a residual [B, T, W]: [B, T, H, D] each."""
    normed = block.ln1(x)
    return {channel: kernels.project(block, channel, normed, None) for channel in asked}


def _by_node(path: Path) -> dict[Head | Mlp | Logits, dict[Channel, list[Position]]]:
    found: dict[Head | Mlp | Logits, dict[Channel, list[Position]]] = {}
    for node, channel, position in sorted(path.receivers, key=str):
        found.setdefault(node, {}).setdefault(channel, []).append(position)
    return found


def _hold(
    edits: Edits, layer: int, channel: Channel, index: int, mask: Tensor, value: Tensor
) -> None:
    """Add one head to what is held of a layer's channel."""
    if (layer, channel) not in edits.channels:
        nothing = torch.zeros(*mask.shape, value.shape[2], dtype=torch.bool, device=mask.device)
        edits.channels[layer, channel] = Written(nothing, value)
    held = edits.channels[layer, channel].mask.clone()
    held[:, :, index] |= mask
    edits.channels[layer, channel] = Written(held, value)
