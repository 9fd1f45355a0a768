"""Attention on repeated random tokens: previous-token, duplicate-token and induction scores.

A prompt is a block of distinct random tokens, twice, after the beginning-of-sequence token where
the task has one (Elhage et al. 2021; Olsson et al. 2022). Nothing in it but repetition can be
attended to, so a head's mean attention at one offset says what kind of head it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

import numpy as np
import torch

from circuitspec.engine.forward import forward
from circuitspec.engine.runs import EngineError, Floats
from circuitspec.language.nodes import Head
from circuitspec.model.weights import Weights

OffsetKind = Literal["previous_token", "duplicate_token", "induction"]

PERIOD = 50
"""Tokens in a block, fewer where the model's context or vocabulary is smaller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeated:
    """Prompts `tokens[i]`, all of one length: two blocks of `period` tokens, from `start` on."""

    tokens: tuple[tuple[int, ...], ...]
    period: int
    start: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OffsetScores:
    """Scores of one kind, by head and prompt: what self-checks compare."""

    prompts: Repeated
    kind: OffsetKind
    values: Mapping[Head, Floats]


def repeated_tokens(weights: Weights, count: int, seed: int, bos: int | None) -> Repeated:
    """`count` prompts. Prompt i's block is `sample(vocabulary without BOS, period)` of
    `Random("SEED/repeated/i")`, the vocabulary in ascending order."""
    start = 0 if bos is None else 1
    vocabulary = [token for token in range(weights.shape.d_vocab) if token != bos]
    period = min(PERIOD, (weights.shape.n_ctx - start) // 2, len(vocabulary))
    if period < 2:
        raise EngineError("the model's context or vocabulary is too small for repeated tokens")
    prompts = []
    for number in range(count):
        block = Random(f"{seed}/repeated/{number}").sample(vocabulary, period)
        prompts.append((*([] if bos is None else [bos]), *block, *block))
    return Repeated(tokens=tuple(prompts), period=period, start=start)


def offset_scores(
    weights: Weights,
    prompts: Repeated,
    heads: Sequence[Head],
    kind: OffsetKind,
    batch_size: int,
) -> Mapping[Head, Floats]:
    """Each head's mean attention at the offset of `kind`, by prompt: float64 [n], shares of 1.

    previous_token: from every token that has one before it, to that; duplicate_token: from the
    second block, to the same token in the first; induction: from the second block, to the token
    after that.
    """
    for head in heads:
        if head.layer >= weights.shape.n_layers or head.index >= weights.shape.n_heads:
            raise EngineError(f"the model has no {head}")
    second = prompts.start + prompts.period
    offset, first = {
        "previous_token": (1, 1),
        "duplicate_token": (prompts.period, second),
        "induction": (prompts.period - 1, second),
    }[kind]
    found: dict[Head, list[Floats]] = {head: [] for head in heads}
    layers = sorted({head.layer for head in heads})
    with torch.inference_mode():
        for at in range(0, len(prompts.tokens), batch_size):
            tokens = torch.tensor(prompts.tokens[at : at + batch_size], device=weights.device)
            trace = forward(weights, tokens, patterns=layers)
            queries = torch.arange(first, tokens.shape[1], device=weights.device)
            for head in found:
                pattern = trace.patterns[head.layer][:, head.index]
                mass = pattern[:, queries, queries - offset].double().mean(-1)
                found[head].append(mass.cpu().numpy())
    return {head: np.concatenate(parts) for head, parts in found.items()}
