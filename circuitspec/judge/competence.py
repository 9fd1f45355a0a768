"""Competence: how well the unmodified model does the task, before anything is explained by it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from circuitspec.claims.context import Context, accuracy
from circuitspec.claims.measured import Series
from circuitspec.judge.contrast import Linear
from circuitspec.judge.facts import Facts, interval_of
from circuitspec.task.records import TaskData

LEVEL = 95.0
RIGHT_AT_LEAST = 0.5
"""Accuracy below which every output says so."""


def competence(context: Context, cap: int | None = None) -> tuple[Mapping[str, Any], Facts]:
    """The model's mean metrics and accuracy with 95% intervals, and what judging needs of them.

    `cap`: these are the first of at most so many prompts, looked at as they come.

    A model whose interval of m(M) contains 0 is not competent: relative requirements are invalid.
    """
    task = context.task
    order = {name: i for i, name in enumerate(task.templates)}
    facts = Facts(
        strata=tuple(order[p.template] for p in task.evaluation),
        metrics=tuple(task.metrics),
        exact=task.enumerated,
        seed=context.seed,
        competent={},
        cap=cap,
    )
    model = context.evaluate([context.model_run()])[0]
    found: dict[str, Any] = {"n": len(task.evaluation), "level": LEVEL, "metrics": {}}
    competent: dict[str, bool] = {}
    for name, metric in task.metrics.items():
        # `cross_entropy(next)` names no word that could be counted as right.
        answered = bool(metric.terms) and all(
            metric.terms[0].answer in prompt.answers for prompt in task.evaluation
        )
        series = {name: Series(values=model.metrics[name])}
        if answered:
            series["accuracy"] = accuracy(context, model, metric)
        whole = interval_of(Linear(terms={name: 1.0}), series, facts)(LEVEL)
        competent[name] = not (whole.non_finite or whole.low <= 0.0 <= whole.high)
        entry: dict[str, Any] = {
            "mean": whole.estimate,
            "interval": None if whole.exact else [whole.low, whole.high],
        }
        if answered:
            right = interval_of(Linear(terms={"accuracy": 1.0}), series, facts)(LEVEL)
            entry["accuracy"] = {
                "mean": right.estimate,
                "interval": None if right.exact else [right.low, right.high],
            }
        found["metrics"][name] = entry
    found["notes"] = list(mostly_wrong(found))
    return found, replace(facts, competent=competent)


def mostly_wrong(found: Mapping[str, Any]) -> Iterator[str]:
    """A note for each metric whose right answer is the model's top token in under half of prompts.

    It is no verdict: a mean that is clearly not 0 can be explained whichever token wins.
    """
    for name, entry in found["metrics"].items():
        share = entry.get("accuracy", {}).get("mean", 1.0)
        if share < RIGHT_AT_LEAST:
            yield (
                f"{name}: the model's top token is the right answer in only {share:.0%} of "
                "prompts, so what is explained is mostly no success at the task"
            )


def backwards(task: TaskData, found: Mapping[str, Any]) -> tuple[str, ...]:
    """A note for each difference of answers that the model clearly gets the wrong way round.

    It is competent by the definition, its m(M) being clearly not 0.
    """
    notes = []
    for name, metric in task.metrics.items():
        interval = found["metrics"][name]["interval"]
        highest = found["metrics"][name]["mean"] if interval is None else interval[1]
        signs = {term.coefficient > 0 for term in metric.terms}
        if signs == {True, False} and highest < 0:
            notes.append(
                f"{name} of the model is clearly below 0: it prefers the other answer, and what is "
                "measured against it is a share of that"
            )
    return tuple(notes)
