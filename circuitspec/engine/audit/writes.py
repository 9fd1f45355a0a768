"""Outputs to be replaced on the slow path, and the handlers that replace them."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from circuitspec.engine.audit.through_hooks import Handlers
from circuitspec.language.nodes import INPUT, Head, HeadIndex, Input, Layer, Mlp

Node = Input | Head | Mlp
Values = dict[Node, Tensor]
"""A value for every sender: z [B, T, D] of a head, the output [B, T, W] of an MLP or the input."""


class Writes:
    """Outputs to replace, in order: (node, mask [B, T], value)."""

    def __init__(self, writes: Iterable[tuple[Node, Tensor, Tensor]] = ()) -> None:
        self.by_node: dict[Node, list[tuple[Tensor, Tensor]]] = {}
        for node, mask, value in writes:
            self.by_node.setdefault(node, []).append((mask, value))

    def write(self, node: Node, value: Tensor) -> Tensor:
        """`value` of a node with what is to be written there."""
        for mask, new in self.by_node.get(node, ()):
            value = torch.where(mask[..., None], new, value)
        return value

    def write_z(self, layer: int, z: Tensor) -> Tensor:
        """z [B, T, H, D] of a layer with its heads written."""
        heads = [Head(Layer(layer), HeadIndex(i)) for i in range(z.shape[2])]
        return torch.stack([self.write(head, z[:, :, head.index]) for head in heads], dim=2)


def writing(writes: Writes) -> Handlers:
    """Handlers that put writes in place."""
    return Handlers(
        input=lambda x: writes.write(INPUT, x),
        z=writes.write_z,
        mlp_out=lambda layer, out: writes.write(Mlp(Layer(layer)), out),
    )
