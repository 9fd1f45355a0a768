"""Where replaced values come from: zeros, means over a reference set, other prompts' runs."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch, batches
from circuitspec.engine.forward import Edits, Trace, Written, forward
from circuitspec.engine.noise import noise
from circuitspec.engine.plan.cost import residual_forward
from circuitspec.engine.runs import EngineError, Means, Noised, Rows, Source, Write, Zero
from circuitspec.language.nodes import Head, Input, Mlp
from circuitspec.model.weights import Weights
from circuitspec.task.records import PromptSet

RECORDINGS = 2 << 30
"""Bytes of recorded outputs to keep; beyond it the least recently used are computed again."""


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """A value for every sender on a batch: `input` and `mlps[l]` [B, T, W], `z[l]` [B, T, H, D].

    A head's value is z; its contribution is z @ W_O, which is linear, so means of z give means of
    contributions.
    """

    input: Tensor
    z: tuple[Tensor, ...]
    mlps: tuple[Tensor | None, ...]

    @staticmethod
    def of(trace: Trace) -> Outputs:
        """The outputs that a forward pass computed."""
        return Outputs(trace.input, trace.z, trace.mlps)

    def map(self, change: Callable[[Tensor], Tensor]) -> Outputs:
        """Every tensor changed alike."""
        return Outputs(
            change(self.input),
            tuple(change(z) for z in self.z),
            tuple(None if m is None else change(m) for m in self.mlps),
        )

    def value(self, sender: Input | Head | Mlp) -> Tensor:
        """A sender's own value: z [B, T, D] of a head, else what it adds to the stream."""
        match sender:
            case Input():
                return self.input
            case Head(layer=layer, index=index):
                return self.z[layer][:, :, index]
            case Mlp(layer=layer):
                value = self.mlps[layer]
                if value is None:
                    raise EngineError(f"the model has no {sender}: it is attention only")
                return value

    def contribution(self, weights: Weights, sender: Input | Head | Mlp) -> Tensor:
        """What `sender` adds to the residual stream: [B, T, W]."""
        value = self.value(sender)
        if isinstance(sender, Head):
            return value @ weights.blocks[sender.layer].w_o[sender.index]
        return value

    @property
    def size(self) -> int:
        """How many bytes of memory the tensors take."""
        tensors = [self.input, *self.z, *(m for m in self.mlps if m is not None)]
        return sum(t.numel() * t.element_size() for t in tensors)


def stack(parts: list[Outputs]) -> Outputs:
    """Outputs of several batches, one after the other."""
    return Outputs(
        torch.cat([p.input for p in parts]),
        tuple(torch.cat(zs) for zs in zip(*(p.z for p in parts), strict=True)),
        tuple(
            None if any(m is None for m in ms) else torch.cat([m for m in ms if m is not None])
            for ms in zip(*(p.mlps for p in parts), strict=True)
        ),
    )


