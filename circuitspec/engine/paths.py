"""Path patching in two passes, values held (Wang et al. 2022, appendix B)."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch
from circuitspec.engine.forward import Edits, Trace, Written
from circuitspec.engine.runs import Path, Touched
from circuitspec.engine.sources import Outputs
from circuitspec.engine.writes import masks_by_node
from circuitspec.language.nodes import INPUT, Channel, Head, HeadIndex, Layer, Logits, Mlp, Position
from circuitspec.model.weights import Weights


def hold_receivers(
    weights: Weights,
    batch: Batch,
    path: Path,
    clean: Trace,
    counterfactual: Outputs,
    given: Edits,
) -> tuple[Edits, Touched]:
    """Pass 1: the receivers' channels as edits to be held in pass 2, and what the senders changed.

    `clean` is the run in which all heads are frozen; `counterfactual` holds the senders' values
    from x'. The residual stream is carried as clean + `moved`, so a receiver that no sender reaches
    gets bitwise its clean value. `given` knock-outs stay in force on recomputed MLPs.
    """
    edits = Edits()
    touched = Touched()
    senders = masks_by_node(batch, path.senders, weights.shape)
    receivers = _by_node(path)
    moved = torch.zeros_like(clean.input)

    def send(value: Tensor, old: Tensor, mask: Tensor) -> Tensor:
        nonlocal touched
        difference = (value - old) * mask[..., None]
        sizes = difference.abs().amax(-1)
        touched += Touched(
            written=int(mask.sum()), changed=int((sizes > 0).sum()), largest=float(sizes.max())
        )
        return difference

    if INPUT in senders:
        moved = moved + send(counterfactual.input, clean.input, senders[INPUT])
    for layer, block in enumerate(weights.blocks):
        normed: Tensor | None = None
        for index in range(weights.shape.n_heads):
            for channel, positions in receivers.get(
                Head(Layer(layer), HeadIndex(index)), {}
            ).items():
                normed = block.ln1(clean.pre[layer] + moved) if normed is None else normed
                value = kernels.project(block, channel, normed, None)
                _hold(edits, layer, channel, index, batch.union_mask(positions), value)
        before = moved
        for index in range(weights.shape.n_heads):
            head = Head(Layer(layer), HeadIndex(index))
            if head in senders:
                change = send(
                    counterfactual.z[layer][:, :, index], clean.z[layer][:, :, index], senders[head]
                )
                moved = moved + change @ block.w_o[index]
        mlp = Mlp(Layer(layer))
        if block.mlp is None:
            continue
        read = clean.mid[layer] + (before if weights.shape.parallel else moved)
        for positions in receivers.get(mlp, {}).values():
            edits.mlp_inputs[layer] = Written(batch.union_mask(positions), read)
        old = clean.mlps[layer]
        assert old is not None
        assert block.ln2 is not None
        new = old
        if path.through == "mlps":
            new = kernels.mlp_output(block.mlp, block.ln2(read))
            for mask, value, _ in given.mlps.get(layer, ()):
                new = torch.where(mask[..., None], value, new)
        if mlp in senders:
            sent = counterfactual.mlps[layer]
            assert sent is not None
            change = send(sent, old, senders[mlp])
            new = torch.where(senders[mlp][..., None], old + change, new)
        moved = moved + (new - old)
    for node, channels in receivers.items():
        if isinstance(node, Logits):
            for positions in channels.values():
                edits.final = Written(batch.union_mask(positions), clean.final + moved)
    return edits, touched


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
