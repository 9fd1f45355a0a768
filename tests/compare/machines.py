"""A one-layer copier with hand-set weights, and rival hypotheses about which heads do it.

a0.h0 copies a word, a0.h1 does as well, a0.h2 takes back just what a0.h1 adds, a0.h3 adds a little.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from proving.machine import Builder, Machine, save

WORDS, LENGTH = 8, 4


def machine(*, fourth: float = 0.0, noise: float = 0.004) -> Machine:
    """`fourth`: what a0.h3 writes, a0.h0's being 3. `noise` on weights makes prompts differ."""
    builder = Builder(
        name="copier",
        layers=1,
        heads=4,
        d_head=8,
        vocab=WORDS,
        context=LENGTH,
        parts={"copied": WORDS},
    )
    words, places = np.eye(WORDS), np.eye(LENGTH)
    for node, share in (("a0.h0", 3.0), ("a0.h1", 2.0), ("a0.h2", -2.0), ("a0.h3", fourth)):
        builder.head(
            node,
            q={"position": 4.0 * np.eye(LENGTH, k=-1)},
            k={"position": places},
            v={"token": words},
            o={"copied": share * words},
        )
    builder.unembed("copied", words)
    builder.noise(noise, seed=5)
    return builder.finished()


TASK = f"""\
task copy {{
  template four "{{X}} {{Y}} {{A}} {{B}}"
  slot X, Y, A, B from 0..{WORDS - 1} distinct
  tokens integer 0..{WORDS - 1}
  metric logit_diff = logit(A) - logit(Y)
  baseline swapped = swap(A, Y)
  SAMPLE
}}
"""


def hypothesis(
    name: str, roles: Iterable[tuple[str, str]], by: str = "nodes", knockouts: str = ""
) -> str:
    """A hypothesis: each role's name and heads, claims of faithfulness and completeness."""
    listed = [(role, heads) for role, heads in roles]
    lines = [f"  role {role} = {heads} @ END attends A" for role, heads in listed]
    complete = (
        "  expect complete {",
        f"    ablate by {by} with mean from swapped over template",
        f"    knockouts {knockouts}",
        "    require incompleteness <= 20% * model.logit_diff ci 95",
        "  }",
    )
    names = ", ".join(role for role, _ in listed)
    return "\n".join(
        [
            f"hypothesis {name} {{",
            '  model "model"',
            "  task copy",
            *lines,
            f"  edge input -> {', '.join(f'{role}.qkv' for role, _ in listed)}",
            f"  edge {names} -> logits",
            "  expect faithful {",
            f"    ablate complement by {by} with mean from swapped over template",
            "    require logit_diff within 20% of model.logit_diff ci 95",
            "  }",
            *(complete if knockouts else ()),
            "}",
            "",
        ]
    )


ALL = (("copier", "a0.h0"), ("backup", "a0.h1"), ("negative", "a0.h2"))
"""What the machine does, but for a0.h3."""
NAIVE = ALL[:1]
"""As faithful, since what is left out adds up to nothing."""

SAMPLED = "sample evaluation 100, reference all, seed 0"


def write(
    folder: Path, made: Machine, *hypotheses: str, sample: str = SAMPLED, name: str = "rivals"
) -> Path:
    """The checkpoint and a spec of the hypotheses beside it."""
    save(made, folder / "model")
    path = folder / f"{name}.circuit"
    task = TASK.replace("SAMPLE", sample)
    path.write_text("\n".join(["circuitspec 1", "", task, *hypotheses]), encoding="utf-8")
    return path
