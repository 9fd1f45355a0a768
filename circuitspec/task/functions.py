"""The functions of a task's expressions: what they take, and what those on values compute."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from circuitspec.language.diagnostics import NO_SPAN, Span

Value = str | int | float | bool | tuple["Value", ...]
"""What an expression is worth in a prompt: a word, a number, a truth value, or several."""

NUMBER = re.compile(r"-?\d+(\.\d+)?")


class ExpressionError(Exception):
    """An expression without a value. Caught inside `task` and turned into a diagnostic."""

    def __init__(
        self, message: str, span: Span = NO_SPAN, hint: str | None = None, code: str = "T037"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint
        self.code = code


def as_number(value: Value) -> int | float:
    """A value as a number: `"07"` is 7, true is 1. Raises ExpressionError for other words."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    raise ExpressionError(f"{as_text(value)!r} is not a number")


def as_truth(value: Value) -> bool:
    """A condition's value: `"false"` and 0 are false. Raises ExpressionError for other words."""
    if isinstance(value, str) and value in ("true", "false"):
        return value == "true"
    return as_number(value) != 0


def as_text(value: Value) -> str:
    """A value as a word: what a template prints, and what a table is asked for."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case tuple():
            return " ".join(as_text(v) for v in value)
        case float() if value.is_integer():
            return str(int(value))
        case _:
            return str(value)


@dataclass(frozen=True, slots=True)
class ValueFunction:
    """A function of values: how many it takes (`most` None: any number) and what it gives."""

    least: int
    most: int | None
    apply: Callable[[Sequence[Value]], Value]


def _each(function: Callable[[str], str]) -> Callable[[Sequence[Value]], Value]:
    """A function of a word, applied to every word where it is given a word list."""

    def apply(arguments: Sequence[Value]) -> Value:
        value = arguments[0]
        if isinstance(value, tuple):
            return tuple(function(as_text(v)) for v in value)
        return function(as_text(value))

    return apply


def _word(index: int) -> Callable[[str], str]:
    def apply(text: str) -> str:
        words = text.split()
        if not words:
            raise ExpressionError("an empty text has no word")
        return words[index]

    return apply


def _kth(arguments: Sequence[Value]) -> Value:
    k, values = as_number(arguments[0]), sorted(arguments[1:], key=as_number)
    if k != int(k) or not 1 <= k <= len(values):
        raise ExpressionError(
            f"`kth` of {len(values)} values takes 1 to {len(values)}, not {as_text(k)}"
        )
    return values[int(k) - 1]


def _sign(arguments: Sequence[Value]) -> Value:
    number = as_number(arguments[0])
    return (number > 0) - (number < 0)


def _member(arguments: Sequence[Value]) -> Value:
    value, words = arguments
    if not isinstance(words, tuple):
        raise ExpressionError("`member` asks whether a value is in a word list: `member(X, list)`")
    return as_text(value) in {as_text(w) for w in words}


def _equal(arguments: Sequence[Value]) -> Value:
    return len({as_text(a) for a in arguments}) == 1


VALUE_FUNCTIONS: dict[str, ValueFunction] = {
    "initial": ValueFunction(1, 1, _each(lambda text: text[:1])),
    "capital": ValueFunction(1, 1, _each(lambda text: text[:1].upper() + text[1:])),
    "upper": ValueFunction(1, 1, _each(str.upper)),
    "lower": ValueFunction(1, 1, _each(str.lower)),
    "first": ValueFunction(1, 1, _each(_word(0))),
    "last": ValueFunction(1, 1, _each(_word(-1))),
    "join": ValueFunction(1, None, lambda a: "".join(as_text(v) for v in a)),
    "length": ValueFunction(1, 1, lambda a: len(as_text(a[0]))),
    "max": ValueFunction(2, None, lambda a: max(a, key=as_number)),
    "min": ValueFunction(2, None, lambda a: min(a, key=as_number)),
    "kth": ValueFunction(2, None, _kth),
    "abs": ValueFunction(1, 1, lambda a: abs(as_number(a[0]))),
    "sign": ValueFunction(1, 1, _sign),
    "equal": ValueFunction(2, None, _equal),
    "member": ValueFunction(2, 2, _member),
    "choose": ValueFunction(3, 3, lambda a: a[1] if as_truth(a[0]) else a[2]),
}
"""Usable wherever values are: in computed slots, answers, positions' conditions and features."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function that speaks of labels takes: how many, and which named arguments."""

    least: int
    most: int | None
    keywords: tuple[str, ...] = ()


SLOT_FUNCTIONS = {"count": Signature(1, None), "draw": Signature(2, 2)}
"""In computed slots alone. `draw(list, n)`: n words drawn from the list."""

ANSWER_FUNCTIONS = {
    "greater": Signature(1, 2),
    "greater_equal": Signature(1, 2),
    "less": Signature(1, 2),
    "less_equal": Signature(1, 2),
    "others": Signature(1, None),
}
"""In metrics, inside a measure: sets of answers."""

MEASURES = {
    "logit": Signature(1, 1),
    "prob": Signature(1, 1),
    "log_prob": Signature(1, 1),
    "rank": Signature(1, 1),
    "cross_entropy": Signature(1, 1),
    "kl": Signature(0, 0),
}
"""What a metric is a sum of."""

POSITION_FUNCTIONS = {
    "argmax": Signature(2, None),
    "argmin": Signature(2, None),
    "find": Signature(0, 0, ("token", "nth", "after", "before")),
    "span": Signature(2, 2),
    "index": Signature(1, 1),
    "choose": Signature(3, 3),
}
"""In `position` declarations."""

FEATURE_FUNCTIONS = {
    "token": Signature(1, 1),
    "position": Signature(1, 1),
    "order": Signature(2, None),
    "equal": Signature(2, None),
    "count": Signature(1, None, ("to",)),
    "column": Signature(1, 1),
}
"""In `carries`."""

BASELINE_FUNCTIONS = {
    "resample": Signature(1, None, ("changing", "keeping")),
    "swap": Signature(2, 2),
    "set": Signature(0, 0),
    "template": Signature(0, 1),
    "noise": Signature(1, None),
    "shuffle": Signature(0, 0),
    "column": Signature(1, 1),
}
"""In `baseline` declarations. `set` and `template` take names of the task as keywords."""

RESERVED = ("END", "BOS", "next", "here", "template", "input", "logits")
"""Names with a meaning of their own, not free for slots and positions."""
