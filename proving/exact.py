"""What every intervention gives, by weight algebra in float64: the figures that are known.

Written from the definitions alone (docs/semantics.md), without the package that is put to the
proof. Nodes have the names of the text: `input`, `a0.h1`, `m0`, `logits`. Prompts of a set have one
length T; arrays are [n, T, ...].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """A run: what each sender wrote, the attention [n, T, T] of heads that were computed, and the
    logits [n, T, vocab].

    `final` is the residual the logits were read from.
    """

    out: Values
    attention: Values
    final: Array
    logits: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One arrow of a path: senders and where they write, receivers with channels and where."""

    senders: Mapping[str, Mask]
    receivers: Mapping[tuple[str, str], Mask]


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
    """A head's output without b_O and its attention, from what its channels read, normed."""
    layer, index = (int(word[1:]) for word in node.split("."))
    w = {kind: machine.weights[f"blocks.{layer}.attn.{kind}"][index] for kind in _HEAD}
    query = _times(q, w["W_Q"]) + w["b_Q"]
    key = _times(k, w["W_K"]) + w["b_K"]
    value = _times(v, w["W_V"]) + w["b_V"]
    scores = query @ key.transpose(0, 2, 1)
    length = scores.shape[1]
    scores = np.where(np.tril(np.ones((length, length), dtype=bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    attention = weights / weights.sum(-1, keepdims=True)
    return _times(attention @ value, w["W_O"]), attention


def _times(x: Array, weight: Array) -> Array:
    """x @ weight as one product of matrices, which is several times faster than one a prompt."""
    return np.asarray((x.reshape(-1, x.shape[-1]) @ weight).reshape(*x.shape[:-1], -1))


_HEAD = ("W_Q", "W_K", "W_V", "b_Q", "b_K", "b_V", "W_O")


def mlp(machine: Machine, node: str, x: Array) -> Array:
    """An MLP's output, from the residual it reads."""
    w, block = machine.weights, f"blocks.{node[1:]}"
    read = norm(machine, x, f"{block}.ln2")
    hidden = _times(read, w[f"{block}.mlp.W_in"]) + w[f"{block}.mlp.b_in"]
    return _times(np.maximum(hidden, 0), w[f"{block}.mlp.W_out"]) + w[f"{block}.mlp.b_out"]


def unembed(machine: Machine, x: Array) -> Array:
    """Logits of a residual."""
    w = machine.weights
    return _times(norm(machine, x, "ln_final"), w["unembed.W_U"]) + w["unembed.b_U"]


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

    def channels(node: str, usual: Array) -> list[Array]:
        name = f"blocks.{node[1:].split('.')[0]}.ln1"
        return [norm(machine, read(node, c), name) if (node, c) in held else usual for c in "qkv"]

    def write(node: str, value: Array) -> Array:
        if node in written:
            mask, values = written[node]
            value = np.where(mask[..., None], values, value)
        out[node] = value
        return value

    stream = stream + write("input", embed(machine, tokens))
    for layer in range(machine.n_layers):
        added = np.zeros_like(stream)
        usual = norm(machine, stream + constant(machine, f"a{layer}.h0"), f"blocks.{layer}.ln1")
        for index in range(machine.n_heads):
            node = f"a{layer}.h{index}"
            if node in written and written[node][0].all():
                out[node] = written[node][1]  # whatever it would have been
            else:
                value, attention[node] = head(machine, node, *channels(node, usual))
                write(node, value)
            added = added + out[node]
        stream = stream + added
        if machine.d_mlp is not None:
            node = f"m{layer}"
            stream = stream + write(node, mlp(machine, node, read(node, "in")))
    final = read("logits", "")
    return Forward(out=out, attention=attention, final=final, logits=unembed(machine, final))


def run_edges(
    machine: Machine, tokens: Tokens, edges: Live, cut: Values, *, all_but: bool = False
) -> Array:
    """Logits by edges: every channel reads senders live along `edges`, all others at `cut`.

    `all_but` turns it round: live everywhere but along `edges`. Senders that nothing reads live are
    not computed.
    """
    nodes = senders(machine)
    read_by: dict[tuple[str, str], list[str]] = {}
    for sender, receiver, channel in edges:
        read_by.setdefault((receiver, channel), []).append(sender)
    needed = set(nodes) if all_but else _reached(edges)
    out: dict[str, Array] = {"input": embed(machine, tokens)}

    def usually(node: str) -> Array:
        """What a node reads if all senders are read as most are."""
        usual = out if all_but else cut
        x = np.zeros((*tokens.shape, machine.d_model)) + constant(machine, node)
        for sender in nodes:
            if depth(sender) < depth(node):
                x = x + usual[sender]
        return x

    def changed(node: str, channel: str, x: Array) -> Array:
        """What the named edges change of that."""
        for sender in read_by.get((node, channel), ()):
            change = cut[sender] - out[sender] if all_but else out[sender] - cut[sender]
            x = x + edges[sender, node, channel][..., None] * change
        return x

    for layer in range(machine.n_layers):
        base = usually(f"a{layer}.h0")
        name = f"blocks.{layer}.ln1"
        usual = norm(machine, base, name)
        for node in nodes:
            if node.startswith(f"a{layer}.") and node in needed:
                reads = [
                    norm(machine, changed(node, c, base), name) if (node, c) in read_by else usual
                    for c in "qkv"
                ]
                out[node], _ = head(machine, node, *reads)
        node = f"m{layer}"
        if node in nodes and node in needed:
            out[node] = mlp(machine, node, changed(node, "in", usually(node)))
    return unembed(machine, changed("logits", "", usually("logits")))


def _reached(edges: Live) -> set[str]:
    """Senders from which edges lead to the logits."""
    found = {"logits"}
    while True:
        more = {sender for sender, receiver, _ in edges if receiver in found} - found
        if not more:
            return found
        found |= more


def run_path(
    machine: Machine, tokens: Tokens, other: Values, hops: Sequence[Hop], *, through_mlps: bool
) -> Forward:
    """Path patching from the first hop's senders, whose values on the counterfactual are `other`.

    Pass 1 is made once a hop: into the receivers, which send on what they alone make of it. Pass 2
    holds what the last receivers read.
    """
    clean = run(machine, tokens)
    held: Held = {}
    for hop in hops:
        sent = _sent_on(machine, clean, held) if held else other
        held = _first_pass(machine, tokens, clean, sent, hop, through_mlps=through_mlps)
    return run(machine, tokens, held=held)


def _first_pass(
    machine: Machine,
    tokens: Tokens,
    clean: Forward,
    other: Values,
    hop: Hop,
    *,
    through_mlps: bool,
) -> Held:
    """What the receivers read with all heads frozen at their clean values, MLPs too unless
    `through_mlps`, and the senders at `other`."""
    everywhere = np.ones(tokens.shape, dtype=bool)
    frozen: dict[str, tuple[Mask, Array]] = {}
    for node in senders(machine)[1:]:
        if node[0] == "a" or not through_mlps:
            frozen[node] = (everywhere, clean.out[node])
    for node, mask in hop.senders.items():
        kept = clean.out[node]
        if node[0] == "m" and through_mlps:
            frozen[node] = (mask, other[node])
        else:
            frozen[node] = (everywhere, np.where(mask[..., None], other[node], kept))
    out = run(machine, tokens, frozen).out
    return {
        (node, channel): (mask, _residual(machine, node, out))
        for (node, channel), mask in hop.receivers.items()
    }


def _residual(machine: Machine, node: str, out: Values) -> Array:
    """What a node reads where all senders have these outputs."""
    total = sum(value for sender, value in out.items() if depth(sender) < depth(node))
    return np.asarray(total + constant(machine, node))


def _sent_on(machine: Machine, clean: Forward, held: Held) -> Values:
    """What each receiver puts out by itself: held channels as held, others as in the clean run.

    All other senders' outputs are clean.
    """
    found = dict(clean.out)
    for node in dict.fromkeys(node for node, _ in held):
        usual = _residual(machine, node, clean.out)

        def channel(name: str, node: str = node, usual: Array = usual) -> Array:
            if (node, name) not in held:
                return usual
            mask, x = held[node, name]
            return np.where(mask[..., None], x, usual)

        if node[0] == "m":
            found[node] = mlp(machine, node, channel("in"))
        else:
            layer = f"blocks.{node[1:].split('.')[0]}.ln1"
            found[node], _ = head(machine, node, *(norm(machine, channel(c), layer) for c in "qkv"))
    return found
