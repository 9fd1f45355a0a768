"""What every intervention gives, by weight algebra in float64: the figures that are known.

Written from the definitions alone (docs/semantics.md), without the package that is put to the
proof. Nodes have the names of the text: `input`, `a0.h1`, `m0`, `logits`. Prompts of a set have one
length T; arrays are [n, T, ...].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proving.machine import Array, Machine

Mask = NDArray[np.bool_]
Tokens = NDArray[np.int64]
Values = Mapping[str, Array]
"""Outputs [n, T, d_model] by sender; [1, T, d_model] or [1, 1, d_model] where all share them."""

Written = Mapping[str, tuple[Mask, Array]]
"""Outputs that are replaced: by sender, where [n, T], and by what [n, T, d_model]."""

Live = Mapping[tuple[str, str, str], Mask]
"""Edges (sender, receiver, channel) and where the receiver reads them [n, T]."""

Held = Mapping[tuple[str, str], tuple[Mask, Array]]
"""Inputs that are held: by receiver and channel, where [n, T], and at what [n, T, d_model]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A run: what each sender wrote, each head's attention [n, T, T], the logits [n, T, vocab].

    `final` is the residual the logits were read from.
    """

    out: Values
    attention: Values
    final: Array
    logits: Array


def senders(machine: Machine) -> list[str]:
    """All senders, in order: the input, then each layer's heads, then its MLP."""
    found = ["input"]
    for layer in range(machine.n_layers):
        found += [f"a{layer}.h{head}" for head in range(machine.n_heads)]
        if machine.d_mlp is not None:
            found.append(f"m{layer}")
    return found


def depth(node: str) -> float:
    """Where a node stands: a sender reaches receivers of a greater depth only."""
    if node == "input":
        return -1.0
    if node == "logits":
        return float("inf")
    return float(node[1:]) + 0.5 if node[0] == "m" else float(node[1:].split(".")[0])


def norm(machine: Machine, x: Array, name: str) -> Array:
    """LayerNorm, or nothing."""
    if not machine.norm:
        return x
    centred = x - x.mean(-1, keepdims=True)
    divisor = np.sqrt((centred**2).mean(-1, keepdims=True) + machine.eps)
    return np.asarray(
        centred / divisor * machine.weights[f"{name}.w"] + machine.weights[f"{name}.b"]
    )


def embed(machine: Machine, tokens: Tokens) -> Array:
    """The input's output."""
    w = machine.weights
    return np.asarray(w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: tokens.shape[1]])


