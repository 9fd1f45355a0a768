"""Some prompts of one layout: its segments as rows of tensors, and what differs where."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitspec.engine.apart import apart
from circuitspec.engine.compiled.places import Padded, Place, padded, segment_place
from circuitspec.engine.compiled.subject import Subject
from circuitspec.engine.compiled.tables import Table
from circuitspec.engine.plan.graph import AS_BASE
from circuitspec.engine.plan.layout import Layout
from circuitspec.engine.plan.rows import distinct


@dataclass(frozen=True, slots=True, eq=False)
class Differences:
    """What an ablation value differs in from the base run: over all tokens of a segment, how many
    [S, nodes], and by how much at most [S, nodes]."""

    changed: NDArray[np.int64]
    largest: NDArray[np.float64]


class Chunk:
    """Prompts of one layout that go through the model together."""

    def __init__(self, subject: Subject, layout: Layout, *, merge_rows: bool = True) -> None:
        self.subject = subject
        self.layout = layout
        self.weights = subject.weights
        self.device = subject.device
        self.everywhere = subject.everywhere
        self._merge = merge_rows
        self._segments: dict[tuple[int, ...], Place] = {}
        self._padded: dict[tuple[int, int, int], tuple[Place, Padded]] = {}
        self._merged: dict[tuple[frozenset[int], tuple[int, ...]], Place] = {}
        self._differences: dict[int, Differences] = {}

    def table(self, code: int) -> Table:
        """The values that a code stands for."""
        return self.subject.table(code)

    def base(self, depth: int) -> Tensor:
        """The base run's residual stream at every token of `everywhere`: [1, rows, W]."""
        return self.subject.base(depth)

    # ── places ───────────────────────────────────────────────────────────────────────────────

    def place(self, segments: Iterable[int]) -> Place:
        """The tokens of some segments."""
        key = tuple(segments)
        if key not in self._segments:
            self._segments[key] = segment_place(self.layout, key, self.subject.width, self.device)
        return self._segments[key]

    def padded(self, first: int, last: int, place: Place) -> Padded:
        """Segments `first` to `last` (included) as a rectangle over the rows of `place`."""
        key = (first, last, id(place))
        if key not in self._padded or self._padded[key][0] is not place:
            segments = range(first, last + 1)
            self._padded[key] = (place, padded(self.layout, segments, place, self.device))
        return self._padded[key][1]

    def merged(self, codes: frozenset[int], segments: Iterable[int]) -> Place:
        """The rows of some segments that differ in template, token index or token, as far as the
        values of `codes` depend on them."""
        key = (codes, tuple(segments))
        if key not in self._merged:
            keys = [self.table(code).which for code in sorted(codes)]
            every = distinct(self.subject.tokens, *keys, merge=self._merge)
            inside = self.place(key[1])
            which = every.which[inside.prompt, inside.index]
            kept = np.unique(which)
            renumbered = np.full(every.count + 1, -1, dtype=np.int64)
            renumbered[kept] = np.arange(len(kept))
            self._merged[key] = Place(
                every.prompt[kept], every.index[kept], renumbered[every.which], self.device
            )
        return self._merged[key]

    # ── counts ───────────────────────────────────────────────────────────────────────────────

    def differences(self, code: int) -> Differences:
        """Where the values of a code differ from the base run, summed up by segment."""
        if code not in self._differences:
            self._differences[code] = self._compare(code)
        return self._differences[code]

    def _compare(self, code: int) -> Differences:
        shape = self.weights.shape
        new, old = self.table(code), self.table(AS_BASE)
        taken, own = new.rows(self.everywhere), old.rows(self.everywhere)

        def largest(values: Tensor, base: Tensor) -> Tensor:
            return apart(values[taken], base[own], "sent")

        columns = [largest(new.input, old.input)[:, None]]
        for layer in range(shape.n_layers):
            columns.append(largest(new.z(layer), old.z(layer)))
            if shape.has_mlps:
                columns.append(largest(new.mlp(layer), old.mlp(layer))[:, None])
            else:
                columns.append(columns[-1].new_zeros(len(taken), 1))
        sizes = torch.cat(columns, dim=1).double().cpu().numpy()
        segments = range(len(self.layout.segments))
        parts = [
            sizes[self.everywhere.local[place.prompt, place.index]]
            for place in (self.place([s]) for s in segments)
        ]
        return Differences(
            np.stack([(part != 0).sum(0) for part in parts]).astype(np.int64),
            np.stack([part.max(0, initial=0.0) for part in parts]),
        )
