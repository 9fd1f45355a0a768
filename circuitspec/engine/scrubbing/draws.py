"""Which prompts a scrub reads its states on: classes of a pool, and draws from them.

A prompt is named by a number: first those of the pool, in order, then the evaluation prompts. All
draws are functions of the seed, the claim's name and the path, so that they can be made again one
by one, and more evaluation prompts leave those of the first ones as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from circuitspec.engine.runs import EngineError, Floats, Integers
from circuitspec.engine.scrubbing.story import Slot, State
from circuitspec.hypothesis.text import expression_text
from circuitspec.language.syntax import Expr
from circuitspec.task.context import TaskContext
from circuitspec.task.features import FeatureError, feature_value, of_position
from circuitspec.task.records import Prompt, PromptSet

Path = tuple[Slot, ...]
Booleans = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """The prompts of a pool, sorted by what they are worth.

    `of` int64 [prompts]: the class of every prompt; `members[starts[c] : starts[c + 1]]` are the
    pool's prompts of class c. `alone[c]` is the token sequence that all of them share, -1 if they
    differ.
    """

    of: Integers
    members: Integers
    starts: Integers
    alone: Integers

    def draw(self, x: Integers, u: Floats) -> Integers:
        """For each reference x a prompt of its class, by u in [0, 1); -1 where there is none."""
        of = self.of[x]
        low, high = self.starts[of], self.starts[of + 1]
        chosen = low + (u * (high - low)).astype(np.int64)
        none = high == low
        if len(self.members) == 0:
            return np.full_like(x, -1)
        return np.where(none, -1, self.members[np.where(none, 0, chosen)])

    def single(self, x: Integers, sequence: Integers) -> Booleans:
        """Where x is the only prompt of its class, so that drawing within it tests nothing."""
        of = self.of[x]
        empty = self.starts[of + 1] == self.starts[of]
        single: Booleans = empty | (self.alone[of] == sequence[x])
        return single


class Chooser:
    """Draws from a pool, given agreement on features and on the number of tokens."""

    def __init__(
        self,
        pool: PromptSet,
        evaluation: PromptSet,
        context: TaskContext,
        *,
        seed: int,
        claim: str,
        draws: int,
    ) -> None:
        self.prompts: tuple[Prompt, ...] = (*pool.prompts, *evaluation.prompts)
        self.pool = pool
        self.draws = draws
        self._n, self._size = len(evaluation), len(pool)
        self.context = context
        self._name = f"circuitspec:{seed}:pool:{claim}"
        sequences: dict[tuple[int, ...], int] = {}
        self.sequence: Integers = np.array(
            [sequences.setdefault(p.tokens, len(sequences)) for p in self.prompts], dtype=np.int64
        )
        self._classes: dict[tuple[object, ...], Classes] = {}
        self._lengths: dict[int, Integers] = {}

    def roots(self, rows: Sequence[int]) -> Integers:
        """The root prompts of some evaluation rows, once for each draw: int64 [rows, draws]."""
        chosen = self._size + np.array(rows, dtype=np.int64)
        return np.repeat(chosen[:, None], self.draws, axis=1)

    def uniform(self, name: Sequence[object], what: str, rows: Sequence[int]) -> Floats:
        """Numbers in [0, 1) for the draws of a path, by evaluation row: [rows, draws]."""
        return self._stream(name, what, self._n, self.draws)[list(rows)]

    def at(
        self, name: Sequence[object], what: str, x: Integers, sample: Integers, samples: int
    ) -> Floats:
        """Numbers in [0, 1) for samples of a state on prompts x: of the same shape."""
        return self._stream(name, what, len(self.prompts), samples)[x, sample]

    def _stream(self, name: Sequence[object], what: str, rows: int, columns: int) -> Floats:
        text = ":".join((self._name, what, *map(str, name)))
        digest = hashlib.sha256(text.encode()).digest()
        stream = np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "big")))
        return stream.random((rows, columns))

    def other(self, length: int, u: Floats) -> Integers:
        """An unconditional draw from the pool for each u, uniform over prompts of a length."""
        members = self._of_length(length)
        if not len(members):
            raise EngineError(
                f"{self.pool.name} has no prompt of {length} tokens to draw from: "
                "a larger `pool` may have one"
            )
        return members[(u * len(members)).astype(np.int64)]

    def read(
        self, carries: Sequence[Expr], position: int, length: int, x: Integers, u: Floats
    ) -> tuple[Integers, Integers, Booleans]:
        """A role read on a draw that agrees with x: the prompt it is read on, the one drawn (-1
        where there is none, and it is x's own), and whether x's class is itself alone."""
        classes = self.agreeing(carries, position, length)
        chosen = classes.draw(x, u)
        return np.where(chosen < 0, x, chosen), chosen, classes.single(x, self.sequence)

    def _of_length(self, length: int) -> Integers:
        if length not in self._lengths:
            own = [i for i, p in enumerate(self.pool) if len(p.tokens) == length]
            self._lengths[length] = np.array(own, dtype=np.int64)
        return self._lengths[length]

    def agreeing(self, carries: Sequence[Expr], position: int, length: int) -> Classes:
        """Prompts of a length by the features that a role carries at a token."""
        where = position if any(of_position(f, self.context) for f in carries) else None
        texts = tuple(map(expression_text, carries))

        if (length, texts, where) not in self._classes:
            for feature in carries:
                self._has_values(feature, length, where)

        def value(prompt: Prompt) -> Hashable:
            if len(prompt.tokens) != length:
                return False
            return tuple(self._value(f, prompt, where) for f in carries)

        return self._sorted((length, texts, where), value)

    def _value(self, feature: Expr, prompt: Prompt, position: int | None) -> Hashable:
        try:
            return feature_value(feature, prompt, self.context, position)
        except FeatureError:
            # what has no value in two prompts is no difference between them
            return None

    def _has_values(self, feature: Expr, length: int, position: int | None) -> None:
        """Raise EngineError for a feature that no prompt has a value of: it says nothing."""
        fault = ""
        for prompt in self.prompts:
            if len(prompt.tokens) != length:
                continue
            try:
                feature_value(feature, prompt, self.context, position)
            except FeatureError as error:
                fault = str(error)
            else:
                return
        raise EngineError(fault or f"no prompt has {length} tokens")

    def _sorted(self, key: tuple[object, ...], value: Callable[[Prompt], Hashable]) -> Classes:
        if key not in self._classes:
            found: dict[Hashable, int] = {}
            of = np.array(
                [found.setdefault(value(p), len(found)) for p in self.prompts], dtype=np.int64
            )
            pooled = of[: self._size]
            members = np.argsort(pooled, kind="stable").astype(np.int64)
            starts = np.searchsorted(pooled[members], np.arange(len(found) + 1)).astype(np.int64)
            alone = np.full(len(found), -1, dtype=np.int64)
            for c in range(len(found)):
                own = np.unique(self.sequence[members[starts[c] : starts[c + 1]]])
                if len(own) == 1:
                    alone[c] = own[0]
            self._classes[key] = Classes(of, members, starts, alone)
        return self._classes[key]


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """A state at a path, with the prompts it is read on: int64 [rows, draws] each.

    `chosen`: the pool's prompt that was drawn, -1 where its class has none; None where nothing is
    drawn (the root, exact roles). `x`: the prompt that the state is read on. `other`: the one draw
    for everything else that it reads; None of a leaf. `single`: where x's class is itself alone.
    """

    path: Path
    state: State
    x: Integers
    chosen: Integers | None
    other: Integers | None
    single: Booleans | None
    below: tuple[Drawn, ...]

    def walk(self) -> Iterator[Drawn]:
        """This one and all below it."""
        yield self
        for each in self.below:
            yield from each.walk()


def draw_tree(
    chooser: Chooser,
    state: State,
    rows: Sequence[int],
    carries: Mapping[str, tuple[Expr, ...]],
    length: int,
) -> Drawn:
    """Everything that the logits' state asks for, for evaluation rows of one geometry."""

    def read(path: Path, state: State, reference: Integers) -> Drawn:
        x, chosen, single = reference, None, None
        if path and not state.exact:
            u = chooser.uniform(path, "draw", rows)
            own = carries[state.role]
            x, chosen, single = chooser.read(own, state.position, length, reference, u)
        other = None
        if not state.leaf:
            other = chooser.other(length, chooser.uniform(path, "other", rows))
        below = tuple(read((*path, slot), each, x) for slot, each in state.slots)
        return Drawn(path, state, x, chosen, other, single, below)

    return read((), state, chooser.roots(rows))
