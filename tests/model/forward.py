"""The forward pass that `Weights` stands for, written as plainly as it can be: logits only."""

from __future__ import annotations

import torch
from torch import Tensor

from circuitspec.model.weights import ACTIVATIONS, BlockWeights, MlpWeights, Rotary, Weights


def forward(weights: Weights, tokens: Tensor) -> Tensor:
    """Logits [batch, tokens, d_vocab_out] of `tokens` [batch, tokens]."""
    x = weights.embed[tokens]
    if weights.pos_embed is not None:
        x = x + weights.pos_embed[: tokens.shape[1]]
    for block in weights.blocks:
        attended = x + attention(block, block.ln1(x), weights.shape.causal)
        if block.mlp is not None and block.ln2 is not None:
            read = x if weights.shape.parallel else attended
            attended = attended + mlp(block.mlp, block.ln2(read))
        x = attended
    logits = weights.ln_final(x) @ weights.unembed
    return logits if weights.b_unembed is None else logits + weights.b_unembed


def attention(block: BlockWeights, x: Tensor, causal: bool) -> Tensor:
    length = x.shape[1]
    far = torch.arange(length)[:, None] - torch.arange(length)[None, :]
    unseen = (far < 0) if causal else torch.zeros_like(far, dtype=torch.bool)
    if block.window is not None:
        unseen = unseen | (far >= block.window)
    group = len(block.w_q) // len(block.w_k)
    out = torch.zeros_like(x)
    for head in range(len(block.w_q)):
        q = x @ block.w_q[head] + (0 if block.b_q is None else block.b_q[head])
        k = x @ block.w_k[head // group] + (0 if block.b_k is None else block.b_k[head // group])
        v = x @ block.w_v[head // group] + (0 if block.b_v is None else block.b_v[head // group])
        if block.q_norm is not None and block.k_norm is not None:
            q, k = block.q_norm(q), block.k_norm(k)
        if block.rotary is not None:
            q, k = turned(block.rotary, q), turned(block.rotary, k)
        scores = (block.scale * q @ k.transpose(1, 2)).masked_fill(unseen, float("-inf"))
        out = out + scores.softmax(-1) @ v @ block.w_o[head]
    return out if block.b_o is None else out + block.b_o


def turned(rotary: Rotary, x: Tensor) -> Tensor:
    """Each pair of features as one complex number, turned by its angle at its position."""
    half = rotary.dim // 2
    if rotary.style == "half":
        first, second = torch.arange(half), torch.arange(half) + half
    else:
        first, second = 2 * torch.arange(half), 2 * torch.arange(half) + 1
    length = x.shape[1]
    turn = torch.complex(rotary.cos[:length, first], rotary.sin[:length, first])
    pairs = torch.complex(x[..., first], x[..., second]) * turn
    out = x.clone()
    out[..., first], out[..., second] = pairs.real, pairs.imag
    return out


def mlp(weights: MlpWeights, x: Tensor) -> Tensor:
    act = ACTIVATIONS[weights.activation]
    inner = x @ weights.w_in + (0 if weights.b_in is None else weights.b_in)
    inner = act(inner) if weights.w_gate is None else act(x @ weights.w_gate) * inner
    return inner @ weights.w_out + (0 if weights.b_out is None else weights.b_out)
