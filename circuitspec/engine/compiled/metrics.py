"""Metrics of many runs on the same prompts, from final residuals at the metric's position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine import readings
from circuitspec.engine.batches import Batch
from circuitspec.language.nodes import Position
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, Prompt

AT_ONCE = 4096
"""Final residuals that go through the last norm at once."""


class Here(Batch):
    """Prompts of which only one token is at hand: every position is index 0."""

    def index(self, position: Position) -> Tensor:
        """Zeros, int64 [batch]."""
        return torch.zeros(len(self.prompts), dtype=torch.int64, device=self.tokens.device)


def here(prompts: Sequence[Prompt], device: torch.device) -> Here:
    """`prompts` as a batch of one token each."""
    tokens = torch.zeros(len(prompts), 1, dtype=torch.int64, device=device)
    return Here(tuple(prompts), tuple(range(len(prompts))), tokens)


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A metric of logits as a sum of columns of the unembedding: coefficients [N, A] (0 where a set
    is smaller than A), columns [N, A, W], biases [N, A]."""

    coefficients: Tensor
    columns: Tensor
    bias: Tensor


def columns_of(weights: Weights, metric: Metric, prompts: Sequence[Prompt]) -> Columns | None:
    """The columns that a metric needs; None where it needs the whole vocabulary."""
    if metric.kl or any(term.quantity != "logit" for term in metric.terms):
        return None
    tokens, coefficients = [], []
    for term in metric.terms:
        named, counted = readings.answer_tokens(prompts, term, weights.device)
        tokens.append(named)
        coefficients.append(term.coefficient * counted.double())
    chosen = torch.cat(tokens, dim=1)
    bias = torch.zeros(chosen.shape, dtype=weights.dtype, device=weights.device)
    if weights.b_unembed is not None:
        bias = weights.b_unembed[chosen]
    return Columns(torch.cat(coefficients, dim=1), weights.unembed.T[chosen], bias)


def scores(weights: Weights, columns: Columns, finals: Tensor) -> Tensor:
    """The metric of every run and prompt from final residuals [n, N, W]: float64 [n, N]."""
    found = []
    step = max(1, AT_ONCE // max(1, finals.shape[1]))
    for start in range(0, finals.shape[0], step):
        normed = weights.ln_final(finals[start : start + step])
        named = torch.einsum("niw,iaw->nia", normed, columns.columns) + columns.bias
        found.append((named.double() * columns.coefficients).sum(-1))
    return torch.cat(found)
