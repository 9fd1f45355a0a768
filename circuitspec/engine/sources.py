"""Where replaced values come from: zeros, means over a reference set, other prompts' runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine.batches import Batch, batches
from circuitspec.engine.forward import Edits, Trace, forward
from circuitspec.engine.runs import EngineError, Means, Rows, Source, Write, Zero
from circuitspec.language.nodes import Head, Input, Mlp
from circuitspec.model.weights import Weights
from circuitspec.task.records import PromptSet


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

    def contribution(self, weights: Weights, sender: Input | Head | Mlp) -> Tensor:
        """What `sender` adds to the residual stream: [B, T, W]."""
        match sender:
            case Input():
                return self.input
            case Head(layer=layer, index=index):
                return self.z[layer][:, :, index] @ weights.blocks[layer].w_o[index]
            case Mlp(layer=layer):
                value = self.mlps[layer]
                if value is None:
                    raise EngineError(f"the model has no {sender}: it is attention only")
                return value


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

    `edits_for` turns knock-outs into edits of a batch; it is passed in because knock-outs need
    sources themselves.
    """

    def __init__(
        self,
        weights: Weights,
        sets: Mapping[str, PromptSet],
        batch_size: int,
        edits_for: Callable[[Batch, tuple[Write, ...], tuple[Write, ...]], Edits],
    ) -> None:
        self.weights = weights
        self.sets = sets
        self.batch_size = batch_size
        self._edits_for = edits_for
        self._recordings: dict[
            tuple[str, tuple[Write, ...]], tuple[dict[int, Outputs], dict[int, tuple[int, int]]]
        ] = {}
        self._means: dict[tuple[Means, tuple[Write, ...]], dict[tuple[str, int], Outputs]] = {}

    def values(self, source: Source, batch: Batch, given: tuple[Write, ...]) -> Outputs:
        """The value of every sender at every position of `batch` under `source`."""
        match source:
            case Zero():
                return self._zero(batch)
            case Means():
                return self._mean(source, batch)
            case Rows():
                return self._rows(source, batch, given)

    def _zero(self, batch: Batch) -> Outputs:
        weights, (b, t) = self.weights, batch.tokens.shape
        head = weights.blocks[0].w_o.shape[:2] if weights.blocks else (0, 0)
        zero = weights.embed.new_zeros
        return Outputs(
            zero(b, t, weights.shape.d_model),
            tuple(zero(b, t, *head) for _ in weights.blocks),
            tuple(
                None if block.mlp is None else zero(b, t, weights.shape.d_model)
                for block in weights.blocks
            ),
        )

    def _rows(self, source: Rows, batch: Batch, given: tuple[Write, ...]) -> Outputs:
        key = (source.prompts, given)
        if key not in self._recordings:
            self._recordings[key] = self._record(*key)
        groups, places = self._recordings[key]
        found = [places[source.rows[row]] for row in batch.rows]
        if any(length != batch.length for length, _ in found):
            raise EngineError(
                f"prompts of {source.prompts} paired with prompts of {batch.length} tokens have "
                "another length: values could not correspond by token index"
            )
        rows = torch.tensor([index for _, index in found], device=batch.tokens.device)
        return groups[batch.length].map(lambda x: x[rows])

    def _record(
        self, name: str, given: tuple[Write, ...]
    ) -> tuple[dict[int, Outputs], dict[int, tuple[int, int]]]:
        """Outputs of a whole set by length, and where each row stands in them."""
        parts: dict[int, list[Outputs]] = {}
        places: dict[int, tuple[int, int]] = {}
        filled: dict[int, int] = {}
        for batch in batches(self.sets[name], self.batch_size, self.weights.device):
            trace = forward(self.weights, batch.tokens, self._edits_for(batch, given, ()))
            parts.setdefault(batch.length, []).append(Outputs.of(trace))
            for row in batch.rows:
                index = filled.get(batch.length, 0)
                places[row] = (batch.length, index)
                filled[batch.length] = index + 1
        return {length: stack(outputs) for length, outputs in parts.items()}, places

    def _mean(self, source: Means, batch: Batch) -> Outputs:
        key = (source, ())
        if key not in self._means:
            self._means[key] = self._average(source)
        means = self._means[key]

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
            outputs = Outputs.of(forward(self.weights, batch.tokens)).map(Tensor.double)
            for template in sorted({p.template for p in batch.prompts}):
                rows = torch.tensor(
                    [i for i, p in enumerate(batch.prompts) if p.template == template],
                    device=batch.tokens.device,
                )
                group = self._group(source, template, batch.length)
                if source.over == "batch":
                    part = outputs.map(
                        lambda x, rows=rows: x[rows].sum((0, 1), keepdim=True)  # type: ignore[misc]
                    )
                    count = len(rows) * batch.length
                else:
                    part = outputs.map(
                        lambda x, rows=rows: x[rows].sum(0, keepdim=True)  # type: ignore[misc]
                    )
                    count = len(rows)
                sums[group] = part if group not in sums else _add(sums[group], part)
                counts[group] = counts.get(group, 0) + count
        dtype = self.weights.dtype
        return {
            group: total.map(lambda x, n=counts[group]: (x / n).to(dtype))  # type: ignore[misc]
            for group, total in sums.items()
        }


def _add(left: Outputs, right: Outputs) -> Outputs:
    return Outputs(
        left.input + right.input,
        tuple(a + b for a, b in zip(left.z, right.z, strict=True)),
        tuple(
            None if a is None or b is None else a + b
            for a, b in zip(left.mlps, right.mlps, strict=True)
        ),
    )
