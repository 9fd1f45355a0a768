"""Greedy search for the worst K by weight algebra: what it finds, and all that it could find.

Written from the definition alone (docs/explanation/claims/completeness.md). On all prompts there is
one answer. On a sample the search sees other prompts and may end elsewhere, but not anywhere: a set
is out of reach where another one on offer is worse on every single prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

import numpy as np

from proving.machine import Array

TIE = 1e-5
"""A candidate must raise |incompleteness| by more than this."""

ROUNDING = 9e-6
"""A rise so near to `TIE` may be seen as one in float32, or not: no such search is labelled. What
is equal by the machine's symmetry is further from it."""

MANY = 64
"""Searches that could end with more sets than this are not labelled."""


Part = tuple[str, ...]
"""A node and its position, or an edge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """`greedy RUNSxSTEPSxCANDIDATES` of a seed over `parts`, which are in the order of the draws.

    `signed` gives a set's incompleteness on every prompt.
    """

    parts: tuple[Part, ...]
    runs: int
    steps: int
    candidates: int
    seed: int
    signed: Callable[[frozenset[Part]], Array]

    def found(self) -> list[frozenset[Part]] | None:
        """What each run ends with on all prompts; None where rounding could turn a step."""
        ends = []
        for run in range(self.runs):
            held: frozenset[Part] = frozenset()
            for step in range(self.steps):
                best = held
                for one in self._offered(held, run, step):
                    rise = self._size(one) - self._size(best)
                    if abs(rise - TIE) < ROUNDING:
                        return None
                    if rise > TIE:
                        best = one
                held = best
            ends.append(held)
        return ends

    def reachable(self) -> list[frozenset[frozenset[Part]]] | None:
        """All sets that each run may end with, whichever prompts it sees; None if too many."""
        ends = []
        for run in range(self.runs):
            held: set[frozenset[Part]] = {frozenset()}
            for step in range(self.steps):
                held = {end for one in held for end in self._taken(one, run, step)}
                if len(held) > MANY:
                    return None
            ends.append(frozenset(held))
        return ends

    def _offered(self, held: frozenset[Part], run: int, step: int) -> Iterator[frozenset[Part]]:
        """The set with each candidate of a step, in the order drawn."""
        left = [part for part in self.parts if part not in held]
        random = Random(f"{self.seed}/knockouts/greedy/{run}/{step}")
        for part in random.sample(left, min(self.candidates, len(left))):
            yield held | {part}

    def _taken(self, held: frozenset[Part], run: int, step: int) -> Iterable[frozenset[Part]]:
        """What a step may lead to: all on offer, and staying, but for what another always beats."""
        options = [held, *self._offered(held, run, step)]
        return [one for one in options if not any(self._beats(other, one) for other in options)]

    def _beats(self, one: frozenset[Part], other: frozenset[Part]) -> bool:
        """Whether |incompleteness| is larger on any prompts: on each by more than ties and rounding
        make, and with the same sign on all."""
        mine, theirs = self.signed(one), np.abs(self.signed(other)) + 3 * TIE
        return bool((mine >= theirs).all() or (-mine >= theirs).all())

    def _size(self, one: frozenset[Part]) -> float:
        return abs(float(self.signed(one).mean()))
