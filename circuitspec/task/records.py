"""Prompts as the rest of the program sees them: token ids, places, answers; and what is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from circuitspec.language.nodes import END, EVERYWHERE, Position
from circuitspec.language.syntax import Expr

Quantity = Literal["logit", "prob", "log_prob", "rank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt: what is fed to the model, and where the labels of the task stand in it.

    `tokens` are vocabulary ids, BOS included where the task says so. `positions` maps every label
    (slots that stand in the template, declared positions, `END`, `BOS`) to token indices from 0,
    several for a slot of several tokens. `answers` maps each answer that a metric names (as
    written: `IO`, `greater(YY)`) to the token ids it stands for. `pair` is the index of the
    evaluation prompt that a counterfactual belongs to.
    """

    index: int
    template: str
    text: str
    tokens: tuple[int, ...]
    positions: Mapping[str, tuple[int, ...]]
    slots: Mapping[str, str]
    answers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    pair: int | None = None

    def at(self, position: Position) -> tuple[int, ...]:
        """The token indices that `position` names here, in order; `*` is all of them.

        Raises KeyError where the label does not stand in this prompt, IndexError where the place
        lies outside it: the checker rejects both before anything runs.
        """
        if position.label == EVERYWHERE:
            return tuple(range(len(self.tokens)))
        indices = self.positions[position.label]
        if position.index is not None and position.index != "*":
            indices = (indices[position.index],)
        shifted = tuple(i + position.offset for i in indices)
        if any(not 0 <= i < len(self.tokens) for i in shifted):
            raise IndexError(f"{position} lies outside a prompt of {len(self.tokens)} tokens")
        return shifted


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    """Prompts drawn for one purpose.

    `name` is `evaluation`, `reference:<baseline>`, `counterfactual:<baseline>` or `pool:<claim>`.
    """

    name: str
    prompts: tuple[Prompt, ...]

    def __len__(self) -> int:
        return len(self.prompts)

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.prompts)


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTerm:
    """`coefficient` × Σ over the tokens of `answer` of `quantity`, read at the metric's position."""

    coefficient: float
    quantity: Quantity
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a prompt's score is: a sum of terms at a position, or KL(model ‖ run) there.

    Units follow the quantity: logits, probability, nats, rank from 0.
    """

    name: str
    terms: tuple[MetricTerm, ...] = ()
    kl: bool = False
    at: Position = END


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskData:
    """A task with its prompts drawn.

    `references` and `counterfactuals` are by baseline name; `counterfactuals[b].prompts[i]` is
    paired with `evaluation.prompts[i]`, same template, same length. `enumerated`: evaluation is
    the whole population (`sample all`), so that means are exact.
    """

    name: str
    templates: tuple[str, ...]
    metrics: Mapping[str, Metric]
    evaluation: PromptSet
    references: Mapping[str, PromptSet]
    counterfactuals: Mapping[str, PromptSet]
    features: Mapping[str, Expr] = field(default_factory=dict)
    bos: bool = False
    enumerated: bool = False
    seed: int = 0
