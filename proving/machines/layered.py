"""The other of two names, in five layers whose roles take turns; templates of two lengths.

As in `movers`, a0.h0 and a0.h1 find at S2 where the same name stood before, heads at the end fetch
that place (`inhibit`), and movers attend to the place that is not inhibited. But here a1.h0 and
a3.h0 fetch it, and a2.h0 and a4.h0 move: each role has members above and below the other's, so an
edge between them can be turned round and still be said. S2 is the token before the end.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from proving.machine import Builder, Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Prompt, Task

NAMES, LENGTH = 6, 7
END, FILL = NAMES, NAMES + 1
VOCAB = NAMES + 2


def machine(*, norm: bool = False, noise: float = 0.0, name: str = "layered") -> Machine:
    """Movers of the two layers differ in how much they heed what is inhibited."""
    builder = Builder(
        name=name,
        layers=5,
        heads=3,
        d_head=16,
        vocab=VOCAB,
        context=LENGTH,
        parts={"where": LENGTH, "inhibit": LENGTH, "copied": VOCAB, "junk": 3},
        norm=norm,
    )
    words, places = np.eye(VOCAB), np.eye(LENGTH)
    names = words * (np.arange(VOCAB) < NAMES)
    padded = np.concatenate([names, np.zeros((VOCAB, LENGTH))], axis=1)
    beside = np.concatenate([np.zeros((LENGTH, VOCAB)), places], axis=1)
    for node, sharp, share in (("a0.h0", 6.0, 0.7), ("a0.h1", 5.0, 0.5)):
        builder.head(
            node,
            q={"token": sharp * padded, "position": -sharp * beside},
            k={"token": padded, "position": beside},  # the same name, elsewhere
            v={"position": places},
            o={"where": share * places},
        )
    for node, sharp, share in (("a1.h0", 6.0, 0.6), ("a3.h0", 5.0, 0.6)):
        builder.head(
            node,
            q={"position": sharp * np.eye(LENGTH, k=-1)},  # position p asks for p − 1
            k={"position": places},
            v={"where": places},
            o={"inhibit": share * places},
        )
    clause = np.zeros((LENGTH, LENGTH))
    clause[:, :2] = 1.0  # every position asks for the first two
    for node, sharp, share in (("a2.h0", 8.0, 2.0), ("a4.h0", 4.0, 3.0)):
        builder.head(
            node,
            q={"position": 4.5 * clause, "inhibit": -sharp * places},
            k={"position": places},
            v={"token": words},
            o={"copied": share * words},
        )
    builder.distract("a0.h2", "a1.h1", "a2.h1", "a3.h1", "a4.h1", seed=7)
    builder.unembed("copied", words)
    if noise:
        builder.noise(noise, seed=17)
    return builder.finished()


TEMPLATES = {
    "short": ("IO", "S1", "P", "S2", "END"),
    "long": ("S1", "IO", "FILL", "P", "FILL", "S2", "END"),
}


def task() -> Task:
    """All prompts: two names and a third that does not matter, in both templates."""
    prompts = []
    for template, labels in TEMPLATES.items():
        for io, s, p in permutations(range(NAMES), 3):
            values = {"IO": io, "S1": s, "P": p, "S2": s, "END": END, "FILL": FILL}
            exchanged = {**values, "IO": s, "S1": io, "S2": io}
            stranger = {**values, "IO": p, "P": io}
            prompts.append(
                Prompt(
                    template=template,
                    tokens=tuple(values[label] for label in labels),
                    at={label: at for at, label in enumerate(labels) if label != "FILL"},
                    right=io,
                    wrong=s,
                    other={
                        "exchanged": tuple(exchanged[label] for label in labels),
                        "stranger": tuple(stranger[label] for label in labels),
                    },
                )
            )
    gaps = {"END": str(END), "FILL": str(FILL)}
    text = "\n".join(
        [
            *(
                f'template {name} "{" ".join(gaps.get(w, f"{{{w}}}") for w in labels)}"'
                for name, labels in TEMPLATES.items()
            ),
            f"slot IO, S1, P from 0..{NAMES - 1} distinct",
            "slot S2 from S1",
            f"tokens integer 0..{VOCAB - 1}",
            "metric logit_diff = logit(IO) - logit(S1)",
            "baseline exchanged = swap(IO, S1)",
            "baseline stranger = swap(IO, P)",
        ]
    )
    return Task(
        name="layered", text=text, prompts=tuple(prompts), labels=("IO", "S1", "P", "S2", "END")
    )


def story() -> Story:
    """What the machine does."""
    return Story(
        roles={
            "duplicate": Role(
                nodes=("a0.h0", "a0.h1"), at=("S2",), keys=("S1",), carries=("position(S1)",)
            ),
            "s_inhibition": Role(
                nodes=("a1.h0", "a3.h0"), at=("END",), keys=("S2",), carries=("position(S1)",)
            ),
            "mover": Role(
                nodes=("a2.h0", "a4.h0"), at=("END",), keys=("IO", "S1"), carries=("token(IO)",)
            ),
        },
        lines=(
            EdgeLine(
                senders=("input",), receivers=("duplicate.qkv", "s_inhibition.qk", "mover.qkv")
            ),
            EdgeLine(senders=("duplicate",), receivers=("s_inhibition.v",)),
            EdgeLine(senders=("s_inhibition",), receivers=("mover.q",)),
            EdgeLine(senders=("mover",), receivers=("logits",)),
        ),
    )
