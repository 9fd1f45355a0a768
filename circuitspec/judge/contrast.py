"""Requirements as contrasts: what `require` compares, as sums of paired series.

`p% * model.x` and ratios are contrasts of paired means, `mean(m_i(C) − p·m_i(M))`, never means of
per-prompt ratios. Every comparison becomes one or two one-sided statements "a contrast is ≥ 0",
joined by `and` (a band) or by `or` (outside a band).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from circuitspec.claims.calls import call_key
from circuitspec.claims.measured import Series
from circuitspec.engine.runs import EngineError, Floats
from circuitspec.hypothesis.records import Requirement
from circuitspec.language.syntax import Binary, Call, Expr, Number, Ref, Unary


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear:
    """Σ coefficient × series + constant."""

    terms: Mapping[str, float] = field(default_factory=dict)
    constant: float = 0.0

    def plus(self, other: Linear, factor: float = 1.0) -> Linear:
        """`self + factor × other`."""
        terms = dict(self.terms)
        for name, coefficient in other.terms.items():
            terms[name] = terms.get(name, 0.0) + factor * coefficient
        return Linear(
            terms={n: c for n, c in terms.items() if c != 0.0},
            constant=self.constant + factor * other.constant,
        )

    def times(self, factor: float) -> Linear:
        """`factor × self`."""
        return Linear().plus(self, factor)

    @property
    def is_constant(self) -> bool:
        """Whether no series takes part."""
        return not self.terms

    def values(self, series: Mapping[str, Series], n: int) -> Floats:
        """The contrast on every prompt: float64 [n]."""
        total = np.full(n, self.constant)
        for name, coefficient in self.terms.items():
            total = total + coefficient * series[name].values
        return total

    def mean(self, series: Mapping[str, Series]) -> float:
        """The contrast of the means."""
        return self.constant + sum(c * series[n].mean for n, c in self.terms.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotient:
    """A ratio of two sums (`ratio`, `recovered`), never taken prompt by prompt."""

    over: Linear
    under: Linear


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The absolute value of a signed sum (`gap`): its interval is the signed one's."""

    of: Linear


Quantity = Linear | Quotient | Size


