"""The compiling executor: runs in, one plan a layout, readings out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields

from torch import Tensor

from circuitspec.engine import kernels, readings
from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.collected import Collected
from circuitspec.engine.compiled.execute import Execution
from circuitspec.engine.compiled.lowering import Lowered, distinct_reads, lower
from circuitspec.engine.compiled.metrics import columns_of, here, scores
from circuitspec.engine.compiled.receivers import count_held
from circuitspec.engine.compiled.subject import Coded, Subject
from circuitspec.engine.compiled.values import Values
from circuitspec.engine.plan.by_nodes import node_codes
from circuitspec.engine.plan.demand import demand
from circuitspec.engine.plan.graph import Graph
from circuitspec.engine.plan.layout import Layout, layouts
from circuitspec.engine.plan.passes import ALL, Passes
from circuitspec.engine.runs import Readings, Replace, Run, Source, Touched, Write
from circuitspec.engine.sources import Sources
from circuitspec.language.nodes import Position
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, PromptSet

MOST_READS = 12
"""Different residuals read at one segment by edges beyond which masks are the cheaper way."""

_OTHER_READINGS = tuple(
    f.name
    for f in fields(Run)
    if f.name not in ("prompts", "rows", "given", "writes", "edges", "path", "top", "kl")
)
"""What can be asked of a run besides its metrics: read by the dense executor."""

Given = tuple[Write, ...]


@dataclass(slots=True)
class _Kept:
    """What is kept from call to call."""

    graphs: dict[Hashable, Graph] = field(default_factory=dict)
    subjects: dict[Hashable, Subject] = field(default_factory=dict)
    chunks: dict[Hashable, Chunk] = field(default_factory=dict)


class Compiled:
    """Evaluates many runs together. `batch_size` is prompts at once."""

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
        self.passes = passes
        self._codes: list[Coded] = []
        self._numbers: dict[Coded, int] = {}
        self._kept = _Kept()

    def covers(self, run: Run) -> bool:
        """Whether a run can be compiled; if not it is left to the dense executor."""
        if any(getattr(run, name) for name in _OTHER_READINGS):
            return False
        prompts = self.sets[run.prompts]
        if not self.weights.blocks:
            return False
        if not all(readings.is_plain(metric, prompts) for metric in self.metrics.values()):
            return False
        if run.edges is None:
            return True
        some = layouts(prompts, run.rows, positions_of(run))
        return all(distinct_reads(run, each, self.weights.shape) <= MOST_READS for each in some)

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
        positions = {p for run in runs for p in positions_of(run)}
        positions |= {metric.at for metric in self.metrics.values()}
        collected = {run: Collected(len(prompts)) for run in runs}
        touched = dict.fromkeys(runs, Touched())
        for layout in layouts(prompts, rows, positions):
            graph = self._graph(layout, given)
            segments = self._read_segments(layout)
            lowered = {
                run: lower(run, layout, graph, tuple(segments.values()), self._coded)
                for run in runs
            }
            for first in range(0, len(layout.rows), self.batch_size):
                part = layout.part(first, first + self.batch_size)
                chunk = self._chunk(prompts, part, given)
                values = self._execute(chunk, graph, lowered)
                for run, low in lowered.items():
                    touched[run] += low.counted(chunk) + count_held(chunk, graph, values, low.held)
                self._read(chunk, graph, values, lowered, segments, collected)
        return {run: collected[run].readings(touched[run]) for run in runs}

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

    def _read_segments(self, layout: Layout) -> dict[str, int]:
        """The segment that each metric is read at."""
        found = {}
        for metric in self.metrics.values():
            (found[metric.name],) = layout.where(metric.at)
        return found

    def _subject(self, prompts: PromptSet, rows: Sequence[int], given: Given) -> Subject:
        key = (prompts.name, tuple(rows), given)
        if key not in self._kept.subjects:
            self._kept.subjects[key] = Subject(
                self.weights, self.sources, prompts, key[1], given, self._codes
            )
        return self._kept.subjects[key]

    def _chunk(self, prompts: PromptSet, layout: Layout, given: Given) -> Chunk:
        subject = self._subject(prompts, layout.rows.tolist(), given)
        key = (subject.set.name, subject.rows, given, layout.segments)
        if key not in self._kept.chunks:
            self._kept.chunks[key] = Chunk(subject, layout, merge_rows=self.passes.rows)
        return self._kept.chunks[key]

    def _execute(self, chunk: Chunk, graph: Graph, lowered: Mapping[Run, Lowered]) -> Values:
        roots = {(n, s) for low in lowered.values() for s, n in low.finals.items()}
        moved = {(n, key[2]) for low in lowered.values() for key, n in low.held.items() if n >= 0}
        wanted = demand(graph, sorted(roots | moved))
        execution = Execution(chunk, graph, wanted)
        return execution.run(n for n, _ in roots | moved)

    # ── readings ─────────────────────────────────────────────────────────────────────────────

    def _read(
        self,
        chunk: Chunk,
        graph: Graph,
        values: Values,
        lowered: Mapping[Run, Lowered],
        segments: Mapping[str, int],
        collected: Mapping[Run, Collected],
    ) -> None:
        runs = list(lowered)
        rows = chunk.layout.rows
        for metric in self.metrics.values():
            segment = segments[metric.name]
            place = chunk.place([segment])
            numbers = [lowered[run].finals[segment] for run in runs]
            distinct = list(dict.fromkeys(numbers))
            at = {number: i for i, number in enumerate(distinct)}
            finals = values.rows(distinct, place)
            columns = columns_of(self.weights, metric, chunk.subject.prompts)
            if columns is not None:
                got = scores(self.weights, columns, finals).cpu()
                for run, number in zip(runs, numbers, strict=True):
                    collected[run].add_metric(metric.name, rows, got[at[number]])
            known: dict[tuple[int, str], Tensor] = {}
            for run, number in zip(runs, numbers, strict=True):
                final = finals[at[number]]
                if columns is None:
                    value = self._whole(chunk, metric, segment, number, final, known)
                    collected[run].add_metric(metric.name, rows, value)
                if run.top:
                    if (number, "top") not in known:
                        logits = kernels.logits(self.weights, final)
                        known[number, "top"] = logits.argmax(-1)
                    collected[run].add_top(metric.name, rows, known[number, "top"])
                if run.kl:
                    collected[run].add_kl(
                        metric.name, rows, self._kl(chunk, segment, number, final, known)
                    )

    def _whole(
        self,
        chunk: Chunk,
        metric: Metric,
        segment: int,
        number: int,
        final: Tensor,
        known: dict[tuple[int, str], Tensor],
    ) -> Tensor:
        """A metric that needs the whole vocabulary: float64 [N]."""
        if metric.kl:
            return self._kl(chunk, segment, number, final, known)
        if (number, "metric") not in known:
            batch = here(chunk.subject.prompts, chunk.device)
            known[number, "metric"] = readings.metric_values(
                self.weights, batch, metric, final[:, None]
            )
        return known[number, "metric"]

    def _kl(
        self,
        chunk: Chunk,
        segment: int,
        number: int,
        final: Tensor,
        known: dict[tuple[int, str], Tensor],
    ) -> Tensor:
        if (number, "kl") not in known:
            model = self._model_final(chunk, segment)
            known[number, "kl"] = readings.kl_from(self.weights, model, final)
        return known[number, "kl"]

    def _model_final(self, chunk: Chunk, segment: int) -> Tensor:
        """The unmodified model's final residual: [N, W]."""
        subject = chunk.subject
        if subject.given:
            subject = self._subject(subject.set, subject.rows, ())
        final = subject.base(2 * self.weights.shape.n_layers)[0]
        index = chunk.place([segment]).rows_in(subject.everywhere)
        return final if index is None else final[index]


def positions_of(run: Run) -> set[Position]:
    """Every position at which a run treats tokens otherwise than elsewhere."""
    found: set[Position] = set()
    for write in (*run.given, *run.writes):
        elements = write.elements if isinstance(write, Replace) else write.live
        found.update(element.position for element in elements)
    if run.edges is not None:
        found.update(edge.position for edge in run.edges.edges)
    if run.path is not None:
        found.update(element.position for element in run.path.senders)
        found.update(position for _, _, position in run.path.receivers)
    return found
