"""H057: a requirement that, by the conventions of its page, next to nothing would miss."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace

from circuitspec.hypothesis.checks import thresholds
from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.sides import Bound, bound_of
from circuitspec.hypothesis.checks.spans import parts, requirements
from circuitspec.hypothesis.measures import Scale, scale_of
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
NEAR_AN_END = 0.01
"""Of a share: one prompt in a hundred is what any run gets right, or wrong."""
AT_AN_END = 0.001
"""Of a share to be refuted, where 99% may be meant: no sample tells this from 0 or from 1."""
UNMEASURED = 1e-5
"""In the metric's units: figures agree to no more across batch sizes."""
LARGEST_FRACTION = 1.5
MOST_FRACTION = 10.0
"""A bound beyond is a percent sign forgotten, and an error (H052)."""
MOST_TIMES = 10.0
"""A run that has ten times another's metric is rarer than a percent sign forgotten."""

_OPPOSITE = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}
_FRACTIONS = frozenset({"ratio", "recovered", "scrub_recovered"})


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """A warning for each bound, band and confidence that is too loose to say anything."""
    found: list[Diagnostic] = []
    senseless = {d.span for d in thresholds.check(hypothesis, info, shape)}
    for claim, require in requirements(hypothesis):
        bound = bound_of(require)
        if require.span in senseless or (bound is not None and bound.span in senseless):
            continue
        found += _bound(require, info.metrics, refuted=claim.refuted) or _multiples(
            require, refuted=claim.refuted
        )
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


def _bound(require: syntax.Require, metrics: Container[str], *, refuted: bool) -> list[Diagnostic]:
    """A bound that next to nothing misses; where it is to be refuted, one that nothing meets."""
    bound = bound_of(require)
    if bound is None:
        return []
    if bound.operator not in _OPPOSITE:
        return [] if refuted else _either_way(require, bound, scale_of(bound.measure, metrics))
    operator = _OPPOSITE[bound.operator] if refuted else bound.operator
    near = AT_AN_END if refuted else NEAR_AN_END
    if not _is_loose(bound, operator in (">=", ">"), scale_of(bound.measure, metrics), near):
        return []
    if refuted:
        return _warn(
            f"`{bound.text}` could hardly hold: that it is refuted says nothing",
            bound.span,
            "state what a rival explanation would claim",
        )
    return _warn(
        f"`{bound.text}` could hardly fail",
        bound.span,
        "choose a threshold between what is claimed and the best alternative",
    )


def _either_way(require: syntax.Require, bound: Bound, scale: Scale) -> list[Diagnostic]:
    """`ratio == 1 +- 5`: a band of which either end alone would be too loose to say anything."""
    stated = require.tolerance
    if bound.operator != "==" or stated is None:
        return []
    low, high = bound.value - stated.value, bound.value + stated.value
    if scale != "any":  # what lies beyond the ends that a measure has is no room
        low = max(low, 0.0)
    if scale == "share":
        high = min(high, 1.0)
    elif _name(bound.measure) in _FRACTIONS:
        high = min(high, MOST_FRACTION)
    ends = (replace(bound, value=low), True), (replace(bound, value=high), False)
    if not all(_is_loose(end, below, scale, NEAR_AN_END) for end, below in ends):
        return []
    return _warn(
        f"`{bound.text} +- {stated.text}` could hardly fail: the band goes from "
        f"{bound.value - stated.value:g} to {bound.value + stated.value:g}",
        stated.span,
        "say how near is near enough to tell what is claimed from the best alternative",
    )


def _name(measure: syntax.Expr) -> str:
    match measure:
        case syntax.Ref(name=name) | syntax.Call(function=name):
            return str(name)
        case _:
            return ""


def _is_loose(bound: Bound, below: bool, scale: Scale, near: float) -> bool:
    """Whether a measure that need only lie above (`below`) or under a value hardly ever fails."""
    measure, value = bound.measure, bound.value
    if scale == "share":
        return 0 <= value <= near if below else 1 - near <= value <= 1
    if scale == "nonnegative":
        return 0 <= value <= UNMEASURED if below else value >= FAR
    if _name(measure) in _FRACTIONS:
        return value < 0 if below else LARGEST_FRACTION <= value <= MOST_FRACTION
    return value <= -FAR if below else value >= FAR


def _multiples(require: syntax.Require, *, refuted: bool) -> list[Diagnostic]:
    """`50 * model.x` where `50%` must have been meant; to be refuted, `>= 50 * model.x`."""
    if refuted and not _asks_for_more(require):
        return []
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
                        f"`{expression_text(part)}` is {factor.value * 100:g}% of `{of.name}`"
                        + (": nothing reaches it, and that is no finding" if refuted else ""),
                        factor.span,
                        f"is a `%` missing? `{factor.text}% * {of.name}`",
                    )
                case _:
                    pass
    return found


def _asks_for_more(require: syntax.Require) -> bool:
    """Whether the multiple is on the smaller side, so that something has to exceed it."""
    multiple = require.right if require.operator in (">=", ">") else require.left
    return require.operator in _OPPOSITE and any(
        isinstance(part, syntax.Binary) and part.operator == "*" for part in parts(multiple)
    )
