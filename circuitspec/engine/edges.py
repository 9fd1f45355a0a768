"""Ablation by edges: every receiver channel at every position reads its own mix of senders.

The mix is the residual stream of one value (ablated, or live) for all senders, plus (live −
ablated) for the few senders whose edge says otherwise. Channels that read the same edges share a
mix, so the cost grows with the number of distinct mixes and not with that of receivers.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch, indices_at
from circuitspec.engine.forward import Edits, Written
from circuitspec.engine.runs import EngineError, LiveEdges, Touched
from circuitspec.engine.sources import Outputs
from circuitspec.engine.writes import check_node
from circuitspec.hypothesis.records import Edge
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
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


class _Mixer:
    """The residual stream under the rule, and every mix of it that a channel reads."""

    def __init__(self, weights: Weights, batch: Batch, live: LiveEdges, ablated: Outputs) -> None:
        self.weights = weights
        self.batch = batch
        self.all_but = live.all_but
        self.ablated = ablated
        self.stream = torch.zeros_like(ablated.input)
        self.differences: dict[Sender, Tensor] = {}
        self.masks: dict[Position, Tensor] = {}
        self.touched = Touched()
        self.terms: dict[tuple[Head | Mlp | Logits, Channel], set[tuple[Sender, Position]]] = {}
        self.senders: set[Sender] = set()
        for edge in sorted(live.edges, key=str):
            key = (edge.receiver, edge.channel)
            self.terms.setdefault(key, set()).add((edge.sender, edge.position))
            self.senders.add(edge.sender)

    def read(self, receiver: Head | Mlp | Logits, channel: Channel) -> Terms:
        """The exceptions to the rule on `channel`."""
        return frozenset(self.terms.get((receiver, channel), ()))

    def mix(self, terms: Terms) -> Tensor:
        """The residual input under the rule with `terms` the other way round: [B, T, W]."""
        x = self.stream
        by_sender: dict[Sender, list[Position]] = {}
        for sender, position in sorted(terms, key=str):
            by_sender.setdefault(sender, []).append(position)
        for sender, positions in by_sender.items():
            mask = self.mask(positions)
            x = x + mask[..., None] * self.differences[sender]
        return x

    def mask(self, positions: list[Position]) -> Tensor:
        """Where any of `positions` falls: bool [B, T]."""
        for position in positions:
            if position not in self.masks:
                self.masks[position] = self.batch.mask(position)
        mask = self.masks[positions[0]]
        for position in positions[1:]:
            mask = mask | self.masks[position]
        return mask

    def emit(self, sender: Sender, live: Tensor) -> None:
        """Remember how the live value of `sender` [B, T, W] differs from its ablated one."""
        cut = self.ablated.contribution(self.weights, sender)
        difference = cut - live if self.all_but else live - cut
        if sender in self.senders:
            self.differences[sender] = difference

    def add(self, value: Tensor) -> None:
        """Let the stream go on past a layer's senders or a constant."""
        self.stream = self.stream + value


def forward_edges(
    weights: Weights, batch: Batch, live: LiveEdges, ablated: Outputs, given: Edits
) -> tuple[Tensor, Touched]:
    """Final residual [B, T, W] of `batch` with `live` edges, and what the cut changed.

    `ablated` are the values of senders read along cut edges; `given` are knock-outs that hold
    throughout: they change what the senders' live values are.
    """
    mixer = _Mixer(weights, batch, live, ablated)
    for sender in mixer.senders:
        check_node(sender, weights.shape)
    embedded = given.write(kernels.embed(weights, batch.tokens), given.inputs)
    mixer.emit(Input(), embedded)
    mixer.add(embedded if live.all_but else ablated.input)
    for layer, block in enumerate(weights.blocks):
        constant = block.b_o if block.b_o is not None else torch.zeros((), dtype=weights.dtype)
        z, heads = _live_heads(weights, Layer(layer), block, mixer, given)
        stream_z = z if live.all_but else ablated.z[layer]
        attention = kernels.attention_output(block, stream_z) + constant.to(weights.device)
        for position, index in enumerate(heads):
            head = Head(Layer(layer), HeadIndex(index))
            column = index if live.all_but else position
            mixer.emit(head, z[:, :, column] @ block.w_o[index])
        if block.mlp is None:
            mixer.add(attention)
            continue
        if not weights.shape.parallel:
            mixer.add(attention)
        mlp = Mlp(Layer(layer))
        cut = ablated.mlps[layer]
        assert cut is not None
        assert block.ln2 is not None
        out = cut
        if live.all_but or mlp in mixer.senders:
            x = mixer.mix(mixer.read(mlp, "in"))
            out = kernels.mlp_output(block.mlp, block.ln2(x))
            out = given.write(out, given.mlps.get(layer, ()))
            mixer.emit(mlp, out)
        if weights.shape.parallel:
            mixer.add(attention)
        mixer.add(out if live.all_but else cut)
    final = mixer.mix(mixer.read(LOGITS, ""))
    return final, _touched(mixer)


