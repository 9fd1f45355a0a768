"""Tasks whose prompts can all be listed: the text for the spec, and every prompt with its answers.

The list is made here from the task's definition, not by reading the text, so that prompts are known
twice and independently. Prompts of fewer tokens than the longest stand at the left of the arrays:
what follows them is causal, so that nothing of it reaches them, and no figure reads it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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
    _known: dict[str, Tokens] = field(default_factory=dict, init=False, repr=False, compare=False)

    def _once(self, name: str, of: Callable[[Prompt], int]) -> Tokens:
        """One number of every prompt [n], remembered: metrics are read many thousand times."""
        if name not in self._known:
            self._known[name] = np.array([of(prompt) for prompt in self.prompts])
        return self._known[name]

    @property
    def tokens(self) -> Tokens:
        """[n, T], T the most tokens of a prompt."""
        return _aligned([p.tokens for p in self.prompts])

    def other(self, baseline: str) -> Tokens:
        """The paired counterfactuals [n, T], each as long as its prompt."""
        paired = [p.other[baseline] for p in self.prompts]
        assert [len(tokens) for tokens in paired] == list(self.lengths)
        return _aligned(paired)

    @property
    def lengths(self) -> Tokens:
        """How many tokens each prompt has [n]."""
        return self._once("length", lambda prompt: len(prompt.tokens))

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
        n = len(self.prompts)
        found = np.zeros((n, self.lengths.max()), dtype=bool)
        for label in labels:
            if label == "*":
                found[:] = True
            else:
                found[np.arange(n), self.index(label)] = True
        return found

    def index(self, label: str) -> Tokens:
        """Where a label stands, by prompt."""
        return self._once(f"index of {label}", lambda prompt: prompt.index(label))

    def metric(self, logits: Array) -> Array:
        """logit(right) − logit(wrong) at END of all prompts: [n]."""
        return self.score(self.at_end(logits), np.arange(len(self.prompts)))

    def at_end(self, values: Array) -> Array:
        """Values [n, T, ...] at every prompt's last token: [n, ...]."""
        return np.asarray(values[np.arange(len(self.prompts)), self.index("END")])

    def score(self, logits: Array, rows: Tokens) -> Array:
        """The metric of logits [rows, vocab] against the answers of some prompts: [rows]."""
        right = self._once("right", lambda prompt: prompt.right)[rows]
        wrong = self._once("wrong", lambda prompt: prompt.wrong)[rows]
        each = np.arange(len(rows))
        return np.asarray(logits[each, right] - logits[each, wrong])

    @property
    def features(self) -> tuple[str, ...]:
        """What a role can be said to carry, as a spec writes it."""
        found = [f"{of}({label})" for of in ("token", "position") for label in self.labels]
        found += ["template"] if len(self.templates) > 1 else []
        return (*found, *([self.answer] if self.answer else []))

    def classes(self, features: tuple[str, ...]) -> Tokens:
        """The number of each prompt's class: as many tokens, and the same value of all features."""
        values = [
            (length, *(self._value(f, n) for f in features))
            for n, length in enumerate(self.lengths)
        ]
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
        """Every prompt's value [n, T, ...] exchanged for the mean over its template, by token."""
        return _over(values, np.array([p.template for p in self.prompts]))

    def over_position(self, values: Array) -> Array:
        """The same over all prompts of as many tokens, whatever their template."""
        return _over(values, self.lengths)

    def over_batch(self, values: Array) -> Array:
        """The mean over all tokens of all prompts, each token counting once, everywhere."""
        real = np.arange(values.shape[1]) < self.lengths[:, None]
        return np.broadcast_to(values[real].mean(0), values.shape)


def _over(values: Array, groups: NDArray[np.generic]) -> Array:
    """Every row exchanged for the mean over its group."""
    found = np.empty_like(values)
    for group in np.unique(groups):
        found[groups == group] = values[groups == group].mean(0)
    return found


def _aligned(listed: Sequence[tuple[int, ...]]) -> Tokens:
    """Prompts at the left of an array [n, T]."""
    found = np.zeros((len(listed), max(map(len, listed))), dtype=np.int64)
    for row, tokens in enumerate(listed):
        found[row, : len(tokens)] = tokens
    return found
