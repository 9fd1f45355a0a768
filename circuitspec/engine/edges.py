"""Ablation by edges: every receiver channel at every position reads its own mix of senders.

The mix is the residual stream of one value (ablated, or live) for all senders, plus the difference
for the few senders whose edge says otherwise. Channels that read the same edges share a mix, so
the cost grows with the number of distinct mixes and not with that of receivers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.apart import apart
from circuitspec.engine.batches import Batch, indices_at
from circuitspec.engine.forward import Edits, Written
from circuitspec.engine.runs import LiveEdges, Touched
from circuitspec.engine.sources import Outputs
from circuitspec.hypothesis.records import Edge
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    INPUT,
    LOGITS,
    Channel,
    Head,
    HeadIndex,
    Input,
    Layer,
    Logits,
    Mlp,
    Position,
    is_upstream,
)
from circuitspec.model.weights import BlockWeights, Weights
from circuitspec.task.records import Prompt

Sender = Input | Head | Mlp
Terms = frozenset[tuple[Sender, Position]]
"""Which senders a channel reads against the rule, and where."""

LITTLE = 0.1
"""What is left of a stream, as a share of its length, below which a difference is not trusted."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgeTrace:
    """What a run by edges gave: final residual [B, T, W], and what was asked for besides.

    `patterns` [B, T, T] by head; `sent` [B, T, W] by sender: what the logits read of it.
    """

    final: Tensor
    patterns: dict[Head, Tensor]
    sent: dict[Sender, Tensor]
    touched: Touched


def forward_edges(
    weights: Weights,
    batch: Batch,
    live: LiveEdges,
    ablated: Outputs,
    given: Edits,
    clean: Outputs | None = None,
    *,
    patterns: Collection[Head] = (),
    sent: Collection[Sender] = (),
) -> EdgeTrace:
    """`batch` with `live` edges; `ablated` are the values of senders read along cut edges.

    `given` are knock-outs that hold throughout: they change what the senders' live values are.
    `clean` are the outputs without any cut: what the cut changes is counted against them.
    """
    mixer = _Mixer(weights, batch, live, ablated)
    embedded = given.write(kernels.embed(weights, batch.tokens), given.inputs)
    mixer.emit(INPUT, embedded)
    mixer.add(embedded, ablated.input)
    kept: dict[Head, Tensor] = {}
    for layer, block in enumerate(weights.blocks):
        if block.b_o is not None:
            constant = block.b_o
        else:
            constant = weights.embed.new_zeros(weights.shape.d_model)
        z, pattern, heads = _live_heads(weights, Layer(layer), block, mixer, given, patterns)
        for column, index in enumerate(heads):
            head = Head(Layer(layer), HeadIndex(index))
            if head in patterns:
                kept[head] = pattern[:, column]
            mixer.emit(head, z[:, :, column])
        cut = kernels.attention_output(block, ablated.z[layer]) + constant
        attention = kernels.attention_output(block, z) + constant if live.all_but else cut
        if block.mlp is None:
            mixer.add(attention, cut)
            continue
        if not weights.shape.parallel:
            mixer.add(attention, cut)
        mlp = Mlp(Layer(layer))
        without = ablated.value(mlp)
        out = without
        if live.all_but or mlp in mixer.senders or mlp in mixer.receivers:
            assert block.ln2 is not None
            x = mixer.read(mlp, "in")
            out = kernels.mlp_output(block.mlp, block.ln2(x))
            out = given.write(out, given.mlps.get(layer, ()))
            mixer.emit(mlp, out)
        if weights.shape.parallel:
            mixer.add(attention, cut)
        mixer.add(out, without)
    final = mixer.read(LOGITS, "")
    return EdgeTrace(
        final,
        kept,
        {sender: mixer.read_by_logits(sender) for sender in sent},
        Touched(written=mixer.written) + _changed(mixer, clean),
    )


