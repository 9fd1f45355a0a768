"""Causal scrubbing of the declared circuit, as `verify` does it, and how large its tree is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ioi_task import NAMES, PLACES, ROLES, TEXTS, THINGS, VOCABULARY
from plain_model import Model

from circuitspec.claims import scrubbing
from circuitspec.claims.context import Context
from circuitspec.claims.measured import Measured
from circuitspec.engine.engine import Engine
from circuitspec.engine.scrubbing.scrub import root_tokens
from circuitspec.engine.scrubbing.story import Story
from circuitspec.engine.scrubbing.tables import count_paths
from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.loading import load_spec
from circuitspec.task.build import build
from circuitspec.verification import prompt_sets

DRAWS = 1
POOL = 200
CARRIES = (
    "position(S1), token(S1)",
    "position(S1)",
    "position(S1)",
    "token(S1), position(S1)",
    "token(IO)",
    "token(IO)",
    "token(IO)",
)
"""What each of the roles is said to carry, in their order."""

NAMED = ("previous", "duplicate", "induction", "inhibition", "movers", "backup", "negative")

EDGES = """
  edge input -> previous.qkv, duplicate.qkv, induction.q, inhibition.q
  edge input -> movers.kv, backup.kv, negative.kv
  edge previous -> induction.kv
  edge duplicate, induction -> inhibition.kv
  edge inhibition -> movers.q, backup.q, negative.q
  edge movers, backup, negative -> logits
"""


class Scrub:
    """One scrub of the circuit, `n` prompts over `templates`; `prepare` before each."""

    def __init__(self, model: Model, n: int, templates: int) -> None:
        spec = load_spec("-", text=text(n, templates), prompts="none")
        wrong = [d.message for d in spec.diagnostics if d.severity == "error" and d.code[0] != "M"]
        assert not wrong, wrong
        hypothesis = spec.bound[0].hypothesis
        task, found = build(hypothesis.task, None, base_dir=Path())
        assert task is not None, found
        self.claim = hypothesis.claims[0]
        self.model = model
        self.context = Context(
            hypothesis=hypothesis,
            circuit=circuit_of(hypothesis, model.shape),
            task=task,
            engine=Engine(model.weights, prompt_sets(task), task.metrics),
            seed=0,
        )

    def prepare(self) -> None:
        """A new engine, which has run the unmodified model as every claim does."""
        engine = self.context.engine
        fresh = Engine(self.model.weights, engine.sets, engine.metrics)
        self.context = replace(self.context, engine=fresh)
        self.context.evaluate([self.context.model_run()])

    def run(self) -> Measured:
        """The claim's figures, with what each role's story loses by itself."""
        return scrubbing.measure(self.claim, self.context)

    @property
    def nodes(self) -> int:
        """How many nodes the tree of a prompt has: as often the obvious way runs the model, once a
        draw."""
        shape, prompts = self.model.shape, self.context.task.evaluation.prompts
        roots = root_tokens(tuple(self.context.metrics.values()), prompts[0])
        story = Story(self.context.hypothesis, self.context.circuit, shape, prompts[0], roots, ())
        return DRAWS * count_paths(story.roots)


def text(n: int, templates: int) -> str:
    """The circuit as a spec, over integer tokens."""
    forms = [(i, order) for order in ("abba", "baba") for i in range((templates + 1) // 2)]
    lines = [f'  template {order}{i} "{_words(i, order)}"' for i, order in forms[:templates]]
    roles = [
        f"role {name} = {', '.join(_head(h) for h in heads.split())} @ {query} attends {key} "
        f"carries {carries}"
        for name, (heads, query, key), carries in zip(NAMED, ROLES, CARRIES, strict=True)
    ]
    last = NAMES + PLACES + THINGS
    return "\n".join(
        [
            "circuitspec 1",
            "hypothesis ioi {",
            '  model "gpt2"',
            "  task ioi {",
            f"    tokens integer 0..{last + len(VOCABULARY) - 1}",
            f"    words names = 0..{NAMES - 1}",
            f"    words places = {NAMES}..{NAMES + PLACES - 1}",
            f"    words things = {NAMES + PLACES}..{last - 1}",
            *lines,
            "    slot IO, S1 from names distinct",
            "    slot S2 from S1",
            "    slot place from places",
            "    slot thing from things",
            "    metric logit_diff = logit(IO) - logit(S1)",
            f"    sample evaluation {n}, pool {POOL}, seed 0",
            "    bos no",
            "  }",
            *roles,
            "  keep mlps @ *",
            EDGES,
            f"  expect scrubbed {{ scrub over ioi draws {DRAWS}",
            "    require scrub_recovered(logit_diff) >= 0 ci 95 }",
            "}",
        ]
    )


def _head(name: str) -> str:
    layer, index = name.split(".")
    return f"a{layer}.h{index}"


def _words(number: int, order: str) -> str:
    first, second = ("IO", "S1") if order == "abba" else ("S1", "IO")
    slots = {"{A}": first, "{B}": second, "{S}": "S2", "{P}": "place", "{T}": "thing"}
    return " ".join(
        f"{{{slots[word]}}}" if word in slots else str(VOCABULARY[word])
        for word in TEXTS[number].split()
    )
