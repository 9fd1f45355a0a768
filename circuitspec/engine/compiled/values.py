"""The residuals and MLP outputs that have been computed, by instance, until nothing reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from circuitspec.engine.compiled.places import Place


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Instances on the same rows: `tensor` [instances, R, ...]."""

    tensor: Tensor
    place: Place

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return self.tensor.numel() * self.tensor.element_size()


class Values:
    """Where each instance's value is: a pool, and its index there."""

    def __init__(self) -> None:
        self._at: dict[int, tuple[Pool, int]] = {}

    def __contains__(self, number: int) -> bool:
        return number in self._at

    def put(self, numbers: Sequence[int], pool: Pool) -> None:
        """Remember a pool whose i-th entry is instance `numbers[i]`."""
        for index, number in enumerate(numbers):
            self._at[number] = (pool, index)

    def put_one(self, number: int, pool: Pool, index: int) -> None:
        """Remember one instance of a pool."""
        self._at[number] = (pool, index)

    def pool(self, number: int) -> tuple[Pool, int]:
        """The pool of an instance, and its index there."""
        return self._at[number]

    def drop(self, numbers: Sequence[int]) -> None:
        """Forget instances; a pool's memory is freed with its last one."""
        for number in numbers:
            self._at.pop(number, None)

    def rows(self, numbers: Sequence[int], place: Place) -> Tensor:
        """The instances' rows at a place: [len(numbers), R, ...]."""
        first, _ = self._at[numbers[0]]
        indices = [self._at[n][1] for n in numbers]
        if all(self._at[n][0] is first for n in numbers):
            return pick(take(first.tensor, indices), place.rows_in(first.place))
        parts = []
        for start, stop in stretches([id(self._at[n][0]) for n in numbers]):
            pool = self._at[numbers[start]][0]
            parts.append(pick(take(pool.tensor, indices[start:stop]), place.rows_in(pool.place)))
        return torch.cat(parts)


def take(tensor: Tensor, indices: Sequence[int]) -> Tensor:
    """Entries along the first axis; a view where they are consecutive."""
    start, stop = indices[0], indices[-1] + 1
    if stop - start == len(indices) and list(indices) == list(range(start, stop)):
        return tensor[start:stop]
    return tensor[torch.tensor(indices, device=tensor.device)]


def pick(tensor: Tensor, rows: Tensor | None) -> Tensor:
    """Rows along the second axis; all of them where `rows` is None."""
    return tensor if rows is None else tensor.index_select(1, rows)


def stretches(keys: Sequence[int]) -> list[tuple[int, int]]:
    """Where equal neighbours begin and end."""
    if not keys:
        return []
    bounds = [0, *(i for i in range(1, len(keys)) if keys[i] != keys[i - 1]), len(keys)]
    return list(pairwise(bounds))