class _Mixer:
    """The residual stream under the rule, and every mix of it that a channel reads."""

    def __init__(self, weights: Weights, batch: Batch, live: LiveEdges, ablated: Outputs) -> None:
        self.weights = weights
        self.batch = batch
        self.all_but = live.all_but
        self.ablated = ablated
        zero = torch.zeros_like(ablated.input)
        self.stream, self.cut_stream = zero, zero
        self.values: dict[Sender, Tensor] = {}
        self.differences: dict[Sender, Tensor] = {}
        self.masks: dict[Position, Tensor] = {}
        self.written = 0
        self.senders: set[Sender] = set()
        self.receivers: set[Head | Mlp | Logits] = set()
        gathered: dict[tuple[Head | Mlp | Logits, Channel], set[tuple[Sender, Position]]] = {}
        for edge in live.edges:
            key = (edge.receiver, edge.channel)
            gathered.setdefault(key, set()).add((edge.sender, edge.position))
            self.senders.add(edge.sender)
            self.receivers.add(edge.receiver)
        self.terms = {key: frozenset(terms) for key, terms in gathered.items()}

    def emit(self, sender: Sender, value: Tensor) -> None:
        """Remember the live value of `sender`: z of a head [B, T, D], else [B, T, W]."""
        if self.all_but or sender in self.senders:
            self.values[sender] = value

    def add(self, live: Tensor, cut: Tensor) -> None:
        """Let the stream go on past some senders or constants."""
        if self.all_but:
            self.stream = self.stream + live
            self.cut_stream = self.cut_stream + cut
        else:
            self.stream = self.stream + cut

    def exceptions(self, receiver: Head | Mlp | Logits, channel: Channel) -> Terms:
        """What `channel` reads against the rule."""
        return self.terms.get((receiver, channel), frozenset())

    def read(self, receiver: Head | Mlp | Logits, channel: Channel) -> Tensor:
        """The residual input of one channel [B, T, W]."""
        return self.mix(self.exceptions(receiver, channel), [receiver])

    def mix(self, terms: Terms, receivers: list[Head | Mlp | Logits]) -> Tensor:
        """The residual input of channels with the same exceptions, of `receivers` of one depth.

        Where most of what is read is cut from a live stream, or little is left of it, what is left
        is summed and not subtracted: the residue of a difference of large sums would be blown up by
        a norm.
        """
        masks = {sender: self.mask(positions) for sender, positions in _by_sender(terms).items()}
        self.written += len(receivers) * sum(int(mask.sum()) for mask in masks.values())
        x = self.stream
        if not masks:
            return x
        if not self.all_but:
            for sender, mask in masks.items():
                x = x + torch.where(mask[..., None], self.difference(sender), 0.0)
            return x
        upstream = [s for s in self.values if self._reads(receivers[0], s)]
        cut = torch.stack(list(masks.values())).sum(0)
        mostly = cut * 2 > len(upstream)
        for sender, mask in masks.items():
            x = x - torch.where((mask & ~mostly)[..., None], self.difference(sender), 0.0)
        little = x.norm(dim=-1) < LITTLE * self.stream.norm(dim=-1)
        summed = mostly | (little & (cut > 0))
        if not bool(summed.any()):
            return x
        x = torch.where(summed[..., None], self.cut_stream, x)
        none = torch.zeros_like(summed)
        for sender in upstream:
            kept = ~masks.get(sender, none) & summed
            x = x + torch.where(kept[..., None], self.difference(sender), 0.0)
        return x

    def difference(self, sender: Sender) -> Tensor:
        """Live less ablated value of `sender`, as it adds to the stream: [B, T, W]."""
        if sender in self.differences:
            return self.differences[sender]
        difference = self.values[sender] - self.ablated.value(sender)
        if isinstance(sender, Head):
            difference = difference @ self.weights.blocks[sender.layer].w_o[sender.index]
        if sender in self.senders:
            self.differences[sender] = difference
        return difference

    def read_by_logits(self, sender: Sender) -> Tensor:
        """What the logits read of `sender`: [B, T, W]."""
        named = [position for s, position in self.exceptions(LOGITS, "") if s == sender]
        cut = self.ablated.contribution(self.weights, sender)
        if not self.all_but and not named:
            return cut
        live = cut + self.difference(sender)
        if not named:
            return live
        exception, rule = (cut, live) if self.all_but else (live, cut)
        return torch.where(self.mask(named)[..., None], exception, rule)

    def mask(self, positions: Iterable[Position]) -> Tensor:
        """Where any of `positions` falls: bool [B, T]."""
        total = torch.zeros_like(self.batch.tokens, dtype=torch.bool)
        for position in positions:
            if position not in self.masks:
                self.masks[position] = self.batch.mask(position)
            total = total | self.masks[position]
        return total

    def _reads(self, receiver: Head | Mlp | Logits, sender: Sender) -> bool:
        return is_upstream(sender, receiver, parallel=self.weights.shape.parallel)


def _by_sender(terms: Terms) -> dict[Sender, list[Position]]:
    """Positions by sender, in an order that does not depend on hashing."""
    found: dict[Sender, list[Position]] = {}
    for sender, position in sorted(terms, key=str):
        found.setdefault(sender, []).append(position)
    return found


