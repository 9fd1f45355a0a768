"""Tasks whose prompts can all be listed: the text for the spec, and every prompt with its answers.

The list is made here from the task's definition, not by reading the text, so that prompts are known
twice and independently.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from proving.exact import Mask, Tokens
from proving.machine import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """One prompt of the population.

    `at` is where every label stands, `right` and `wrong` the tokens whose logits the metric
    subtracts, `other` the tokens of its counterfactual under each baseline.
    """

    template: str
    tokens: tuple[int, ...]
    at: Mapping[str, int]
    right: int
    wrong: int
    other: Mapping[str, tuple[int, ...]]

    def index(self, label: str) -> int:
        """Where a label stands; END is the last token."""
        return len(self.tokens) - 1 if label == "END" else self.at[label]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its statements for a spec, without `sample`, and its whole population.

    `labels` are the positions that a hypothesis may name. The metric is `logit_diff`. `answer` is
    an expression of the spec that has a value for each right answer, if there is one.
    """

    name: str
    text: str
    prompts: tuple[Prompt, ...]
    labels: tuple[str, ...]
    answer: str = ""

    @property
    def tokens(self) -> Tokens:
        """[n, T]."""
        return np.array([p.tokens for p in self.prompts])

    def other(self, baseline: str) -> Tokens:
        """The paired counterfactuals [n, T]."""
        return np.array([p.other[baseline] for p in self.prompts])

    @property
    def baselines(self) -> tuple[str, ...]:
        """Names of the baselines."""
        return tuple(self.prompts[0].other)

    @property
    def templates(self) -> tuple[str, ...]:
        """Names of the templates."""
        return tuple(dict.fromkeys(p.template for p in self.prompts))

    def mask(self, labels: Iterable[str]) -> Mask:
        """Where any of the labels stands [n, T]; `*` is everywhere."""
        n, length = len(self.prompts), len(self.prompts[0].tokens)
        found = np.zeros((n, length), dtype=bool)
        for label in labels:
            if label == "*":
                found[:] = True
            else:
                found[np.arange(n), self.index(label)] = True
        return found

    def index(self, label: str) -> Tokens:
        """Where a label stands, by prompt."""
        return np.array([p.index(label) for p in self.prompts])

    def metric(self, logits: Array) -> Array:
        """logit(right) − logit(wrong) at END of all prompts: [n]."""
        return self.score(logits[:, -1], np.arange(len(self.prompts)))

    def score(self, logits: Array, rows: Tokens) -> Array:
        """The metric of logits [rows, vocab] against the answers of some prompts: [rows]."""
        right, wrong = (
            np.array([getattr(p, side) for p in self.prompts])[rows] for side in ("right", "wrong")
        )
        each = np.arange(len(rows))
        return np.asarray(logits[each, right] - logits[each, wrong])

    @property
    def features(self) -> tuple[str, ...]:
        """What a role can be said to carry, as a spec writes it."""
        found = [f"{of}({label})" for of in ("token", "position") for label in self.labels]
        found += ["template"] if len(self.templates) > 1 else []
        return (*found, *([self.answer] if self.answer else []))

    def classes(self, features: tuple[str, ...]) -> Tokens:
        """The number of every prompt's class: those that agree on all features share one."""
        values = [tuple(self._value(f, n) for f in features) for n in range(len(self.prompts))]
        numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
        return np.array([numbers[value] for value in values])

    def _value(self, feature: str, row: int) -> object:
        prompt = self.prompts[row]
        if feature == "template":
            return prompt.template
        if feature == self.answer:
            return prompt.right
        of, _, label = feature.rstrip(")").partition("(")
        at = prompt.index(label)
        return prompt.tokens[at] if of == "token" else at

    def over_template(self, values: Array) -> Array:
        """Every prompt's value [n, ...] exchanged for the mean over its template."""
        templates = np.array([p.template for p in self.prompts])
        found = np.empty_like(values)
        for name in self.templates:
            found[templates == name] = values[templates == name].mean(0)
        return found
