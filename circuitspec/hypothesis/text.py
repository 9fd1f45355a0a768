"""Expressions, targets and requirements as one line of text, for messages, results and `expand`."""

from __future__ import annotations

from circuitspec.language import syntax
from circuitspec.language.nodes import Channel, Position
from circuitspec.language.syntax import Expr

_PRECEDENCE: dict[str, int] = {
    "==": 1,
    "!=": 1,
    "<": 1,
    "<=": 1,
    ">": 1,
    ">=": 1,
    "+": 2,
    "-": 2,
    "*": 3,
    "/": 3,
    "mod": 3,
}
_UNARY = 4
_ATOM = 5


def expression_text(expression: Expr) -> str:
    """The expression as it would be written, with no more parentheses than it needs."""
    return _text(expression)[0]


def _text(expression: Expr) -> tuple[str, int]:
    match expression:
        case syntax.Number():
            return number_text(expression), _ATOM
        case syntax.Text(value=value):
            escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            return f'"{escaped}"', _ATOM
        case syntax.Ref(name=name):
            return name, _ATOM
        case syntax.NodeLiteral(node=node):
            return str(node), _ATOM
        case syntax.Subscript(label=label, index=index):
            return f"{label.name}[{index}]", _ATOM
        case syntax.Call():
            arguments = [expression_text(a) for a in expression.arguments]
            arguments += [f"{k.name} = {expression_text(k.value)}" for k in expression.keywords]
            return f"{expression.function}({', '.join(arguments)})", _ATOM
        case syntax.Unary(operand=operand):
            return f"-{_wrapped(operand, _UNARY)}", _UNARY
        case syntax.Binary(operator=operator, left=left, right=right):
            own = _PRECEDENCE[operator]
            # All operators are left-associative: an equal one on the right needs parentheses.
            return f"{_wrapped(left, own)} {operator} {_wrapped(right, own + 1)}", own
        case syntax.At(value=value, position=position):
            place = position_text(position)
            place = place if place.isidentifier() else f"({place})"
            return f"{_wrapped(value, _ATOM)} at {place}", _ATOM


def _wrapped(expression: Expr, least: int) -> str:
    text, precedence = _text(expression)
    return text if precedence >= least else f"({text})"


def number_text(number: syntax.Number) -> str:
    """`20%`, `0.8`."""
    return f"{number.text}%" if number.percent else number.text


def position_text(position: syntax.PositionExpr) -> str:
    """`S1[-1]+1`, or a range of two of them."""
    text = str(Position(position.label, position.offset, position.index))
    return text if position.end is None else f"{text}..{position_text(position.end)}"


def target_text(target: syntax.Target) -> str:
    """A role, group or node as written."""
    match target:
        case syntax.Ref(name=name):
            return name
        case syntax.NodeLiteral(node=node):
            return str(node)
        case syntax.NodeRange(first=first, last=last):
            return f"{first.node}..{last.node}"


def targets_text(targets: tuple[syntax.Target, ...]) -> str:
    """Several targets, separated by commas."""
    return ", ".join(target_text(t) for t in targets)


def channels_text(channels: tuple[Channel, ...]) -> str:
    """`.kv`, `.in`, or nothing for the logits."""
    joined = "".join(channels)
    return f".{joined}" if joined else ""


def receiver_text(receiver: syntax.Receiver) -> str:
    """`s_inhibition.kv`."""
    return target_text(receiver.target) + channels_text(receiver.channels)


def requirement_text(require: syntax.Require) -> str:
    """The `require` line without its keyword."""
    left, right = expression_text(require.left), expression_text(require.right)
    each = "each " if require.each else ""
    tolerance = "" if require.tolerance is None else number_text(require.tolerance)
    if require.operator == "within":
        body = f"{left} within {tolerance} of {right}"
    elif require.operator == "==" and tolerance:
        body = f"{left} == {right} +- {tolerance}"
    else:
        body = f"{left} {require.operator} {right}"
    level = "" if require.level is None else f" ci {number_text(require.level)}"
    return f"{each}{body}{level}"
