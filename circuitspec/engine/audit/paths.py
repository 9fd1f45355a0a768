"""Path patching on the slow path, worked out from its definition, step by step.

Nothing of `paths` is used. A pass for every receiver that sends on: slow, and obvious.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

from circuitspec.engine.audit.through_hooks import Handlers
from circuitspec.engine.audit.writes import Values, Writes, writing
from circuitspec.engine.runs import Hop, Path
from circuitspec.hypothesis.records import Element
from circuitspec.language.nodes import (
    LOGITS,
    QKV,
    Channel,
    Head,
    Layer,
    Logits,
    Mlp,
    Position,
)

Receiver = Head | Mlp | Logits
Held = dict[tuple[Receiver, Channel], Tensor]
"""Where each channel is held: bool [B, T]."""

Read = dict[object, Tensor]
"""What is read in a pass: by (layer, channel) q, k or v [B, T, H, D]; by layer the residual
[B, T, W] that its MLP reads; by `LOGITS` the last one."""


class Hooked(Protocol):
    """A model run through its hooks (`audit.Audit`)."""

    def forward(self, tokens: Tensor, handlers: Handlers) -> Tensor:
        """Logits [B, T, V]."""
        ...

    def record(self, tokens: Tensor, writes: Writes, held: Handlers | None = None) -> Values:
        """Every sender's output."""
        ...

    def heads(self, layer: int) -> list[Head]:
        """The heads of a layer."""
        ...


class PatchedPath:
    """Path patching on prompts `tokens` [B, T], under the knock-outs `given`."""

    def __init__(
        self,
        model: Hooked,
        tokens: Tensor,
        through: Literal["direct", "mlps"],
        given: Writes,
        mask: Callable[[Position], Tensor],
    ) -> None:
        self.model, self.tokens, self.through = model, tokens, through
        self.given, self.mask = given, mask
        self.clean = model.record(tokens, given)

    def handlers(self, steps: Sequence[Path | Hop], source: Values) -> Handlers:
        """The last pass's handlers; the first step's senders take their values from `source`."""
        sent, held, read = source, Held(), Read()
        for number, step in enumerate(steps):
            if number:
                sent = {**self.clean, **self._responses(held, read)}
            read = self._frozen(step.senders, sent)
            held = self._places(step.receivers)
        return self._holding(held, read, writing(self.given))

    def _places(self, receivers: Iterable[tuple[Receiver, Channel, Position]]) -> Held:
        held: Held = {}
        for node, channel, position in receivers:
            mask = self.mask(position)
            held[node, channel] = held.get((node, channel), torch.zeros_like(mask)) | mask
        return held

    def _frozen(self, senders: Iterable[Element], sent: Values) -> Read:
        """What is read where heads are frozen at their clean values, but for the senders."""
        everywhere = torch.ones_like(self.tokens, dtype=torch.bool)
        writes = [(node, m, v) for node, of in self.given.by_node.items() for m, v in of]
        writes += [
            (node, everywhere, value)
            for node, value in self.clean.items()
            if isinstance(node, Head) or (isinstance(node, Mlp) and self.through == "direct")
        ]
        writes += [(e.node, self.mask(e.position), sent[e.node]) for e in senders]
        return self._reads(Writes(writes))

    def _reads(self, writes: Writes) -> Read:
        """What every receiver reads in a pass under some writes."""
        read: Read = {}

        def keep(key: object, value: Tensor) -> Tensor:
            read[key] = value
            return value

        handlers = writing(writes)
        handlers.channel = lambda layer, channel, value: keep((layer, channel), value)
        handlers.mlp_in = lambda layer, x: keep(layer, x)
        handlers.final = lambda x: keep(LOGITS, x)
        self.model.forward(self.tokens, handlers)
        return read

    def _responses(self, held: Held, read: Read) -> Values:
        """What each receiver puts out: in a pass of its own, in which all its channels are held, at
        what the path brought where it did, and elsewhere at their values without it."""
        plain = self._reads(self.given)
        everywhere = torch.ones_like(self.tokens, dtype=torch.bool)
        found: Values = {}
        for node in {node for node, _ in held}:
            if isinstance(node, Logits):
                continue
            channels: tuple[Channel, ...] = QKV if isinstance(node, Head) else ("in",)
            mixed = dict(plain)
            for channel in channels:
                if (node, channel) in held:
                    key = _key(node, channel)
                    where = held[node, channel].reshape(
                        *self.tokens.shape, *[1] * (plain[key].dim() - 2)
                    )
                    mixed[key] = torch.where(where, read[key], plain[key])
            own: Held = {(node, channel): everywhere for channel in channels}
            holding = self._holding(own, mixed, Handlers())
            found[node] = self.model.record(self.tokens, self.given, holding)[node]
        return found

    def _holding(self, held: Held, read: Mapping[object, Tensor], handlers: Handlers) -> Handlers:
        """`handlers`, with channels held at what was read."""

        def hold(node: Receiver, channel: Channel, x: Tensor) -> Tensor:
            if (node, channel) not in held:
                return x
            value = read[_key(node, channel)]
            if isinstance(node, Head):
                value = value[:, :, node.index]
            return torch.where(held[node, channel][..., None], value, x)

        def on_channel(layer: int, channel: Channel, value: Tensor) -> Tensor:
            columns = [
                hold(head, channel, value[:, :, head.index]) for head in self.model.heads(layer)
            ]
            return torch.stack(columns, dim=2)

        handlers.channel = on_channel
        handlers.mlp_in = lambda layer, x: hold(Mlp(Layer(layer)), "in", x)
        handlers.final = lambda x: hold(LOGITS, "", x)
        return handlers


def _key(node: Receiver, channel: Channel) -> object:
    match node:
        case Head(layer=layer):
            return (layer, channel)
        case Mlp(layer=layer):
            return layer
        case Logits():
            return LOGITS
