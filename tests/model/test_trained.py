"""Trained models do, from our weights, what those who trained them say they do."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from circuitspec.model.load import LoadedModel, load

from .forward import forward

SHARED = Path(__file__).parents[3] / "shared" / "models"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the trained toy models are not in ../shared/models"
)


def logits(name: str, tokens: Tensor) -> Tensor:
    model, found = load(f"../shared/models/{name}", base_dir=Path(__file__).parents[2])
    assert model is not None, found
    assert found == ()
    assert isinstance(model, LoadedModel)
    with torch.no_grad():
        ours, theirs = forward(model.weights, tokens), model.bridge(tokens)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-5)
    return ours


@needs_shared
@pytest.mark.parametrize(
    ("name", "low", "high"), [("max-of-two", 1, 1), ("max-of-two-undertrained", 0.9875, 0.9885)]
)
def test_max_of_two(name: str, low: float, high: float) -> None:
    pairs = torch.tensor(list(itertools.product(range(64), repeat=2)))
    right = logits(name, pairs)[:, -1].argmax(-1) == pairs.max(-1).values
    assert low <= right.float().mean().item() <= high


@needs_shared
def test_modular_addition() -> None:
    pairs = torch.tensor([(a, b, 113) for a in range(113) for b in range(113)])
    right = logits("modular-addition", pairs)[:, -1].argmax(-1) == pairs[:, :2].sum(-1) % 113
    assert right.float().mean().item() > 0.999


@needs_shared
def test_sorting() -> None:
    generator = torch.Generator().manual_seed(0)
    lists = torch.stack([torch.randperm(64, generator=generator)[:5] for _ in range(1000)])
    start, middle = torch.full((1000, 1), 64), torch.full((1000, 1), 65)
    ordered = lists.sort(-1).values
    tokens = torch.cat((start, lists, middle, ordered), -1)
    guess = logits("sort-five", tokens)[:, 6:11].argmax(-1)
    assert (guess == ordered).all(-1).float().mean().item() > 0.995


def repeats() -> tuple[Tensor, Tensor]:
    """Eight tokens whose last one repeats an earlier one, others distinct; and what followed it."""
    generator = torch.Generator().manual_seed(0)
    rows, answers = [], []
    for index in range(4000):
        row = torch.randperm(26, generator=generator)[:8]
        place = index % 6
        row[7] = row[place]
        rows.append(row)
        answers.append(row[place + 1])
    return torch.stack(rows), torch.stack(answers)


@needs_shared
@pytest.mark.parametrize(
    ("name", "low", "high"), [("induction", 0.97, 0.99), ("induction-destroyed", 0, 0.5)]
)
def test_induction(name: str, low: float, high: float) -> None:
    tokens, answers = repeats()
    right = logits(name, tokens)[:, -1].argmax(-1) == answers
    assert low <= right.float().mean().item() <= high
