"""The engine: runs in, readings out, each computed once however many claims ask for it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import readings
from circuitspec.engine.batches import Batch, batches
from circuitspec.engine.edges import check_edges, forward_edges, planned_edges
from circuitspec.engine.forward import Edits, Trace, forward
from circuitspec.engine.paths import hold_receivers
from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    Floats,
    Integers,
    Readings,
    Replace,
    Run,
    Touched,
)
from circuitspec.engine.sources import Outputs, Sources
from circuitspec.engine.writes import edits_for, planned_writes, with_plan
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, PromptSet

DEFAULT_BATCH = 64
"""Prompts at once. Another size moves figures by rounding only; a result records the one used."""

Progress = Callable[[int, int], None]


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
    ) -> None:
        self.weights = weights
        self.sets = dict(sets)
        self.metrics = dict(metrics)
        self.batch_size = batch_size
        self.forwards = 0.0
        self._done: dict[Run, Readings] = {}
        self._finals: dict[tuple[str, tuple[int, ...]], Tensor] = {}
        self._sources = Sources(
            weights,
            self.sets,
            batch_size,
            lambda batch, given, writes: edits_for(self._sources, batch, given, writes),
        )

    def evaluate(self, runs: Iterable[Run], progress: Progress | None = None) -> list[Readings]:
        """The readings of each run, in order."""
        listed = list(runs)
        todo = [run for run in dict.fromkeys(listed) if run not in self._done]
        with torch.inference_mode():
            for done, run in enumerate(todo):
                self._done[run] = self._compute(run)
                if progress is not None:
                    progress(done + 1, len(todo))
        return [self._done[run] for run in listed]

    def _compute(self, run: Run) -> Readings:
        prompts = self.sets[run.prompts]
        collected = _Collected(len(prompts))
        touched = Touched()
        for batch in batches(prompts, self.batch_size, self.weights.device):
            trace, final, moved = self._intervene(run, batch)
            touched += moved
            self._read(run, batch, trace, final, collected)
            self.forwards += len(batch.prompts) / len(prompts)
        return collected.readings(with_plan(touched, self._planned(run, prompts)))

    def _planned(self, run: Run, prompts: PromptSet) -> int:
        shape = self.weights.shape
        planned = planned_writes(prompts, shape, run.writes)
        if run.edges is not None:
            planned += planned_edges(prompts, run.edges.edges)
        if run.path is not None:
            planned += planned_writes(prompts, shape, [Replace(run.path.senders, run.path.source)])
        return planned

    def _intervene(self, run: Run, batch: Batch) -> tuple[Trace | None, Tensor, Touched]:
        """The intervened pass on a batch: trace (none by edges), final residual, counts."""
        layers = {reading.head.layer for reading in run.attention}
        if run.edges is not None:
            check_edges(run.edges.edges, self.weights.shape)
            ablated = self._sources.values(run.edges.source, batch, run.given)
            given = edits_for(self._sources, batch, run.given, ())
            final, touched = forward_edges(self.weights, batch, run.edges, ablated, given)
            return None, final, touched
        if run.path is None:
            edits = edits_for(self._sources, batch, run.given, run.writes)
            trace = forward(self.weights, batch.tokens, edits, patterns=layers)
            return trace, trace.final, edits.touched
        base = edits_for(self._sources, batch, run.given, ())
        clean = forward(self.weights, batch.tokens, base)
        counterfactual = self._sources.values(run.path.source, batch, run.given)
        held, touched = hold_receivers(self.weights, batch, run.path, clean, counterfactual, base)
        again = edits_for(self._sources, batch, run.given, ())
        again.channels, again.mlp_inputs, again.final = (
            held.channels,
            held.mlp_inputs,
            held.final,
        )
        trace = forward(self.weights, batch.tokens, again, patterns=layers)
        return trace, trace.final, touched

    def _model_final(self, run: Run, batch: Batch) -> Tensor:
        """The unmodified model's final residual on a batch, remembered: [B, T, W]."""
        key = (run.prompts, batch.rows)
        if key not in self._finals:
            self._finals[key] = forward(self.weights, batch.tokens).final
        return self._finals[key]

    def _read(
        self, run: Run, batch: Batch, trace: Trace | None, final: Tensor, into: _Collected
    ) -> None:
        places = {}
        for metric in readings.by_name(self.metrics):
            places[metric.name] = metric.at
            if metric.kl:
                model = self._model_final(run, batch)
                values = readings.kl_from(self.weights, batch, metric.at, model, final)
            else:
                values = readings.metric_values(self.weights, batch, metric, final)
            into.add_floats(into.metrics, metric.name, batch, values)
        for name, place in places.items():
            if run.top:
                into.add_integers(
                    name, batch, readings.top_tokens(self.weights, batch, place, final)
                )
            if run.kl:
                model = self._model_final(run, batch)
                values = readings.kl_from(self.weights, batch, place, model, final)
                into.add_floats(into.kl, name, batch, values)
        if trace is None:
            return
        for reading in run.attention:
            mass = readings.attention_mass(batch, reading, trace)
            into.add_floats(into.attention, reading, batch, mass)
        for share in run.attribution:
            metric = self.metrics[share.metric]
            values = readings.attribution(self.weights, batch, share, metric, trace)
            into.add_floats(into.attribution, share, batch, values)

    def outputs(self, batch: Batch) -> Outputs:
        """Every sender's output in an unmodified run on a batch (for scans and self-checks)."""
        with torch.inference_mode():
            return Outputs.of(forward(self.weights, batch.tokens, Edits()))


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

    def add_floats(self, into: dict[_Key, Floats], key: _Key, batch: Batch, values: Tensor) -> None:
        if key not in into:
            into[key] = np.full(self.n, np.nan)
        into[key][list(batch.rows)] = values.cpu().numpy()

    def add_integers(self, name: str, batch: Batch, values: Tensor) -> None:
        if name not in self.top:
            self.top[name] = np.full(self.n, -1, dtype=np.int64)
        self.top[name][list(batch.rows)] = values.cpu().numpy()

    def readings(self, touched: Touched) -> Readings:
        return Readings(
            metrics=self.metrics,
            top=self.top,
            kl=self.kl,
            attention=self.attention,
            attribution=self.attribution,
            touched=touched,
        )
