"""Expressions as text and as values: the arithmetic that slots, answers and features share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Span
from circuitspec.task.functions import VALUE_FUNCTIONS, ExpressionError, Value, as_number, as_text

LEVELS = {"==": 0, "!=": 0, "<": 0, "<=": 0, ">": 0, ">=": 0, "+": 1, "-": 1}


def canonical(expr: syntax.Expr) -> str:
    """An expression written in one way, whatever spaces and needless brackets its author used.

    Answers and scrubbing classes go by this name: `greater(YY)`, `(A + B) mod 113`.
    """
    return _written(expr, 0)


def _written(expr: syntax.Expr, level: int) -> str:
    match expr:
        case syntax.Number(text=text, percent=percent):
            return f"{text}%" if percent else text
        case syntax.Text(value=value):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"'
        case syntax.Ref(name=name):
            return name
        case syntax.NodeLiteral(node=node):
            return str(node)
        case syntax.Subscript(label=label, index=index):
            return f"{label.name}[{index}]"
        case syntax.Call(function=function, arguments=arguments, keywords=keywords):
            parts = [_written(a, 0) for a in arguments]
            parts += [f"{k.name} = {_written(k.value, 0)}" for k in keywords]
            return f"{function}({', '.join(parts)})"
        case syntax.Unary(operand=operand):
            return f"-{_written(operand, 3)}"
        case syntax.Binary(operator=operator, left=left, right=right):
            own = LEVELS.get(operator, 2)
            text = f"{_written(left, own)} {operator} {_written(right, own + 1)}"
            return f"({text})" if own < level else text
        case syntax.At(value=value, position=position):
            return f"{_written(value, 4)} at {place(position)}"


def place(position: syntax.PositionExpr) -> str:
    """A position as written: `S1[0]+1`, `X[0]..X[5]`."""
    index = "" if position.index is None else f"[{position.index}]"
    offset = f"{position.offset:+d}" if position.offset else ""
    end = "" if position.end is None else f"..{place(position.end)}"
    return f"{position.label}{index}{offset}{end}"


def references(expr: syntax.Expr) -> Iterator[syntax.Ref]:
    """Every name used in an expression, in the order written; keyword values included."""
    match expr:
        case syntax.Ref():
            yield expr
        case syntax.Subscript(label=label):
            yield label
        case syntax.Call(arguments=arguments, keywords=keywords):
            for argument in arguments:
                yield from references(argument)
            for keyword in keywords:
                yield from references(keyword.value)
        case syntax.Unary(operand=operand):
            yield from references(operand)
        case syntax.Binary(left=left, right=right):
            yield from references(left)
            yield from references(right)
        case syntax.At(value=value):
            yield from references(value)
        case _:
            return


Special = Callable[[syntax.Call, "Scope"], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What the names of an expression stand for.

    `special` are functions that see their call unevaluated: those that speak of a label rather
    than of its value (`position(S1)`, `count(F1, F2)`, `others(IO)`).
    """

    values: Mapping[str, Value]
    lists: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    special: Mapping[str, Special] = field(default_factory=dict)


def evaluate(expr: syntax.Expr, scope: Scope) -> Value:
    """The value of an expression.

    Raises ExpressionError where there is none: an unknown name, words where numbers are asked for,
    a table without an entry, a division by zero. Callers turn it into a diagnostic.
    """
    match expr:
        case syntax.Number(text=text, percent=percent):
            return int(text) if text.isdigit() and not percent else expr.value
        case syntax.Text(value=value):
            return value
        case syntax.Ref(name=name):
            return _named(name, scope, expr.span)
        case syntax.Subscript(label=label, index=index):
            words = as_text(_named(label.name, scope, expr.span)).split()
            if index == "*":
                return tuple(words)
            if not -len(words) <= index < len(words):
                text = f"`{canonical(expr)}`: {label.name} has {len(words)} words here"
                raise ExpressionError(text, expr.span)
            return words[index]
        case syntax.Unary(operand=operand):
            return -_number(operand, scope)
        case syntax.Binary():
            return _binary(expr, scope)
        case syntax.Call():
            return _call(expr, scope)
        case _:
            raise ExpressionError(f"`{canonical(expr)}` is not a value of a prompt", expr.span)


def _named(name: str, scope: Scope, span: Span) -> Value:
    if name in scope.values:
        return scope.values[name]
    if name in scope.lists:
        return scope.lists[name]
    raise ExpressionError(f"`{name}` has no value here", span)


def _number(expr: syntax.Expr, scope: Scope) -> int | float:
    value = evaluate(expr, scope)
    try:
        return as_number(value)
    except ExpressionError as fault:
        raise ExpressionError(fault.message, expr.span, fault.hint) from fault


NUMERIC = re.compile(r"-?\d+(\.\d+)?")


def _is_number(value: Value) -> bool:
    return not isinstance(value, str | tuple) or (
        isinstance(value, str) and NUMERIC.fullmatch(value) is not None
    )


def _binary(expr: syntax.Binary, scope: Scope) -> Value:
    operator = expr.operator
    if operator in ("==", "!="):
        left, right = evaluate(expr.left, scope), evaluate(expr.right, scope)
        if _is_number(left) and _is_number(right):
            same = as_number(left) == as_number(right)
        else:
            same = as_text(left) == as_text(right)
        return same if operator == "==" else not same
    a, b = _number(expr.left, scope), _number(expr.right, scope)
    match operator:
        case "+":
            return a + b
        case "-":
            return a - b
        case "*":
            return a * b
        case "<":
            return a < b
        case "<=":
            return a <= b
        case ">":
            return a > b
        case ">=":
            return a >= b
    if b == 0:
        raise ExpressionError(f"`{canonical(expr)}` divides by zero", expr.span)
    if operator == "mod":
        return a % b
    quotient = a / b
    return int(quotient) if quotient.is_integer() else quotient


def _call(expr: syntax.Call, scope: Scope) -> Value:
    special = scope.special.get(expr.function)
    if special is not None:
        if not expr.arguments:
            raise ExpressionError(f"`{expr.function}` is given nothing", expr.span)
        return special(expr, scope)
    table = scope.tables.get(expr.function)
    arguments = [evaluate(a, scope) for a in expr.arguments]
    if table is not None:
        key = as_text(arguments[0]) if arguments else ""
        if key not in table:
            text = f"the table `{expr.function}` has no entry for {key!r}"
            raise ExpressionError(text, expr.span, f'add `"{key}": "..."` to it')
        return table[key]
    function = VALUE_FUNCTIONS.get(expr.function)
    if function is None:
        raise ExpressionError(f"`{expr.function}` is not a function of values", expr.span)
    if not function.least <= len(arguments) <= (function.most or len(arguments)):
        text = f"`{expr.function}` does not take {len(arguments)} arguments"
        raise ExpressionError(text, expr.span)
    try:
        return function.apply(arguments)
    except ExpressionError as fault:
        raise ExpressionError(fault.message, expr.span, fault.hint) from fault