def _live_heads(
    weights: Weights, layer: Layer, block: BlockWeights, mixer: _Mixer, given: Edits
) -> tuple[Tensor, list[int]]:
    """z of the heads whose live value anyone reads, and which they are.

    Under `all_but` that is every head, z [B, T, H, D]; else only senders of live edges.
    """
    n_heads = weights.shape.n_heads
    sending = sorted(
        int(s.index) for s in mixer.senders if isinstance(s, Head) and s.layer == layer
    )
    wanted = list(range(n_heads)) if mixer.all_but else list(sending)
    device = weights.device
    if not wanted:
        b, t = mixer.batch.tokens.shape
        return weights.embed.new_zeros(b, t, 0, weights.shape.d_head), []
    channels: dict[Channel, Tensor] = {}
    for channel in ("q", "k", "v"):
        by_terms: dict[Terms, list[int]] = {}
        for index in wanted:
            terms = mixer.read(Head(layer, HeadIndex(index)), channel)
            by_terms.setdefault(terms, []).append(index)
        columns: dict[int, Tensor] = {}
        for terms, indices in by_terms.items():
            normed = block.ln1(mixer.mix(terms))
            picked = torch.tensor(indices, device=device)
            value = kernels.project(block, channel, normed, picked)
            columns.update({index: value[:, :, i] for i, index in enumerate(indices)})
        channels[channel] = torch.stack([columns[index] for index in wanted], dim=2)
    z, _ = kernels.attend(
        block, channels["q"], channels["k"], channels["v"], causal=weights.shape.causal
    )
    for mask, values, counted in given.heads.get(layer, ()):
        z = given.write(z, [Written(mask[:, :, wanted], values[:, :, wanted], counted)])
    return z, sending


def _touched(mixer: _Mixer) -> Touched:
    """Edges cut (or spared) that carry a difference, counted where they are read.

    One for each (edge, position, prompt). `changed` counts those whose live and ablated values
    differ: with `all_but`, the cut ones; else the live ones, whose difference from the ablated
    value is what makes the circuit more than the empty one.
    """
    written = changed = 0
    largest = 0.0
    norms: dict[Sender, Tensor] = {
        sender: difference.abs().amax(-1) for sender, difference in mixer.differences.items()
    }
    for terms in mixer.terms.values():
        for sender, position in terms:
            mask = mixer.mask([position])
            written += int(mask.sum())
            moved = norms[sender][mask]
            changed += int((moved > 0).sum())
            if moved.numel():
                largest = max(largest, float(moved.max()))
    return Touched(written=written, changed=changed, largest=largest)


def planned_edges(prompts: Iterable[Prompt], edges: Iterable[Edge]) -> int:
    """How many (edge, position, prompt) a run by edges is to treat against its rule.

    Overlapping labels (`*` and `END`) are counted as written, once each.
    """
    listed = list(edges)
    return sum(len(indices_at(p, e.position)) for p in prompts for e in listed)


def check_edges(edges: Iterable[Edge], shape: ModelShape) -> None:
    """Refuse edges that run backwards: they would be read as silently absent."""
    for edge in sorted(edges, key=str):
        if not is_upstream(edge.sender, edge.receiver, parallel=shape.parallel):
            raise EngineError(f"edge {edge} does not run forward")
