"""The pieces of a forward pass, computed from weights: embedding, projections, attention, logits.

Shapes: B prompts, T positions, H query heads, D width of a head, W width of the residual stream.
"""

from __future__ import annotations

import torch
from torch import Tensor

from circuitspec.language.nodes import Channel
from circuitspec.model.weights import ACTIVATIONS, BlockWeights, MlpWeights, Weights


def embed(weights: Weights, tokens: Tensor) -> Tensor:
    """Token plus positional embedding of `tokens` [B, T]: the sender `input`, [B, T, W]."""
    x = weights.embed[tokens]
    if weights.pos_embed is not None:
        x = x + weights.pos_embed[: tokens.shape[1]]
    return x


def project(block: BlockWeights, channel: Channel, x: Tensor, heads: Tensor | None) -> Tensor:
    """The q, k or v of query heads from a normed input [B, T, W]: [B, T, H, D].

    `heads` int64 [H] picks query heads (None: all). With grouped queries each query head gets its
    own copy of its group's k and v, so that each can be read, mixed and written by itself. The
    result is after the bias, before q/k norm and rotary: the value that path patching holds.
    """
    n_heads = block.w_q.shape[0]
    matrix, bias = _of_channel(block, channel)
    group = n_heads // matrix.shape[0]
    if heads is not None:
        matrix, bias = of_heads(block, channel, heads)
    out = torch.einsum("btw,hwd->bthd", x, matrix)
    if bias is not None:
        out = out + bias
    if heads is None and group > 1:
        return out[:, :, torch.arange(n_heads, device=x.device) // group]
    return out


def of_heads(block: BlockWeights, channel: Channel, heads: Tensor) -> tuple[Tensor, Tensor | None]:
    """The matrix [H, W, D] and bias [H, D] of query heads int64 [H]: those of their groups."""
    matrix, bias = _of_channel(block, channel)
    own = heads // (block.w_q.shape[0] // matrix.shape[0])
    return matrix[own], None if bias is None else bias[own]


def _of_channel(block: BlockWeights, channel: Channel) -> tuple[Tensor, Tensor | None]:
    if channel == "q":
        return block.w_q, block.b_q
    return (block.w_k, block.b_k) if channel == "k" else (block.w_v, block.b_v)


def attend(
    block: BlockWeights, q: Tensor, k: Tensor, v: Tensor, *, causal: bool
) -> tuple[Tensor, Tensor]:
    """Attention of heads from projected q, k, v [B, T, H, D], before q/k norm and rotary.

    Returns z [B, T, H, D] and the pattern [B, H, T query, T key].
    """
    if block.q_norm is not None:
        q = block.q_norm(q)
    if block.k_norm is not None:
        k = block.k_norm(k)
    length = q.shape[1]
    if block.rotary is not None:
        positions = torch.arange(length, device=q.device)
        q = block.rotary.rotate(q.transpose(1, 2), positions).transpose(1, 2)
        k = block.rotary.rotate(k.transpose(1, 2), positions).transpose(1, 2)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * block.scale
    hidden = hidden_keys(length, causal, block.window, q.device)
    pattern = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", pattern, v), pattern


def hidden_keys(length: int, causal: bool, window: int | None, device: torch.device) -> Tensor:
    """Which keys a query cannot see: bool [T query, T key]."""
    i = torch.arange(length, device=device)[:, None]
    j = torch.arange(length, device=device)[None, :]
    hidden = torch.zeros(length, length, dtype=torch.bool, device=device)
    if causal:
        hidden = hidden | (j > i)
    if window is not None:
        hidden = hidden | (i - j >= window)
    return hidden


def head_outputs(block: BlockWeights, z: Tensor, heads: Tensor | None = None) -> Tensor:
    """Each head's contribution to the residual stream, without b_O: [B, T, H, W]."""
    w_o = block.w_o if heads is None else block.w_o[heads]
    return torch.einsum("bthd,hdw->bthw", z, w_o)


def attention_output(block: BlockWeights, z: Tensor) -> Tensor:
    """All heads' contributions summed, without b_O: [B, T, W]."""
    return z.flatten(-2) @ block.w_o.flatten(0, 1)


def mlp_output(mlp: MlpWeights, x: Tensor) -> Tensor:
    """The MLP's contribution from its normed input [..., W], biases included."""
    activation = ACTIVATIONS[mlp.activation]
    inner = x @ mlp.w_in
    if mlp.b_in is not None:
        inner = inner + mlp.b_in
    inner = activation(inner) if mlp.w_gate is None else activation(x @ mlp.w_gate) * inner
    out = inner @ mlp.w_out
    return out if mlp.b_out is None else out + mlp.b_out


def logits(weights: Weights, x: Tensor, tokens: Tensor | None = None) -> Tensor:
    """Logits from final residuals [N, W]: [N, vocabulary], or of `tokens` [N, A] only: [N, A]."""
    y = weights.ln_final(x)
    if tokens is None:
        out = y @ weights.unembed
        return out if weights.b_unembed is None else out + weights.b_unembed
    columns = weights.unembed.T[tokens]
    out = torch.einsum("nw,naw->na", y, columns)
    return out if weights.b_unembed is None else out + weights.b_unembed[tokens]
