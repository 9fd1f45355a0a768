"""Metric expressions → records: sums of measures of answers, read at one place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic
from circuitspec.language.nodes import END, Position
from circuitspec.task.expressions import canonical, place
from circuitspec.task.functions import MEASURES, ExpressionError
from circuitspec.task.positions import as_position
from circuitspec.task.records import Metric, MetricTerm, Quantity
from circuitspec.task.registered import Registered, registered

QUANTITIES: dict[str, tuple[Quantity, float]] = {
    "logit": ("logit", 1.0),
    "prob": ("prob", 1.0),
    "log_prob": ("log_prob", 1.0),
    "rank": ("rank", 1.0),
    "cross_entropy": ("log_prob", -1.0),
}

USAGE = "a metric is a sum of measures and of multiples of them: `logit(IO) - logit(S1)`"


@dataclass(frozen=True, slots=True)
class _Term:
    coefficient: float
    call: syntax.Call
    at: syntax.PositionExpr | None


def answers_of(metric: syntax.Metric) -> Iterator[syntax.Expr]:
    """The answers that a metric names: what its measures are of."""
    try:
        terms = list(_terms(metric.value, 1.0, None))
    except ExpressionError:
        return
    for term in terms:
        yield from term.call.arguments[:1]


def read_metric(metric: syntax.Metric) -> tuple[Metric | None, tuple[Diagnostic, ...]]:
    """A metric as a record, or why it is none."""
    name = metric.name.text
    try:
        terms = list(_terms(metric.value, 1.0, None))
        places = {place(t.at) if t.at else None for t in terms}
        if len(places) > 1:
            raise ExpressionError(
                f"metric `{name}` is read at several positions",
                metric.value.span,
                "put the position after a bracket: `(logit(A) - logit(B)) at P`",
            )
        at, until = _place(terms[0].at)
        if any(t.call.function == "kl" for t in terms):
            if len(terms) > 1 or terms[0].coefficient != 1.0:
                text = f"metric `{name}`: `kl` stands alone"
                raise ExpressionError(text, metric.value.span, "declare a metric of its own for it")
            return Metric(name=name, kl=True, at=at, until=until), ()
        records = tuple(_record(t, at, until) for t in terms)
    except ExpressionError as fault:
        hint = fault.hint or USAGE
        return None, (Diagnostic(code="T018", message=fault.message, span=fault.span, hint=hint),)
    return Metric(name=name, terms=records, at=at, until=until), ()


def _place(at: syntax.PositionExpr | None) -> tuple[Position, Position | None]:
    if at is None:
        return END, None
    first = as_position(at)
    assert first is not None, "a PositionExpr always names a place"
    return first, None if at.end is None else as_position(at.end)


def _record(term: _Term, at: Position, until: Position | None) -> MetricTerm:
    quantity, sign = _quantity(term.call)
    answer = term.call.arguments[0]
    following = isinstance(answer, syntax.Ref) and answer.name == "next"
    if following and at == END and until is None:
        raise ExpressionError(
            "`next` is the token after the position a metric is read at, and none follows END",
            answer.span,
            "say where: `cross_entropy(next) at (X[0]..X[-2])`",
        )
    return MetricTerm(
        coefficient=term.coefficient * sign,
        quantity=quantity,
        answer=canonical(answer),
        next_token=following,
    )


def _quantity(call: syntax.Call) -> tuple[Quantity | Registered, float]:
    """What a call measures, and its sign: ours, or a measure that an installed package brings."""
    if call.function in QUANTITIES:
        return QUANTITIES[call.function]
    found = registered(call.function)
    if found is None:
        known = ", ".join(f"`{m}`" for m in MEASURES)
        text = f"`{call.function}` is no measure of a prompt"
        raise ExpressionError(text, call.span, f"the measures are {known}")
    return found, 1.0


def metrics_in(task: syntax.Task) -> tuple[Metric, ...]:
    """The metrics that a task's text states, those with mistakes left out."""
    stated = (s for s in task.statements or () if isinstance(s, syntax.Metric))
    return tuple(metric for metric, _ in map(read_metric, stated) if metric is not None)


def _terms(
    expr: syntax.Expr, coefficient: float, at: syntax.PositionExpr | None
) -> Iterator[_Term]:
    match expr:
        case syntax.Call(function=function, arguments=arguments):
            if function not in MEASURES:
                _quantity(expr)
            if len(arguments) != (0 if function == "kl" else 1) or expr.keywords:
                what = "takes nothing" if function == "kl" else "takes one answer"
                example = "kl()" if function == "kl" else f"{function}(IO)"
                raise ExpressionError(f"`{function}` {what}", expr.span, f"write `{example}`")
            yield _Term(coefficient, expr, at)
        case syntax.Ref(name="kl"):
            call = syntax.Call(function="kl", span=expr.span)
            yield _Term(coefficient, call, at)
        case syntax.At(value=value, position=position):
            if at is not None and place(at) != place(position):
                text = f"`{canonical(expr)}` already says another position"
                raise ExpressionError(text, expr.span, "keep one `at`")
            yield from _terms(value, coefficient, position)
        case syntax.Unary(operand=operand):
            yield from _terms(operand, -coefficient, at)
        case syntax.Binary(operator="+" | "-" as sign, left=left, right=right):
            yield from _terms(left, coefficient, at)
            yield from _terms(right, coefficient if sign == "+" else -coefficient, at)
        case syntax.Binary(operator="*", left=left, right=right):
            factor, measured = _factor(left), right
            if factor is None:
                factor, measured = _factor(right), left
            if factor is None:
                raise ExpressionError(f"`{canonical(expr)}` multiplies measures", expr.span)
            if factor == 0:
                text = f"`{canonical(expr)}` is 0 whatever the model does"
                raise ExpressionError(text, expr.span, "leave it out")
            yield from _terms(measured, coefficient * factor, at)
        case syntax.Binary(operator="/", left=left, right=right):
            divisor = _factor(right)
            if not divisor:
                raise ExpressionError(
                    f"`{canonical(expr)}` divides by what is no number", expr.span
                )
            yield from _terms(left, coefficient / divisor, at)
        case _:
            raise ExpressionError(f"`{canonical(expr)}` is no measure of a prompt", expr.span)


def _factor(expr: syntax.Expr) -> float | None:
    match expr:
        case syntax.Number():
            return expr.value
        case syntax.Unary(operand=operand):
            inner = _factor(operand)
            return None if inner is None else -inner
        case _:
            return None


def borrowed(metrics: Iterable[Metric]) -> Iterator[str]:
    """A sentence for each metric that another package measures."""
    for metric in metrics:
        for each in dict.fromkeys(t.quantity for t in metric.terms):
            if isinstance(each, Registered):
                yield f"metric {metric.name} is measured by {each}"