def _live_heads(
    weights: Weights,
    layer: Layer,
    block: BlockWeights,
    mixer: _Mixer,
    given: Edits,
    watched: Collection[Head],
) -> tuple[Tensor, Tensor, list[int]]:
    """z [B, T, H, D], pattern [B, H, T, T] of the heads that must be computed, and which they are.

    Under `all_but` that is every head; else senders and receivers of live edges, and those whose
    attention is read.
    """
    b, t = mixer.batch.tokens.shape
    heads = [Head(layer, HeadIndex(index)) for index in range(weights.shape.n_heads)]
    wanted = [
        int(head.index)
        for head in heads
        if mixer.all_but or head in mixer.senders or head in mixer.receivers or head in watched
    ]
    if not wanted:
        z = weights.embed.new_zeros(b, t, 0, weights.shape.d_head)
        return z, weights.embed.new_zeros(b, 0, t, t), []
    channels: dict[Channel, Tensor] = {}
    for channel in ("q", "k", "v"):
        by_terms: dict[Terms, list[int]] = {}
        for index in wanted:
            by_terms.setdefault(mixer.exceptions(heads[index], channel), []).append(index)
        columns: dict[int, Tensor] = {}
        for terms, indices in by_terms.items():
            normed = block.ln1(mixer.mix(terms, [heads[index] for index in indices]))
            picked = torch.tensor(indices, device=weights.device)
            value = kernels.project(block, channel, normed, picked)
            columns.update({index: value[:, :, i] for i, index in enumerate(indices)})
        channels[channel] = torch.stack([columns[index] for index in wanted], dim=2)
    z, pattern = kernels.attend(
        block, channels["q"], channels["k"], channels["v"], causal=weights.shape.causal
    )
    for mask, values, counted in given.heads.get(layer, ()):
        z = given.write(z, [Written(mask[:, :, wanted], values[:, :, wanted], counted)])
    return z, pattern, wanted


def _changed(mixer: _Mixer, clean: Outputs | None) -> Touched:
    """How many reads along cut edges have another value than without the cut, and by how much.

    With `all_but` the cut edges are the exceptions, else all others. What they replace is the clean
    value.
    """
    outputs = mixer.ablated
    differs: dict[Sender, Tensor] = {}
    largest = 0.0

    def compare(sender: Sender, value: Tensor, mask: Tensor | None = None) -> None:
        nonlocal largest
        sizes = apart(outputs.value(sender), value, "sent")
        differs[sender] = sizes > 0
        if mask is not None:
            sizes = sizes[mask]
        if sizes.numel():
            largest = max(largest, float(sizes.max()))

    changed = 0
    if clean is None:
        return Touched()
    if mixer.all_but:
        where: dict[Sender, Tensor] = {}
        for terms in mixer.terms.values():
            for sender, positions in _by_sender(terms).items():
                mask = mixer.mask(positions)
                where[sender] = where[sender] | mask if sender in where else mask
        for sender, mask in where.items():
            compare(sender, clean.value(sender), mask)
    else:
        shape = mixer.weights.shape
        for sender in senders_of(shape):
            compare(sender, clean.value(sender))
            changed += readers_of(sender, shape) * int(differs[sender].sum())
    sign = 1 if mixer.all_but else -1
    for terms in mixer.terms.values():
        for sender, positions in _by_sender(terms).items():
            changed += sign * int((differs[sender] & mixer.mask(positions)).sum())
    return Touched(changed=changed, largest=largest if changed else 0.0)


def senders_of(shape: ModelShape) -> list[Sender]:
    """Every sender of a model, in the order of computation."""
    found: list[Sender] = [INPUT]
    for layer in range(shape.n_layers):
        found += [Head(Layer(layer), HeadIndex(index)) for index in range(shape.n_heads)]
        if shape.has_mlps:
            found.append(Mlp(Layer(layer)))
    return found


def readers_of(sender: Sender, shape: ModelShape) -> int:
    """How many receiver channels read `sender`: three of each later head, MLPs, the logits."""
    above = shape.n_layers if isinstance(sender, Input) else shape.n_layers - 1 - sender.layer
    count = 1 + above * (3 * shape.n_heads + shape.has_mlps)
    if isinstance(sender, Head) and shape.has_mlps and not shape.parallel:
        count += 1
    return count


def planned_edges(prompts: Iterable[Prompt], edges: Iterable[Edge]) -> int:
    """How many reads (edge, token, prompt) a run by edges is to treat against its rule.

    Reckoned from positions alone, apart from the executor; where labels of one edge overlap (`*`
    and `END`) a token counts once.
    """
    where: dict[tuple[Sender, Head | Mlp | Logits, Channel], list[Position]] = {}
    for edge in edges:
        where.setdefault((edge.sender, edge.receiver, edge.channel), []).append(edge.position)
    alike = Counter(frozenset(positions) for positions in where.values())
    return sum(
        count * len({index for position in positions for index in indices_at(prompt, position)})
        for prompt in prompts
        for positions, count in alike.items()
    )
