"""The shape of a model: what a hypothesis must fit, known without weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from circuitspec.language.nodes import Head, Input, Logits, Mlp


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A pre-norm residual-stream decoder, as far as its graph and its cost depend on it.

    Sizes are in units (heads, features, tokens). `d_mlp` is `None` and `has_mlps` false for an
    attention-only model. `parallel` blocks (GPT-NeoX) add attention and MLP of one layer at once.
    With grouped queries `n_kv_heads < n_heads`.
    """

    architecture: str
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_mlp: int | None
    d_vocab: int
    d_vocab_out: int
    n_ctx: int
    has_mlps: bool = True
    parallel: bool = False
    causal: bool = True
    norm: Literal["layer", "rms", "none"] = "layer"
    positional: Literal["learned", "rotary", "none"] = "learned"


def exists(node: Input | Head | Mlp | Logits, shape: ModelShape) -> bool:
    """Whether a model of that shape has the node."""
    match node:
        case Head(layer=layer, index=index):
            return layer < shape.n_layers and index < shape.n_heads
        case Mlp(layer=layer):
            return shape.has_mlps and layer < shape.n_layers
        case Input() | Logits():
            return True
