"""The unit of every measurement: a plain forward pass in torch, and a model of GPT-2's shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module
from transformers import GPT2Config, GPT2LMHeadModel

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.extract import extract
from circuitspec.model.source import understand
from circuitspec.model.weights import Weights
from circuitspec.task.records import PromptSet

GPT2_VOCABULARY = 50257


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One set of random weights: as TransformerLens runs it, and as the engine reads it."""

    bridge: Any
    weights: Weights

    @property
    def shape(self) -> ModelShape:
        return self.weights.shape


def random_model(
    device: torch.device,
    *,
    n_layers: int = 12,
    n_heads: int = 12,
    d_model: int = 768,
    d_vocab: int = GPT2_VOCABULARY,
    sd: float = 0.04,
    seed: int = 0,
) -> Model:
    """A GPT-2 with random weights, twice as large as its initialisation has them, so that circuits
    differ by more than rounding. Float32; `sd` is that of the matrices' entries."""
    config = GPT2Config(
        n_embd=d_model,
        n_head=n_heads,
        n_layer=n_layers,
        n_positions=64,
        vocab_size=d_vocab,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation="eager",
    )
    torch.manual_seed(seed)
    module = GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in module.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            one = 1.0 if ".ln_" in name and name.endswith("weight") else 0.0
            tensor.copy_(one + (0.1 if "wte" in name or "wpe" in name else sd) * noise)
    reading = understand(config.to_dict(), "random")
    bridge = build_bridge_from_module(
        module.to(device), type(module).__name__, hf_config=config, tokenizer=None
    ).eval()
    return Model(bridge, extract(bridge, reading).to(device=device))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """What is changed on the way of a forward pass: functions of (layer, value).

    `z` [B, T, H, D] before W_O; `mlp` [B, T, W]; `channel`: (layer, q|k|v, [B, T, H, D]).
    """

    z: Callable[[int, Tensor], Tensor] | None = None
    mlp: Callable[[int, Tensor], Tensor] | None = None
    channel: Callable[[int, str, Tensor], Tensor] | None = None


NONE = Changes()


@dataclass(frozen=True, slots=True, eq=False)
class Plain:
    """The whole model in plain torch: q, k and v in one product, logits at the last position."""

    weights: Weights
    packed: tuple[tuple[Tensor, Tensor, Tensor], ...]

    @staticmethod
    def of(weights: Weights) -> Plain:
        packed = []
        for block in weights.blocks:
            assert block.b_q is not None
            assert block.b_k is not None
            assert block.b_v is not None
            matrices = [m.transpose(0, 1).flatten(1) for m in (block.w_q, block.w_k, block.w_v)]
            biases = [b.flatten() for b in (block.b_q, block.b_k, block.b_v)]
            packed.append(
                (torch.cat(matrices, 1), torch.cat(biases), block.w_o.flatten(0, 1).contiguous())
            )
        return Plain(weights, tuple(packed))

    def logits(self, tokens: Tensor, changes: Changes = NONE) -> Tensor:
        """Logits [B, V] at the last position of `tokens` [B, T]."""
        weights = self.weights
        assert weights.pos_embed is not None
        x = weights.embed[tokens] + weights.pos_embed[: tokens.shape[1]]
        b, t = tokens.shape
        h, d = weights.shape.n_heads, weights.shape.d_head
        for layer, (block, packed) in enumerate(zip(weights.blocks, self.packed, strict=True)):
            w_qkv, b_qkv, w_o = packed
            qkv = torch.addmm(b_qkv, block.ln1(x).flatten(0, 1), w_qkv).view(b, t, 3, h, d)
            if changes.channel is not None:
                parts = zip("qkv", qkv.unbind(2), strict=True)
                qkv = torch.stack([changes.channel(layer, c, part) for c, part in parts], 2)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            z = functional.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2)
            if changes.z is not None:
                z = changes.z(layer, z)
            assert block.b_o is not None
            x = x + torch.addmm(block.b_o, z.reshape(b * t, h * d), w_o).view_as(x)
            out = self.mlp(layer, x)
            x = x + (out if changes.mlp is None else changes.mlp(layer, out))
        return weights.ln_final(x[:, -1]) @ weights.unembed

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        """What a layer's MLP adds to the stream [..., W]."""
        block = self.weights.blocks[layer]
        mlp = block.mlp
        assert mlp is not None
        assert mlp.b_in is not None
        assert mlp.b_out is not None
        assert block.ln2 is not None
        inner = torch.addmm(mlp.b_in, block.ln2(x).flatten(0, -2), mlp.w_in)
        inner = functional.gelu(inner, approximate="tanh")
        return torch.addmm(mlp.b_out, inner, mlp.w_out).view_as(x)


def batches_of_rows(prompts: PromptSet, size: int) -> list[list[int]]:
    """Rows of a set in batches of at most `size` prompts of one length."""
    by_length: dict[int, list[int]] = {}
    for row, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt.tokens), []).append(row)
    return [
        rows[first : first + size]
        for rows in by_length.values()
        for first in range(0, len(rows), size)
    ]


def tokens_of(prompts: PromptSet, rows: list[int], device: torch.device) -> Tensor:
    """Token ids [B, T] of some rows of one length."""
    return torch.tensor([prompts.prompts[row].tokens for row in rows], device=device)
