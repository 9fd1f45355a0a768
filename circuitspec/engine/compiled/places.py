"""Which token rows a tensor stands for, and how rows of one tensor are found in another's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.plan.layout import Layout
from circuitspec.engine.plan.rows import Integers


class Place:
    """Token rows in a fixed order: `prompt`, `index` [R] (a prompt's place among N, a token index).

    `local` [N, T] finds a row by prompt and token index (−1: not here). Where several rows of the
    prompts are one (`which`), all of them are found at it.
    """

    def __init__(
        self, prompt: Integers, index: Integers, local: Integers, device: torch.device
    ) -> None:
        self.prompt = prompt
        self.index = index
        self.local = local
        self.device = device
        self.flat = torch.from_numpy(prompt * local.shape[1] + index).to(device)
        self._found: WeakKeyDictionary[Place, Tensor | None] = WeakKeyDictionary()

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.prompt)

    def rows_in(self, other: Place) -> Tensor | None:
        """Where our rows stand in another place: int64 [R]; None where it is the same place."""
        if other is self:
            return None
        if other not in self._found:
            where = other.local[self.prompt, self.index]
            assert (where >= 0).all(), "rows that were not computed are read"
            same = len(where) == other.count and bool((where == np.arange(len(where))).all())
            self._found[other] = None if same else torch.from_numpy(where).to(self.device)
        return self._found[other]


def place_of(prompt: Integers, index: Integers, width: int, n: int, device: torch.device) -> Place:
    """A place whose rows are all distinct."""
    local = np.full((n, width), -1, dtype=np.int64)
    local[prompt, index] = np.arange(len(prompt))
    return Place(prompt, index, local, device)


def segment_place(
    layout: Layout, segments: Sequence[int], width: int, device: torch.device
) -> Place:
    """The tokens of some segments: prompt by prompt, in order."""
    n = len(layout.rows)
    inside = np.zeros((n, width), dtype=np.bool_)
    columns = np.arange(width)[None]
    for s in segments:
        start, length = layout.start[s][:, None], layout.length[s][:, None]
        inside |= (columns >= start) & (columns < start + length)
    prompt, index = np.nonzero(inside)
    return place_of(prompt, index, width, n, device)


@dataclass(frozen=True, slots=True, eq=False)
class Padded:
    """Consecutive segments as a rectangle: token `start + j` of each prompt at column j.

    `rows` [N, P] are places in a `Place` of the same segments (0 where padded), `position` [N, P]
    token indices, `valid` [N, P] whether there is a token. `whole`: nothing is padded, and the
    rectangle is the rows in order.
    """

    rows: Tensor
    position: Tensor
    valid: Tensor
    whole: bool

    @property
    def columns(self) -> int:
        """The number of columns P."""
        return self.rows.shape[1]


def padded(layout: Layout, segments: Sequence[int], place: Place, device: torch.device) -> Padded:
    """Consecutive `segments` as a rectangle; their tokens must be in `place`."""
    start = layout.start[segments[0]]
    length = layout.length[list(segments)].sum(0)
    most = max(int(length.max()), 1)
    columns = np.arange(most)[None]
    valid = columns < length[:, None]
    position = np.where(valid, start[:, None] + columns, 0)
    rows = np.where(valid, place.local[np.arange(len(start))[:, None], position], 0)
    assert (rows >= 0).all(), "rows that were not computed are read"
    whole = bool(valid.all()) and bool((rows.reshape(-1) == np.arange(rows.size)).all())
    whole = whole and rows.size == place.count
    return Padded(
        torch.from_numpy(rows).to(device),
        torch.from_numpy(position).to(device),
        torch.from_numpy(valid).to(device),
        whole,
    )
