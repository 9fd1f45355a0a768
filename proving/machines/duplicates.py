"""Has the last token come before? One layer, LayerNorm.

Two heads look for the last token elsewhere, and for the start where there is none; the start says
no, any other position yes.
"""

from __future__ import annotations

from itertools import permutations, product

import numpy as np

from proving.machine import Builder, Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Prompt, Task

WORDS, LENGTH = 5, 5
YES, NO, START = WORDS, WORDS + 1, WORDS + 2
VOCAB = WORDS + 3


def machine(*, norm: bool = True, noise: float = 0.0, name: str = "duplicates") -> Machine:
    """`start` gets half the score of a match."""
    builder = Builder(
        name=name,
        layers=1,
        heads=4,
        d_head=14,
        vocab=VOCAB,
        context=LENGTH,
        parts={"answer": 2, "junk": 3},
        norm=norm,
    )
    words = np.eye(VOCAB)
    start = np.zeros((VOCAB, 1))
    start[START] = 1.0
    names = words * (np.arange(VOCAB) < WORDS)
    key = np.concatenate([names, start, np.zeros((VOCAB, LENGTH))], axis=1)
    wanted = np.concatenate([names, np.full((VOCAB, 1), 0.6), np.zeros((VOCAB, LENGTH))], axis=1)
    beside = np.concatenate([np.zeros((LENGTH, VOCAB + 1)), np.eye(LENGTH)], axis=1)
    said = np.zeros((VOCAB, 2))
    said[:WORDS, 0], said[START, 1] = 1.0, 1.0
    for node, sharp, share in (("a0.h0", 7.0, 2.5), ("a0.h1", 5.0, 1.5)):
        builder.head(
            node,
            q={"token": sharp * wanted, "position": -sharp * beside},
            k={"token": key, "position": beside},
            v={"token": said},
            o={"answer": share * np.eye(2)},
        )
    builder.distract("a0.h2", "a0.h3", seed=4)
    answers = np.zeros((2, VOCAB))
    answers[0, YES], answers[1, NO] = 1.0, 1.0
    builder.unembed("answer", answers)
    if noise:
        builder.noise(noise, seed=14)
    return builder.finished()


LABELS = ("START", "A", "B", "C", "END")


def task() -> Task:
    """All prompts: three distinct words, and any as the fourth."""
    prompts = []
    for (a, b, c), last in product(permutations(range(WORDS), 3), range(WORDS)):
        is_there = last in (a, b, c)
        prompts.append(
            Prompt(
                template="four",
                tokens=(START, a, b, c, last),
                at={label: at for at, label in enumerate(LABELS)},
                right=YES if is_there else NO,
                wrong=NO if is_there else YES,
                other={"turned": (START, b, a, c, last), "zeroed": (START, a, b, c, 0)},
            )
        )
    there = "choose(equal(D, A), 1, choose(equal(D, B), 1, choose(equal(D, C), 1, 0)))"
    text = "\n".join(
        [
            f'template four "{START} {{A}} {{B}} {{C}} {{D}}"',
            f"slot A, B, C from 0..{WORDS - 1} distinct",
            f"slot D from 0..{WORDS - 1}",
            f"slot RIGHT = {NO} - {there}",
            f"slot WRONG = {YES} + {there}",
            f"tokens integer 0..{VOCAB - 1}",
            "position START = index(0)",
            "metric logit_diff = logit(RIGHT) - logit(WRONG)",
            "baseline turned = swap(A, B)",
            "baseline zeroed = set(D = 0)",
        ]
    )
    return Task(name="duplicates", text=text, prompts=tuple(prompts), labels=LABELS, answer="RIGHT")


def story() -> Story:
    """What the machine does."""
    return Story(
        roles={
            "duplicate": Role(
                nodes=("a0.h0", "a0.h1"),
                at=("END",),
                keys=("START", "A", "B", "C"),
                carries=("RIGHT",),
            )
        },
        lines=(
            EdgeLine(senders=("input",), receivers=("duplicate.qkv",)),
            EdgeLine(senders=("duplicate",), receivers=("logits",)),
        ),
    )
