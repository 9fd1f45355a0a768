"""Prompts as the rest of the program sees them: ids, places, answers; and what is measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from circuitspec.language.nodes import END, Position
from circuitspec.language.syntax import Expr
from circuitspec.task.context import TaskContext
from circuitspec.task.registered import Registered

Quantity = Literal["logit", "prob", "log_prob", "rank"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt: what is fed to the model, and where the labels of the task stand in it.

    `tokens` are vocabulary ids, BOS included where the task says so. `positions` maps every label
    (slots that stand in the template, declared positions, `END`, `BOS`) to token indices from 0,
    several for a slot of several tokens. `answers` maps each answer that a metric names (as
    written: `IO`, `greater(YY)`) to the token ids it stands for. `pair` is the index of the
    evaluation prompt that a counterfactual belongs to. `columns` are a prompts file's columns of
    one value a token, in order (`column(depth)` as a feature of a position).
    """

    index: int
    template: str
    text: str
    tokens: tuple[int, ...]
    positions: Mapping[str, tuple[int, ...]]
    slots: Mapping[str, str]
    answers: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    pair: int | None = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def at(self, position: Position) -> tuple[int, ...]:
        """The token indices that `position` names here, in order; `*` is all of them.

        Raises KeyError where the label does not stand in this prompt, IndexError where the place
        lies outside it: the checker rejects both before anything runs.
        """
        if position.but:
            left_out = {i for other in position.but for i in self.at(other)}
            return tuple(i for i in self.at(replace(position, but=())) if i not in left_out)
        if position.everywhere:
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
    """`coefficient` × Σ over the tokens of `answer` of `quantity`, read at the metric's position.

    `next_token`: the answer is the token that follows each position read, `tokens[p + 1]`, and is
    not among the prompt's `answers`.
    """

    coefficient: float
    quantity: Quantity | Registered
    answer: str
    next_token: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a prompt's score is: a sum of terms at a position, or KL(model ‖ run) there.

    Units follow the quantity: logits, probability, nats, rank from 0. A metric of several positions
    (`at (X[0]..X[-2])`: every index from `at` to `until`, both included; a label of several tokens:
    all of them) is the mean over them: see `places`.
    """

    name: str
    terms: tuple[MetricTerm, ...] = ()
    kl: bool = False
    at: Position = END
    until: Position | None = None

    def places(self, prompt: Prompt) -> tuple[int, ...]:
        """The token indices that the metric is read at in a prompt; its value is the mean."""
        first = prompt.at(self.at)
        if self.until is None:
            return first
        return tuple(range(first[0], prompt.at(self.until)[-1] + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Gaussian noise on the embeddings at positions: `baseline n = noise(3, SUBJ)`.

    Its standard deviation is `scale` × that of the embeddings of the task's tokens.
    """

    scale: float
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskData:
    """A task with its prompts drawn.

    `references` and `counterfactuals` are by baseline name; `counterfactuals[b].prompts[i]` is
    paired with `evaluation.prompts[i]`, same template, same length. `enumerated`: evaluation is
    the whole population (`sample all`), so that means are exact. `noise` has the baselines whose
    prompts are the clean ones and whose noise is the engine's to add. `context` is what features
    are evaluated in (`features.feature_value`). `stated`: how many evaluation prompts the spec
    says, where more are drawn for claims that sample until decided; the first of them are those.
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
    noise: Mapping[str, Noise] = field(default_factory=dict)
    context: TaskContext | None = field(default=None, compare=False, repr=False)
    stated: int | None = None

    def first(self, n: int | None) -> TaskData:
        """The same task with its first `n` evaluation prompts and their counterfactuals."""
        if n is None or n >= len(self.evaluation):
            return self
        return replace(
            self,
            evaluation=replace(self.evaluation, prompts=self.evaluation.prompts[:n]),
            counterfactuals={
                name: replace(paired, prompts=paired.prompts[:n])
                for name, paired in self.counterfactuals.items()
            },
        )
