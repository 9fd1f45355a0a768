"""The engine: runs in, readings out, each computed once however many claims ask for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import readings
from circuitspec.engine.batches import Batch, batches
from circuitspec.engine.compiled.compiled import Compiled
from circuitspec.engine.compiled.room import budget, is_out_of_memory, release
from circuitspec.engine.edges import cut_reads, difference_bytes, forward_edges, planned_edges
from circuitspec.engine.forward import Edits, Trace, forward
from circuitspec.engine.lens import between, read_residual
from circuitspec.engine.paths import hold_along
from circuitspec.engine.plan.cost import plain_forward
from circuitspec.engine.readings import Places
from circuitspec.engine.refusals import refuse_metric, refuse_prompts, refuse_run, sets_of
from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    EngineError,
    Floats,
    Integers,
    LiveEdges,
    Readings,
    Replace,
    ResidualReading,
    Run,
    Touched,
)
from circuitspec.engine.sources import Outputs, Sources
from circuitspec.engine.writes import (
    edits_for,
    planned_receivers,
    planned_writes,
    with_plan,
)
from circuitspec.language.nodes import Head, Input, Mlp
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, Prompt, PromptSet

DEFAULT_BATCH = 128
"""Prompts at once. Another size moves figures by rounding only; a result records the one used."""

Progress = Callable[[int, int], None]
Executor = Literal["compiled", "dense"]
"""`compiled` computes all runs of a call together; what it does not cover is left to `dense`, one
run at a time with masks."""


class Engine:
    """Computes runs on a model, over named prompt sets.

    One instance serves a whole verification: readings of equal runs are computed once, and so are
    the values that several runs put in place of outputs. `evaluate` raises EngineError, with a
    sentence for the author, for a run that cannot mean anything.
    """

    def __init__(
        self,
        weights: Weights,
        sets: Mapping[str, PromptSet],
        metrics: Mapping[str, Metric],
        *,
        batch_size: int = DEFAULT_BATCH,
        executor: Executor = "compiled",
    ) -> None:
        self.weights = weights
        self.sets = dict(sets)
        self.metrics = dict(metrics)
        if batch_size < 1:
            raise ValueError(f"a batch holds at least one prompt, not {batch_size}")
        self.batch_size = batch_size
        self.forwards = 0.0
        self._done: dict[Run, Readings] = {}
        self._finals: dict[tuple[str, tuple[int, ...], str], Tensor] = {}
        self._feedable: set[str] = set()
        self._readable: set[str] = set()
        self._sources = Sources(
            weights,
            self.sets,
            batch_size,
            lambda batch, given, writes: edits_for(self._sources, batch, given, writes),
        )
        self._compiled = Compiled(
            weights, self.sets, self.metrics, self._sources, batch_size=batch_size
        )
        self.executor = executor

    def evaluate(self, runs: Iterable[Run], progress: Progress | None = None) -> list[Readings]:
        """The readings of each run, in order."""
        listed = list(runs)
        todo = [run for run in dict.fromkeys(listed) if run not in self._done]
        with _computing(self.weights):
            for run in todo:
                self._refuse(run)
            together: list[Run] = []
            if self.executor == "compiled":
                together = [run for run in todo if self._compiled.covers(run)]
            self._compute_together(together)
            if together and progress is not None:
                progress(len(together), len(todo))
            alone = [run for run in todo if run not in self._done]
            for done, run in enumerate(alone, start=len(todo) - len(alone)):
                self._done[run] = self._compute(run)
                if progress is not None:
                    progress(done + 1, len(todo))
        return [self._done[run] for run in listed]

    def _compute_together(self, runs: Sequence[Run]) -> None:
        """What the compiled executor covers, on one set of prompts after the other."""
        by_set: dict[str, list[Run]] = {}
        for run in runs:
            by_set.setdefault(run.prompts, []).append(run)
        for name, members in by_set.items():
            with self._compiling(name):
                done = self._compiled.evaluate(members)
            for run, found in done.items():
                count = cache(partial(self._touched, run, found.count))
                self._done[run] = replace(found, count=count)

    def _touched(self, run: Run, written: Callable[[], Touched]) -> Touched:
        """What a compiled run wrote, beside what was planned."""
        with self._compiling(run.prompts), _computing(self.weights):
            return with_plan(written(), self._planned(run, self._asked(run)))

    @contextmanager
    def _compiling(self, prompts: str) -> Iterator[None]:
        """What is compiled and computed inside is reckoned up, in plain passes of these prompts."""
        before = self._compiled.flops + self._sources.flops
        yield
        self.batch_size = min(self.batch_size, self._compiled.batch_size)
        spent = self._compiled.flops + self._sources.flops - before
        lengths = Counter(len(prompt.tokens) for prompt in self.sets[prompts])
        self.forwards += spent / plain_forward(self.weights.shape, lengths).flops

    def _compute(self, run: Run) -> Readings:
        """One run by the dense executor, in batches half the size where memory does not suffice."""
        while True:
            try:
                return self._densely(run)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
            if self.batch_size == 1:
                raise EngineError("there is not enough memory for one prompt of this run")
            self.batch_size = (self.batch_size + 1) // 2
            self._sources.shrink(self.batch_size)
            release(self.weights.device)

    def _densely(self, run: Run) -> Readings:
        prompts = self.sets[run.prompts]
        collected = _Collected(len(prompts))
        touched = Touched()
        for batch in batches(prompts, self._at_once(run), self.weights.device, run.rows):
            done = self._intervene(run, batch)
            touched += done.touched
            self._read(run, batch, done, collected)
            self.forwards += len(batch.prompts) / len(prompts)
        if run.edges is not None:
            return collected.readings(cache(partial(self._cut, run, run.edges, touched)))
        whole = with_plan(touched, self._planned(run, self._asked(run)))
        return collected.readings(lambda: whole)

    def _at_once(self, run: Run) -> int:
        """Prompts at once: by edges fewer, where the differences of all senders named are many."""
        if run.edges is None:
            return self.batch_size
        shape, prompts = self.weights.shape, self._asked(run)
        rows = max((len(prompt.tokens) for prompt in prompts), default=1)
        each = difference_bytes(run.edges, shape, rows, self.weights.embed.element_size())
        return max(1, min(self.batch_size, budget(self.weights.device) // each))

    def _cut(self, run: Run, live: LiveEdges, touched: Touched) -> Touched:
        """What a run by edges wrote, and which of the reads it cut have another value."""
        with _computing(self.weights):
            prompts, shape = self.sets[run.prompts], self.weights.shape
            for batch in batches(prompts, self.batch_size, self.weights.device, run.rows):
                ablated = self._sources.values(live.source, batch, run.given)
                clean = self._sources.without_writes(batch, run.given)
                touched += cut_reads(live, batch, shape, ablated, clean)
            return with_plan(touched, self._planned(run, self._asked(run)))

    def _asked(self, run: Run) -> Sequence[Prompt]:
        """The prompts that a run is asked about."""
        prompts = self.sets[run.prompts].prompts
        return prompts if run.rows is None else [prompts[row] for row in run.rows]

    def _refuse(self, run: Run) -> None:
        """Raise EngineError for a run that cannot mean anything here."""
        shape = self.weights.shape
        refuse_run(run, shape, self.sets, self.metrics)
        for name in sets_of(run) - self._feedable:
            refuse_prompts(self.sets[name], shape)
            self._feedable.add(name)
        if run.prompts not in self._readable:
            for metric in self.metrics.values():
                refuse_metric(metric, self.sets[run.prompts], shape)
            self._readable.add(run.prompts)

    def _planned(self, run: Run, prompts: Sequence[Prompt]) -> int:
        shape = self.weights.shape
        planned = planned_writes(prompts, shape, run.writes)
        if run.edges is not None:
            planned += planned_edges(prompts, run.edges.edges)
        if run.path is not None:
            planned += planned_writes(prompts, shape, [Replace(run.path.senders, run.path.source)])
            planned += planned_receivers(prompts, run.path.receivers)
            for hop in run.onward:
                planned += planned_writes(prompts, shape, [Replace(hop.senders, run.path.source)])
                planned += planned_receivers(prompts, hop.receivers)
        return planned

    def _intervene(self, run: Run, batch: Batch) -> _Intervened:
        """The intervened pass on a batch."""
        layers = {reading.head.layer for reading in run.attention}
        if run.edges is not None:
            return self._by_edges(run, run.edges, batch)
        if run.path is None:
            edits = edits_for(self._sources, batch, run.given, run.writes)
            trace = forward(self.weights, batch.tokens, edits, patterns=layers)
            return self._traced(run, trace, edits.touched)
        base = edits_for(self._sources, batch, run.given, ())
        clean = forward(self.weights, batch.tokens, base)
        counterfactual = self._sources.values(run.path.source, batch, run.given)
        again, written = hold_along(
            self.weights, batch, run.path, run.onward, clean, counterfactual, base
        )
        again.inputs, again.heads, again.mlps = base.inputs, base.heads, base.mlps
        trace = forward(self.weights, batch.tokens, again, patterns=layers)
        return self._traced(run, trace, again.touched + Touched(written=written))

    def _by_edges(self, run: Run, live: LiveEdges, batch: Batch) -> _Intervened:
        ablated = self._sources.values(live.source, batch, run.given)
        given = edits_for(self._sources, batch, run.given, ())
        trace = forward_edges(
            self.weights,
            batch,
            live,
            ablated,
            given,
            patterns={reading.head for reading in run.attention},
            sent={share.element.node for share in run.attribution},
        )
        return _Intervened(trace.final, trace.patterns, trace.sent, Touched(written=trace.written))

    def _traced(self, run: Run, trace: Trace, touched: Touched) -> _Intervened:
        heads = {reading.head for reading in run.attention}
        outputs = Outputs.of(trace)
        return _Intervened(
            trace.final,
            {head: trace.patterns[head.layer][:, head.index] for head in heads},
            {
                share.element.node: outputs.contribution(self.weights, share.element.node)
                for share in run.attribution
            },
            touched,
            between(trace) if run.residual else (),
        )

    def _model_final(self, run: Run, batch: Batch, metric: Metric, places: Places) -> Tensor:
        """The unmodified model's final residual where a metric is read, remembered: [P, W]."""
        key = (run.prompts, batch.rows, metric.name)
        if key not in self._finals:
            final = forward(self.weights, batch.tokens).final
            self._finals[key] = places.pick(final)
        return self._finals[key]

    def _read(self, run: Run, batch: Batch, done: _Intervened, into: _Collected) -> None:
        for metric in self.metrics.values():
            name = metric.name
            if metric.kl:
                values = self._kl(run, batch, metric, done.final)
            else:
                values = readings.metric_values(self.weights, batch, metric, done.final)
            into.add_floats(into.metrics, name, batch, values)
            if run.top:
                top = readings.top_tokens(self.weights, batch, metric, done.final)
                into.add_integers(name, batch, top)
            if run.kl:
                into.add_floats(into.kl, name, batch, self._kl(run, batch, metric, done.final))
        for reading in run.attention:
            mass = readings.attention_mass(batch, reading, done.patterns[reading.head])
            into.add_floats(into.attention, reading, batch, mass)
        for share in run.attribution:
            metric, sent = self.metrics[share.metric], done.sent[share.element.node]
            values = readings.attribution(self.weights, batch, share, metric, sent, done.final)
            into.add_floats(into.attribution, share, batch, values)
        for which in run.residual:

            def measured(metric: Metric, residual: Tensor) -> Tensor:
                if metric.kl:
                    return self._kl(run, batch, metric, residual)
                return readings.metric_values(self.weights, batch, metric, residual)

            values = read_residual(self.weights, batch, which, done.after, self.metrics, measured)
            into.add_floats(into.residual, which, batch, values)

    def _kl(self, run: Run, batch: Batch, metric: Metric, final: Tensor) -> Tensor:
        places = readings.places_of(batch, metric)
        model = self._model_final(run, batch, metric, places)
        return places.mean(readings.kl_from(self.weights, model, places.pick(final)))

    def over(self, sets: Mapping[str, PromptSet], metrics: Mapping[str, Metric]) -> Engine:
        """An engine that computes as this one does, over other prompts (for self-checks)."""
        return type(self)(
            self.weights, sets, metrics, batch_size=self.batch_size, executor=self.executor
        )

    def outputs(self, batch: Batch) -> Outputs:
        """Every sender's output in an unmodified run on a batch (for scans and self-checks)."""
        with torch.inference_mode():
            return Outputs.of(forward(self.weights, batch.tokens, Edits()))


