"""Prompts without meaning but with everything that can differ: lengths, templates, places, answers.

Labels stand at random places in every prompt, in a counterfactual elsewhere than in its partner, so
that a mask built from the wrong prompt shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from circuitspec.language.nodes import ALL_POSITIONS, BOS, END, Position
from circuitspec.task.records import Metric, MetricTerm, Prompt, PromptSet

# template -> tokens; A and C are of one length, B longer than GPT-Neo's and Qwen's windows of 4, 3
LENGTHS = {"A": 6, "B": 8, "C": 6}
S1 = Position("S1")
ONE_TOKEN = (Position("IO"), S1, Position("S1", 1), Position("MID", 0, 0), Position("MID", 0, -1))
PLACES = (*ONE_TOKEN, Position("MID", 0, "*"), END, BOS, ALL_POSITIONS)

METRICS = {
    metric.name: metric
    for metric in (
        Metric(
            name="logit_diff",
            terms=(
                MetricTerm(coefficient=1, quantity="logit", answer="IO"),
                MetricTerm(coefficient=-1, quantity="logit", answer="S1"),
            ),
        ),
        Metric(
            name="prob_diff",
            terms=(
                MetricTerm(coefficient=1, quantity="prob", answer="greater"),
                MetricTerm(coefficient=-0.5, quantity="prob", answer="less"),
            ),
        ),
        Metric(
            name="loss",
            terms=(MetricTerm(coefficient=-1, quantity="log_prob", answer="IO"),),
            at=Position("S1", 1),
        ),
        Metric(name="rank", terms=(MetricTerm(coefficient=1, quantity="rank", answer="IO"),)),
        Metric(name="divergence", kl=True, at=Position("IO")),
        # read at several places of each prompt, a different number in each
        Metric(
            name="next_loss",
            terms=(MetricTerm(coefficient=-1, quantity="log_prob", answer="", next_token=True),),
            at=BOS,
            until=S1,
        ),
        Metric(
            name="middle",
            terms=(
                MetricTerm(coefficient=1, quantity="logit", answer="IO"),
                MetricTerm(coefficient=-1, quantity="logit", answer="greater"),
            ),
            at=Position("MID", 0, "*"),
        ),
    )
}
TOKENS = 37  # the smallest vocabulary of the tiny models, so that one world serves all


@dataclass(frozen=True, slots=True)
class World:
    """Prompt sets by name, and the metrics read on them."""

    seed: int
    sets: dict[str, PromptSet]
    metrics: dict[str, Metric]

    def prompts(self, name: str = "evaluation") -> tuple[Prompt, ...]:
        return self.sets[name].prompts


PLAIN_METRICS = {n: m for n, m in METRICS.items() if n not in ("next_loss", "middle")}
"""Those read at one token of each prompt, which is all that some executors know."""


def world(seed: int, size: int = 4, *, plain: bool = True) -> World:
    """Evaluation prompts, counterfactuals paired with them, and a reference set drawn apart.

    `plain`: metrics are read at one token of each prompt.
    """
    random = Random(seed)
    templates = [random.choice("ABC") for _ in range(size)]
    reference = sorted("AABBCC" + random.choice("ABC"), key=lambda _: random.random())
    sets = {
        "evaluation": templates,
        "counterfactual:abc": templates,
        "reference:abc": reference,
    }
    return World(
        seed,
        {name: PromptSet(name=name, prompts=_prompts(random, of)) for name, of in sets.items()},
        PLAIN_METRICS if plain else METRICS,
    )


def _prompts(random: Random, templates: list[str]) -> tuple[Prompt, ...]:
    return tuple(_prompt(random, i, template) for i, template in enumerate(templates))


def _prompt(random: Random, index: int, template: str) -> Prompt:
    length = LENGTHS[template]
    middle = random.randrange(length - 1)
    return Prompt(
        index=index,
        template=template,
        text="",
        tokens=tuple(random.randrange(TOKENS) for _ in range(length)),
        positions={
            "IO": (random.randrange(length),),
            "S1": (random.randrange(length - 1),),
            "MID": (middle, middle + 1),
            "END": (length - 1,),
            "BOS": (0,),
        },
        slots={},
        answers={
            "IO": (random.randrange(TOKENS),),
            "S1": (random.randrange(TOKENS),),
            # sets of different sizes, the second now and then empty
            "greater": tuple(random.sample(range(TOKENS), 1 + random.randrange(5))),
            "less": tuple(random.sample(range(TOKENS), random.randrange(4) or index % 2)),
        },
        pair=index,
    )
