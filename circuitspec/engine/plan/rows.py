"""Equal rows once: which token rows of a layout have one value, and which ablation values do.

Where no head has written, the residual stream depends on token, token index and the ablation
values alone; and a mean over a template is the same for all its prompts. So a value is computed
for each distinct row and gathered wherever it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitspec.engine.plan.graph import (
    LIVE,
    NOTHING,
    AfterHeads,
    AfterMlp,
    Base,
    Graph,
    MlpOut,
    Start,
)
from circuitspec.engine.runs import Means, Source, Zero
from circuitspec.task.records import Prompt

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """The distinct rows of prompts: `which` [N, T] numbers them, −1 where a prompt has no token.

    `prompt`, `index` [count]: a prompt (its place among the N) and token index where each stands.
    """

    which: Integers
    prompt: Integers
    index: Integers

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.prompt)


def token_table(prompts: Sequence[Prompt]) -> Integers:
    """Token ids [N, T], −1 after a prompt's end."""
    width = max(len(p.tokens) for p in prompts)
    table = np.full((len(prompts), width), -1, dtype=np.int64)
    for row, prompt in enumerate(prompts):
        table[row, : len(prompt.tokens)] = prompt.tokens
    return table


def distinct(tokens: Integers, *keys: Integers, merge: bool = True) -> Distinct:
    """The rows [N, T] that differ in token, token index or any of `keys` [N, T].

    With `merge` false every row is its own.
    """
    n, width = tokens.shape
    prompt, index = np.nonzero(tokens >= 0)
    if merge:
        columns = [index, tokens[prompt, index], *(key[prompt, index] for key in keys)]
        _, first, inverse = np.unique(_together(columns), return_index=True, return_inverse=True)
    else:
        first = inverse = np.arange(len(prompt))
    which = np.full((n, width), -1, dtype=np.int64)
    which[prompt, index] = inverse
    return Distinct(which, prompt[first], index[first])


def _together(columns: Sequence[Integers]) -> Integers:
    """Numbers that are equal, and in order, as rows of `columns` (none below 0) are: one column is
    sorted in much less time than several."""
    code, *others = columns
    for column in others:
        size = int(column.max(initial=0)) + 1
        if int(code.max(initial=0)) >= np.iinfo(np.int64).max // size:
            code = np.unique(code, return_inverse=True)[1]
        code = code * size + column
    return code


def value_rows(source: Source, prompts: Sequence[Prompt]) -> Integers:
    """Which of its values an ablation takes at each token of `prompts`: numbers [N, T].

    Equal numbers are equal values. A mean is one a template, length and token index, or one a
    length and token index, or one; zero is one; other prompts' values are all distinct.
    """
    width = max(len(p.tokens) for p in prompts)
    n = len(prompts)
    pooled = isinstance(source, Means) and source.over == "batch"
    if isinstance(source, Zero) or pooled:
        return np.zeros((n, width), dtype=np.int64)
    first = np.arange(n)
    if isinstance(source, Means):
        kinds = mean_kinds(source, prompts)
        numbers = {kind: number for number, kind in enumerate(dict.fromkeys(kinds))}
        first = np.array([numbers[kind] for kind in kinds])
    return first[:, None] * width + np.arange(width)[None]


def mean_kinds(source: Means, prompts: Sequence[Prompt]) -> list[tuple[str, int]]:
    """Which mean each prompt takes: (template, tokens), or tokens alone."""
    by_template = source.over == "template"
    return [(p.template if by_template else "", len(p.tokens)) for p in prompts]


def row_codes(graph: Graph, number: int, known: dict[int, frozenset[int]]) -> frozenset[int]:
    """The ablation values that an instance of all segments depends on; `known` is added to."""
    if number not in known:
        node = graph.nodes[number]
        match node:
            case Start(code=code):
                own, parts = {code}, []
            case AfterHeads(codes=codes, prev=prev):
                own, parts = set(np.frombuffer(codes, dtype=np.int16).tolist()), [prev]
            case AfterMlp(code=code, prev=prev, mlp=mlp):
                own, parts = {code}, [prev] if mlp == NOTHING else [prev, mlp]
            case MlpOut(x=x):
                own, parts = set(), [x]
            case Base():
                own, parts = set(), []
            case _:
                raise AssertionError(f"{node} does not hold for all segments")
        below = (row_codes(graph, part, known) for part in parts)
        known[number] = frozenset(own - {LIVE}).union(*below)
    return known[number]
