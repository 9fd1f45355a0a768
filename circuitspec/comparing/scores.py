"""How much of the behaviour each rival's circuit recovers alone, to be held against its size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from circuitspec.claims.context import Context
from circuitspec.claims.measured import Series
from circuitspec.comparing.differences import linearised, own
from circuitspec.comparing.questions import answer, measurable, runs_of
from circuitspec.comparing.records import Question, Score
from circuitspec.comparing.sides import Side, Terms
from circuitspec.engine.runs import EngineError, Floats, Run
from circuitspec.hypothesis.records import Ablation
from circuitspec.judge.intervals import Interval


def runs_of_scores(context: Context, ablations: Sequence[Ablation]) -> Iterator[Run]:
    """Everything that a rival's scores need computed, as far as it can be."""
    for ablation in ablations:
        if measurable(ablation, context):
            with suppress(EngineError):
                yield from runs_of(Question(ablation=ablation), 0, context)
                yield from context.circuit_runs(ablation, empty=True)


def scores(side: Side, ablations: Sequence[Ablation], terms: Terms) -> Iterator[Score]:
    """A rival's scores under every ablation that its task has prompts for."""
    context = side.context
    for ablation in ablations:
        if not measurable(ablation, context):
            continue
        try:
            whole = answer(Question(ablation=ablation), 0, context)
            none = context.evaluate(context.circuit_runs(ablation, empty=True))
        except EngineError:
            continue  # the claim that stated the ablation is invalid, and says why
        empty = replace(whole, circuit=tuple(none))

        def at(values: Floats, drawn: bool = whole.drawn) -> Interval:
            return own(Series(values=values, drawn=drawn), side.facts)(terms.level)

        for metric in side.facts.metrics:
            circuit, model, floor = whole.value(metric), whole.target(metric), empty.value(metric)
            yield Score(
                ablation=ablation,
                metric=metric,
                circuit=at(circuit),
                model=float(model.mean()),
                ratio=at(linearised(circuit, model)),
                recovered=at(linearised(circuit - floor, model - floor)),
                agreement=own(whole.series("agreement", metric), side.facts)(terms.level),
            )
