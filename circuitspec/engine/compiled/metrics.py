"""Metrics of many runs on the same prompts, from final residuals at the metric's places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import readings
from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.values import Values
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric

AT_ONCE = 4096
"""Final residuals that go through the last norm at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """Where a metric is read on a chunk.

    `parts` has for every segment that any place is in: its number, which of the P places are in it
    (int64), and in which rows of the segment they stand (int64).
    """

    metric: Metric
    places: readings.Places
    parts: tuple[tuple[int, Tensor, Tensor], ...]

    @property
    def segments(self) -> tuple[int, ...]:
        """The segments, ascending."""
        return tuple(segment for segment, _, _ in self.parts)

    def finals(self, chunk: Chunk, values: Values, numbers: Sequence[Sequence[int]]) -> Tensor:
        """Final residuals at the places [n, P, W] of runs, whose final residual at our j-th segment
        is `numbers[i][j]`."""
        found = [
            values.rows([each[j] for each in numbers], chunk.place([segment]))
            for j, (segment, _, _) in enumerate(self.parts)
        ]
        if len(found) == 1:
            _, _, rows = self.parts[0]
            same = len(rows) == found[0].shape[1] and bool((rows.diff() == 1).all())
            return found[0] if same else found[0].index_select(1, rows)
        out = found[0].new_empty(len(numbers), len(self.places.prompts), found[0].shape[-1])
        for (_, which, rows), part in zip(self.parts, found, strict=True):
            out[:, which] = part.index_select(1, rows)
        return out


def read_of(chunk: Chunk, metric: Metric) -> Read:
    """Where `metric` is read on a chunk."""
    places = readings.places_among(chunk.subject.prompts, metric, chunk.device)
    prompt, index = places.rows.cpu().numpy(), places.indices.cpu().numpy()
    parts = []
    for segment in range(len(chunk.layout.segments)):
        rows = chunk.place([segment]).local[prompt, index]
        (which,) = np.nonzero(rows >= 0)
        if len(which):
            here = torch.from_numpy(which), torch.from_numpy(rows[which])
            parts.append((segment, here[0].to(chunk.device), here[1].to(chunk.device)))
    return Read(metric, places, tuple(parts))


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A metric of logits as a sum of columns of the unembedding: coefficients [P, A] (0 where a set
    is smaller than A), columns [P, A, W], biases [P, A]."""

    coefficients: Tensor
    columns: Tensor
    bias: Tensor


def columns_of(weights: Weights, read: Read) -> Columns | None:
    """The columns that a metric needs; None where it needs the whole vocabulary."""
    if read.metric.kl or any(term.quantity != "logit" for term in read.metric.terms):
        return None
    tokens, coefficients = [], []
    for term in read.metric.terms:
        named, counted = readings.answers_at(read.places, term)
        tokens.append(named)
        coefficients.append(term.coefficient * counted.double())
    chosen = torch.cat(tokens, dim=1)
    bias = torch.zeros(chosen.shape, dtype=weights.dtype, device=weights.device)
    if weights.b_unembed is not None:
        bias = weights.b_unembed[chosen]
    return Columns(torch.cat(coefficients, dim=1), weights.unembed.T[chosen], bias)


def scores(weights: Weights, read: Read, columns: Columns, finals: Tensor) -> Tensor:
    """The metric of every run and prompt from final residuals [n, P, W]: float64 [n, N]."""
    found = []
    step = max(1, AT_ONCE // max(1, finals.shape[1]))
    for start in range(0, finals.shape[0], step):
        normed = weights.ln_final(finals[start : start + step])
        named = torch.einsum("niw,iaw->nia", normed, columns.columns) + columns.bias
        found.append((named.double() * columns.coefficients).sum(-1))
    every = torch.cat(found)
    return torch.stack([read.places.mean(one) for one in every]) if read.places.counts else every
