"""The largest of three numbers: one layer, two heads that attend by value and copy."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from proving.machine import Builder, Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Prompt, Task

NUMBERS, LENGTH = 7, 3
LABELS = ("A", "B", "END")


def machine(*, noise: float = 0.0, name: str = "maximum") -> Machine:
    """The score of a number is proportional to it."""
    builder = Builder(
        name=name,
        layers=1,
        heads=4,
        d_head=8,
        vocab=NUMBERS,
        context=LENGTH,
        parts={"copied": NUMBERS, "junk": 3},
    )
    words = np.eye(NUMBERS)
    size = np.arange(NUMBERS, dtype=float)[:, None]
    for node, sharp, share in (("a0.h0", 2.5, 3.0), ("a0.h1", 1.5, 2.0)):
        builder.head(
            node,
            q={"position": np.full((LENGTH, 1), sharp)},
            k={"token": size},
            v={"token": words},
            o={"copied": share * words},
        )
    builder.distract("a0.h2", "a0.h3", seed=5)
    builder.unembed("copied", words)
    if noise:
        builder.noise(noise, seed=15)
    return builder.finished()


def task() -> Task:
    """All prompts of three different numbers."""
    prompts = []
    for a, b, c in permutations(range(NUMBERS), 3):
        ordered = sorted((a, b, c))
        prompts.append(
            Prompt(
                template="three",
                tokens=(a, b, c),
                at={label: at for at, label in enumerate(LABELS)},
                right=ordered[2],
                wrong=ordered[1],
                other={"turned": (b, a, c), "lowered": (0, b, c)},
            )
        )
    text = "\n".join(
        [
            'template three "{A} {B} {C}"',
            f"slot A, B, C from 0..{NUMBERS - 1} distinct",
            f"tokens integer 0..{NUMBERS - 1}",
            "metric logit_diff = logit(max(A, B, C)) - logit(kth(2, A, B, C))",
            "baseline turned = swap(A, B)",
            "baseline lowered = set(A = 0)",
        ]
    )
    return Task(
        name="maximum", text=text, prompts=tuple(prompts), labels=LABELS, answer="max(A, B, C)"
    )


def story() -> Story:
    """What the machine does."""
    return Story(
        roles={
            "largest": Role(
                nodes=("a0.h0", "a0.h1"), at=("END",), keys=LABELS, carries=("max(A, B, C)",)
            )
        },
        lines=(
            EdgeLine(senders=("input",), receivers=("largest.qkv",)),
            EdgeLine(senders=("largest",), receivers=("logits",)),
        ),
    )
