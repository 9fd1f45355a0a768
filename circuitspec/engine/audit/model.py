"""TransformerLens's own model on the slow path: passes through its hooks, and its weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from circuitspec.engine.audit.readings import ReadOut
from circuitspec.engine.audit.through_hooks import Handlers, forward_through_hooks
from circuitspec.engine.audit.writes import Node, Values, Writes
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    INPUT,
    Channel,
    Head,
    HeadIndex,
    Layer,
    Logits,
    Mlp,
    is_upstream,
)
from circuitspec.model.load import LoadedModel


class HookedModel:
    """The bridge, and the graph of its senders and receivers. Float32, on the CPU."""

    def __init__(self, model: LoadedModel) -> None:
        self.bridge = model.bridge
        self.shape: ModelShape = model.shape
        self._w: dict[Channel, Tensor] = {"q": model.bridge.W_Q.detach()}
        self._w |= {"k": model.bridge.W_K.detach(), "v": model.bridge.W_V.detach()}
        self._b: dict[Channel, Tensor | None] = {
            channel: _optional(model.bridge, f"b_{channel.upper()}") for channel in self._w
        }
        self.w_o: Tensor = model.bridge.W_O.detach()
        self.b_o = _optional(model.bridge, "b_O")
        self.read_out = ReadOut(model.bridge, model.shape)

    def forward(self, tokens: Tensor, handlers: Handlers) -> Tensor:
        """Logits [B, T, V] of a forward pass through hooks."""
        return forward_through_hooks(self.bridge, self.shape, tokens, handlers)

    def record(self, tokens: Tensor, writes: Writes, held: Handlers | None = None) -> Values:
        """Every sender's output in a run under some writes, its channels held as handlers say."""
        values: Values = {}

        def keep_input(x: Tensor) -> Tensor:
            values[INPUT] = writes.write(INPUT, x)
            return values[INPUT]

        def keep_z(layer: int, z: Tensor) -> Tensor:
            z = writes.write_z(layer, z)
            for head in self.heads(layer):
                values[head] = z[:, :, head.index]
            return z

        def keep_mlp(layer: int, out: Tensor) -> Tensor:
            mlp = Mlp(Layer(layer))
            values[mlp] = writes.write(mlp, out)
            return values[mlp]

        handlers = Handlers() if held is None else held
        self.forward(tokens, replace(handlers, input=keep_input, z=keep_z, mlp_out=keep_mlp))
        return values

    def heads(self, layer: int) -> list[Head]:
        """The heads of a layer."""
        return [Head(Layer(layer), HeadIndex(index)) for index in range(self.shape.n_heads)]

    def senders(self) -> list[Node]:
        """Every sender, in the order of computation."""
        found: list[Node] = [INPUT]
        for layer in range(self.shape.n_layers):
            found += self.heads(layer)
            if self.shape.has_mlps:
                found.append(Mlp(Layer(layer)))
        return found

    def upstream(self, receiver: Head | Mlp | Logits) -> list[Node]:
        """The senders that a receiver reads."""
        parallel = self.shape.parallel
        return [s for s in self.senders() if is_upstream(s, receiver, parallel=parallel)]

    def sent(self, sender: Node, value: Tensor) -> Tensor:
        """What a sender's value adds to the residual stream: [B, T, W]."""
        return value @ self.w_o[sender.layer, sender.index] if isinstance(sender, Head) else value

    def constant(self, receiver: Head | Mlp | Logits) -> Tensor:
        """The b_O of every attention layer that a receiver reads: [W]."""
        total = torch.zeros(self.shape.d_model)
        if self.b_o is None:
            return total
        for layer in range(self.shape.n_layers):
            head = Head(Layer(layer), HeadIndex(0))
            if is_upstream(head, receiver, parallel=self.shape.parallel):
                total = total + self.b_o[layer]
        return total

    def project(self, layer: int, channel: Channel, index: int, x: Tensor) -> Tensor:
        """A head's q, k or v [B, T, D] from its own residual input [B, T, W]."""
        w, b = self._w[channel][layer], self._b[channel]
        group = index // (self.shape.n_heads // w.shape[0])
        value: Tensor = self.bridge.blocks[layer].ln1(x) @ w[group]
        return value if b is None else value + b[layer].reshape(w.shape[0], -1)[group]


def _optional(bridge: Any, name: str) -> Tensor | None:
    """A weight of the bridge, None where the architecture has none (it raises AttributeError)."""
    value = getattr(bridge, name, None)
    return value.detach() if isinstance(value, Tensor) else None
