"""Gaussian noise on embeddings (causal tracing, Meng et al. 2022): drawn prompt by prompt.

A prompt's noise depends on the seed and on its row alone, so that it is the same in whatever batch
the prompt stands, and anyone can draw it again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.runs import Noised
from circuitspec.model.weights import Weights
from circuitspec.task.records import PromptSet


def noise(source: Noised, rows: Sequence[int], length: int, width: int) -> Tensor:
    """What is added to the embeddings of prompts at `rows`, wherever it is wanted: float64
    [B, T, W], in the embeddings' units.

    Row r's is sd × `numpy.random.default_rng([seed, r]).standard_normal((T, W))`.
    """
    drawn = [np.random.default_rng([source.seed, r]).standard_normal((length, width)) for r in rows]
    return source.sd * torch.from_numpy(np.stack(drawn))


def embedding_sd(weights: Weights, prompts: PromptSet) -> float:
    """The standard deviation of the embeddings of the tokens that occur in `prompts`.

    Over all entries of the token embeddings of the distinct tokens, n − 1 in the denominator, as in
    the code of Meng et al. (2022).
    """
    tokens = sorted({token for prompt in prompts for token in prompt.tokens})
    rows = weights.embed[torch.tensor(tokens, device=weights.device)]
    return float(rows.double().std())
