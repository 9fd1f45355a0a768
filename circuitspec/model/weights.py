"""The one form of a model's weights that the engine computes from, whatever the architecture.

Raw weights: nothing is folded, centred or rescaled, because ablating with zeros is not invariant
under such processing. The forward pass they stand for, x being the residual stream
[tokens, d_model]:

    x       = embed[token] + pos_embed[position]
    q, k, v = ln1(x) @ w_q + b_q, ...          per head; k and v per group of query heads
    q, k    = q_norm(q), k_norm(k)             where present, over d_head
    q, k    = rotate(q), rotate(k)             where rotary
    scores  = scale * (q @ k.T)                masked to j <= i, and to i - j < window
    attn    = sum over heads of softmax(scores) @ v @ w_o, + b_o
    x       = x + attn;  x = x + mlp(ln2(x))   parallel blocks: x + attn + mlp(ln2(x)), one x
    mlp(y)  = act(y @ w_in + b_in) @ w_out + b_out
              act(y @ w_gate) * (y @ w_in + b_in) @ w_out + b_out   where gated
    logits  = ln_final(x) @ unembed + b_unembed
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from circuitspec.hypothesis.shape import ModelShape

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_new": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
}
"""Every `MlpWeights.activation`: pointwise functions, by Hugging Face's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NormWeights:
    """`layer`: (x − mean)/√(var + eps) · weight + bias; `rms`: x/√(mean(x²) + eps) · weight.

    Variance is the biased one. `weight` and `bias` are [width] or None where the norm has none;
    `none` is the identity.
    """

    kind: Literal["layer", "rms", "none"]
    weight: Tensor | None = None
    bias: Tensor | None = None
    eps: float = 0.0

    def __call__(self, x: Tensor) -> Tensor:
        """`x` [..., width] normalised over its last axis, in the precision of `x`."""
        if self.kind == "none":
            return x
        if self.kind == "layer":
            return functional.layer_norm(x, (x.shape[-1],), self.weight, self.bias, self.eps)
        normalised = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps)
        return normalised if self.weight is None else normalised * self.weight


@dataclass(frozen=True, slots=True, kw_only=True)
class MlpWeights:
    """`w_in` [d_model, d_mlp], `w_out` [d_mlp, d_model]; `w_gate` as `w_in`, None unless gated.

    `activation` is a key of `ACTIVATIONS`, applied to the gate where there is one.
    """

    w_in: Tensor
    w_out: Tensor
    activation: str
    b_in: Tensor | None = None
    w_gate: Tensor | None = None
    b_out: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotary:
    """Rotary positions: `cos`, `sin` [n_ctx, dim] turn the first `dim` features of q and k.

    Style `half` pairs feature i with i + dim/2 (Hugging Face), `adjacent` 2i with 2i + 1. The
    tables hold each pair's angle at both of its features, with the model's scaling in them.
    """

    cos: Tensor
    sin: Tensor
    dim: int
    style: Literal["half", "adjacent"]

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        """`x` [..., tokens, d_head] turned as it stands at `positions` [..., tokens]."""
        turned, rest = x[..., : self.dim], x[..., self.dim :]
        if self.style == "half":
            first, second = turned.chunk(2, dim=-1)
            quarter = torch.cat((-second, first), dim=-1)
        else:
            quarter = torch.stack((-turned[..., 1::2], turned[..., 0::2]), dim=-1).flatten(-2)
        turned = turned * self.cos[positions] + quarter * self.sin[positions]
        return torch.cat((turned, rest), dim=-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockWeights:
    """One layer. Absent parts are None.

    `w_q` [n_heads, d_model, d_head], `w_k` and `w_v` [n_kv_heads, d_model, d_head], `w_o`
    [n_heads, d_head, d_model]; biases `b_q` [n_heads, d_head], `b_k` and `b_v`
    [n_kv_heads, d_head], `b_o` [d_model]. Query head h reads group h // (n_heads / n_kv_heads).
    `scale` multiplies scores; a query at i sees keys at i − window < j <= i.
    """

    ln1: NormWeights
    w_q: Tensor
    w_k: Tensor
    w_v: Tensor
    w_o: Tensor
    scale: float
    b_q: Tensor | None = None
    b_k: Tensor | None = None
    b_v: Tensor | None = None
    b_o: Tensor | None = None
    q_norm: NormWeights | None = None
    k_norm: NormWeights | None = None
    ln2: NormWeights | None = None
    mlp: MlpWeights | None = None
    window: int | None = None
    rotary: Rotary | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """A whole model: `embed` [d_vocab, d_model], `unembed` [d_model, d_vocab_out].

    `pos_embed` [n_ctx, d_model] is None with rotary positions or none; `b_unembed` [d_vocab_out].
    """

    shape: ModelShape
    embed: Tensor
    blocks: tuple[BlockWeights, ...]
    ln_final: NormWeights
    unembed: Tensor
    pos_embed: Tensor | None = None
    b_unembed: Tensor | None = None

    def to(
        self, *, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> Weights:
        """The same weights elsewhere or in another precision; tensors that need no move are shared.

        Two fields that share a tensor (rotary tables of all layers) go on sharing it.
        """
        moved: dict[int, Tensor] = {}

        def move(tensor: Tensor) -> Tensor:
            if id(tensor) not in moved:
                moved[id(tensor)] = tensor.to(device=device, dtype=dtype)
            return moved[id(tensor)]

        return _mapped(self, move)

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor with its name (`blocks.0.ln1.weight`), in a fixed order."""
        return _named("", self)

    @property
    def dtype(self) -> torch.dtype:
        """The precision that a forward pass from these weights is computed in."""
        return self.embed.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.embed.device


_Record = TypeVar("_Record", bound=Any)


def _mapped(record: _Record, change: Callable[[Tensor], Tensor]) -> _Record:
    """`record` with every tensor in it, however deep, replaced by `change` of it."""

    def changed(value: object) -> object:
        if isinstance(value, Tensor):
            return change(value)
        if isinstance(value, tuple):
            return tuple(changed(item) for item in value)
        if is_dataclass(value) and not isinstance(value, (type, ModelShape)):
            return _mapped(value, change)
        return value

    values = {f.name: changed(getattr(record, f.name)) for f in fields(record)}
    return replace(record, **values)


def _named(prefix: str, value: object) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield prefix, value
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _named(f"{prefix}.{index}", item)
    elif is_dataclass(value) and not isinstance(value, ModelShape):
        for f in fields(value):
            yield from _named(f"{prefix}.{f.name}" if prefix else f.name, getattr(value, f.name))
