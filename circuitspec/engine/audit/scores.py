"""Scores on repeated tokens by the slow path: TransformerLens's own attention, token by token."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.audit.model import HookedModel
from circuitspec.engine.audit.through_hooks import Handlers
from circuitspec.engine.repeated import OffsetKind, Repeated
from circuitspec.engine.runs import Floats
from circuitspec.language.nodes import Head


def score(
    model: HookedModel, prompts: Repeated, kind: OffsetKind, head: Head, rows: Sequence[int]
) -> Floats:
    """A head's mean attention at the tokens that `kind` means, on some of the prompts."""
    found = []
    for row in rows:
        tokens = prompts.tokens[row]
        pattern = _pattern(model, head, tokens)
        pairs = [
            (query, key)
            for query in range(len(tokens))
            if (key := _key(kind, query, prompts)) is not None
        ]
        found.append(float(np.mean([float(pattern[query, key]) for query, key in pairs])))
    return np.array(found, dtype=np.float64)


def _key(kind: OffsetKind, query: int, prompts: Repeated) -> int | None:
    """The token that a head of this kind attends to from `query`, if it is asked there."""
    if kind == "previous_token":
        return query - 1 if query > 0 else None
    first = query - prompts.period
    if first < prompts.start:
        return None
    return first if kind == "duplicate_token" else first + 1


def _pattern(model: HookedModel, head: Head, tokens: tuple[int, ...]) -> Tensor:
    """Attention [T, T] of one head on one prompt."""
    seen: dict[int, Tensor] = {}
    with torch.no_grad():
        model.forward(torch.tensor([tokens]), Handlers(pattern=seen.__setitem__))
    return seen[head.layer][0, head.index]