def head(machine: Machine, node: str, q: Array, k: Array, v: Array) -> tuple[Array, Array]:
    """A head's output without b_O and its attention, from the residuals its channels read."""
    layer, index = (int(word[1:]) for word in node.split("."))
    w = {kind: machine.weights[f"blocks.{layer}.attn.{kind}"][index] for kind in _HEAD}
    name = f"blocks.{layer}.ln1"
    query = norm(machine, q, name) @ w["W_Q"] + w["b_Q"]
    key = norm(machine, k, name) @ w["W_K"] + w["b_K"]
    value = norm(machine, v, name) @ w["W_V"] + w["b_V"]
    scores = query @ key.transpose(0, 2, 1)
    length = scores.shape[1]
    scores = np.where(np.tril(np.ones((length, length), dtype=bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    attention = weights / weights.sum(-1, keepdims=True)
    return attention @ value @ w["W_O"], attention


_HEAD = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V", "W_O")


def mlp(machine: Machine, node: str, x: Array) -> Array:
    """An MLP's output, from the residual it reads."""
    w, block = machine.weights, f"blocks.{node[1:]}"
    hidden = norm(machine, x, f"{block}.ln2") @ w[f"{block}.mlp.W_in"] + w[f"{block}.mlp.b_in"]
    return np.asarray(np.maximum(hidden, 0) @ w[f"{block}.mlp.W_out"] + w[f"{block}.mlp.b_out"])


def unembed(machine: Machine, x: Array) -> Array:
    """Logits of a residual."""
    w = machine.weights
    return np.asarray(norm(machine, x, "ln_final") @ w["unembed.W_U"] + w["unembed.b_U"])


def constant(machine: Machine, node: str) -> Array:
    """What belongs to no sender: b_O of the layers whose attention `node` reads."""
    above = depth(node)
    found = np.zeros(machine.d_model)
    for layer in range(machine.n_layers):
        if layer < above:
            found = found + machine.weights[f"blocks.{layer}.attn.b_O"]
    return found


def run(
    machine: Machine,
    tokens: Tokens,
    written: Written | None = None,
    held: Held | None = None,
) -> Forward:
    """A run by nodes: outputs replaced where they are written, all else recomputed."""
    written, held = written or {}, held or {}
    out: dict[str, Array] = {}
    attention: dict[str, Array] = {}
    stream = np.zeros((*tokens.shape, machine.d_model))

    def read(node: str, channel: str) -> Array:
        # heads of one layer do not see each other, so what they add waits in `out`
        x = stream + constant(machine, node)
        if (node, channel) in held:
            mask, values = held[node, channel]
            x = np.where(mask[..., None], values, x)
        return x

    def write(node: str, value: Array) -> Array:
        if node in written:
            mask, values = written[node]
            value = np.where(mask[..., None], values, value)
        out[node] = value
        return value

    stream = stream + write("input", embed(machine, tokens))
    for layer in range(machine.n_layers):
        added = np.zeros_like(stream)
        for index in range(machine.n_heads):
            node = f"a{layer}.h{index}"
            value, attention[node] = head(machine, node, *(read(node, c) for c in "qkv"))
            added = added + write(node, value)
        stream = stream + added
        if machine.d_mlp is not None:
            node = f"m{layer}"
            stream = stream + write(node, mlp(machine, node, read(node, "in")))
    final = read("logits", "")
    return Forward(out=out, attention=attention, final=final, logits=unembed(machine, final))


def run_edges(
    machine: Machine, tokens: Tokens, edges: Live, cut: Values, *, all_but: bool = False
) -> Forward:
    """A run by edges: every channel reads senders live along `edges`, all others at `cut`.

    `all_but` turns it round: live everywhere but along `edges`.
    """
    out: dict[str, Array] = {"input": embed(machine, tokens)}
    attention: dict[str, Array] = {}
    shape = (*tokens.shape, machine.d_model)

    def read(node: str, channel: str) -> Array:
        x = np.zeros(shape) + constant(machine, node)
        for sender, value in out.items():
            if depth(sender) >= depth(node):
                continue
            mask = edges.get((sender, node, channel))
            if mask is None:
                x = x + (value if all_but else cut[sender])
            else:
                live = ~mask if all_but else mask
                x = x + np.where(live[..., None], value, cut[sender])
        return x

    for node in senders(machine)[1:]:
        if node[0] == "m":
            out[node] = mlp(machine, node, read(node, "in"))
        else:
            out[node], attention[node] = head(machine, node, *(read(node, c) for c in "qkv"))
    final = read("logits", "")
    return Forward(out=out, attention=attention, final=final, logits=unembed(machine, final))


def run_path(
    machine: Machine,
    tokens: Tokens,
    other: Values,
    paths: Mapping[str, Mask],
    receivers: Mapping[tuple[str, str], Mask],
    *,
    through_mlps: bool,
) -> Forward:
    """Path patching: `paths` are the senders and where, `other` their values on the counterfactual.

    Pass 1 freezes all heads at their clean values, and MLPs too unless `through_mlps`; pass 2 holds
    what the receivers read there.
    """
    clean = run(machine, tokens)
    everywhere = np.ones(tokens.shape, dtype=bool)
    frozen: dict[str, tuple[Mask, Array]] = {}
    for node in senders(machine)[1:]:
        if node[0] == "a" or not through_mlps:
            frozen[node] = (everywhere, clean.out[node])
    for node, mask in paths.items():
        kept = clean.out[node]
        if node[0] == "m" and through_mlps:
            frozen[node] = (mask, other[node])
        else:
            frozen[node] = (everywhere, np.where(mask[..., None], other[node], kept))
    first = run(machine, tokens, frozen)
    held = {}
    for (node, channel), mask in receivers.items():
        x = np.zeros_like(first.final) + constant(machine, node)
        for sender, value in first.out.items():
            if depth(sender) < depth(node):
                x = x + value
        held[node, channel] = (mask, x)
    return run(machine, tokens, held=held)
