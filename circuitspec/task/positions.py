"""Positions that are declared: computed from a prompt's values, tokens and other positions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from circuitspec.language import syntax
from circuitspec.language.nodes import Position
from circuitspec.task.expressions import Scope, canonical, evaluate
from circuitspec.task.functions import ExpressionError, as_number, as_truth

Places = tuple[int, ...]
"""Token indices from 0, BOS counted."""


def as_position(expr: syntax.Expr | syntax.PositionExpr) -> Position | None:
    """An expression that names a place, as a record: `S1`, `S1[-1]`, `S1 + 1`; else None."""
    match expr:
        case syntax.PositionExpr(label=label, index=index, offset=offset):
            return Position(label, offset, index)
        case syntax.Ref(name=name):
            return Position(name)
        case syntax.Subscript(label=syntax.Ref(name=name), index=index):
            return Position(name, 0, index)
        case syntax.Binary(operator="+" | "-" as sign, left=left, right=syntax.Number(text=text)):
            inner = as_position(left)
            if inner is None or not text.isdigit():
                return None
            shift = int(text) if sign == "+" else -int(text)
            return Position(inner.label, inner.offset + shift, inner.index)
        case _:
            return None


@dataclass(slots=True, kw_only=True)
class PlaceFinder:
    """Finds declared positions in one prompt.

    `known` maps labels to indices and grows as declared positions are found. `word_ids` gives the
    token ids that a word may have, whatever stands before it.
    """

    tokens: tuple[int, ...]
    known: dict[str, Places]
    scope: Scope
    declared: Mapping[str, syntax.PositionDeclaration]
    word_ids: Callable[[str], frozenset[int]]
    finding: tuple[str, ...] = ()

    def named(self, name: str, expr: syntax.Expr) -> Places:
        """A label's or declared position's indices. Raises ExpressionError where it has none."""
        if name in self.known:
            return self.known[name]
        declaration = self.declared.get(name)
        if declaration is None:
            raise ExpressionError(f"`{name}` stands nowhere in this prompt", expr.span)
        if name in self.finding:
            text = f"position `{name}` is declared by way of itself"
            raise ExpressionError(text, expr.span, "say where it is by other labels")
        self.finding = (*self.finding, name)
        self.known[name] = self.find(declaration.value)
        self.finding = self.finding[:-1]
        return self.known[name]

    def find(self, expr: syntax.Expr) -> Places:
        """The indices that an expression names. Raises ExpressionError where there are none."""
        places = self._find(expr)
        if any(not 0 <= i < len(self.tokens) for i in places):
            text = f"`{canonical(expr)}` lies outside this prompt of {len(self.tokens)} tokens"
            raise ExpressionError(text, expr.span)
        return places

    def _find(self, expr: syntax.Expr) -> Places:
        match expr:
            case syntax.Number(text=text) if text.isdigit():
                return (int(text),)
            case syntax.Unary(operand=syntax.Number(text=text)) if text.isdigit():
                return (len(self.tokens) - int(text),)
            case syntax.Ref(name=name):
                return self.named(name, expr)
            case syntax.Subscript(label=label, index=index):
                places = self.named(label.name, expr)
                if index == "*":
                    return places
                if not -len(places) <= index < len(places):
                    text = f"`{label.name}` has {len(places)} tokens here"
                    raise ExpressionError(text, expr.span, "index from 0, or from the end: `[-1]`")
                return (places[index],)
            case syntax.Binary(operator="+" | "-" as sign, left=left, right=right):
                shift = as_number(evaluate(right, self.scope))
                step = int(shift) if sign == "+" else -int(shift)
                return tuple(i + step for i in self._find(left))
            case syntax.Call():
                return self._call(expr)
            case _:
                raise ExpressionError(f"`{canonical(expr)}` is not a position", expr.span)

    def _call(self, call: syntax.Call) -> Places:
        match call.function:
            case "argmax" | "argmin":
                sign = 1 if call.function == "argmax" else -1
                # max() keeps the first of equals, so a tie goes to the label named first.
                best = max(call.arguments, key=lambda a: sign * as_number(evaluate(a, self.scope)))
                return self._find(best)
            case "choose":
                condition, yes, no = call.arguments
                return self._find(yes if as_truth(evaluate(condition, self.scope)) else no)
            case "span":
                first, last = (self._find(a) for a in call.arguments)
                if first[0] > last[-1]:
                    raise ExpressionError(f"`{canonical(call)}` ends before it begins", call.span)
                return tuple(range(first[0], last[-1] + 1))
            case "index":
                return self._find(call.arguments[0])
            case "find":
                return self._search(call)
            case _:
                raise ExpressionError(f"`{call.function}` gives no position", call.span)

    def _search(self, call: syntax.Call) -> Places:
        """`find(token = X, nth = 1, after = P, before = P)`; `nth = -1` is the last one."""
        given = {k.name: k.value for k in call.keywords}
        wanted = self._wanted(given["token"])
        start = self._find(given["after"])[-1] + 1 if "after" in given else 0
        stop = self._find(given["before"])[0] if "before" in given else len(self.tokens)
        places = [i for i in range(start, stop) if self.tokens[i] in wanted]
        nth = int(as_number(evaluate(given["nth"], self.scope))) if "nth" in given else 1
        index = nth - 1 if nth > 0 else nth
        if nth == 0 or not -len(places) <= index < len(places):
            text = f"`{canonical(call)}`: there are {len(places)} such tokens in this prompt"
            raise ExpressionError(text, call.span)
        return (places[index],)

    def _wanted(self, expr: syntax.Expr) -> frozenset[int]:
        """Token ids looked for: those that a label has here, or that a word can have."""
        if isinstance(expr, syntax.Subscript):
            return frozenset(self.tokens[i] for i in self.find(expr))
        if isinstance(expr, syntax.Ref) and (expr.name in self.known or expr.name in self.declared):
            return frozenset((self.tokens[self.named(expr.name, expr)[0]],))
        value = evaluate(expr, self.scope)
        words: Sequence[object] = value if isinstance(value, tuple) else (value,)
        return frozenset().union(*(self.word_ids(str(w)) for w in words))
