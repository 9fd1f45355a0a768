"""Induction: `… a b … a` is followed by b. Two layers, k-composition, two heads a role.

a0.h0 and a0.h1 attend to the token before and write it down as `previous`; a1.h0 and a1.h1 look for
the position whose `previous` is the last token, and copy the token there.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from proving.machine import Builder, Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Prompt, Task

WORDS, LENGTH = 5, 6
START = WORDS


def machine(
    *, norm: bool = False, noise: float = 0.0, hard: float = 1.0, name: str = "induction"
) -> Machine:
    """Two true heads a layer, two distractors; `hard` scores leave no attention elsewhere."""
    builder = Builder(
        name=name,
        layers=2,
        heads=4,
        d_head=8,
        vocab=WORDS + 1,
        context=LENGTH,
        parts={"previous": WORDS + 1, "copied": WORDS + 1, "junk": 4},
        norm=norm,
    )
    shift = np.eye(LENGTH, k=-1)  # position p asks for p − 1
    words, places = np.eye(WORDS + 1), np.eye(LENGTH)
    for node, sharp, share in (("a0.h0", 5.0, 0.7), ("a0.h1", 4.0, 0.4)):
        builder.head(
            node,
            q={"position": hard * sharp * shift},
            k={"position": places},
            v={"token": words},
            o={"previous": share * words},
        )
    for node, sharp, share in (("a1.h0", 6.0, 3.0), ("a1.h1", 4.0, 2.0)):
        builder.head(
            node,
            q={"token": hard * sharp * words},
            k={"previous": words},
            v={"token": words},
            o={"copied": share * words},
        )
    builder.distract("a0.h2", "a0.h3", "a1.h2", "a1.h3", seed=1)
    builder.unembed("copied", words)
    if noise:
        builder.noise(noise, seed=11)
    return builder.finished()


TEMPLATES = {
    "first": ("START", "A", "B", "X", "Y", "END"),
    "second": ("START", "X", "A", "B", "Y", "END"),
    "third": ("START", "X", "Y", "A", "B", "END"),
}
NEXT = {"first": "second", "second": "third", "third": "first"}


def task() -> Task:
    """All prompts: four distinct words, of which one comes again at the end."""
    prompts = []
    for template, labels in TEMPLATES.items():
        for a, b, x, y in permutations(range(WORDS), 4):
            values = {"START": START, "A": a, "B": b, "X": x, "Y": y, "END": a}
            swapped = {**values, "A": b, "B": a, "END": b}
            stranger = {**values, "B": x, "X": b}
            prompts.append(
                Prompt(
                    template=template,
                    tokens=tuple(values[label] for label in labels),
                    at={label: place for place, label in enumerate(labels)},
                    right=b,
                    wrong=x,
                    other={
                        "swapped": tuple(swapped[label] for label in labels),
                        "stranger": tuple(stranger[label] for label in labels),
                        "moved": tuple(values[label] for label in TEMPLATES[NEXT[template]]),
                    },
                )
            )
    gaps = {"START": str(START), "END": "{A2}"}
    written = [
        f'template {name} "{" ".join(gaps.get(w, f"{{{w}}}") for w in labels)}"'
        for name, labels in TEMPLATES.items()
    ]
    partners = ", ".join(f"{name} = {other}" for name, other in NEXT.items())
    text = "\n".join(
        [
            *written,
            f"slot A, B, X, Y from 0..{WORDS - 1} distinct",
            "slot A2 from A",
            f"tokens integer 0..{START}",
            "metric logit_diff = logit(B) - logit(X)",
            "baseline swapped = swap(A, B)",
            "baseline stranger = swap(B, X)",
            f"baseline moved = template({partners})",
        ]
    )
    return Task(
        name="induction", text=text, prompts=tuple(prompts), labels=("A", "B", "X", "Y", "END")
    )


def story() -> Story:
    """What the machine does."""
    return Story(
        roles={
            "previous": Role(
                nodes=("a0.h0", "a0.h1"),
                at=("B",),
                keys=("A",),
                carries=("token(A)", "position(A)"),
            ),
            "induction": Role(
                nodes=("a1.h0", "a1.h1"),
                at=("END",),
                keys=("B",),
                carries=("token(B)", "position(B)"),
            ),
        },
        lines=(
            EdgeLine(senders=("input",), receivers=("previous.qkv", "induction.qv")),
            EdgeLine(senders=("previous",), receivers=("induction.k",)),
            EdgeLine(senders=("induction",), receivers=("logits",)),
        ),
    )
