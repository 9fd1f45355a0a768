"""One forward pass of TransformerLens's own model, with values read and written by its hooks.

This is the slow path: the model's arithmetic is TransformerLens's (and under it Hugging Face's),
nothing of `kernels` or `forward` is used. Only hook points whose edits take effect in every
architecture are used, and a hook that does not fire exactly once is an error: hooks that resolve
and never fire would read as "no effect".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import QKV, Channel

R = TypeVar("R")


class SilentHookError(Exception):
    """A hook did not fire once: what it was to write is not in the result."""


@dataclass(slots=True, kw_only=True, eq=False)
class Handlers:
    """What to do at the places of a forward pass; each gets a value and returns what is to be used.

    `input` and `final`: x [B, T, W], before the first block and before the final norm. `channel`:
    (layer, q|k|v, value [B, T, H, D]), after projection and bias, k and v with a copy for every
    query head. `z`: (layer, [B, T, H, D]). `mlp_in`: (layer, residual [B, T, W]), before the norm.
    `mlp_out`: (layer, [B, T, W]).

    Some places are only looked at, and what is returned there is not used. `pattern`: (layer,
    attention [B, H, T, T]). `before`: (layer, residual [B, T, W] that enters a block), from block 1
    on. `scale`: the final norm's divisor [B, T, 1], where the model has a norm.
    """

    input: Callable[[Tensor], Tensor] | None = None
    channel: Callable[[int, Channel, Tensor], Tensor] | None = None
    z: Callable[[int, Tensor], Tensor] | None = None
    mlp_in: Callable[[int, Tensor], Tensor] | None = None
    mlp_out: Callable[[int, Tensor], Tensor] | None = None
    final: Callable[[Tensor], Tensor] | None = None
    pattern: Callable[[int, Tensor], None] | None = None
    before: Callable[[int, Tensor], None] | None = None
    scale: Callable[[Tensor], None] | None = None


def forward_through_hooks(
    bridge: Any, shape: ModelShape, tokens: Tensor, handlers: Handlers
) -> Tensor:
    """Logits [B, T, V] of `tokens` [B, T] with the handlers' values in place.

    Under grouped queries the model has one k and v a group, and the graph one a query head. So the
    batch goes through in as many copies as a group has heads: copy j carries, in every group, the
    k and v of its j-th head, and the z of that head is taken from it. Raises SilentHookError.
    """
    copies = shape.n_heads // shape.n_kv_heads if handlers.channel is not None else 1
    pass_ = _Pass(shape, tokens.shape[0], copies, handlers)
    with torch.no_grad():
        logits: Tensor = bridge.run_with_hooks(tokens.repeat(copies, 1), fwd_hooks=pass_.hooks())
    wrong = {name: n for name, n in pass_.fired.items() if n != 1}
    if wrong:
        name, n = next(iter(wrong.items()))
        raise SilentHookError(
            f"{len(wrong)} of {len(pass_.fired)} hooks did not fire once: {name} fired {n} times"
        )
    return logits[: tokens.shape[0]]


class _Pass:
    """The hooks of one forward pass, and how often each fired."""

    def __init__(self, shape: ModelShape, batch: int, copies: int, handlers: Handlers) -> None:
        self.shape, self.batch, self.copies = shape, batch, copies
        self.handlers = handlers
        self.fired: dict[str, int] = {}

    def hooks(self) -> list[tuple[str, Callable[..., Tensor]]]:
        """(hook point, function) of every place that has a handler."""
        found = []
        on = self.handlers
        if on.input is not None:
            found.append(self._hook("blocks.0.hook_resid_pre", self._one(on.input)))
        for layer in range(self.shape.n_layers):
            at = f"blocks.{layer}"
            if on.channel is not None:
                for channel in QKV:
                    name = f"{at}.attn.hook_{channel}"
                    found.append(self._hook(name, self._channel(layer, channel)))
            if on.before is not None and layer > 0:
                look = self._of_layer(on.before, layer)
                found.append(self._hook(f"{at}.hook_resid_pre", self._look(look)))
            if on.pattern is not None:
                found.append(self._hook(f"{at}.attn.hook_pattern", self._pattern(layer)))
            if on.z is not None or self.copies > 1:
                found.append(self._hook(f"{at}.attn.hook_z", self._z(layer)))
            if not self.shape.has_mlps:
                continue
            if on.mlp_in is not None:
                name = f"{at}.ln2.hook_in" if self.shape.norm != "none" else f"{at}.mlp.hook_in"
                found.append(self._hook(name, self._one(self._of_layer(on.mlp_in, layer))))
            if on.mlp_out is not None:
                change = self._of_layer(on.mlp_out, layer)
                found.append(self._hook(f"{at}.hook_mlp_out", self._one(change)))
        if on.final is not None:
            found.append(self._hook("ln_final.hook_in", self._one(on.final)))
        if on.scale is not None and self.shape.norm != "none":
            found.append(self._hook("ln_final.hook_scale", self._look(on.scale)))
        return found

    def _hook(
        self, name: str, change: Callable[[Tensor], Tensor]
    ) -> tuple[str, Callable[..., Tensor]]:
        self.fired[name] = 0

        def hook(value: Tensor, hook: object = None) -> Tensor:
            self.fired[name] += 1
            return change(value)

        return name, hook

    @staticmethod
    def _of_layer(handler: Callable[[int, Tensor], R], layer: int) -> Callable[[Tensor], R]:
        return lambda value: handler(layer, value)

    def _look(self, handler: Callable[[Tensor], None]) -> Callable[[Tensor], Tensor]:
        """`handler` shown a value that is the same in every copy of the batch."""

        def look(value: Tensor) -> Tensor:
            handler(value[: self.batch])
            return value

        return look

    def _pattern(self, layer: int) -> Callable[[Tensor], Tensor]:
        """The handler is shown the j-th head of every group from copy j."""

        def look(value: Tensor) -> Tensor:
            assert self.handlers.pattern is not None
            self.handlers.pattern(layer, self._own(value, dim=1))
            return value

        return look

    def _own(self, value: Tensor, dim: int) -> Tensor:
        """Of heads along `dim`, the j-th of every group from the j-th copy of the batch."""
        own = value[: self.batch].clone()
        for j in range(1, self.copies):
            every = [slice(None)] * dim + [slice(j, None, self.copies)]
            own[tuple(every)] = value[j * self.batch : (j + 1) * self.batch][tuple(every)]
        return own

    def _one(self, change: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """`change` for values that are the same in every copy of the batch."""

        def changed(value: Tensor) -> Tensor:
            new = change(value[: self.batch])
            return new.repeat(self.copies, *[1] * (new.dim() - 1))

        return changed

    def _channel(self, layer: int, channel: Channel) -> Callable[[Tensor], Tensor]:
        """The handler sees one value a query head; copy j gets those of the groups' j-th heads."""

        def changed(value: Tensor) -> Tensor:
            assert self.handlers.channel is not None
            own = value[: self.batch]
            group = self.shape.n_heads // own.shape[2]
            own = own.repeat_interleave(group, dim=2)
            new = self.handlers.channel(layer, channel, own)
            if group == 1:
                return new.repeat(self.copies, 1, 1, 1)
            return torch.cat([new[:, :, j::group] for j in range(group)])

        return changed

    def _z(self, layer: int) -> Callable[[Tensor], Tensor]:
        """The j-th head of every group from copy j; then the handler; then the same everywhere."""

        def changed(value: Tensor) -> Tensor:
            z = self._own(value, dim=2)
            if self.handlers.z is not None:
                z = self.handlers.z(layer, z)
            return z.repeat(self.copies, 1, 1, 1)

        return changed
