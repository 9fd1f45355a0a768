"""The reference: every intervention, written as its definition reads, on one forward pass.

Nodes are tuples: ``("input",)``, ``("head", layer, head)``, ``("mlp", layer)``; receivers are the
heads with channels ``"q" "k" "v"``, the MLPs with ``"in"``, and ``("logits",)`` with ``"in"``.
Tokens are integer tensors [batch, pos] of equal-length prompts; masks are bool [batch, pos];
values of a node are [batch, pos, d_model].

Conventions. A head's output is its contribution through W_O without b_O; an MLP's output is its
module's output, its own output bias included; every b_O is a constant that belongs to no sender.
Channel values q, k, v are [batch, pos, d_head] after projection and bias, before the q/k norm of
models that have one (Qwen3) and before rotary; the ``"in"`` channel of an MLP and of the logits
is the residual before the norm. Holding a channel on either side of a norm or of rotary is the
same thing: both act on each position by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .architectures import SlowModel

Node = tuple
Masks = Mapping[Node, Tensor]
Values = Mapping[Node, Tensor]

INPUT: Node = ("input",)
LOGITS: Node = ("logits",)


def head(layer: int, index: int) -> Node:
    return ("head", layer, index)


def mlp(layer: int) -> Node:
    return ("mlp", layer)


# ------------------------------------------------------------------ the graph


def senders(model: SlowModel) -> list[Node]:
    """Every sender, in the order of computation."""
    return upstream(model, LOGITS)


def receivers(model: SlowModel) -> list[tuple[Node, str]]:
    """Every (receiver, channel)."""
    found = []
    for node in senders(model)[1:]:
        found += [(node, c) for c in (("q", "k", "v") if node[0] == "head" else ("in",))]
    return [*found, (LOGITS, "in")]


def upstream(model: SlowModel, receiver: Node) -> list[Node]:
    """The senders that a receiver reads: lower layers; for an MLP its own layer's heads too."""
    layer = model.n_layers if receiver == LOGITS else receiver[1]
    found = [INPUT]
    for lower in range(layer):
        found += [head(lower, h) for h in range(model.n_heads)]
        if model.layers[lower].mlp is not None:
            found += [mlp(lower)]
    if receiver[0] == "mlp" and model.sequential:
        found += [head(layer, h) for h in range(model.n_heads)]
    return found


def constant(model: SlowModel, receiver: Node) -> Tensor:
    """What a receiver reads that belongs to no sender: the b_O of all it reads from, [d_model]."""
    layer = model.n_layers if receiver == LOGITS else receiver[1]
    total = torch.zeros(model.d_model, dtype=model.dtype)
    for lower in range(layer):
        total = total + model.layers[lower].b_O
    if receiver[0] == "mlp" and model.sequential:
        total = total + model.layers[layer].b_O
    return total


# ------------------------------------------------------------------ the forward pass


class Hooks:
    """What an intervention may change. This one changes nothing."""

    def sender(self, node: Node, value: Tensor) -> Tensor:
        """The output of a sender [batch, pos, d_model]; return what its readers are to see."""
        return value

    def residual(
        self, receiver: Node, channel: str, live: dict[Node, Tensor], const: Tensor
    ) -> Tensor:
        """What one receiver channel reads, from the upstream senders' outputs and the constants."""
        total = const + live[INPUT]
        for node, value in live.items():
            if node != INPUT:
                total = total + value
        return total

    def channel(self, receiver: Node, channel: str, value: Tensor) -> Tensor:
        """The value of a channel (see the module's docstring); return what is to be used."""
        return value


