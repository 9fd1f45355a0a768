"""Greedy search for the set K that is worst for completeness (Wang et al. 2022, section 4).

`greedy RxSxC`: R runs of S steps. A run starts from the empty K; a step draws C candidates from the
circuit's parts that are not in K, without replacement, and adds the one that raises the absolute
incompleteness most, if that exceeds what the run has reached; else K stays and the next step draws
again. The search sees one half of the prompts and the verdict is read off the other, so that the
largest of many noisy numbers is not taken for the worst K's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

import numpy as np

from circuitspec.claims.calls import calls
from circuitspec.claims.context import Context, averaged
from circuitspec.claims.sets import Part, cut_of
from circuitspec.engine.runs import EngineError, Replace, Run
from circuitspec.hypothesis.records import Ablation, Claim, CutSet
from circuitspec.language.syntax import Ref

TIE = 1e-5
"""In the metric's units: a candidate must be better by more. Nearer ones are told apart by the
order they were drawn in, as sums agree to about 6e-6 between batch sizes and not bitwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What is searched: K among `parts`, by the incompleteness of `metric` on `prompts`.

    `size` is runs, steps, candidates; `prompts` are rows of the evaluation set.
    """

    ablation: Ablation
    metric: str
    size: tuple[int, int, int]
    parts: Sequence[Part]
    prompts: tuple[int, ...]
    given: tuple[Replace, ...] = ()


def search(asked: Search, context: Context) -> tuple[CutSet, ...]:
    """The K of every run.

    Run r draws step s's candidates as `sample(parts not in K, C)` of
    `Random("SEED/knockouts/greedy/r/s")`, r and s from 0, parts in the order of `sets.parts_of`.
    Runs whose K is the same give it once, under the first one's name.
    """
    count, steps, candidates = asked.size
    score = _Scores(asked, context)
    held: list[tuple[Part, ...]] = [()] * count
    reached = [score.of([()])[()]] * count
    for step in range(steps):
        # All runs take a step together, so that the engine sees their candidates at once.
        drawn = []
        for run in range(count):
            left = [part for part in asked.parts if part not in held[run]]
            random = Random(f"{context.seed}/knockouts/greedy/{run}/{step}")
            drawn.append(random.sample(left, min(candidates, len(left))))
        tried = [[(*held[run], part) for part in drawn[run]] for run in range(count)]
        scores = score.of([one for of_run in tried for one in of_run])
        for run in range(count):
            for one in tried[run]:
                if scores[one] > reached[run] + TIE:
                    held[run], reached[run] = one, scores[one]
    found: dict[frozenset[Part], CutSet] = {}
    for run, one in enumerate(held):
        found.setdefault(frozenset(one), cut_of(f"greedy {run + 1}", one))
    return tuple(found.values())


def searched_metric(claim: Claim, context: Context) -> str:
    """The metric whose incompleteness the claim is about."""
    named = {
        str(argument.name)
        for call in calls(claim)
        if call.function == "incompleteness"
        for argument in call.arguments
        if isinstance(argument, Ref)
    }
    chosen = named or set(context.metrics)
    if len(chosen) != 1:
        raise EngineError(
            "a greedy search raises one metric: name the same one in all requirements"
        )
    return chosen.pop()


class _Scores:
    """|incompleteness| of sets on the searched prompts, each distinct set computed once."""

    def __init__(self, asked: Search, context: Context) -> None:
        self.asked = asked
        self.context = context
        self.known: dict[frozenset[Part], float] = {}

    def of(self, sets: Sequence[tuple[Part, ...]]) -> Mapping[tuple[Part, ...], float]:
        """The score of each set, by the set as it was given."""
        fresh = {frozenset(one): one for one in sets if frozenset(one) not in self.known}
        asked = [run for one in fresh.values() for run in self._runs(cut_of("", one))]
        done = self.context.evaluate(asked)
        each = len(done) // len(fresh) if fresh else 0
        for number, key in enumerate(fresh):
            pair = done[number * each : (number + 1) * each]
            circuit = averaged(pair[: each // 2], self.asked.metric)
            model = averaged(pair[each // 2 :], self.asked.metric)
            self.known[key] = float(abs(np.mean((circuit - model)[list(self.asked.prompts)])))
        return {one: self.known[frozenset(one)] for one in sets}

    def _runs(self, cut: CutSet) -> tuple[Run, ...]:
        ablation, given, prompts = self.asked.ablation, self.asked.given, self.asked.prompts
        both = (
            *self.context.circuit_runs(ablation, cut, given=given),
            *self.context.knockout_runs(ablation, cut, given=given),
        )
        if len(prompts) == len(self.context.task.evaluation):
            return both
        return tuple(replace(run, rows=prompts) for run in both)
