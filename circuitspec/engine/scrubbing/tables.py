"""States to be computed, as flat tables: one a kind of state, each entry read by entries above it.

Exactly: an entry for every path, row and draw. Pooled, where paths are too many: a state on a
prompt has K samples, each with its own draws below, and whoever reads that state on that prompt
takes one of them. Then the work grows with prompts and kinds of states, and not with paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from circuitspec.engine.runs import Integers
from circuitspec.engine.scrubbing.draws import Booleans, Chooser, Drawn
from circuitspec.engine.scrubbing.story import Key, Slot, State
from circuitspec.language.syntax import Expr


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Entries of one kind of state, S of them: int64 [S] each.

    `x`: the prompt it is read on; `other`: the draw for all else (None of leaves); `reads`: for
    each slot the entry of the state's table that is read.
    """

    state: State
    x: Integers
    other: Integers | None
    reads: Mapping[Slot, Integers]


def exact(drawn: Sequence[Drawn], part: slice) -> dict[Key, Table]:
    """Tables of trees with a draw for every path; `part` of the flattened rows and draws of each.

    Entries of the roots stand in the order of `drawn`.
    """
    found: dict[Key, list[Drawn]] = {}
    place: dict[int, int] = {}
    for tree in drawn:
        for each in tree.walk():
            own = found.setdefault(each.state.key, [])
            place[id(each)] = len(own)
            own.append(each)
    tables = {}
    for key, several in found.items():
        x = [each.x.reshape(-1)[part] for each in several]
        size = len(x[0])
        others = [each.other.reshape(-1)[part] for each in several if each.other is not None]
        reads: dict[Slot, Integers] = {}
        for i, (slot, _) in enumerate(several[0].state.slots):
            starts = [size * place[id(each.below[i])] for each in several]
            reads[slot] = np.concatenate([start + np.arange(size) for start in starts])
        tables[key] = Table(
            several[0].state,
            np.concatenate(x),
            np.concatenate(others) if others else None,
            reads,
        )
    return tables


def pooled(
    chooser: Chooser,
    roots: Sequence[State],
    rows: Sequence[int],
    carries: Mapping[str, tuple[Expr, ...]],
    length: int,
    samples: int,
) -> tuple[dict[Key, Table], dict[str, Booleans]]:
    """Tables of everything that the logits' states ask for, `samples` of each state on a prompt.

    The entries of the logits are the rows' draws, row by row. Besides: for every role, of each time
    that it is read, whether its class is a single prompt.
    """
    entries: dict[Key, Integers] = {}
    wanted: dict[Key, list[Integers]] = {}
    codes: dict[tuple[Key, Slot], Integers] = {}
    others: dict[Key, Integers | None] = {}
    single: dict[str, list[Booleans]] = {}
    numbers: dict[Key, int] = {}
    top = chooser.roots(rows)
    for state in parents_first(roots):
        key = state.key
        numbers[key] = chooser.draws if state in roots else samples
        if state in roots:
            draws = np.tile(np.arange(chooser.draws), len(rows))
            entries[key] = top.reshape(-1) * chooser.draws + draws
        else:
            entries[key] = np.unique(np.concatenate(wanted[key]))
        x, sample = entries[key] // numbers[key], entries[key] % numbers[key]
        others[key] = None
        if not state.leaf:
            name = ("logits",) if state in roots else (state,)
            u = chooser.at(name, "other", x, sample, numbers[key])
            others[key] = chooser.other(length, u)
        for slot, child in state.slots:
            below = x
            if not child.exact:
                u = chooser.at((state, slot), "draw", x, sample, numbers[key])
                own = carries[child.role]
                below, _, alone = chooser.read(own, child.position, length, x, u)
                single.setdefault(child.role, []).append(alone)
            pick = np.zeros(len(x), dtype=np.int64)
            if not child.leaf:
                u = chooser.at((state, slot), "sample", x, sample, numbers[key])
                pick = (u * samples).astype(np.int64)
            codes[key, slot] = below * samples + pick
            wanted.setdefault(child.key, []).append(codes[key, slot])
    tables = {}
    for state in children_first(roots):
        key = state.key
        reads = {
            slot: np.searchsorted(entries[child.key], codes[key, slot]).astype(np.int64)
            for slot, child in state.slots
        }
        tables[key] = Table(state, entries[key] // numbers[key], others[key], reads)
    return tables, {role: np.concatenate(found) for role, found in single.items()}


def parents_first(roots: Iterable[State]) -> Iterator[State]:
    """Every kind of state once, none before one that reads it."""
    yield from reversed(list(children_first(roots)))


def children_first(roots: Iterable[State]) -> Iterator[State]:
    """Every kind of state once, none before what it reads."""
    seen: set[Key] = set()

    def walk(state: State) -> Iterator[State]:
        if state.key in seen:
            return
        seen.add(state.key)
        for _, child in state.slots:
            yield from walk(child)
        yield state

    for root in roots:
        yield from walk(root)


def count_paths(roots: Iterable[State]) -> int:
    """How many states the unrolled trees have."""
    counts: dict[Key, int] = {}
    roots = tuple(roots)
    for state in children_first(roots):
        counts[state.key] = 1 + sum(counts[child.key] for _, child in state.slots)
    return sum(counts[root.key] for root in roots)