SMALL = 2_000_000
"""Weights in a block and fewer: sharing such products among threads costs more than it saves."""


@contextmanager
def _computing(weights: Weights) -> Iterator[None]:
    """No gradients, matrix products in full float32, whatever the program that embeds us has
    chosen, and small models on one thread."""
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision("highest")
    shape = weights.shape
    if shape.d_model * (4 * shape.n_heads * shape.d_head + 3 * (shape.d_mlp or 0)) < SMALL:
        torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)


class _Intervened(NamedTuple):
    """One batch of a run: final residual [B, T, W]; patterns [B, T, T] of the heads and outputs
    [B, T, W] of the senders that are read; what was written; residuals [B, T, W] after every block,
    where they are read."""

    final: Tensor
    patterns: Mapping[Head, Tensor]
    sent: Mapping[Head | Mlp | Input, Tensor]
    touched: Touched
    after: tuple[Tensor, ...] = ()


_Key = TypeVar("_Key", bound=Hashable)


class _Collected:
    """Readings of a set while its batches come in, put back in the order of its prompts."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.metrics: dict[str, Floats] = {}
        self.top: dict[str, Integers] = {}
        self.kl: dict[str, Floats] = {}
        self.attention: dict[AttentionReading, Floats] = {}
        self.attribution: dict[AttributionReading, Floats] = {}
        self.residual: dict[ResidualReading, Floats] = {}

    def add_floats(self, into: dict[_Key, Floats], key: _Key, batch: Batch, values: Tensor) -> None:
        if key not in into:
            into[key] = np.full(self.n, np.nan)
        into[key][list(batch.rows)] = values.cpu().numpy()

    def add_integers(self, name: str, batch: Batch, values: Tensor) -> None:
        if name not in self.top:
            self.top[name] = np.full(self.n, -1, dtype=np.int64)
        self.top[name][list(batch.rows)] = values.cpu().numpy()

    def readings(self, count: Callable[[], Touched]) -> Readings:
        return Readings(
            metrics=self.metrics,
            top=self.top,
            kl=self.kl,
            attention=self.attention,
            attribution=self.attribution,
            residual=self.residual,
            count=count,
        )