@dataclass(frozen=True, slots=True, kw_only=True)
class AtLeast:
    """One one-sided statement: `contrast >= threshold` (`>` where strict).

    With a constant on one side the contrast is the other side's sum and the threshold is it;
    otherwise everything stands on one side and the threshold is 0. `sign` −1 marks a statement
    written as `<=`, whose contrast and threshold are given as the author wrote them.
    """

    contrast: Linear
    threshold: float
    sign: Literal[1, -1] = 1
    strict: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A whole comparison: its one-sided statements, and how they are joined.

    `relative`: the model's metric is what it is measured against, so a model that cannot do the
    task makes it invalid. `denominators` must be clearly different from 0 (a ratio's lower part).
    """

    parts: tuple[AtLeast, ...]
    join: Literal["and", "or"] = "and"
    relative: bool = False
    denominators: tuple[Linear, ...] = ()
    left: Quantity = field(default_factory=Linear)
    right: Linear = field(default_factory=Linear)


OVER_MANY = ("incompleteness", "effect")
"""Signed quantities of every set or element, compared by their size; a claim over many has them."""

SPECIAL = ("ratio", "gap", "recovered", "scrub_recovered", *OVER_MANY)
PER_METRIC = ("agreement", "error", "kl", "accuracy")


def statement(
    requirement: Requirement,
    series: Mapping[str, Series],
    metrics: tuple[str, ...],
    substitute: Mapping[str, str] | None = None,
) -> Statement:
    """What a requirement states of the series it names.

    `substitute` reads one series in place of another (`each`: one head for a role's mean). Raises
    EngineError, with a sentence for the author, where the comparison means nothing here.
    """
    reader = _Reader(series, metrics, substitute or {})
    left = reader.quantity(requirement.left)
    right = reader.linear(requirement.right)
    made = _compare(requirement, left, right, series)
    names = {n for part in made.parts for n in part.contrast.terms}
    relative = any(n.startswith("model.") and n[len("model.") :] in metrics for n in names)
    return replace(made, relative=relative, left=left, right=right)


def _compare(
    requirement: Requirement, left: Quantity, right: Linear, series: Mapping[str, Series]
) -> Statement:
    operator = requirement.operator
    tolerance = requirement.tolerance or 0.0
    if operator == "within":
        sign = -1.0 if right.mean(series) < 0 else 1.0
        low, high = right.times(1 - sign * tolerance), right.times(1 + sign * tolerance)
        return _band(left, low, high, series)
    if operator == "==":
        width = Linear(constant=tolerance)
        return _band(left, right.plus(width, -1.0), right.plus(width), series)
    strict = operator in (">", "<")
    upward = operator in (">=", ">")
    match left:
        case Linear():
            return Statement(parts=(_one_sided(left, right, upward=upward, strict=strict),))
        case Size(of=signed):
            if upward:
                return Statement(
                    parts=(
                        _one_sided(signed, right, upward=True, strict=strict),
                        _one_sided(signed, right.times(-1.0), upward=False, strict=strict),
                    ),
                    join="or",
                )
            return Statement(
                parts=(
                    _one_sided(signed, right.times(-1.0), upward=True, strict=strict),
                    _one_sided(signed, right, upward=False, strict=strict),
                )
            )
        case Quotient(over=over, under=under):
            if not right.is_constant:
                raise EngineError("a ratio can only be compared with a number")
            # over/under ≥ t  ⇔  over − t·under ≥ 0 where under > 0, and the reverse where it is < 0
            sign = -1.0 if under.mean(series) < 0 else 1.0
            moved = over.plus(under, -right.constant).times(sign)
            part = _one_sided(moved, Linear(), upward=upward, strict=strict)
            return Statement(parts=(part,), denominators=(under,))


def _band(left: Quantity, low: Linear, high: Linear, series: Mapping[str, Series]) -> Statement:
    if isinstance(left, Size):
        raise EngineError("an absolute value is compared with >= or <=, not with a band")
    if isinstance(left, Quotient):
        if not (low.is_constant and high.is_constant):
            raise EngineError("a ratio can only be compared with a number")
        sign = -1.0 if left.under.mean(series) < 0 else 1.0
        above = left.over.plus(left.under, -low.constant).times(sign)
        below = left.over.plus(left.under, -high.constant).times(sign)
        return Statement(
            parts=(
                _one_sided(above, Linear(), upward=True, strict=False),
                _one_sided(below, Linear(), upward=False, strict=False),
            ),
            denominators=(left.under,),
        )
    return Statement(
        parts=(
            _one_sided(left, low, upward=True, strict=False),
            _one_sided(left, high, upward=False, strict=False),
        )
    )


def _one_sided(left: Linear, right: Linear, *, upward: bool, strict: bool) -> AtLeast:
    sign: Literal[1, -1] = 1 if upward else -1
    if right.is_constant:
        moved = Linear(terms=left.terms)
        threshold = right.constant - left.constant
        return AtLeast(contrast=moved, threshold=threshold, sign=sign, strict=strict)
    contrast = left.plus(right, -1.0)
    return AtLeast(
        contrast=Linear(terms=contrast.terms),
        threshold=-contrast.constant + 0.0,
        sign=sign,
        strict=strict,
    )


def _inverse(constant: Linear) -> float:
    if constant.constant == 0.0:
        raise EngineError("this divides by 0, whatever is measured")
    return 1.0 / constant.constant


@dataclass(frozen=True, slots=True)
class _Reader:
    """Expressions of a requirement, read against the series there are."""

    series: Mapping[str, Series]
    metrics: tuple[str, ...]
    substitute: Mapping[str, str]

    def quantity(self, expr: Expr) -> Quantity:
        """What stands on the left: a sum, a ratio of sums, or an absolute value."""
        if isinstance(expr, Binary) and expr.operator == "/":
            under = self.linear(expr.right)
            over = self.linear(expr.left)
            if under.is_constant:
                return over.times(_inverse(under))
            return Quotient(over=over, under=under)
        name, metric = self._measure(expr)
        if name in SPECIAL:
            return self._special(name, metric)
        return self.linear(expr)

    def _special(self, name: str, metric: str) -> Quantity:
        if name in OVER_MANY:
            return Size(of=self._one(f"{name}({metric})"))
        own, model = self._one(metric), self._one(f"model.{metric}")
        if name == "ratio":
            return Quotient(over=own, under=model)
        if name == "gap":
            return Size(of=model.plus(own, -1.0))
        floor = self._one(f"{'empty' if name == 'recovered' else 'rand'}.{metric}")
        return Quotient(over=own.plus(floor, -1.0), under=model.plus(floor, -1.0))

    def _measure(self, expr: Expr) -> tuple[str, str]:
        """A measure's name and the metric it is of; the task's only one where none is written."""
        if isinstance(expr, Ref) and expr.name in (*SPECIAL, *PER_METRIC):
            if len(self.metrics) != 1:
                raise EngineError(f"{expr.name} of which metric? This task has several")
            return expr.name, self.metrics[0]
        if isinstance(expr, Call) and expr.function in (*SPECIAL, *PER_METRIC):
            argument = expr.arguments[0] if expr.arguments else None
            if expr.function == "effect" and not self._is_metric(argument):
                return "", ""  # `effect(name_mover)`: signed, of ablating what is named
            if not isinstance(argument, Ref):
                raise EngineError(f"{expr.function} takes the name of a metric")
            return expr.function, argument.name
        return "", ""

    def _is_metric(self, argument: Expr | None) -> bool:
        return isinstance(argument, Ref) and argument.name in self.metrics

    def linear(self, expr: Expr) -> Linear:
        """An expression that is a sum of series."""
        name, metric = self._measure(expr)
        if name in SPECIAL:
            raise EngineError(f"{name} stands alone on the left of a comparison")
        if name:
            return self._one(f"{name}({metric})")
        match expr:
            case Number():
                return Linear(constant=expr.value)
            case Ref(name="model.accuracy" | "model.agreement" as ref) if len(self.metrics) == 1:
                return self._one(f"{ref}({self.metrics[0]})")
            case Ref(name=ref):
                return self._one(ref)
            case Call():
                return self._one(call_key(expr))
            case Unary(operand=operand):
                return self.linear(operand).times(-1.0)
            case Binary(operator="+", left=left, right=right):
                return self.linear(left).plus(self.linear(right))
            case Binary(operator="-", left=left, right=right):
                return self.linear(left).plus(self.linear(right), -1.0)
            case Binary(operator="*", left=left, right=right):
                return self._product(self.linear(left), self.linear(right))
            case Binary(operator="/", left=left, right=right):
                under = self.linear(right)
                if not under.is_constant:
                    raise EngineError("only the whole left side of a comparison can be a ratio")
                return self.linear(left).times(_inverse(under))
            case _:
                raise EngineError("this expression is not a sum of measures")

    @staticmethod
    def _product(left: Linear, right: Linear) -> Linear:
        if left.is_constant:
            return right.times(left.constant)
        if right.is_constant:
            return left.times(right.constant)
        raise EngineError("two measures cannot be multiplied: a contrast is a sum")

    def _one(self, name: str) -> Linear:
        name = self.substitute.get(name, name)
        if name not in self.series:
            raise EngineError(f"{name} is not measured by this claim")
        return Linear(terms={name: 1.0})
