"""Prompts cut into segments: runs of tokens that every run of a group treats alike.

A run names positions (`S1+1`, `S2`, `END`); between them all tokens are treated alike. Prompts in
which the named positions stand in the same order have the same segments, whatever their templates
and lengths, and one graph of instances serves them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitspec.engine.batches import indices_at
from circuitspec.language.nodes import Position
from circuitspec.task.records import Prompt, PromptSet

Integers = NDArray[np.int64]
Named = frozenset[Position]

GAP: Named = frozenset()
"""The label of a segment that no named position falls in."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """Prompts whose segments come in the same order.

    `segments[s]` are the positions that every token of segment s belongs to (`*` is not listed: all
    do). `rows` [N] are the prompts' indices in their set, ascending; `start`, `length` [S, N] say
    which tokens of each prompt a segment is: of length 0 where a prompt has none of it.
    """

    segments: tuple[Named, ...]
    rows: Integers
    start: Integers
    length: Integers

    def part(self, first: int, last: int) -> Layout:
        """The prompts from `first` up to `last` (not included), and the segments that they have."""
        chosen = slice(first, last)
        start, length = self.start[:, chosen], self.length[:, chosen]
        some = length.sum(1) > 0
        kept = tuple(s for s, there in zip(self.segments, some, strict=True) if there)
        return Layout(kept, self.rows[chosen], start[some], length[some])

    def tokens(self, segment: int) -> int:
        """How many tokens a segment is, over all prompts."""
        return int(self.length[segment].sum())

    def where(self, position: Position) -> tuple[int, ...]:
        """The segments that `position` names."""
        if position.everywhere:
            return tuple(range(len(self.segments)))
        return tuple(s for s, named in enumerate(self.segments) if position in named)


def layouts(
    prompts: PromptSet, rows: Sequence[int] | None, positions: Iterable[Position]
) -> list[Layout]:
    """The prompts (or some rows of them) by the order their named positions stand in.

    Raises EngineError where a position does not exist in a prompt.
    """
    named = sorted({p for p in positions if not p.everywhere}, key=str)
    found: dict[tuple[Named, ...], list[tuple[int, list[int]]]] = {}
    chosen = range(len(prompts)) if rows is None else sorted(set(rows))
    for row in chosen:
        labels, starts = _segments(prompts.prompts[row], named)
        found.setdefault(labels, []).append((row, starts))
    return [_layout(labels, members) for labels, members in found.items()]


def _segments(prompt: Prompt, named: Sequence[Position]) -> tuple[tuple[Named, ...], list[int]]:
    """Labels of a prompt's segments, gaps between them included, and where each starts (one more
    at the end: the number of tokens)."""
    at: list[set[Position]] = [set() for _ in prompt.tokens]
    for position in named:
        for index in indices_at(prompt, position):
            at[index].add(position)
    labels: list[Named] = [GAP]
    starts = [0]
    for index, here in enumerate(at):
        label = frozenset(here)
        if label == labels[-1]:
            continue
        if label and labels[-1]:
            labels.append(GAP)
            starts.append(index)
        labels.append(label)
        starts.append(index)
    if labels[-1]:
        labels.append(GAP)
        starts.append(len(at))
    return tuple(labels), [*starts, len(at)]


def _layout(labels: tuple[Named, ...], members: list[tuple[int, list[int]]]) -> Layout:
    bounds = np.array([starts for _, starts in members], dtype=np.int64).T
    length = np.diff(bounds, axis=0)
    some = length.sum(1) > 0
    return Layout(
        tuple(label for label, kept in zip(labels, some, strict=True) if kept),
        np.array([row for row, _ in members], dtype=np.int64),
        bounds[:-1][some],
        length[some],
    )
