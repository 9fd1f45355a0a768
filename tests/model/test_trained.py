"""Trained models do, from our weights, what those who trained them say they do."""

from __future__ import annotations

import itertools
import json
import random
from importlib.resources import files
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
        ours, theirs = forward(model.weights, tokens), model.bridge(tokens[:200])
    torch.testing.assert_close(ours[:200], theirs, atol=1e-4, rtol=1e-5)
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


def words(name: str) -> list[str]:
    return (files("circuitspec.task") / "words" / f"{name}.txt").read_text("utf-8").split()


def ioi_prompts(frame: str, order: str, rng: random.Random) -> list[tuple[str, str, str]]:
    """Prompts with their answer and the name that is said twice."""
    rows = []
    for _ in range(100):
        first, second = rng.sample(words("names.english"), 2)
        said = second if order == "ABBA" else first
        text = frame.format(
            A=first,
            B=second,
            S=said,
            place=rng.choice(words("nouns.ioi_places")),
            thing=rng.choice(words("nouns.ioi_things")),
        )
        rows.append((text, second if said == first else first, said))
    return rows


def test_ioi_mini_names_the_indirect_object_in_every_frame_and_order() -> None:
    model, found = load("ioi-mini")
    assert model is not None
    assert found == ()
    assert (model.provenance.source, model.provenance.processing) == ("zoo", "none")
    encode = model.tokenizer.encode
    zoo = files("circuitspec.model") / "zoo" / "ioi-mini"
    frames = json.loads((zoo / "training.json").read_text("utf-8"))["frames"]
    assert len(frames) == 6
    rng = random.Random(11)
    for frame, order in itertools.product(frames, ("ABBA", "BABA")):
        rows = ioi_prompts(frame, order, rng)
        tokens = torch.tensor([encode(text).ids for text, _, _ in rows])
        with torch.no_grad():
            last = forward(model.weights, tokens)[:, -1]
        answers = torch.tensor([model.tokenizer.token_to_id(answer) for _, answer, _ in rows])
        said = torch.tensor([model.tokenizer.token_to_id(name) for _, _, name in rows])
        each = torch.arange(len(rows))
        assert (last.argmax(-1) == answers).float().mean() >= 0.99
        assert (last[each, answers] - last[each, said]).mean() > 5


def test_every_listed_word_is_one_known_token_of_ioi_mini() -> None:
    model, _ = load("ioi-mini")
    assert model is not None
    assert model.bos_id == 0
    listed = [
        word
        for name in ("names.english", "nouns.ioi_places", "nouns.ioi_things")
        for word in words(name)
    ]
    assert len(listed) == len(set(listed)) >= 90
    for word in listed:
        encoding = model.tokenizer.encode(f"the {word}, ")
        assert encoding.tokens == ["the", word, ","]
