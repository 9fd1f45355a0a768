"""Values as tables: each distinct value once, and which one a token row takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
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


class Sent(Protocol):
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


Batched = TypeVar("Batched", covariant=True)


@dataclass(frozen=True, slots=True, eq=False)
class Part(Generic[Batched]):
    """A batch of values; its prompts `taken` (None: all) stand at `rows` [B, T]."""

    values: Batched
    rows: Integers
    taken: Integers | None = None


def gather(
    parts: Sequence[Part[Batched]],
    of: Callable[[Batched], Tensor],
    size: int,
    device: torch.device,
) -> Tensor:
    """What `of` gives of every part [B, T, ...], row by row: [size, ...]."""
    first = parts[0]
    whole = len(parts) == 1 and first.taken is None
    if whole and np.array_equal(first.rows.reshape(-1), np.arange(size)):
        return of(first.values).flatten(0, 1)
    out: Tensor | None = None
    for part in parts:
        value = of(part.values)
        if part.taken is not None:
            value = value[torch.from_numpy(part.taken).to(device)]
        if out is None:
            out = value.new_zeros(size, *value.shape[2:])
        out[torch.from_numpy(part.rows.reshape(-1)).to(device)] = value.flatten(0, 1)
    assert out is not None
    return out


class Table:
    """The outputs of a run: `input` [G, W], `z(layer)` [G, H, D], `mlp(layer)` [G, W].

    `which` [N, T] says which of the G a token row takes. `parts(layers)` are batches that know at
    least so many layers. In `added` is kept what all heads of a
    layer add to the stream: [G, W].
    """

    def __init__(
        self,
        which: Integers,
        parts: Callable[[int], Sequence[Part[Sent]]],
        device: torch.device,
    ) -> None:
        self.which = which
        self.parts = parts
        self.device = device
        self.size = int(which.max()) + 1
        self.added: dict[int, Tensor] = {}
        self._rows: WeakKeyDictionary[Place, Tensor] = WeakKeyDictionary()
        self._distinct: WeakKeyDictionary[Place, tuple[Tensor, Tensor]] = WeakKeyDictionary()
        self._last: dict[str, tuple[int, Tensor]] = {}

    @property
    def input(self) -> Tensor:
        """The input's values."""
        return self._gathered("input", 0, lambda sent: sent.input)

    def z(self, layer: int) -> Tensor:
        """The heads' values."""
        return self._gathered("z", layer, lambda sent: sent.z[layer])

    def mlp(self, layer: int) -> Tensor:
        """The MLP's values."""

        def of(sent: Sent) -> Tensor:
            value = sent.mlps[layer]
            assert value is not None
            return value

        return self._gathered("mlp", layer, of)

    def rows(self, place: Place) -> Tensor:
        """Which value each row of a place takes: int64 [R]."""
        if place not in self._rows:
            found = self.which[place.prompt, place.index]
            self._rows[place] = torch.from_numpy(found).to(self.device)
        return self._rows[place]

    def distinct(self, place: Place) -> tuple[Tensor, Tensor]:
        """The values that a place takes, each once: int64 [V], and which of them each row takes:
        int64 [R]."""
        if place not in self._distinct:
            found = np.unique(self.which[place.prompt, place.index], return_inverse=True)
            values, each = (torch.from_numpy(x.reshape(-1)).to(self.device) for x in found)
            self._distinct[place] = values, each
        return self._distinct[place]

    def _gathered(self, what: str, layer: int, of: Callable[[Sent], Tensor]) -> Tensor:
        """All parts in one; remembered until the same is asked for of another layer."""
        known, value = self._last.get(what, (-1, None))
        if value is None or known != layer:
            value = gather(self.parts(layer + 1), of, self.size, self.device)
            self._last[what] = (layer, value)
        return value


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
        return _fixed(which, [Part(first, np.zeros((1, 1), dtype=np.int64))], device)
    if isinstance(source, Means):
        kinds = mean_kinds(source, prompts)
        seen: set[tuple[str, int]] = set()
        parts: list[Part[Outputs]] = []
        for batch, places in batches:
            for i, place in enumerate(places):
                if kinds[place] not in seen:
                    seen.add(kinds[place])
                    rows = which[place, : batch.length][None]
                    parts.append(Part(values(_one(batch, i)), rows))
        return _fixed(which, parts, device)
    return _fixed(
        which,
        [Part(values(b), places[:, None] * width + np.arange(b.length)) for b, places in batches],
        device,
    )


def _fixed(which: Integers, parts: Sequence[Part[Outputs]], device: torch.device) -> Table:
    return Table(which, lambda layers: parts, device)


def _one(batch: Batch, i: int) -> Batch:
    return Batch((batch.prompts[i],), (batch.rows[i],), batch.tokens[i : i + 1])
