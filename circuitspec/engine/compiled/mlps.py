"""The MLPs of one layer: all instances, of all plans that go side by side, in large products.

An MLP treats every row alike, whichever instance and prompt it is of; in one product rows take less
time than in several. (Those of path patching's first pass are with what they move: `execute.py`.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.compiled.layers import LayerStep
from circuitspec.engine.compiled.places import Place
from circuitspec.engine.compiled.values import Pool
from circuitspec.engine.plan.graph import MlpOut


@dataclass(slots=True, eq=False)
class _Family:
    """MLP outputs `numbers` on the same rows, and those that are made so far: [n, R, W]."""

    step: LayerStep
    place: Place
    numbers: list[int]
    out: Tensor | None = None
    done: int = 0

    def read(self, numbers: Sequence[int]) -> Tensor:
        """What some of them read, row by row: [n · R, W]."""
        nodes = self.step.graph.nodes
        read = [node.x for n in numbers if isinstance(node := nodes[n], MlpOut)]
        return self.step.values.rows(read, self.place).flatten(0, 1)

    def take(self, count: int, rows: Tensor) -> None:
        """The outputs of the next `count` instances: [n · R, W]."""
        out = rows.view(count, self.place.count, -1)
        if count == len(self.numbers):
            self.out = out
            return
        if self.out is None:
            self.out = out.new_empty(len(self.numbers), *out.shape[1:])
        self.out[self.done : self.done + count] = out
        self.done += count


_Piece = tuple[_Family, list[int]]


def compute_mlps(steps: Sequence[LayerStep]) -> None:
    """Every MLP output that is needed of a layer."""
    block = steps[0].block
    if block.mlp is None or block.ln2 is None:
        return
    families = [family for step in steps for family in _families(step)]
    pieces = [
        (family, some)
        for family in families
        for some in family.step.keys.portions(family.numbers, family.place.count)
    ]
    for together in _packed(pieces, steps[0].keys.rows_at_once):
        read = [family.read(some) for family, some in together]
        made = kernels.mlp_output(
            block.mlp, block.ln2(read[0] if len(read) == 1 else torch.cat(read))
        )
        parts = torch.split(made, [len(part) for part in read])
        for (family, some), part in zip(together, parts, strict=True):
            family.take(len(some), part)
    for family in families:
        assert family.out is not None
        family.step.values.put(family.numbers, Pool(family.out, family.place))


def _families(step: LayerStep) -> list[_Family]:
    by_place: dict[Place, list[int]] = {}
    for number in step.wanted.mlps:
        by_place.setdefault(step.place(number), []).append(number)
    return [_Family(step, place, numbers) for place, numbers in by_place.items()]


def _packed(pieces: Sequence[_Piece], rows_at_once: int) -> Iterator[list[_Piece]]:
    """Instances on different rows together, up to `rows_at_once` rows."""
    together: list[_Piece] = []
    rows = 0
    for family, some in pieces:
        count = family.place.count * len(some)
        if together and rows + count > rows_at_once:
            yield together
            together, rows = [], 0
        together.append((family, some))
        rows += count
    if together:
        yield together
