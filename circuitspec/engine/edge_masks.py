"""Which senders each receiver channel of a run by edges treats against the rule, row by row.

A row is a token of a prompt. Rows at which the same of the run's positions fall are of one class,
and read alike: the edges of a whole run are one small matrix a class.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from circuitspec.engine.batches import Batch
from circuitspec.engine.plan.by_edges import Senders, named_by, receiver_index
from circuitspec.engine.plan.by_nodes import n_nodes, node_index
from circuitspec.hypothesis.records import Edge
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    INPUT,
    Channel,
    Head,
    HeadIndex,
    Input,
    Layer,
    Logits,
    Mlp,
    Position,
)

Sender = Input | Head | Mlp
Receiver = Head | Mlp | Logits
Reader = tuple[int, Channel]
"""A receiver, by its number, and one of its channels."""
Exceptions = tuple[tuple[int, Senders], ...]
Bools = NDArray[np.bool_]


def senders_of(shape: ModelShape) -> list[Sender]:
    """Every sender of a model, in the order of computation."""
    found: list[Sender] = [INPUT]
    for layer in range(shape.n_layers):
        found += [Head(Layer(layer), HeadIndex(index)) for index in range(shape.n_heads)]
        if shape.has_mlps:
            found.append(Mlp(Layer(layer)))
    return found


def bits(senders: Senders, shape: ModelShape) -> Bools:
    """Senders as bits, one by one: bool [nodes]."""
    count = n_nodes(shape)
    packed = np.frombuffer(senders.to_bytes((count + 7) // 8, "little"), dtype=np.uint8)
    return np.unpackbits(packed, count=count, bitorder="little").astype(np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class RowClass:
    """Rows that read alike: `rows` int64 of B·T, None for all; `falls` [P] says which of the
    positions fall there."""

    rows: Tensor | None
    count: int
    falls: Bools

    def portions(self, at_once: int) -> Iterator[Tensor | slice]:
        """The rows, a few at once."""
        for start in range(0, self.count, at_once):
            part = slice(start, min(self.count, start + at_once))
            yield part if self.rows is None else self.rows[part]


class EdgeMasks:
    """The edges of one run on one batch.

    `senders` are those that some edge names, in the order of computation; a mask has a column for
    each of them. What a channel reads against the rule is its exceptions: by position (a number),
    the senders as bits.
    """

    def __init__(self, edges: frozenset[Edge], batch: Batch, shape: ModelShape) -> None:
        self.batch = batch
        self.shape = shape
        named = named_by(edges, shape)
        self.positions: list[Position] = sorted({position for _, _, position, _ in named}, key=str)
        number = {position: i for i, position in enumerate(self.positions)}
        self.exceptions: dict[Reader, Exceptions] = {}
        every = 0
        # in an order that does not depend on hashing
        for receiver, channel, position, senders in sorted(named, key=lambda n: number[n[2]]):
            before = self.exceptions.get((receiver, channel), ())
            self.exceptions[receiver, channel] = (*before, (number[position], senders))
            every |= senders
        self.receivers = frozenset(receiver for receiver, _ in self.exceptions)
        self._columns = np.flatnonzero(bits(every, shape))
        self.senders: list[Sender] = [
            s for s in senders_of(shape) if every >> node_index(s, shape) & 1
        ]
        self.column: dict[Sender, int] = {s: i for i, s in enumerate(self.senders)}
        self._matrices: dict[Exceptions, Bools] = {}

    def reads_of(self, receiver: Receiver, channel: Channel) -> Exceptions:
        """What `channel` reads against the rule."""
        return self.exceptions.get((receiver_index(receiver, self.shape), channel), ())

    def reads(self, receiver: Receiver) -> bool:
        """Whether some edge leads to a receiver."""
        return receiver_index(receiver, self.shape) in self.receivers

    @cached_property
    def classes(self) -> list[RowClass]:
        """Every row of the batch, in one class each."""
        tokens = self.batch.tokens
        device = tokens.device
        if not self.positions:
            return [RowClass(None, tokens.numel(), np.zeros(0, dtype=np.bool_))]
        falls = torch.stack([self.batch.mask(position).flatten() for position in self.positions])
        kinds, which = np.unique(falls.cpu().numpy().T, axis=0, return_inverse=True)
        if len(kinds) == 1:
            return [RowClass(None, tokens.numel(), kinds[0])]
        members = [np.flatnonzero(which.reshape(-1) == i) for i in range(len(kinds))]
        return [
            RowClass(torch.from_numpy(rows).to(device), len(rows), kind)
            for rows, kind in zip(members, kinds, strict=True)
        ]

    def matrix(self, exceptions: Exceptions) -> Bools:
        """What is read against the rule, class by class: [classes, senders]."""
        found = self._matrices.get(exceptions)
        if found is None:
            found = np.zeros((len(self.classes), len(self.senders)), dtype=np.bool_)
            for i, each in enumerate(self.classes):
                here = 0
                for position, senders in exceptions:
                    if each.falls[position]:
                        here |= senders
                if here:
                    found[i] = bits(here, self.shape)[self._columns]
            self._matrices[exceptions] = found
        return found

    def readers(self) -> NDArray[np.int64]:
        """How many channels treat each sender against the rule, class by class: [classes,
        senders]."""
        total = np.zeros((len(self.classes), len(self.senders)), dtype=np.int64)
        for exceptions in self.exceptions.values():
            total += self.matrix(exceptions)
        return total

    def rows(self, of_class: Bools) -> Tensor:
        """Which rows belong to the classes that are True in `of_class` [classes]: bool [B, T]."""
        tokens = self.batch.tokens
        mask = torch.zeros(tokens.numel(), dtype=torch.bool, device=tokens.device)
        for each, wanted in zip(self.classes, of_class, strict=True):
            if wanted and each.rows is None:
                mask[:] = True
            elif wanted:
                mask[each.rows] = True
        return mask.view(tokens.shape)

    def written(self, exceptions: Exceptions) -> int:
        """How many reads (sender, row) a channel with these exceptions treats against the rule."""
        return int(self.sizes @ self.matrix(exceptions).sum(1))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """Rows by class."""
        return np.array([each.count for each in self.classes], dtype=np.int64)

    def per_class(self, where: Sequence[Tensor]) -> NDArray[np.int64]:
        """How often each of several masks [B, T] is True in each class: int64 [masks, classes]."""
        if not where:
            return np.zeros((0, len(self.classes)), dtype=np.int64)
        flat = torch.stack([mask.flatten() for mask in where])
        counts = [
            (flat if each.rows is None else flat[:, each.rows]).sum(1) for each in self.classes
        ]
        return torch.stack(counts, dim=1).cpu().numpy()
