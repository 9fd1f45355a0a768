"""The token before the last one: one layer, two heads that look one position back and copy."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from proving.machine import Builder, Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Prompt, Task

WORDS, LENGTH = 6, 4
LABELS = ("X", "Y", "A", "END")


def machine(*, noise: float = 0.0, name: str = "previous") -> Machine:
    """Scores are soft enough to leave some attention elsewhere."""
    builder = Builder(
        name=name,
        layers=1,
        heads=4,
        d_head=8,
        vocab=WORDS,
        context=LENGTH,
        parts={"copied": WORDS, "junk": 3},
    )
    words, places = np.eye(WORDS), np.eye(LENGTH)
    for node, sharp, share in (("a0.h0", 3.0, 3.0), ("a0.h1", 2.0, 2.0)):
        builder.head(
            node,
            q={"position": sharp * np.eye(LENGTH, k=-1)},
            k={"position": places},
            v={"token": words},
            o={"copied": share * words},
        )
    builder.distract("a0.h2", "a0.h3", seed=3)
    builder.unembed("copied", words)
    if noise:
        builder.noise(noise, seed=13)
    return builder.finished()


def task() -> Task:
    """All prompts of four distinct words."""
    prompts = []
    for x, y, a, last in permutations(range(WORDS), 4):
        prompts.append(
            Prompt(
                template="four",
                tokens=(x, y, a, last),
                at={label: at for at, label in enumerate(LABELS)},
                right=a,
                wrong=y,
                other={"swapped": (x, a, y, last), "stranger": (a, y, x, last)},
            )
        )
    text = "\n".join(
        [
            'template four "{X} {Y} {A} {B}"',
            f"slot X, Y, A, B from 0..{WORDS - 1} distinct",
            f"tokens integer 0..{WORDS - 1}",
            "metric logit_diff = logit(A) - logit(Y)",
            "baseline swapped = swap(A, Y)",
            "baseline stranger = swap(A, X)",
        ]
    )
    return Task(name="previous", text=text, prompts=tuple(prompts), labels=LABELS)


def story() -> Story:
    """What the machine does."""
    return Story(
        roles={
            "previous": Role(
                nodes=("a0.h0", "a0.h1"), at=("END",), keys=("A",), carries=("token(A)",)
            )
        },
        lines=(
            EdgeLine(senders=("input",), receivers=("previous.qkv",)),
            EdgeLine(senders=("previous",), receivers=("logits",)),
        ),
    )
