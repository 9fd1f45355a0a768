"""How often does the last token stand in the prompt? One layer with an MLP.

A head attends to the start and to every copy of the last token alike, so the start gets 1/(1 + n);
the MLP turns that share into the logit of n.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from proving.machine import Builder, Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Prompt, Task

WORDS, LENGTH, MOST = 4, 5, 4
START = WORDS
COUNT = WORDS  # the token of count n is START + n
VOCAB = WORDS + 1 + MOST
LABELS = ("START", "A", "B", "C", "END")


def machine(*, noise: float = 0.0, name: str = "histogram") -> Machine:
    """One head gives the share; another, weaker, gives it again."""
    builder = Builder(
        name=name,
        layers=1,
        heads=4,
        d_head=8,
        vocab=VOCAB,
        context=LENGTH,
        parts={"share": 1, "count": MOST, "junk": 3},
        d_mlp=2 * MOST,
    )
    words = np.eye(VOCAB)[:, : WORDS + 1]
    wanted = words.copy()
    wanted[:WORDS, START] = 1.0  # every word asks for itself, and for the start
    start = np.zeros((VOCAB, 1))
    start[START] = 1.0
    for node, sharp, share in (("a0.h0", 8.0, 0.6), ("a0.h1", 6.0, 0.4)):
        builder.head(
            node,
            q={"token": sharp * wanted},
            k={"token": words},
            v={"token": start},
            o={"share": np.full((1, 1), share)},
        )
    builder.distract("a0.h2", "a0.h3", seed=6)
    # a hinge on either side of each count's share: logit n falls off with the distance from 1/(1+n)
    shares = 1.0 / (2.0 + np.arange(MOST))
    falls = 60.0 * np.concatenate([-np.eye(MOST), -np.eye(MOST)])
    builder.mlp(
        0,
        reads={"share": np.concatenate([np.ones(MOST), -np.ones(MOST)])[None]},
        bias=np.concatenate([-shares, shares]),
        writes={"count": falls},
    )
    counts = np.zeros((MOST, VOCAB))
    counts[np.arange(MOST), COUNT + 1 + np.arange(MOST)] = 1.0
    builder.unembed("count", counts)
    builder.unembed("one", 25.0 * counts.sum(0, keepdims=True))  # words are no answer
    if noise:
        builder.noise(noise, seed=16)
    return builder.finished()


def task() -> Task:
    """All prompts of four words."""
    prompts = []
    for a, b, c, last in product(range(WORDS), repeat=4):
        count = 1 + (a, b, c).count(last)
        prompts.append(
            Prompt(
                template="four",
                tokens=(START, a, b, c, last),
                at={label: at for at, label in enumerate(LABELS)},
                right=COUNT + count,
                wrong=COUNT + (count + 1 if count < MOST else count - 1),
                other={"turned": (START, last, b, c, a), "zeroed": (START, a, b, c, 0)},
            )
        )
    same = " + ".join(f"choose(equal({label}, D), 1, 0)" for label in "ABC")
    text = "\n".join(
        [
            f'template four "{START} {{A}} {{B}} {{C}} {{D}}"',
            f"slot A, B, C, D from 0..{WORDS - 1}",
            f"slot RIGHT = {COUNT + 1} + {same}",
            f"slot WRONG = choose(RIGHT < {COUNT + MOST}, RIGHT + 1, RIGHT - 1)",
            f"tokens integer 0..{VOCAB - 1}",
            "position START = index(0)",
            "metric logit_diff = logit(RIGHT) - logit(WRONG)",
            "baseline turned = swap(A, D)",
            "baseline zeroed = set(D = 0)",
        ]
    )
    return Task(name="histogram", text=text, prompts=tuple(prompts), labels=LABELS, answer="RIGHT")


def story() -> Story:
    """What the machine does."""
    return Story(
        roles={
            "share": Role(
                nodes=("a0.h0", "a0.h1"),
                at=("END",),
                keys=("START", "A", "B", "C", "END"),
                carries=("RIGHT",),
            ),
            "hinges": Role(nodes=("m0",), at=("END",), carries=("RIGHT",)),
        },
        lines=(
            EdgeLine(senders=("input",), receivers=("share.qkv",)),
            EdgeLine(senders=("share",), receivers=("hinges.in",)),
            EdgeLine(senders=("hinges",), receivers=("logits",)),
        ),
    )
