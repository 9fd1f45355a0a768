"""The compiling executor: runs in, one plan a layout, readings out."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import TypeVar

import torch
from torch import Tensor

from circuitspec.engine import readings
from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.collected import Collected
from circuitspec.engine.compiled.counts import count_held, count_written
from circuitspec.engine.compiled.execute import Execution, carry_out
from circuitspec.engine.compiled.lowering import Lowered, compilable, lower, positions_of
from circuitspec.engine.compiled.memo import Memo
from circuitspec.engine.compiled.metrics import Read, columns_of, read_of, scores
from circuitspec.engine.compiled.room import budget, is_out_of_memory, release
from circuitspec.engine.compiled.subject import Coded, Known, Subject
from circuitspec.engine.compiled.values import Values
from circuitspec.engine.plan.by_nodes import node_codes
from circuitspec.engine.plan.cost import Cost, demand_cost, logits_flops
from circuitspec.engine.plan.demand import demand
from circuitspec.engine.plan.goes import SMALL, goes, token_rows
from circuitspec.engine.plan.graph import Graph
from circuitspec.engine.plan.layout import Layout, layouts
from circuitspec.engine.plan.memory import KEPT, Needed, needed_bytes, peak_bytes
from circuitspec.engine.plan.passes import ALL, Passes
from circuitspec.engine.runs import EngineError, Readings, Run, Source, Touched, Write
from circuitspec.engine.sources import Sources
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, PromptSet

Given = tuple[Write, ...]

_T = TypeVar("_T")
_AtOnce = Callable[[PromptSet, Sequence[Layout], Given, Sequence[Run]], dict[Run, _T] | None]
"""Does something for runs on some prompts; None where it would take too much memory."""


@dataclass(slots=True)
class _Kept:
    """What is kept from call to call."""

    graphs: dict[Hashable, Graph] = field(default_factory=dict)
    subjects: dict[Hashable, Subject] = field(default_factory=dict)
    chunks: dict[Hashable, Chunk] = field(default_factory=dict)
    reads: dict[Chunk, list[Read]] = field(default_factory=dict)
    known: dict[Hashable, dict[int, Known]] = field(default_factory=dict)
    memo: Memo = field(default_factory=Memo)


@dataclass(frozen=True, slots=True, eq=False)
class _Planned:
    """Runs on a chunk, ready to be carried out: what that needs of memory, and costs."""

    chunk: Chunk
    lowered: Mapping[Run, Lowered]
    execution: Execution
    needed: Needed
    cost: Cost


class Compiled:
    """Evaluates many runs together.

    `batch_size` is prompts at once, `small` the token rows of all runs up to which layouts go side
    by side; both are halved where memory does not suffice. `cost` is what was computed so far, but
    for base runs and the runs that ablation values are read off; `peak` the most that any
    computation was planned to need, in bytes.
    """

    def __init__(
        self,
        weights: Weights,
        sets: Mapping[str, PromptSet],
        metrics: Mapping[str, Metric],
        sources: Sources,
        *,
        batch_size: int,
        passes: Passes = ALL,
    ) -> None:
        self.weights = weights
        self.sets = sets
        self.metrics = metrics
        self.sources = sources
        self.batch_size = batch_size
        self.small = SMALL
        self.passes = passes
        self.cost = Cost()
        self.peak = 0
        self._spent = 0.0
        self._codes: list[Coded] = []
        self._numbers: dict[Coded, int] = {}
        self._kept = _Kept()

    def covers(self, run: Run) -> bool:
        """Whether a run can be compiled; if not it is left to the dense executor."""
        return compilable(run, self.sets[run.prompts], self.weights.shape)

    def evaluate(self, runs: Sequence[Run]) -> dict[Run, Readings]:
        """The readings of every run."""
        groups: dict[tuple[str, tuple[int, ...] | None, Given], list[Run]] = {}
        for run in runs:
            groups.setdefault((run.prompts, run.rows, run.given), []).append(run)
        found: dict[Run, Readings] = {}
        for (name, rows, given), members in groups.items():
            found.update(self._group(self.sets[name], rows, given, members))
        return found

    def _group(
        self,
        prompts: PromptSet,
        rows: tuple[int, ...] | None,
        given: Given,
        runs: Sequence[Run],
    ) -> dict[Run, Readings]:
        positions = {p for run in runs for p in positions_of(run, self.weights.shape)}
        for metric in self.metrics.values():
            positions |= {metric.at} if metric.until is None else {metric.at, metric.until}
        every = goes(layouts(prompts, rows, positions), self.batch_size, len(runs), self.small)
        collected = {run: Collected(len(prompts)) for run in runs}
        held = dict.fromkeys(runs, Touched())
        for parts in every:
            for done in self._portions(self._evaluated, prompts, parts, given, runs):
                for run, (found, wrote) in done.items():
                    for each in found:
                        collected[run].take(each)
                    held[run] += wrote
        self._trim(KEPT)
        return {
            run: collected[run].readings(partial(self._touched, prompts, every, run, held[run]))
            for run in runs
        }

    def _touched(
        self, prompts: PromptSet, every: Sequence[Sequence[Layout]], run: Run, held: Touched
    ) -> Touched:
        """What a run wrote on all prompts, and what is `held` besides."""
        for parts in every:
            for done in self._portions(self._written, prompts, parts, run.given, [run]):
                held += done[run]
        self._trim(KEPT)
        return held

    def _portions(
        self,
        at_once: _AtOnce[_T],
        prompts: PromptSet,
        parts: Sequence[Layout],
        given: Given,
        runs: Sequence[Run],
    ) -> Iterator[dict[Run, _T]]:
        """Some prompts' share of `runs`, in as many goes as memory makes necessary.

        Layouts are parted first; then runs, which loses what they share; then prompts, which loses
        speed.
        """
        pending: list[tuple[Sequence[Layout], list[Run]]] = [(parts, list(runs))]
        while pending:
            together, some = pending.pop()
            done = self._tried(partial(at_once, prompts, together, given, some))
            if done is not None:
                yield done
                continue
            if len(together) > 1:
                self.small = min(self.small, token_rows(together, len(some)) // 2)
                half = (len(together) + 1) // 2
                pending += [(together[half:], some), (together[:half], some)]
                continue
            here = together[0]
            half = (len(some) + 1) // 2
            if len(some) > 1:
                pending += [((here,), some[half:]), ((here,), some[:half])]
                continue
            count = len(here.rows)
            if count == 1:
                raise EngineError("there is not enough memory for one prompt of this run")
            self.batch_size = min(self.batch_size, (count + 1) // 2)
            starts = range(0, count, self.batch_size)
            pending += [((here.part(i, i + self.batch_size),), some) for i in reversed(starts)]

    def _tried(self, at_once: Callable[[], _T | None]) -> _T | None:
        """What `at_once` gives; None where that is too much at once."""
        try:
            return at_once()
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._trim(0)
        release(self.weights.device)
        return None

    def _written(
        self, prompts: PromptSet, parts: Sequence[Layout], given: Given, runs: Sequence[Run]
    ) -> dict[Run, Touched]:
        """What runs write on some prompts."""
        chunks = [self._chunk(prompts, part, given) for part in parts]
        return {
            run: sum((count_written(run, chunk, self._coded) for chunk in chunks), Touched())
            for run in runs
        }

    def _evaluated(
        self, prompts: PromptSet, parts: Sequence[Layout], given: Given, runs: Sequence[Run]
    ) -> dict[Run, tuple[list[Collected], Touched]] | None:
        """The readings of runs on each of `parts`, and what they held."""
        planned = [self._planned(self._chunk(prompts, part, given), given, runs) for part in parts]
        size = self.weights.embed.element_size()
        needed = sum((each.needed for each in planned), Needed())
        peak = peak_bytes(self.weights.shape, needed, size)
        one = len(runs) * sum(len(part.rows) for part in parts) == 1
        if peak > budget(self.weights.device) and not one:
            return None
        self.peak = max(self.peak, peak)
        carry_out([each.execution for each in planned])
        found: dict[Run, list[Collected]] = {run: [] for run in runs}
        held = dict.fromkeys(runs, Touched())
        for each in planned:
            self.cost += each.cost
            chunk, graph, values = each.chunk, each.execution.graph, each.execution.values
            collected = {run: Collected(len(prompts)) for run in runs}
            for read in self._reads(chunk):
                self._read(chunk, values, each.lowered, read, collected)
            for run, low in each.lowered.items():
                found[run].append(collected[run])
                held[run] += count_held(chunk, graph, values, low.held)
        return {run: (found[run], held[run]) for run in runs}

    def _planned(self, chunk: Chunk, given: Given, runs: Sequence[Run]) -> _Planned:
        """What has to be computed for the final residuals of `runs`, and for what they hold."""
        layout, graph = chunk.layout, self._graph(chunk.layout, given)
        segments = tuple(sorted({s for read in self._reads(chunk) for s in read.segments}))
        lowered = {run: lower(run, layout, graph, segments, self._coded) for run in runs}
        roots = {(n, s) for low in lowered.values() for s, n in low.finals.items()}
        roots |= {(n, key[2]) for low in lowered.values() for key, n in low.held.items() if n >= 0}
        memo = self._kept.memo
        wanted = demand(graph, sorted(roots), memo.known(chunk))
        execution = Execution(chunk, graph, wanted, (n for n, _ in roots), memo=memo)

        def rows(number: int) -> int:
            return execution.place(number).count

        size = self.weights.embed.element_size()
        return _Planned(
            chunk,
            lowered,
            execution,
            needed_bytes(graph, wanted, layout, rows, execution.roots, size),
            demand_cost(graph, wanted, layout, rows),
        )

    def _trim(self, most: int) -> None:
        """Forget base runs and ablation values where they are more than `most` bytes."""
        subjects = self._kept.subjects.values()
        if sum(subject.size for subject in subjects) > most:
            self._spent += sum(subject.flops for subject in subjects)
            self._kept.subjects.clear()
            self._kept.chunks.clear()
            self._kept.reads.clear()
            self._kept.known.clear()
            self._kept.memo.clear()

    @property
    def flops(self) -> float:
        """Floating-point operations so far, base runs included, ablation values not."""
        return (
            self.cost.flops
            + self._spent
            + sum(subject.flops for subject in self._kept.subjects.values())
        )

    # ── plans ────────────────────────────────────────────────────────────────────────────────

    def _coded(self, source: Source, given: Given) -> int:
        key = (source, given)
        if key not in self._numbers:
            self._codes.append(key)
            self._numbers[key] = len(self._codes)
        return self._numbers[key]

    def _graph(self, layout: Layout, given: Given) -> Graph:
        key = (layout.segments, given)
        if key not in self._kept.graphs:
            codes = node_codes(given, (), layout, self.weights.shape, self._coded)
            self._kept.graphs[key] = Graph(self.weights.shape, codes, self.passes)
        return self._kept.graphs[key]

    def _reads(self, chunk: Chunk) -> list[Read]:
        """Where every metric is read."""
        if chunk not in self._kept.reads:
            self._kept.reads[chunk] = [read_of(chunk, each) for each in self.metrics.values()]
        return self._kept.reads[chunk]

    def _subject(self, prompts: PromptSet, rows: Sequence[int], given: Given) -> Subject:
        key = (prompts.name, tuple(rows), given)
        if key not in self._kept.subjects:
            self._kept.subjects[key] = Subject(
                self.weights,
                self.sources,
                prompts,
                key[1],
                given,
                self._codes,
                self._kept.known.setdefault((prompts.name, given), {}),
            )
        return self._kept.subjects[key]

    def _chunk(self, prompts: PromptSet, layout: Layout, given: Given) -> Chunk:
        subject = self._subject(prompts, layout.rows.tolist(), given)
        key = (subject.set.name, subject.rows, given, layout.segments)
        if key not in self._kept.chunks:
            self._kept.chunks[key] = Chunk(subject, layout, merge_rows=self.passes.rows)
        return self._kept.chunks[key]

    # ── readings ─────────────────────────────────────────────────────────────────────────────

    def _read(
        self,
        chunk: Chunk,
        values: Values,
        lowered: Mapping[Run, Lowered],
        read: Read,
        collected: Mapping[Run, Collected],
    ) -> None:
        name, rows = read.metric.name, chunk.layout.rows
        asked = {
            run: tuple(low.finals[segment] for segment in read.segments)
            for run, low in lowered.items()
        }
        distinct = list(dict.fromkeys(asked.values()))
        finals = read.finals(chunk, values, distinct)
        at = {numbers: i for i, numbers in enumerate(distinct)}
        columns = columns_of(self.weights, read)
        got = None if columns is None else scores(self.weights, read, columns, finals).cpu()

        whole_vocabulary = set()
        for run, numbers in asked.items():
            if run.top or run.kl or columns is None:
                whole_vocabulary.add(numbers)
        rows_read = len(whole_vocabulary) * len(read.places.prompts)
        self.cost += Cost(logits=rows_read * logits_flops(self.weights.shape))

        @cache
        def kl(i: int) -> Tensor:
            model = self._model_final(chunk, read)
            return read.places.mean(readings.kl_from(self.weights, model, finals[i]))

        @cache
        def whole(i: int) -> Tensor:
            return readings.values_at(self.weights, read.metric, read.places, finals[i])

        @cache
        def top(i: int) -> Tensor:
            return readings.top_at(self.weights, read.places, finals[i])

        for run, numbers in asked.items():
            i, into = at[numbers], collected[run]
            if got is not None:
                into.add_metric(name, rows, got[i])
            else:
                into.add_metric(name, rows, kl(i) if read.metric.kl else whole(i))
            if run.top:
                into.add_top(name, rows, top(i))
            if run.kl:
                into.add_kl(name, rows, kl(i))

    def _model_final(self, chunk: Chunk, read: Read) -> Tensor:
        """The unmodified model's final residual at a metric's places: [P, W]."""
        subject = chunk.subject
        if subject.given:
            subject = self._subject(subject.set, subject.rows, ())
        final = subject.base(2 * self.weights.shape.n_layers)[0]
        places = read.places
        rows = subject.everywhere.local[places.rows.cpu().numpy(), places.indices.cpu().numpy()]
        return final[torch.from_numpy(rows).to(final.device)]
