"""The two sides of a requirement, as far as arithmetic can bring them together before any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from circuitspec.hypothesis.checks.spans import parts
from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Span
from circuitspec.language.syntax import Expr

_FLIPPED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """A weighted sum of measures, by their texts, plus a constant. No weight is 0."""

    constant: float = 0.0
    weights: Mapping[str, float] = field(default_factory=dict)

    def plus(self, other: Sum, times: float = 1.0) -> Sum:
        """This and so many times the other."""
        measures = {**self.weights, **other.weights}
        weights = {
            name: weight
            for name in measures
            if (weight := self.weights.get(name, 0.0) + times * other.weights.get(name, 0.0))
        }
        return Sum(constant=self.constant + times * other.constant, weights=weights)

    def times(self, factor: float) -> Sum:
        """So many times this."""
        return Sum().plus(self, factor)


def weighted(side: Expr, same_as: Mapping[str, str] = MappingProxyType({})) -> Sum | None:
    """A side as a weighted sum; None where measures are multiplied or divided by each other.

    `same_as` has other names for measures: that of the model's own run where nothing is changed.
    """
    match side:
        case syntax.Number():
            return Sum(constant=side.value)
        case syntax.Ref() | syntax.Call():
            text = expression_text(side)
            return Sum(weights={same_as.get(text, text): 1.0})
        case syntax.Unary(operand=operand):
            inner = weighted(operand, same_as)
            return None if inner is None else inner.times(-1.0)
        case syntax.Binary(operator=operator):
            left, right = weighted(side.left, same_as), weighted(side.right, same_as)
            return None if left is None or right is None else _combined(operator, left, right)
        case _:
            return None


def _combined(operator: str, left: Sum, right: Sum) -> Sum | None:
    match operator:
        case "+" | "-":
            return left.plus(right, 1.0 if operator == "+" else -1.0)
        case "*" if not left.weights:
            return right.times(left.constant)
        case "*" if not right.weights:
            return left.times(right.constant)
        case "/" if not right.weights and right.constant:
            return left.times(1.0 / right.constant)
        case "/" if left == right and left.weights:
            return Sum(constant=1.0)
        case _:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A measure compared with a number: what it comes to, and as written if it stands alone."""

    measure: Expr
    operator: str
    value: float
    written: str
    span: Span

    @property
    def text(self) -> str:
        """`agreement >= 80%`."""
        return f"{expression_text(self.measure)} {self.operator} {self.written}"


def bound_of(require: syntax.Require) -> Bound | None:
    """The requirement with its measure on the left; None where it is not one against a number.

    `2 * agreement + 1 >= 2` is `agreement >= 0.5`. A `within` or `==` is one as it is written only.
    """
    operator = str(require.operator)
    for measure, limit, turned in (
        (require.left, require.right, operator),
        (require.right, require.left, _FLIPPED.get(operator, operator)),
    ):
        value = constant(limit)
        if value is not None and not isinstance(measure, syntax.Binary | syntax.Unary):
            return Bound(
                measure=measure,
                operator=turned,
                value=value,
                written=expression_text(limit),
                span=limit.span,
            )
    total = difference(require)
    if total is None or len(total.weights) != 1 or operator not in _FLIPPED:
        return None
    ((name, weight),) = total.weights.items()
    value = 0.0 - total.constant / weight
    return Bound(
        measure=next(p for s in sides(require) for p in parts(s) if expression_text(p) == name),
        operator=operator if weight > 0 else _FLIPPED[operator],
        value=value,
        written=f"{value:g}",
        span=require.span,
    )


def sides(require: syntax.Require) -> tuple[Expr, Expr]:
    """What is on the left and on the right."""
    return require.left, require.right


def difference(require: syntax.Require) -> Sum | None:
    """The left side less the right one; None where measures multiply or divide each other."""
    left, right = weighted(require.left), weighted(require.right)
    return None if left is None or right is None else left.plus(right, -1.0)


def constant(side: Expr) -> float | None:
    """The number that a side comes to; None where it measures something."""
    total = weighted(side)
    return None if total is None or total.weights else total.constant
