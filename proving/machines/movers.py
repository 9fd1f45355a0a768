"""The other of two names: depth three, with q-composition (after Wang et al. 2022).

At S2, a0.h0 and a0.h1 look for the same name before and write down where it stood (`where`). At the
end, a1.h0 and a1.h1 fetch that place (`inhibit`). The movers a2.h0 and a2.h1 would attend to both
places of the first clause, less to the one inhibited, and copy the name there; a2.h2 does the same
with the sign turned. With MLPs, the place passes a threshold in m0 first.
"""

from __future__ import annotations

from itertools import permutations

import numpy as np

from proving.machine import Builder, Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Prompt, Task

NAMES, LENGTH = 7, 5
END = NAMES
PLACES = (NAMES + 1, NAMES + 2, NAMES + 3)
VOCAB = NAMES + 4


def machine(
    *, mlps: bool = False, norm: bool = False, noise: float = 0.0, name: str = "movers"
) -> Machine:
    """With `norm` and `mlps` it is a GPT-2."""
    builder = Builder(
        name=name,
        layers=3,
        heads=4,
        d_head=24,
        vocab=VOCAB,
        context=LENGTH,
        parts={"seen": LENGTH, "where": LENGTH, "inhibit": LENGTH, "copied": VOCAB, "junk": 3},
        d_mlp=8 if mlps else None,
        norm=norm,
        layout="gpt2" if mlps and norm else "toy",
    )
    words, places = np.eye(VOCAB), np.eye(LENGTH)
    names = words * (np.arange(VOCAB) < NAMES)
    padded = np.concatenate([names, np.zeros((VOCAB, LENGTH))], axis=1)
    beside = np.concatenate([np.zeros((LENGTH, VOCAB)), places], axis=1)
    found = "seen" if mlps else "where"
    for node, sharp, share in (("a0.h0", 6.0, 0.7), ("a0.h1", 5.0, 0.5)):
        builder.head(
            node,
            q={"token": sharp * padded, "position": -sharp * beside},
            k={"token": padded, "position": beside},  # the same name, elsewhere
            v={"position": places},
            o={found: share * places},
        )
    if mlps:
        builder.mlp(
            0,
            reads={"seen": 2 * places},
            bias=np.full(LENGTH, -0.8),
            writes={"where": 0.8 * places},
        )
    last, second = np.zeros((LENGTH, 1)), np.zeros((LENGTH, 1))
    last[4], second[3] = 1.0, 1.0
    for node, sharp, share in (("a1.h0", 6.0, 0.7), ("a1.h1", 4.0, 0.4)):
        builder.head(
            node,
            q={"position": sharp * last},
            k={"position": second},
            v={"where": places},
            o={"inhibit": share * places},
        )
    clause = np.zeros((LENGTH, LENGTH))
    clause[:, :2] = 1.0  # every position asks for the first two
    for node, sharp, share in (("a2.h0", 4.0, 3.0), ("a2.h1", 3.0, 2.0), ("a2.h2", 4.0, -1.2)):
        builder.head(
            node,
            q={"position": 3.0 * clause, "inhibit": -sharp * places},
            k={"position": places},
            v={"token": words},
            o={"copied": share * words},
        )
    builder.distract("a0.h2", "a0.h3", "a1.h2", "a1.h3", "a2.h3", seed=2)
    builder.unembed("copied", words)
    if noise:
        builder.noise(noise, seed=12)
    return builder.finished()


TEMPLATES = {"abba": ("IO", "S1", "P", "S2", "END"), "baba": ("S1", "IO", "P", "S2", "END")}


def task() -> Task:
    """All prompts: two names in both orders, and one of three words that do not matter."""
    prompts = []
    for template, labels in TEMPLATES.items():
        other = TEMPLATES["baba" if template == "abba" else "abba"]
        for io, s in permutations(range(NAMES), 2):
            for place in PLACES:
                values = {"IO": io, "S1": s, "P": place, "S2": s, "END": END}
                exchanged = {**values, "IO": s, "S1": io, "S2": io}
                prompts.append(
                    Prompt(
                        template=template,
                        tokens=tuple(values[label] for label in labels),
                        at={label: at for at, label in enumerate(labels)},
                        right=io,
                        wrong=s,
                        other={
                            "exchanged": tuple(exchanged[label] for label in labels),
                            "turned": tuple(values[label] for label in other),
                        },
                    )
                )
    gaps = {"END": str(END)}
    text = "\n".join(
        [
            *(
                f'template {name} "{" ".join(gaps.get(w, f"{{{w}}}") for w in labels)}"'
                for name, labels in TEMPLATES.items()
            ),
            f"slot IO, S1 from 0..{NAMES - 1} distinct",
            "slot S2 from S1",
            f"slot P from {PLACES[0]}..{PLACES[-1]}",
            f"tokens integer 0..{VOCAB - 1}",
            "metric logit_diff = logit(IO) - logit(S1)",
            "baseline exchanged = swap(IO, S1)",
            "baseline turned = template(abba = baba, baba = abba)",
        ]
    )
    return Task(
        name="movers", text=text, prompts=tuple(prompts), labels=("IO", "S1", "P", "S2", "END")
    )


def story(*, mlps: bool = False) -> Story:
    """What the machine does."""
    roles = {
        "duplicate": Role(
            nodes=("a0.h0", "a0.h1"), at=("S2",), keys=("S1",), carries=("position(S1)",)
        ),
        "s_inhibition": Role(
            nodes=("a1.h0", "a1.h1"), at=("END",), keys=("S2",), carries=("position(S1)",)
        ),
        "mover": Role(
            nodes=("a2.h0", "a2.h1"), at=("END",), keys=("IO", "S1"), carries=("token(IO)",)
        ),
        "negative": Role(nodes=("a2.h2",), at=("END",), keys=("IO", "S1"), carries=("token(IO)",)),
    }
    inputs = ["duplicate.qkv", "s_inhibition.qk", "mover.qkv", "negative.qkv"]
    lines = [
        EdgeLine(senders=("s_inhibition",), receivers=("mover.q", "negative.q")),
        EdgeLine(senders=("mover", "negative"), receivers=("logits",)),
    ]
    if mlps:
        roles["gate"] = Role(nodes=("m0",), at=("S2",), carries=("position(S1)",))
        inputs.append("gate.in")
        lines += [
            EdgeLine(senders=("duplicate",), receivers=("gate.in",)),
            EdgeLine(senders=("gate",), receivers=("s_inhibition.v",)),
        ]
    else:
        lines.append(EdgeLine(senders=("duplicate",), receivers=("s_inhibition.v",)))
    lines.insert(0, EdgeLine(senders=("input",), receivers=tuple(inputs)))
    return Story(roles=roles, lines=tuple(lines))
