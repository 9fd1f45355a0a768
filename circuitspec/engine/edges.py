"""The forward pass by edges: every receiver channel at every position reads its own mix of senders.

The mix is the residual stream in which every sender that some edge names has its ablation value,
plus the differences of those that the channel reads live. It is a sum of what is read: were the
rest subtracted from a live stream, the residue would be blown up by a norm. All mixes of a layer
are one product of matrices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.apart import apart
from circuitspec.engine.batches import Batch, indices_at
from circuitspec.engine.compiled.values import take
from circuitspec.engine.edge_masks import (
    EdgeMasks,
    Exceptions,
    Receiver,
    Sender,
)
from circuitspec.engine.forward import Edits, Written
from circuitspec.engine.runs import Integers, LiveEdges, Touched
from circuitspec.engine.sources import Outputs
from circuitspec.hypothesis.records import Edge
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    INPUT,
    LOGITS,
    QKV,
    Channel,
    Head,
    HeadIndex,
    Input,
    Layer,
    Logits,
    Mlp,
    Position,
)
from circuitspec.model.weights import BlockWeights, Weights
from circuitspec.task.records import Prompt

AT_ONCE = 1024
"""Rows of residual inputs that are mixed and projected at once, over all channels."""


@dataclass(frozen=True, slots=True, eq=False)
class EdgeTrace:
    """What a run by edges gave: final residual [B, T, W], and what was asked for besides.

    `patterns` [B, T, T] by head; `sent` [B, T, W] by sender: what the logits read of it; `written`
    how many reads were treated against the rule.
    """

    final: Tensor
    patterns: dict[Head, Tensor]
    sent: dict[Sender, Tensor]
    written: int


def forward_edges(
    weights: Weights,
    batch: Batch,
    live: LiveEdges,
    ablated: Outputs,
    given: Edits,
    *,
    patterns: Collection[Head] = (),
    sent: Collection[Sender] = (),
) -> EdgeTrace:
    """`batch` with `live` edges; `ablated` are the values of senders read along cut edges.

    `given` are knock-outs that hold throughout: they change what the senders' live values are.
    """
    mixer = _Mixer(weights, batch, live, ablated)
    embedded = given.write(kernels.embed(weights, batch.tokens), given.inputs)
    mixer.send_input(embedded)
    kept: dict[Head, Tensor] = {}
    for layer, block in enumerate(weights.blocks):
        mlp = Mlp(Layer(layer)) if block.mlp is not None else None
        heads = _live_heads(weights, Layer(layer), block, mixer, given, patterns)
        kept |= heads.patterns
        x = None
        if mlp is not None and weights.shape.parallel and mixer.computes(mlp):
            x = mixer.read(mlp, "in")
        mixer.send_heads(layer, heads.indices, heads.z)
        if block.mlp is None or mlp is None:
            continue
        if not mixer.computes(mlp):
            mixer.send_mlp(mlp, None)
            continue
        if x is None:
            x = mixer.read(mlp, "in")
        assert block.ln2 is not None
        out = kernels.mlp_output(block.mlp, block.ln2(x))
        mixer.send_mlp(mlp, given.write(out, given.mlps.get(layer, ())))
    final = mixer.read(LOGITS, "")
    return EdgeTrace(
        final,
        kept,
        {sender: mixer.read_by_logits(sender) for sender in sent},
        mixer.written,
    )


class _Mixer:
    """The residual stream under the rule, and every mix of it that a channel reads.

    `base` [R, W] (rows are tokens of prompts) has the senders that edges name at their ablation
    values and all others as the rule has them; `differences` [S, R, W] what the former add if they
    are read live. `stream` is the stream of live values, where that is the rule.
    """

    def __init__(self, weights: Weights, batch: Batch, live: LiveEdges, ablated: Outputs) -> None:
        self.weights = weights
        self.all_but = live.all_but
        self.ablated = ablated
        self.masks = EdgeMasks(live.edges, batch, weights.shape)
        rows, width = batch.tokens.numel(), weights.shape.d_model
        self.base = ablated.input.new_zeros(rows, width)
        self.stream = self.base
        self.differences = self.base.new_empty(len(self.masks.senders), rows, width)
        self.known = 0
        self.live: dict[Sender, Tensor] = {}
        self.written = 0

    # ── what is sent ─────────────────────────────────────────────────────────────────────────

    def computes(self, node: Head | Mlp) -> bool:
        """Whether a node's live value is needed."""
        return self.all_but or node in self.masks.column or self.masks.reads(node)

    def send_input(self, embedded: Tensor) -> None:
        """Go on past the input, of its live value [B, T, W]."""
        self._send(INPUT, embedded, self.ablated.input)

    def send_mlp(self, mlp: Mlp, out: Tensor | None) -> None:
        """Go on past an MLP, of its live value [B, T, W] if that was computed."""
        self._send(mlp, out, self.ablated.value(mlp))

    def _send(self, sender: Sender, live: Tensor | None, cut: Tensor) -> None:
        cut = cut.flatten(0, 1)
        value = cut if live is None else live.flatten(0, 1)
        if self.all_but:
            self.stream = self.stream + value
        if live is not None:
            self.live[sender] = live
        if sender in self.masks.column:
            torch.sub(value, cut, out=self.differences[self.known])
            self.known += 1
        self.base = self.base + (value if self.all_but and not self._named(sender) else cut)

    def send_heads(self, layer: int, indices: Sequence[int], z: Tensor) -> None:
        """Go on past a layer's heads, of z [B, T, H, D] of those computed, and past b_O."""
        block, cut = self.weights.blocks[layer], self.ablated.z[layer]
        heads = [Head(Layer(layer), HeadIndex(index)) for index in indices]
        for column, head in enumerate(heads):
            self.live[head] = z[:, :, column]
        named = [i for i, head in enumerate(heads) if head in self.masks.column]
        picked = [indices[i] for i in named]
        base = cut
        if self.all_but:
            base = z.clone()
            base[:, :, named] = cut[:, :, picked]
            self.stream = self._past_heads(self.stream, block, z)
        self.base = self._past_heads(self.base, block, base)
        if named:
            moved = (z[:, :, named] - cut[:, :, picked]).flatten(0, 1).transpose(0, 1)
            into = self.differences[self.known : self.known + len(named)]
            torch.bmm(moved, block.w_o[picked], out=into)
            self.known += len(named)

    @staticmethod
    def _past_heads(stream: Tensor, block: BlockWeights, z: Tensor) -> Tensor:
        out = kernels.attention_output(block, z).flatten(0, 1) + stream
        return out if block.b_o is None else out + block.b_o

    def _named(self, sender: Sender) -> bool:
        return sender in self.masks.column

    # ── what is read ─────────────────────────────────────────────────────────────────────────

    def read(self, receiver: Receiver, channel: Channel) -> Tensor:
        """The residual input of one channel [B, T, W]."""
        exceptions = self.masks.reads_of(receiver, channel)
        self.count([exceptions])
        x = torch.empty_like(self.base)
        for rows, mixed in self.mixes([exceptions]):
            x[rows] = mixed[0]
        return x.view_as(self.ablated.input)

    def count(self, listed: Iterable[Exceptions]) -> None:
        """Note that channels with these exceptions are read."""
        self.written += sum(self.masks.written(each) for each in listed)

    def mixes(self, listed: Sequence[Exceptions]) -> Iterator[tuple[Tensor | slice, Tensor]]:
        """The residual inputs of channels with these exceptions, some rows at once: the rows, and
        [n, r, W].

        They read of all that has been sent: what a receiver does not see must be sent after. A few
        rows of all of them stay in the processor's caches until they are projected.
        """
        masks = np.stack([self.masks.matrix(each) for each in listed])[:, :, : self.known]
        at_once = max(1, AT_ONCE // len(listed))
        for i, each in enumerate(self.masks.classes):
            exceptions = masks[:, i]
            by_rule = np.flatnonzero(~exceptions.any(1) & self.all_but)
            live = ~exceptions if self.all_but else exceptions
            used = np.flatnonzero(live.any(0) & bool(len(by_rule) < len(listed)))
            if len(used) * 2 > self.known:
                used = np.arange(self.known)  # to pick the rest would take longer than to add 0 · x
            mask = torch.from_numpy(live[:, used]).to(self.base)
            for rows in each.portions(at_once):
                parts, base = self._differences(used, rows), self.base[rows]
                mixed = (mask @ parts.flatten(1)).view(len(listed), *base.shape).add_(base)
                if len(by_rule):
                    mixed[by_rule] = self.stream[rows]
                yield rows, mixed

    def _differences(self, used: Integers, rows: Tensor | slice) -> Tensor:
        """Those of some senders at some rows, a view where they are all of them: [s, r, W]."""
        if len(used) == self.known:
            return self.differences[: self.known, rows]
        if isinstance(rows, slice):
            return self.differences[: self.known, rows][used]
        return self.differences[torch.from_numpy(used).to(rows.device)[:, None], rows]

    def read_by_logits(self, sender: Sender) -> Tensor:
        """What the logits read of `sender`: [B, T, W]."""
        cut = self.ablated.contribution(self.weights, sender)
        column = self.masks.column.get(sender)
        against = None
        if column is not None:
            matrix = self.masks.matrix(self.masks.reads_of(LOGITS, ""))
            against = self.masks.rows(matrix[:, column])
        if against is None and not self.all_but:
            return cut
        live = self.live[sender]
        if isinstance(sender, Head):
            live = live @ self.weights.blocks[sender.layer].w_o[sender.index]
        if against is None:
            return live
        exception, rule = (cut, live) if self.all_but else (live, cut)
        return torch.where(against[..., None], exception, rule)


@dataclass(frozen=True, slots=True, eq=False)
class _Heads:
    """The heads of a layer that must be computed: `indices`, their z [B, T, H, D], and the patterns
    [B, T, T] that are watched."""

    indices: list[int]
    z: Tensor
    patterns: dict[Head, Tensor]


def _live_heads(
    weights: Weights,
    layer: Layer,
    block: BlockWeights,
    mixer: _Mixer,
    given: Edits,
    watched: Collection[Head],
) -> _Heads:
    """The heads whose live value or attention is asked for: under `all_but` every head."""
    b, t = mixer.masks.batch.tokens.shape
    every = [Head(layer, HeadIndex(index)) for index in range(weights.shape.n_heads)]
    heads = [head for head in every if mixer.computes(head) or head in watched]
    wanted = [int(head.index) for head in heads]
    if not wanted:
        return _Heads([], weights.embed.new_zeros(b, t, 0, weights.shape.d_head), {})
    q, k, v = _projected(block, mixer, heads)
    z, pattern = kernels.attend(block, q, k, v, causal=weights.shape.causal)
    for mask, values, counted in given.heads.get(layer, ()):
        z = given.write(z, [Written(mask[:, :, wanted], values[:, :, wanted], counted)])
    return _Heads(
        wanted, z, {head: pattern[:, i] for i, head in enumerate(heads) if head in watched}
    )


def _projected(block: BlockWeights, mixer: _Mixer, heads: Sequence[Head]) -> list[Tensor]:
    """q, k and v of some heads of a layer, each from its own residual input: [B, T, H, D]."""
    indices = torch.tensor([head.index for head in heads], device=mixer.base.device)
    rows, (b, t) = len(mixer.base), mixer.masks.batch.tokens.shape
    shape = (rows, len(heads), block.w_q.shape[-1])
    found = [mixer.base.new_empty(shape) for _ in QKV]
    matrices = [kernels.of_heads(block, channel, indices) for channel in QKV]
    asked = [[mixer.masks.reads_of(head, channel) for head in heads] for channel in QKV]
    distinct = {each: i for i, each in enumerate(dict.fromkeys(e for own in asked for e in own))}
    which = [[distinct[each] for each in own] for own in asked]
    for every in asked:
        mixer.count(every)
    for some, mixed in mixer.mixes(list(distinct)):
        normed = block.ln1(mixed)
        for into, (matrix, bias), own in zip(found, matrices, which, strict=True):
            if len(set(own)) == 1:
                value = torch.einsum("rw,hwd->rhd", normed[own[0]], matrix)
            else:
                value = torch.bmm(take(normed, own), matrix).transpose(0, 1)
            into[some] = value if bias is None else value + bias
    return [each.view(b, t, *shape[1:]) for each in found]


def difference_bytes(live: LiveEdges, shape: ModelShape, rows: int, size: int) -> int:
    """Memory that the differences of named senders take, of `rows` rows of `size` bytes a number;
    with two streams, and what is mixed at once."""
    senders = len({edge.sender for edge in live.edges})
    return (senders + 8) * rows * shape.d_model * size


def cut_reads(
    live: LiveEdges, batch: Batch, shape: ModelShape, ablated: Outputs, clean: Outputs
) -> Touched:
    """How many reads along cut edges have another value than without the cut, and by how much.

    With `all_but` the cut edges are the exceptions, else all others. What they replace is the clean
    value.
    """
    masks = EdgeMasks(live.edges, batch, shape)
    sizes = _sizes(clean, ablated)
    differs = masks.per_class([sizes[sender] > 0 for sender in masks.senders])
    reads = masks.readers()
    named = int((reads * differs.T).sum())
    if live.all_but:
        where = {s: sizes[s][masks.rows(reads[:, i] > 0)] for s, i in masks.column.items()}
        changed = named
    else:
        where = sizes
        changed = sum(readers_of(s, shape) * int((of > 0).sum()) for s, of in sizes.items()) - named
    largest = max((float(of.max()) for of in where.values() if of.numel()), default=0.0)
    return Touched(changed=changed, largest=largest if changed else 0.0)


def _sizes(clean: Outputs, ablated: Outputs) -> dict[Sender, Tensor]:
    """By how much each sender's ablation value differs from its clean value: [B, T]."""
    found: dict[Sender, Tensor] = {INPUT: apart(ablated.input, clean.input, "sent")}
    pairs = zip(ablated.z, clean.z, ablated.mlps, clean.mlps, strict=True)
    for layer, (new_z, old_z, new_mlp, old_mlp) in enumerate(pairs):
        by_head = apart(new_z, old_z, "sent").unbind(-1)
        for index, size in enumerate(by_head):
            found[Head(Layer(layer), HeadIndex(index))] = size
        if new_mlp is not None and old_mlp is not None:
            found[Mlp(Layer(layer))] = apart(new_mlp, old_mlp, "sent")
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
