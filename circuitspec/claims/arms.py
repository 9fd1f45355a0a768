"""From readings to the series that requirements name: metrics, agreement, error, attention."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from circuitspec.claims.calls import calls
from circuitspec.claims.context import Context, accuracy, agreement, averaged
from circuitspec.claims.measured import Arm, Measured, Series
from circuitspec.claims.readings import read_call
from circuitspec.engine.runs import Readings, Touched
from circuitspec.hypothesis.records import Claim


def read_arm(
    name: str,
    claim: Claim,
    context: Context,
    runs: Sequence[Readings],
    model: Readings,
    *,
    touched: Touched | None,
) -> Arm:
    """The series of an intervened run (repetitions averaged), beside the model's own.

    Bare names are of the intervened run. `error` is |m_i(run) − m_i(M)| a prompt, of the task's
    metric (`error(metric)` where it has several).
    """
    series = _of_metrics(context, runs, model)
    parts: dict[str, tuple[str, ...]] = {}
    for call in calls(claim):
        for key, found in read_call(call, claim, context, runs).items():
            series[key] = found.series
            if found.parts:
                parts[key] = found.parts
    return Arm(name=name, series=series, parts=parts, touched=touched)


def _of_metrics(context: Context, runs: Sequence[Readings], model: Readings) -> dict[str, Series]:
    """What every run is read for: its metrics, and how closely they follow the model's."""
    series: dict[str, Series] = {}
    for metric in context.metrics:
        own = averaged(runs, metric)
        reference = model.metrics[metric]
        series[metric] = Series(values=own)
        series[f"model.{metric}"] = Series(values=reference)
        series[f"error({metric})"] = Series(
            values=np.mean([np.abs(r.metrics[metric] - reference) for r in runs], axis=0)
        )
        if all(r.top for r in runs):
            series[f"agreement({metric})"] = agreement(runs, model, metric)
            series[f"accuracy({metric})"] = _accuracy(context, runs, metric)
            series[f"model.accuracy({metric})"] = accuracy(context, model, context.metrics[metric])
        if all(r.kl for r in runs):
            series[f"kl({metric})"] = Series(values=np.mean([r.kl[metric] for r in runs], axis=0))
    return series


def _accuracy(context: Context, runs: Sequence[Readings], metric: str) -> Series:
    each = [accuracy(context, r, context.metrics[metric]).values for r in runs]
    return Series(values=np.mean(each, axis=0), share=len(runs) == 1)


def owned(arm: Arm, owner: str, context: Context, runs: Sequence[Readings]) -> Arm:
    """`arm` with another run's metrics under `owner` (`circuit`, `empty`)."""
    extra: Mapping[str, Series] = {
        f"{owner}.{metric}": Series(values=averaged(runs, metric)) for metric in context.metrics
    }
    return replace(arm, series={**arm.series, **extra})


def empty_arm(arm: Arm, context: Context, runs: Sequence[Readings], model: Readings) -> Arm:
    """A claim's `arm` with another run in its place: that of the empty circuit.

    Without what is read off the arm's own inside (attention and the like).
    """
    others = {name: series for name, series in arm.series.items() if "." in name}
    empty = Arm(name="empty", series={**others, **_of_metrics(context, runs, model)})
    return owned(empty, "circuit", context, runs)


def total_touched(runs: Sequence[Readings]) -> Touched:
    """What all repetitions of an intervention wrote."""
    total = Touched()
    for reading in runs:
        total += reading.touched
    return total


SAME = 1e-5
"""A mean error below this share of |m(M)| is rounding."""


def unreached(shown: str, metrics: Collection[str], *arms: Arm) -> tuple[str, ...]:
    """That nothing which was cut reaches one of `metrics`, and what is not `shown` so.

    What changes activations is not inert, even where nothing after them reads these.
    """
    several = len(arms) > 1
    return tuple(
        f"nothing that is cut{f' by {arm.name}' if several else ''} reaches {metric}: on every "
        f"prompt it is the model's own, so this does not show {shown}"
        for arm in arms
        if arm.touched is not None and arm.touched.changed
        for metric in metrics
        if arm.series[f"error({metric})"].values.max()
        <= SAME * abs(arm.series[f"model.{metric}"].mean)
    )


def numbers(arm: Arm) -> dict[str, float]:
    """The mean of every series of an arm."""
    return {name: series.mean for name, series in arm.series.items()}


def by_template(measured: Measured, context: Context) -> Measured:
    """`measured` with the mean of every series in each template, where there are several.

    For a claim of several arms, the metrics of every arm. Tables of sets and elements have their
    own.
    """
    of_prompt = np.array([prompt.template for prompt in context.task.evaluation])
    names = [name for name in context.task.templates if (of_prompt == name).any()]
    if len(names) < 2 or measured.sets or measured.effects:
        return measured
    tables: dict[str, Any] = {}
    for template in names:
        rows = of_prompt == template
        means = {
            arm.name: {
                name: float(series.values[rows].mean())
                for name, series in arm.series.items()
                if not series.drawn and (len(measured.arms) == 1 or name in context.metrics)
            }
            for arm in measured.arms
        }
        tables[template] = means if len(measured.arms) > 1 else means[measured.arms[0].name]
    return replace(measured, numbers={**measured.numbers, "templates": tables})
