"""What runs cost, reckoned from tokens and the model's shape alone: nothing is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import numpy as np

from circuitspec.engine.compiled.lowering import lower, positions_of
from circuitspec.engine.plan.by_nodes import node_codes
from circuitspec.engine.plan.cost import Cost, demand_cost, logits_flops, residual_forward
from circuitspec.engine.plan.demand import Demand, demand
from circuitspec.engine.plan.goes import goes
from circuitspec.engine.plan.graph import ROWWISE, Graph
from circuitspec.engine.plan.layout import Layout, layouts
from circuitspec.engine.plan.memory import (
    KEPT,
    Needed,
    base_bytes,
    needed_bytes,
    peak_bytes,
    table_bytes,
)
from circuitspec.engine.plan.passes import Passes
from circuitspec.engine.plan.rows import distinct, row_codes, token_table, value_rows
from circuitspec.engine.readings import metric_places
from circuitspec.engine.runs import Means, Run, Source, Write, Zero
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.task.records import Metric, Prompt, PromptSet

SIZE = 4
"""Bytes of a float32."""

Given = tuple[Write, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoned:
    """What runs cost under some passes: operations, and the most memory at once in bytes.

    `shared` is the part of `cost` that all runs have in common: unmodified runs of their prompts
    and of those that ablation values are read off. `goes` is in how many parts they are computed.
    """

    runs: int
    cost: Cost
    shared: Cost
    peak: int
    goes: int

    @property
    def flops(self) -> float:
        """All floating-point operations."""
        return self.cost.flops + self.shared.flops

    @property
    def instances(self) -> int:
        """Outputs of heads and MLPs, each at one token row."""
        return self.cost.instances + self.shared.instances


@dataclass(slots=True)
class _Codes:
    """Numbers for ablation values, as the executor gives them."""

    sources: list[Source] = field(default_factory=list)
    known: dict[tuple[Source, Given], int] = field(default_factory=dict)

    def __call__(self, source: Source, given: Given) -> int:
        key = (source, given)
        if key not in self.known:
            self.sources.append(source)
            self.known[key] = len(self.sources)
        return self.known[key]


def reckon(
    runs: Sequence[Run],
    shape: ModelShape,
    sets: Mapping[str, PromptSet],
    metrics: Mapping[str, Metric],
    *,
    passes: Passes,
    batch_size: int,
    room: float = inf,
) -> Reckoned:
    """What the compiled executor computes for `runs`, all asked for at once.

    Runs that would take more than `room` bytes together are parted, as it parts them.
    """
    unique = list(dict.fromkeys(runs))
    total, peak, count, kept = Cost(), 0, 0, 0
    for (name, rows, given), members in _groups(unique).items():
        prompts = sets[name]
        positions = {p for run in members for p in positions_of(run, shape)}
        for metric in metrics.values():
            positions |= {metric.at} if metric.until is None else {metric.at, metric.until}
        every = layouts(prompts, rows, positions)
        for together in goes(every, batch_size, len(members) if passes.share else 1):
            jobs = [_Job.of(prompts, layout, shape, given, passes) for layout in together]
            pending = [(jobs, some) for some in _shared(members, passes)]
            while pending:
                here, some = pending.pop()
                found = [job.cost(some, metrics) for job in here]
                need = peak_bytes(shape, sum((needed for _, needed in found), Needed()), SIZE)
                need += kept + sum(job.held for job in jobs)
                if need > room and len(here) > 1:
                    half = (len(here) + 1) // 2
                    pending += [(here[half:], some), (here[:half], some)]
                    continue
                if need > room and len(some) > 1:
                    half = (len(some) + 1) // 2
                    pending += [(here, some[half:]), (here, some[:half])]
                    continue
                total = sum((cost for cost, _ in found), total)
                peak, count = max(peak, need), count + 1
            kept += sum(job.held for job in jobs)
        kept = 0 if kept > KEPT else kept
    return Reckoned(
        runs=len(unique),
        cost=total,
        shared=shared_cost(unique, shape, sets),
        peak=peak,
        goes=count,
    )


def _shared(runs: list[Run], passes: Passes) -> list[list[Run]]:
    """What is computed at once: everything, or where nothing is shared each run alone."""
    return [runs] if passes.share else [[run] for run in runs]


def _groups(runs: Sequence[Run]) -> dict[tuple[str, tuple[int, ...] | None, Given], list[Run]]:
    found: dict[tuple[str, tuple[int, ...] | None, Given], list[Run]] = {}
    for run in runs:
        found.setdefault((run.prompts, run.rows, run.given), []).append(run)
    return found


def shared_cost(runs: Sequence[Run], shape: ModelShape, sets: Mapping[str, PromptSet]) -> Cost:
    """Unmodified passes of the runs' own prompts (once for each set of knock-outs) and of those
    that their ablation values are read off."""
    passes: set[tuple[object, ...]] = set()
    for run in runs:
        passes.add((run.prompts, run.given))
        for source, given in _sources(run):
            match source:
                case Zero():
                    pass
                case Means(reference=reference):
                    passes.add((reference, ()))
                case _:
                    passes.add((source, given))
    total = Cost()
    for what, *_ in passes:
        if isinstance(what, str):
            prompts: Sequence[Prompt] = sets[what].prompts
        elif (name := getattr(what, "prompts", None)) is not None:
            prompts = [sets[name].prompts[row] for row in getattr(what, "rows", ())]
        else:
            prompts = sets[runs[0].prompts].prompts
        total += residual_forward(shape, Counter(len(p.tokens) for p in prompts))
    return total


def _sources(run: Run) -> Iterator[tuple[Source, Given]]:
    for write in run.given:
        yield write.source, ()
    for write in run.writes:
        yield write.source, run.given
    for part in (run.edges, run.path):
        if part is not None:
            yield part.source, run.given


@dataclass(slots=True)
class _Job:
    """Runs on prompts of one layout."""

    shape: ModelShape
    layout: Layout
    prompts: Sequence[Prompt]
    given: Given
    passes: Passes
    codes: _Codes = field(default_factory=_Codes)

    @staticmethod
    def of(
        prompts: PromptSet, layout: Layout, shape: ModelShape, given: Given, passes: Passes
    ) -> _Job:
        """Runs on those of `prompts` that have a layout."""
        return _Job(shape, layout, [prompts.prompts[row] for row in layout.rows], given, passes)

    @property
    def held(self) -> int:
        """Bytes of the base run, and of the ablation values that runs so far have named."""
        held = base_bytes(self.shape, int(self.layout.length.sum()), SIZE)
        for source in self.codes.sources:
            values = int(value_rows(source, self.prompts).max()) + 1
            held += table_bytes(self.shape, values, SIZE)
        return held

    def cost(self, runs: Sequence[Run], metrics: Mapping[str, Metric]) -> tuple[Cost, Needed]:
        """Operations, and what the instances need of memory."""
        graph = Graph(
            self.shape,
            node_codes(self.given, (), self.layout, self.shape, self.codes),
            replace(self.passes, share=True),
        )
        read = {m.name: self._segments(m) for m in metrics.values()}
        every = tuple(range(len(self.layout.segments)))
        named = tuple(sorted({s for segments in read.values() for s in segments}))
        segments = named if self.passes.drop else every
        lowered = [lower(run, self.layout, graph, segments, self.codes) for run in runs]
        roots = {(n, s) for low in lowered for s, n in low.finals.items()}
        roots |= {(n, key[2]) for low in lowered for key, n in low.held.items() if n >= 0}
        wanted = demand(graph, sorted(roots))
        rows = _Rows(graph, self.layout, self.prompts, wanted, self.codes, self.passes.rows)
        total = demand_cost(graph, wanted, self.layout, rows)
        logits = 0.0
        for metric in metrics.values():
            places = sum(len(metric_places(metric, prompt)) for prompt in self.prompts)
            for run in runs:
                plain = not metric.kl and all(t.quantity == "logit" for t in metric.terms)
                if run.top or run.kl or not plain or not self.passes.drop:
                    logits += places * logits_flops(self.shape)
        needed = needed_bytes(graph, wanted, self.layout, rows, (n for n, _ in roots), SIZE)
        return total + Cost(logits=logits), needed

    def _segments(self, metric: Metric) -> set[int]:
        """The segments that a metric is read at."""
        found = set()
        for column, prompt in enumerate(self.prompts):
            start = self.layout.start[:, column]
            end = start + self.layout.length[:, column]
            for place in metric_places(metric, prompt):
                found.add(int(np.flatnonzero((start <= place) & (place < end))[0]))
        return found


class _Rows:
    """How many rows an instance has: as the executor's places, from tokens alone."""

    def __init__(
        self,
        graph: Graph,
        layout: Layout,
        prompts: Sequence[Prompt],
        needed: Demand,
        codes: _Codes,
        merge: bool,
    ) -> None:
        self.graph, self.layout, self.needed = graph, layout, needed
        self.prompts, self.codes, self.merge = prompts, codes, merge
        self.tokens = token_table(prompts)
        self._which: dict[frozenset[int], np.ndarray[tuple[int, int], np.dtype[np.int64]]] = {}
        self._known: dict[int, frozenset[int]] = {}
        self._counts: dict[tuple[frozenset[int], tuple[int, ...]], int] = {}

    def __call__(self, number: int) -> int:
        segment = self.graph.segment_of(number)
        if segment != ROWWISE:
            return self.layout.tokens(segment)
        key = (
            row_codes(self.graph, number, self._known),
            tuple(self.needed.segments(number)),
        )
        if key not in self._counts:
            self._counts[key] = self._count(*key)
        return self._counts[key]

    def _count(self, codes: frozenset[int], segments: tuple[int, ...]) -> int:
        if codes not in self._which:
            keys = [value_rows(self.codes.sources[c - 1], self.prompts) for c in sorted(codes)]
            self._which[codes] = distinct(self.tokens, *keys, merge=self.merge).which
        columns = np.arange(self.tokens.shape[1])[None]
        inside = np.zeros(self.tokens.shape, dtype=np.bool_)
        for s in segments:
            start = self.layout.start[s][:, None]
            inside |= (columns >= start) & (columns < start + self.layout.length[s][:, None])
        return len(np.unique(self._which[codes][inside]))