@dataclass
class Run:
    """Everything that a forward pass computed and used, after the hooks."""

    tokens: Tensor
    senders: dict[Node, Tensor] = field(default_factory=dict)  # [batch, pos, d_model]
    residuals: dict[tuple[Node, str], Tensor] = field(default_factory=dict)  # before the norm
    channels: dict[tuple[Node, str], Tensor] = field(default_factory=dict)
    patterns: dict[Node, Tensor] = field(default_factory=dict)  # head -> [batch, query, key]
    logits: Tensor = None  # [batch, pos, vocab]

    @property
    def final_residual(self) -> Tensor:
        """What the final norm and the unembedding were applied to: [batch, pos, d_model]."""
        return self.channels[LOGITS, "in"]


@torch.no_grad()
def run(model: SlowModel, tokens: Tensor, hooks: Hooks | None = None) -> Run:
    """One forward pass, head by head, every receiver channel with a residual of its own."""
    hooks = hooks or Hooks()
    out = Run(tokens=tokens)

    def read(receiver: Node, channel: str) -> Tensor:
        live = {node: out.senders[node] for node in upstream(model, receiver)}
        x = hooks.residual(receiver, channel, live, constant(model, receiver))
        out.residuals[receiver, channel] = x
        return x

    out.senders[INPUT] = hooks.sender(INPUT, model.embed(tokens))
    for index, layer in enumerate(model.layers):
        for h in range(model.n_heads):
            node = head(index, h)
            for c in "qkv":
                value = layer.attention_norm(read(node, c)) @ layer.W[c][h] + layer.b[c][h]
                out.channels[node, c] = hooks.channel(node, c, value)
            q, k, v = (out.channels[node, c] for c in "qkv")
            out.patterns[node] = model.pattern(index, q, k)
            out.senders[node] = hooks.sender(node, out.patterns[node] @ v @ layer.W_O[h])
        if layer.mlp is not None:
            node = mlp(index)
            x = out.channels[node, "in"] = hooks.channel(node, "in", read(node, "in"))
            out.senders[node] = hooks.sender(node, layer.mlp(layer.mlp_norm(x)))
    x = out.channels[LOGITS, "in"] = hooks.channel(LOGITS, "in", read(LOGITS, "in"))
    out.logits = model.unembed(x)
    return out


def where(mask: Tensor, there: Tensor, elsewhere: Tensor) -> Tensor:
    """``there`` where the mask [batch, pos] is true, ``elsewhere`` where it is false."""
    return torch.where(mask[..., None], there, elsewhere)


def everywhere(tokens: Tensor) -> Tensor:
    """The mask that is true at every position of every prompt."""
    return torch.ones_like(tokens, dtype=torch.bool)


# ------------------------------------------------------------------ ablation


class ByNodes(Hooks):
    """Live where the mask says, the ablation value elsewhere; ``input`` is always live."""

    def __init__(self, live: Masks, values: Values) -> None:
        self.live, self.values = live, values

    def sender(self, node: Node, value: Tensor) -> Tensor:
        if node == INPUT:
            return value
        if node not in self.live:
            return self.values[node].expand_as(value)
        return where(self.live[node], value, self.values[node])


class ByEdges(Hooks):
    """Every channel at every position has its own mix of live senders and ablation values.

    ``edges``: (sender, receiver, channel, mask of the positions where it is read). They are the
    live ones (``cut=False``: the circuit is these and nothing else) or the cut ones (``cut=True``:
    the whole model but for these).
    """

    def __init__(self, edges: Iterable[tuple], values: Values, cut: bool = False) -> None:
        self.named: dict[tuple, Tensor] = {}
        for sender, receiver, channel, mask in edges:
            edge = (sender, receiver, channel)
            self.named[edge] = self.named[edge] | mask if edge in self.named else mask
        self.values, self.cut = values, cut

    def residual(
        self, receiver: Node, channel: str, live: dict[Node, Tensor], const: Tensor
    ) -> Tensor:
        total = const
        for sender, value in live.items():
            named = self.named.get((sender, receiver, channel))
            if named is None:
                named = torch.zeros(value.shape[:2], dtype=torch.bool)
            is_live = ~named if self.cut else named
            if is_live.all():
                total = total + value
            else:
                total = total + where(is_live, value, self.values[sender])
        return total


