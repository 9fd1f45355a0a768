"""Ablation values as tables: each distinct value once, and which one a token row takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.batches import Batch
from circuitspec.engine.compiled.places import Place
from circuitspec.engine.plan.rows import Integers, mean_kinds, value_rows
from circuitspec.engine.runs import Means, Source, Zero
from circuitspec.engine.sources import Outputs
from circuitspec.task.records import Prompt


class Parts(Protocol):
    """A batch's outputs of all senders: of a recording, or of a whole trace."""

    @property
    def input(self) -> Tensor:
        """[B, T, W]."""

    @property
    def z(self) -> tuple[Tensor, ...]:
        """[B, T, H, D] a layer."""

    @property
    def mlps(self) -> tuple[Tensor | None, ...]:
        """[B, T, W] a layer."""


class Table:
    """The values of one ablation: `input` [G, W], `z(layer)` [G, H, D], `mlp(layer)` [G, W].

    `which` [N, T] says which of the G a token row takes. `parts` are batches of outputs with the
    rows [B, T] of G that each has.
    """

    def __init__(
        self, which: Integers, parts: Sequence[tuple[Parts, Integers]], device: torch.device
    ) -> None:
        self.which = which
        self.parts = parts
        self.device = device
        self.size = int(which.max()) + 1
        self._rows: WeakKeyDictionary[Place, Tensor] = WeakKeyDictionary()
        self._last: dict[str, tuple[int, Tensor]] = {}

    @property
    def bytes(self) -> int:
        """Memory that the parts take."""
        tensors = [x for part, _ in self.parts for x in (part.input, *part.z, *part.mlps)]
        return sum(t.numel() * t.element_size() for t in tensors if t is not None)

    @property
    def input(self) -> Tensor:
        """The input's values."""
        return self._gathered("input", 0, lambda part: part.input)

    def z(self, layer: int) -> Tensor:
        """The heads' values."""
        return self._gathered("z", layer, lambda part: part.z[layer])

    def mlp(self, layer: int) -> Tensor:
        """The MLP's values."""

        def of(part: Parts) -> Tensor:
            value = part.mlps[layer]
            assert value is not None
            return value

        return self._gathered("mlp", layer, of)

    def rows(self, place: Place) -> Tensor:
        """Which value each row of a place takes: int64 [R]."""
        if place not in self._rows:
            found = self.which[place.prompt, place.index]
            self._rows[place] = torch.from_numpy(found).to(self.device)
        return self._rows[place]

    def _gathered(self, what: str, layer: int, of: Callable[[Parts], Tensor]) -> Tensor:
        """All parts in one; remembered until the same is asked for of another layer."""
        known, value = self._last.get(what, (-1, None))
        if value is None or known != layer:
            value = self._gather(of)
            self._last[what] = (layer, value)
        return value

    def _gather(self, of: Callable[[Parts], Tensor]) -> Tensor:
        first, rows = self.parts[0]
        value = of(first)
        if len(self.parts) == 1 and np.array_equal(rows.reshape(-1), np.arange(self.size)):
            return value.flatten(0, 1)
        out = value.new_zeros(self.size, *value.shape[2:])
        for part, rows in self.parts:
            out[torch.from_numpy(rows.reshape(-1)).to(self.device)] = of(part).flatten(0, 1)
        return out


def source_table(
    source: Source,
    prompts: Sequence[Prompt],
    batches: Sequence[tuple[Batch, Integers]],
    values: Callable[[Batch], Outputs],
    device: torch.device,
) -> Table:
    """The values of `source` on `prompts`.

    `batches` are the prompts in batches of one length, each with its places among them; `values`
    gives the outputs on a batch.
    """
    which = value_rows(source, prompts)
    width = which.shape[1]
    if isinstance(source, Zero) or (isinstance(source, Means) and source.over == "batch"):
        batch, places = batches[0]
        first = values(_one(batch, 0)).map(lambda x: x[:, :1])
        return Table(which, [(first, np.zeros((1, 1), dtype=np.int64))], device)
    if isinstance(source, Means):
        kinds = mean_kinds(source, prompts)
        seen: set[tuple[str, int]] = set()
        parts: list[tuple[Parts, Integers]] = []
        for batch, places in batches:
            for i, place in enumerate(places):
                if kinds[place] not in seen:
                    seen.add(kinds[place])
                    rows = which[place, : batch.length][None]
                    parts.append((values(_one(batch, i)), rows))
        return Table(which, parts, device)
    parts = [(values(b), places[:, None] * width + np.arange(b.length)) for b, places in batches]
    return Table(which, parts, device)


def _one(batch: Batch, i: int) -> Batch:
    return Batch((batch.prompts[i],), (batch.rows[i],), batch.tokens[i : i + 1])
