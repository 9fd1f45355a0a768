"""H057: a requirement that, by the conventions of its page, next to nothing would miss."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.sides import bound_of
from circuitspec.hypothesis.checks.spans import parts, requirements
from circuitspec.hypothesis.measures import scale_of
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Severity, Span

NAME = "weak-requirement"
CODE = "H057"

WIDEST = 0.5
"""A band this wide round the model's value lets a circuit pass that loses half of it."""
LEAST_CONFIDENCE = 80.0
"""Percent. Below, one claim in ten is wrong by chance at each side."""
FAR = 100.0
"""Logits and nats. No mean of them in a language model is as far from zero."""
LARGEST_FRACTION = 1.5
MOST_TIMES = 10.0
"""A run that has ten times another's metric is rarer than a percent sign forgotten."""

_FRACTIONS = frozenset({"ratio", "recovered", "scrub_recovered"})


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """A warning for each bound, band and confidence that is too loose to say anything."""
    found: list[Diagnostic] = []
    for claim, require in requirements(hypothesis):
        if not claim.refuted:
            found += _bound(require)
            found += _multiples(require)
        found += _band(require)
        found += _confidence(require)
    return tuple(found)


def _warn(message: str, span: Span, hint: str) -> list[Diagnostic]:
    return [Diagnostic(code=CODE, message=message, span=span, severity=Severity.WARNING, hint=hint)]


def _band(require: syntax.Require) -> list[Diagnostic]:
    tolerance = require.tolerance
    if require.operator != "within" or tolerance is None or not WIDEST <= tolerance.value < 1:
        return []
    text = f"{tolerance.value * 100:g}%"
    return _warn(
        f"within {text} is a wide band: what keeps {100 - tolerance.value * 100:g}% passes",
        tolerance.span,
        "20% is usual; measure what rivals and random circuits reach, and stay clear of it",
    )


def _confidence(require: syntax.Require) -> list[Diagnostic]:
    stated = require.level
    if stated is None or stated.value >= LEAST_CONFIDENCE:
        return []
    return _warn(
        f"an interval of {stated.text}% leaves the true value out too often",
        stated.span,
        "95% is usual: `ci 95`",
    )


def _bound(require: syntax.Require) -> list[Diagnostic]:
    bound = bound_of(require)
    if bound is None or scale_of(bound.measure) != "any":
        return []
    measure, operator, limit, value = bound.measure, bound.operator, bound.limit, bound.value
    if operator not in ("<", "<=", ">", ">="):
        return []
    below = operator in (">=", ">")
    name = measure.name if isinstance(measure, syntax.Ref) else ""
    name = measure.function if isinstance(measure, syntax.Call) else name
    if name in _FRACTIONS:
        loose = value < 0 if below else LARGEST_FRACTION <= value <= 10
    else:
        loose = value <= -FAR if below else value >= FAR
    if not loose:
        return []
    written = f"{expression_text(measure)} {operator} {expression_text(limit)}"
    return _warn(
        f"`{written}` could hardly fail",
        limit.span,
        "choose a threshold between what is claimed and the best alternative",
    )


def _multiples(require: syntax.Require) -> list[Diagnostic]:
    """`50 * model.x` where `50%` must have been meant."""
    found = []
    for side in (require.left, require.right):
        for part in parts(side):
            match part:
                case syntax.Binary(
                    operator="*",
                    left=syntax.Number(percent=False) as factor,
                    right=syntax.Ref() as of,
                ) if factor.value >= MOST_TIMES:
                    found += _warn(
                        f"`{expression_text(part)}` is {factor.value * 100:g}% of `{of.name}`",
                        factor.span,
                        f"is a `%` missing? `{factor.text}% * {of.name}`",
                    )
                case _:
                    pass
    return found