class Sources:
    """Computes and remembers the values that runs put in place of outputs.

    `flops` counts the floating-point operations of the runs that values were read off. `edits_for`
    turns knock-outs into edits of a batch; it is passed in because knock-outs need sources
    themselves.
    """

    def __init__(
        self,
        weights: Weights,
        sets: Mapping[str, PromptSet],
        batch_size: int,
        edits_for: Callable[[Batch, tuple[Write, ...], tuple[Write, ...]], Edits],
        *,
        capacity: int = RECORDINGS,
    ) -> None:
        self.weights = weights
        self.sets = sets
        self.batch_size = batch_size
        self.capacity = capacity
        self.flops = 0.0
        self._edits_for = edits_for
        self._recordings: OrderedDict[tuple[object, ...], Outputs] = OrderedDict()
        self._means: dict[Means, dict[tuple[str, int], Outputs]] = {}

    def shrink(self, batch_size: int) -> None:
        """Forget recordings, and make means in smaller batches from now on."""
        self.batch_size = batch_size
        self._recordings.clear()

    def values(self, source: Source, batch: Batch, given: tuple[Write, ...]) -> Outputs:
        """The value of every sender at every position of `batch` under `source`.

        Other prompts' values are those of runs under `given`; means are of the unmodified model.
        """
        match source:
            case Zero():
                return self._zero(batch)
            case Means():
                return self._mean(source, batch)
            case Rows():
                return self._rows(source, batch, given)
            case Noised():
                return self._noised(source, batch, given)

    def without_writes(self, batch: Batch, given: tuple[Write, ...]) -> Outputs:
        """The outputs on `batch` of the run that is only `given` its knock-outs."""
        key = ("", tuple(p.tokens for p in batch.prompts), batch.rows, given)
        if key in self._recordings:
            self._recordings.move_to_end(key)
            return self._recordings[key]
        edits = self._edits_for(batch, given, ())
        return self._remember(key, self._outputs(batch.tokens, edits))

    def _zero(self, batch: Batch) -> Outputs:
        weights, (b, t) = self.weights, batch.tokens.shape
        zero = weights.embed.new_zeros
        heads = (weights.shape.n_heads, weights.shape.d_head)
        return Outputs(
            zero(b, t, weights.shape.d_model),
            tuple(zero(b, t, *heads) for _ in weights.blocks),
            tuple(
                None if block.mlp is None else zero(b, t, weights.shape.d_model)
                for block in weights.blocks
            ),
        )

    def _rows(self, source: Rows, batch: Batch, given: tuple[Write, ...]) -> Outputs:
        """Runs of the paired prompts, each under what its own partner is given.

        The paired prompts go through the model in the order of `batch`, under its row numbers: a
        knock-out whose values come from other rows again takes those of the run's prompt.
        """
        prompts = tuple(self.sets[source.prompts].prompts[source.rows[row]] for row in batch.rows)
        # who is paired with whom matters only to knock-outs by rows or noise
        rows = batch.rows if any(isinstance(write.source, Rows | Noised) for write in given) else ()
        chosen = tuple(source.rows[row] for row in batch.rows)
        key = (source.prompts, chosen, given, rows)
        if key in self._recordings:
            self._recordings.move_to_end(key)
            return self._recordings[key]
        tokens = torch.tensor([p.tokens for p in prompts], device=batch.tokens.device)
        paired = Batch(prompts, batch.rows, tokens)
        outputs = self._outputs(tokens, self._edits_for(paired, given, ()))
        return self._remember(key, outputs)

    def _noised(self, source: Noised, batch: Batch, given: tuple[Write, ...]) -> Outputs:
        """Runs of the same prompts under `given`, with noise on their embeddings."""
        key = (source, tuple(p.tokens for p in batch.prompts), batch.rows, given)
        if key in self._recordings:
            self._recordings.move_to_end(key)
            return self._recordings[key]
        embedded = kernels.embed(self.weights, batch.tokens)
        drawn = noise(source, batch.rows, batch.length, self.weights.shape.d_model)
        value = (embedded.double() + drawn.to(embedded.device)).to(embedded.dtype)
        edits = self._edits_for(batch, given, ())
        edits.inputs.append(Written(batch.union_mask(source.positions), value, counted=False))
        return self._remember(key, self._outputs(batch.tokens, edits))

    def _outputs(self, tokens: Tensor, edits: Edits | None) -> Outputs:
        """A run of `tokens` [B, T], reckoned up in `flops`."""
        count, length = tokens.shape
        self.flops += residual_forward(self.weights.shape, {length: count}).flops
        return Outputs.of(forward(self.weights, tokens, edits))

    def _remember(self, key: tuple[object, ...], outputs: Outputs) -> Outputs:
        self._recordings[key] = outputs
        held = sum(kept.size for kept in self._recordings.values())
        while held > self.capacity and len(self._recordings) > 1:
            _, dropped = self._recordings.popitem(last=False)
            held -= dropped.size
        return outputs

    def _mean(self, source: Means, batch: Batch) -> Outputs:
        if source not in self._means:
            self._means[source] = self._average(source)
        means = self._means[source]

        def of(template: str) -> Outputs:
            kind, length = self._group(source, template, batch.length)
            if (kind, length) not in means:
                raise EngineError(
                    f"{source.reference} has no prompt of {batch.length} tokens to take a mean "
                    f"over for template {template}"
                )
            return means[kind, length]

        templates = [p.template for p in batch.prompts]
        distinct = sorted(set(templates))
        which = torch.tensor([distinct.index(t) for t in templates], device=batch.tokens.device)
        stacked = stack([of(t) for t in distinct])
        if source.over == "batch":
            stacked = stacked.map(lambda x: x.expand(-1, batch.length, *x.shape[2:]))
        return stacked.map(lambda x: x[which])

    @staticmethod
    def _group(source: Means, template: str, length: int) -> tuple[str, int]:
        """What a mean is taken over: which prompts of the reference set share it."""
        match source.over:
            case "template":
                return (template, length)
            case "position":
                return ("", length)
            case "batch":
                return ("", 0)

    def _average(self, source: Means) -> dict[tuple[str, int], Outputs]:
        """Means of every sender's output, [1, T or 1, ...] each, summed in float64."""
        sums: dict[tuple[str, int], Outputs] = {}
        counts: dict[tuple[str, int], int] = {}
        for batch in batches(self.sets[source.reference], self.batch_size, self.weights.device):
            outputs = self._outputs(batch.tokens, None).map(Tensor.double)
            for template in sorted({p.template for p in batch.prompts}):
                rows = torch.tensor(
                    [i for i, p in enumerate(batch.prompts) if p.template == template],
                    device=batch.tokens.device,
                )
                group = self._group(source, template, batch.length)
                pooled = source.over == "batch"
                part = _summed(outputs, rows, (0, 1) if pooled else (0,))
                sums[group] = part if group not in sums else _add(sums[group], part)
                counts[group] = counts.get(group, 0) + len(rows) * (batch.length if pooled else 1)
        return {
            group: _divided(total, counts[group], self.weights.dtype)
            for group, total in sums.items()
        }


def _summed(outputs: Outputs, rows: Tensor, axes: tuple[int, ...]) -> Outputs:
    return outputs.map(lambda x: x[rows].sum(axes, keepdim=True))


def _divided(total: Outputs, count: int, dtype: torch.dtype) -> Outputs:
    return total.map(lambda x: (x / count).to(dtype))


def _add(left: Outputs, right: Outputs) -> Outputs:
    return Outputs(
        left.input + right.input,
        tuple(a + b for a, b in zip(left.z, right.z, strict=True)),
        tuple(
            None if a is None or b is None else a + b
            for a, b in zip(left.mlps, right.mlps, strict=True)
        ),
    )
