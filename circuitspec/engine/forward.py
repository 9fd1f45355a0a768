"""One forward pass from weights, in which outputs can be replaced and channels held.

This is the node-level executor: everything else here is ablation by nodes, activation patching and
both passes of path patching. Shapes as in `kernels`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.apart import apart
from circuitspec.engine.runs import Touched
from circuitspec.language.nodes import Channel
from circuitspec.model.weights import Weights


class Written(NamedTuple):
    """A mask, the values written where it is true, and whether the claim itself asked for it.

    What a `given` knock-out writes is not `counted`: it is no part of what the claim cuts.
    """

    mask: Tensor
    values: Tensor
    counted: bool = True


@dataclass(slots=True, eq=False)
class Edits:
    """What a forward pass writes, layer by layer, each list in order of application.

    `heads[l]`: mask [B, T, H], values [B, T, H, D] (z, before W_O). `mlps[l]`, `inputs`: mask
    [B, T], values [B, T, W]. `channels[l, c]`: mask [B, T, H], values [B, T, H, D] of q, k or v,
    held. `mlp_inputs[l]`, `final`: mask [B, T], residual values [B, T, W], held. `touched` counts
    what was written, and what of it differs from the run without.
    """

    heads: dict[int, list[Written]] = field(default_factory=dict)
    mlps: dict[int, list[Written]] = field(default_factory=dict)
    inputs: list[Written] = field(default_factory=list)
    channels: dict[tuple[int, Channel], Written] = field(default_factory=dict)
    mlp_inputs: dict[int, Written] = field(default_factory=dict)
    final: Written | None = None
    touched: Touched = field(default_factory=Touched)

    def write(self, value: Tensor, written: Collection[Written]) -> Tensor:
        """`value` with `written` put in, and counted. The last axis is features."""
        for mask, new, counted in written:
            if counted:
                self.touched += Touched(written=int(mask.sum()))
            value = torch.where(mask[..., None], new, value)
        return value

    def compare(
        self, mask: Tensor, new: Tensor, old: Tensor, what: Literal["sent", "read"] = "sent"
    ) -> None:
        """Count where values that are to be written differ from those of the run without them.

        That run is under the same knock-outs. Where nothing differs from it nothing differs in the
        intervened run either: by induction over layers both are the same.
        """
        sizes = torch.where(mask, apart(new, old, what), 0.0)
        self.touched += Touched(
            changed=int((sizes > 0).sum()), largest=float(sizes.max()) if sizes.numel() else 0.0
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What a forward pass computed: outputs of all senders, and the residual stream between them.

    `input` [B, T, W]; `z[l]` [B, T, H, D]; `mlps[l]` [B, T, W]; `pre[l]` (what heads of l read) and
    `mid[l]` (what its MLP reads) [B, T, W]; `final` [B, T, W]; `patterns[l]` [B, H, T, T] of the
    layers asked for.
    """

    input: Tensor
    z: tuple[Tensor, ...]
    mlps: tuple[Tensor | None, ...]
    pre: tuple[Tensor, ...]
    mid: tuple[Tensor, ...]
    final: Tensor
    patterns: dict[int, Tensor]


def forward(
    weights: Weights,
    tokens: Tensor,
    edits: Edits | None = None,
    *,
    patterns: Collection[int] = (),
    layers: int | None = None,
) -> Trace:
    """Run `tokens` [B, T] through the model (or its first `layers`), with `edits` written on the
    way."""
    edits = Edits() if edits is None else edits
    causal = weights.shape.causal
    x = edits.write(kernels.embed(weights, tokens), edits.inputs)
    embedded = x
    zs: list[Tensor] = []
    mlps: list[Tensor | None] = []
    pres: list[Tensor] = []
    mids: list[Tensor] = []
    kept: dict[int, Tensor] = {}
    for layer, block in enumerate(weights.blocks[:layers]):
        pres.append(x)
        normed = block.ln1(x)
        channels: dict[Channel, Tensor] = {}
        for channel in ("q", "k", "v"):
            value = kernels.project(block, channel, normed, None)
            if (layer, channel) in edits.channels:
                value = edits.write(value, [edits.channels[layer, channel]])
            channels[channel] = value
        z, pattern = kernels.attend(
            block, channels["q"], channels["k"], channels["v"], causal=causal
        )
        if layer in patterns:
            kept[layer] = pattern
        z = edits.write(z, edits.heads.get(layer, ()))
        zs.append(z)
        out = kernels.attention_output(block, z)
        if block.b_o is not None:
            out = out + block.b_o
        after = x + out
        mid = x if weights.shape.parallel else after
        mids.append(mid)
        if block.mlp is None:
            mlps.append(None)
            x = after
            continue
        if layer in edits.mlp_inputs:
            mid = edits.write(mid, [edits.mlp_inputs[layer]])
        assert block.ln2 is not None
        mlp = kernels.mlp_output(block.mlp, block.ln2(mid))
        mlp = edits.write(mlp, edits.mlps.get(layer, ()))
        mlps.append(mlp)
        x = after + mlp
    if edits.final is not None:
        x = edits.write(x, [edits.final])
    return Trace(embedded, tuple(zs), tuple(mlps), tuple(pres), tuple(mids), x, kept)
