"""H052: a requirement that no result could fail, or none could meet."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.sides import bound_of, difference, sides, weighted
from circuitspec.hypothesis.checks.spans import parts, requirements
from circuitspec.hypothesis.measures import scale_of
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Span

NAME = "threshold-without-meaning"
CODE = "H052"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """At most one finding a requirement and part of it: sides, bound, tolerance."""
    idle = {claim.name for claim in hypothesis.claims if claim.measures_the_model}
    found: list[Diagnostic] = []
    for claim, require in requirements(hypothesis):
        found += _sides(require, info.metrics, idle=claim.name.text in idle) or _bound(
            require, info.metrics
        )
        found += _tolerance(require)
    return tuple(found)


def _say(message: str, span: Span, hint: str) -> list[Diagnostic]:
    return [Diagnostic(code=CODE, message=message, span=span, hint=hint)]


def _sides(
    require: syntax.Require, metrics: Mapping[str, object], *, idle: bool
) -> list[Diagnostic]:
    """Nothing measured, or one measure on both sides: `idle` claims have the model's run alone."""
    both = sides(require)
    if not any(isinstance(p, syntax.Ref | syntax.Call) for side in both for p in parts(side)):
        return _say(
            "this compares numbers and measures nothing",
            require.span,
            "name a metric or a measure: `require logit_diff >= 1.0 ci 95`",
        )
    same_as = {name: f"model.{name}" for name in metrics} if idle else {}
    sums = [weighted(side, same_as) for side in both]
    measures = {name for total in sums if total is not None for name in total.weights}
    itself = require.left == require.right or (
        None not in sums and (not measures or all(t and {*t.weights} == measures for t in sums))
    )
    if not itself or len(measures) > 1:
        return []
    written = next(p for p in parts(require.left) if isinstance(p, syntax.Ref | syntax.Call))
    text = expression_text(written)
    if text in same_as and expression_text(require.left) != expression_text(require.right):
        return _say(
            f"nothing is changed in the model: `{text}` is `model.{text}` here",
            require.span,
            "add what is done: `ablate complement`, `patch ...`, `scrub ...`",
        )
    run, _, measure = text.rpartition(".")
    hint = "compare it with a number, or with that of another role"
    if measure in metrics:
        others = [f"`{name}.{measure}`" for name in ("model", "empty") if name != run]
        hint = f"compare it with another run: {', '.join(others)}"
    return _say(f"`{text}` is compared with itself", require.span, hint)


def _bound(require: syntax.Require, metrics: Mapping[str, object]) -> list[Diagnostic]:
    bound = bound_of(require)
    if bound is None:
        return _range(require, metrics)
    measure, operator, written, value = bound.measure, bound.operator, bound.written, bound.value
    scale, text = scale_of(measure, metrics), expression_text(measure)
    if scale == "any":
        name = measure.name if isinstance(measure, syntax.Ref) else ""
        if name in ("ratio", "recovered", "scrub_recovered") and abs(value) > 10:
            return _say(
                f"`{text}` is a fraction: {written} is {value * 100:g}%",
                bound.span,
                f"write `{value:g}%` or `{value / 100:g}`",
            )
        return []
    top = 1.0 if scale == "share" else float("inf")
    if value > top or value < 0:
        says = "lies between 0 and 1" if scale == "share" else "is never negative"
        percent = scale == "share" and 1 < value <= 100 and not written.endswith("%")
        hint = f"write `{value:g}%`" if percent else "choose a value it can take"
        return _say(f"`{text}` {says}: {written} cannot be meant", bound.span, hint)
    always = (operator == ">=" and value == 0) or (operator == "<=" and value == top)
    never = (operator == ">" and value == top) or (operator == "<" and value == 0)
    if always or never:
        fact = "always holds" if always else "can never hold"
        return _say(
            f"`{bound.text}` {fact}",
            bound.span,
            "choose a threshold between what is claimed and the best alternative",
        )
    return []


def _range(require: syntax.Require, metrics: Mapping[str, object]) -> list[Diagnostic]:
    """A sum of measures compared with what it cannot fall short of, or cannot reach."""
    total = difference(require)
    if total is None or str(require.operator) not in ("<", "<=", ">", ">="):
        return []
    low = high = total.constant
    texts = {expression_text(p): p for side in sides(require) for p in parts(side)}
    for name, weight in total.weights.items():
        scale = scale_of(texts[name], metrics) if name in texts else "any"
        ends = (
            weight * (-inf if scale == "any" else 0.0),
            weight * (1.0 if scale == "share" else inf),
        )
        low, high = low + min(ends), high + max(ends)
    if require.operator in ("<", "<="):
        low, high = 0.0 - high, 0.0 - low
    strict = require.operator in ("<", ">")
    if low > 0 or (low == 0 and not strict):
        fact = "always holds"
    elif high < 0 or (high == 0 and strict):
        fact = "can never hold"
    else:
        return []
    return _say(
        f"this {fact}: shares lie between 0 and 1, and sizes are never negative",
        require.span,
        "choose a threshold between what is claimed and the best alternative",
    )


def _tolerance(require: syntax.Require) -> list[Diagnostic]:
    tolerance = require.tolerance
    if tolerance is None:
        return []
    if tolerance.value <= 0:
        return _say(
            "a band of no width holds no interval",
            tolerance.span,
            "say how near is near enough: `within 20% of ...`",
        )
    if require.operator == "within" and tolerance.value >= 1:
        meant = f"`within {tolerance.text}%`" if not tolerance.percent else "`within 20%`"
        return _say(
            "this band reaches down to 0: a circuit that does nothing passes",
            tolerance.span,
            f"write {meant}",
        )
    return []