class Replace(Hooks):
    """Write values of senders {node: (mask, value)} and of channels {(node, c): (mask, value)}."""

    def __init__(self, nodes: Mapping | None = None, channels: Mapping | None = None) -> None:
        self.nodes, self.channels = nodes or {}, channels or {}

    def sender(self, node: Node, value: Tensor) -> Tensor:
        return where(*self.nodes[node], value) if node in self.nodes else value

    def channel(self, receiver: Node, channel: str, value: Tensor) -> Tensor:
        key = (receiver, channel)
        return where(*self.channels[key], value) if key in self.channels else value


def ablate_by_nodes(model: SlowModel, tokens: Tensor, live: Masks, values: Values) -> Tensor:
    """The circuit by nodes: a head or MLP is live exactly where its mask is true. -> logits."""
    return run(model, tokens, ByNodes(live, values)).logits


def cut_nodes(model: SlowModel, tokens: Tensor, cut: Masks, values: Values) -> Tensor:
    """M without K, by nodes: the whole model but for the nodes where their mask is true."""
    return run(model, tokens, Replace({n: (m, values[n]) for n, m in cut.items()})).logits


def ablate_by_edges(
    model: SlowModel, tokens: Tensor, live_edges: Iterable[tuple], values: Values
) -> Tensor:
    """The circuit by edges: (sender, receiver, channel, mask where it is read). -> logits."""
    return run(model, tokens, ByEdges(live_edges, values)).logits


def cut_edges(model: SlowModel, tokens: Tensor, cut: Iterable[tuple], values: Values) -> Tensor:
    """M without K, by edges: the whole model but for these edges at these positions."""
    return run(model, tokens, ByEdges(cut, values, cut=True)).logits


def all_edges(model: SlowModel, tokens: Tensor) -> list[tuple]:
    """Every edge of the graph, at every position."""
    return [
        (sender, receiver, channel, everywhere(tokens))
        for receiver, channel in receivers(model)
        for sender in upstream(model, receiver)
    ]


# ------------------------------------------------------------------ ablation values


def zero_values(model: SlowModel, tokens: Tensor) -> dict[Node, Tensor]:
    """Zero for every sender: [batch, pos, d_model]."""
    return {node: torch.zeros_like(model.embed(tokens)) for node in senders(model)}


def run_values(model: SlowModel, tokens: Tensor) -> dict[Node, Tensor]:
    """Every sender's output in an unmodified run: resample and counterfactual values, by row."""
    return run(model, tokens).senders


def mean_values(
    model: SlowModel, reference: Mapping[str, Tensor], over: str
) -> dict[str, dict[Node, Tensor]]:
    """Mean outputs over reference prompts: template -> node -> [pos, d_model].

    ``reference``: template -> tokens [prompts, pos]. ``over="template"``: per template and token
    index; ``"position"``: per token index, all prompts of all templates alike, which must have
    one length; ``"batch"``: one vector, the mean over all tokens of all prompts, the same at every
    index. ``spread`` turns one template's entry into values for a batch.
    """
    outputs = {t: run(model, tokens).senders for t, tokens in reference.items()}
    lengths = {t: tokens.shape[1] for t, tokens in reference.items()}
    if over == "template":
        return {t: {n: v.mean(0) for n, v in out.items()} for t, out in outputs.items()}
    if over == "position":
        if len(set(lengths.values())) != 1:
            raise ValueError("`over position` needs templates of equal length")
        pooled = {n: torch.cat([o[n] for o in outputs.values()]).mean(0) for n in senders(model)}
        return dict.fromkeys(reference, pooled)
    if over == "batch":
        rows = {
            n: torch.cat([o[n].flatten(0, 1) for o in outputs.values()]) for n in senders(model)
        }
        return {
            t: {n: r.mean(0).expand(lengths[t], -1) for n, r in rows.items()} for t in reference
        }
    raise ValueError(f"unknown mean: {over!r}")


