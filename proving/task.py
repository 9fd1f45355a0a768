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


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task: its statements for a spec, without `sample`, and its whole population.

    `labels` are the positions that a hypothesis may name. The metric is `logit_diff`.
    """

    name: str
    text: str
    prompts: tuple[Prompt, ...]
    labels: tuple[str, ...]

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
        last = len(self.prompts[0].tokens) - 1
        return np.array([last if label == "END" else p.at[label] for p in self.prompts])

    def metric(self, logits: Array) -> Array:
        """logit(right) − logit(wrong) at END: [n]."""
        rows, last = np.arange(len(self.prompts)), logits[:, -1]
        right = np.array([p.right for p in self.prompts])
        wrong = np.array([p.wrong for p in self.prompts])
        return np.asarray(last[rows, right] - last[rows, wrong])

    def over_template(self, values: Array) -> Array:
        """Every prompt's value [n, ...] exchanged for the mean over its template."""
        templates = np.array([p.template for p in self.prompts])
        found = np.empty_like(values)
        for name in self.templates:
            found[templates == name] = values[templates == name].mean(0)
        return found
