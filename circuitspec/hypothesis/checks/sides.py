"""The two sides of a requirement, as far as arithmetic can bring them together before any run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
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
    """A measure compared with a number: `limit` as written, and what it comes to."""

    measure: Expr
    operator: str
    limit: Expr
    value: float


def bound_of(require: syntax.Require) -> Bound | None:
    """The requirement with its measure on the left; None where no side is a number."""
    operator = str(require.operator)
    value = _constant(require.right)
    if value is not None:
        return Bound(measure=require.left, operator=operator, limit=require.right, value=value)
    value = _constant(require.left)
    if value is None:
        return None
    operator = _FLIPPED.get(operator, operator)
    return Bound(measure=require.right, operator=operator, limit=require.left, value=value)


def _constant(side: Expr) -> float | None:
    total = weighted(side)
    return None if total is None or total.weights else total.constant