def spread(means: Mapping[str, Mapping[Node, Tensor]], templates: list[str]) -> dict[Node, Tensor]:
    """Mean values for a batch whose row i is of ``templates[i]``: node -> [batch, pos, d_model]."""
    return {n: torch.stack([means[t][n] for t in templates]) for n in means[templates[0]]}


# ------------------------------------------------------------------ patching


def activation_patch(
    model: SlowModel, x: Tensor, x_prime: Tensor, nodes: Masks, given: Mapping | None = None
) -> Tensor:
    """Run x; write the nodes' values from x' where their masks are true; recompute all else.

    ``given`` {node: (mask, value)}: further replacements, active in the run on x' as well.
    """
    source = run(model, x_prime, Replace(given)).senders
    patched = {node: (mask, source[node]) for node, mask in nodes.items()}
    return run(model, x, _Both(Replace(given), Replace(patched))).logits


def path_patch(
    model: SlowModel,
    x: Tensor,
    x_prime: Tensor,
    senders: Masks,
    receivers: Iterable[tuple[Node, str, Tensor]],
    through: str,
    given: Mapping | None = None,
) -> Tensor:
    """Path patching in two passes, as in the IOI paper's code. -> logits of pass 2.

    Pass 1: x with all heads frozen at their clean values, the senders where their masks are true
    from x', MLPs recomputed (``through="mlps"``) or frozen (``"direct"``), norms recomputed. Each
    receiver (node, channel, mask) is read. Pass 2: x with those values written and held where the
    receivers' masks are true; all else recomputed, the senders too.
    ``given`` {node: (mask, value)}: further replacements. They make another model, so they are
    active in every run: both passes, and the runs that clean and x' values are taken from.
    """
    hooks_given = Replace(given)
    clean = run(model, x, hooks_given).senders
    source = run(model, x_prime, hooks_given).senders

    frozen = {
        node: (everywhere(x), clean[node])
        for node in clean
        if node[0] == "head" or (node[0] == "mlp" and {"direct": True, "mlps": False}[through])
    }
    patched = {node: (mask, source[node]) for node, mask in senders.items()}
    pass_1 = run(model, x, _Both(hooks_given, Replace(frozen), Replace(patched)))

    held = {}
    for node, channel, mask in receivers:
        if (node, channel) in held:
            mask = mask | held[node, channel][0]
        held[node, channel] = (mask, pass_1.channels[node, channel])
    return run(model, x, _Both(hooks_given, Replace(channels=held))).logits


class _Both(Hooks):
    """Several replacements, the later over the earlier."""

    def __init__(self, *hooks: Replace) -> None:
        self.hooks = hooks

    def sender(self, node: Node, value: Tensor) -> Tensor:
        for hooks in self.hooks:
            value = hooks.sender(node, value)
        return value

    def channel(self, receiver: Node, channel: str, value: Tensor) -> Tensor:
        for hooks in self.hooks:
            value = hooks.channel(receiver, channel, value)
        return value


def noised(model: SlowModel, tokens: Tensor, noise: Tensor, restore: Masks | None = None) -> Tensor:
    """Causal tracing: ``noise`` [batch, pos, d_model] is added to the embeddings (zero where none
    is wanted); ``restore`` puts clean values back where its masks are true. -> logits."""
    clean = run(model, tokens).senders
    replaced = {INPUT: (everywhere(tokens), clean[INPUT] + noise)}
    restored = {node: (mask, clean[node]) for node, mask in (restore or {}).items()}
    return run(model, tokens, _Both(Replace(replaced), Replace(restored))).logits


def embedding_sd(model: SlowModel, token_ids: Tensor) -> float:
    """The standard deviation (n - 1) of all entries of these tokens' embeddings, as in ROME."""
    return float(model.W_E[token_ids].std())
