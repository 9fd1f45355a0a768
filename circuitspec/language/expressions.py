"""Productions → expressions, and how deep they may nest."""

from __future__ import annotations

from typing import Any

from circuitspec.language import syntax as s
from circuitspec.language.diagnostics import Label, Span
from circuitspec.language.lexer import Tokens
from circuitspec.language.names import NODE_FUNCTIONS, near_node, node_named
from circuitspec.language.terms import NODE_FORMS, Parts, Terms

MAX_DEPTH = 64
"""How deep expressions may nest: no metric comes near it, and no later pass runs out of stack."""


class Expressions(Terms):
    """Makes expressions of terms, each method named for the rule it handles."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.depths: dict[int, tuple[int, Any]] = {}
        """How deep expressions nest, by `id`, with the expression: its `id` must stay its own."""

    def nested(self, node: Any, *children: Any) -> Any:
        """The node itself, unless it nests too deep for the passes to come."""
        shallow = (1, None)
        deepest = max((self.depths.get(id(child), shallow)[0] for child in children), default=0)
        if deepest < MAX_DEPTH:
            self.depths[id(node)] = deepest + 1, node
            return node
        stub = s.Number(text="0", span=node.span)
        if deepest == MAX_DEPTH:
            self.report(
                "C019",
                f"this expression nests more than {MAX_DEPTH} deep",
                node.span,
                "give parts of it names of their own, as slots or metrics",
            )
        # What is around it has been told.
        self.depths[id(stub)] = MAX_DEPTH + 1, stub
        return stub

    def binary(self, parts: Parts, first: int, last: int) -> Any:
        """`left operator right`."""
        left, operator, right = parts
        node = s.Binary(operator=operator, left=left, right=right, span=self.span(first, last))
        return self.nested(node, left, right)

    def negative(self, parts: Parts, first: int, last: int) -> Any:
        """`-x`."""
        node = s.Unary(operator="-", operand=parts[0], span=self.span(first, last))
        return self.nested(node, parts[0])

    def at(self, parts: Parts, first: int, last: int) -> Any:
        """`x at S1[0]`."""
        value, label, index = parts
        span = self.tokens.span(label, last)
        place = s.PositionExpr(label=self.tokens.text(label), index=index, span=span)
        return self.at_position([value, place], first, last)

    def at_position(self, parts: Parts, first: int, last: int) -> Any:
        """`x at (S1+1)`."""
        value, place = parts
        node = s.At(value=value, position=place, span=self.span(first, last))
        return self.nested(node, value)

    def value(self, parts: Parts, first: int, last: int) -> s.Ref | s.NodeLiteral:
        """A word: a node written out, or the name of something."""
        text, span = self.tokens.text(first), self.span(first, first)
        node = node_named(text)
        if node is not None:
            return s.NodeLiteral(node=node, span=span)
        if near_node(text) is not None:
            self.not_a_node(first)
        return s.Ref(name=text, span=span)

    def subscript(self, parts: Parts, first: int, last: int) -> s.Subscript:
        """`S1[0]`."""
        label = s.Ref(name=self.tokens.text(first), span=self.span(first, first))
        return s.Subscript(label=label, index=parts[1], span=self.span(first, last))

    def call(self, parts: Parts, first: int, last: int) -> Any:
        """`f(x, y = z)`."""
        function = self.tokens.text(first)
        given = parts[1] or []
        arguments = [part for part in given if not isinstance(part, s.Keyword)]
        keywords = [part for part in given if isinstance(part, s.Keyword)]
        self.once((word.name, word.span) for word in keywords)
        if function in NODE_FUNCTIONS:
            arguments = [self.as_node(argument) for argument in arguments]
        node = s.Call(
            function=function,
            arguments=tuple(arguments),
            keywords=tuple(keywords),
            span=self.span(first, last),
        )
        return self.nested(node, *arguments, *(word.value for word in keywords))

    def as_node(self, argument: Any) -> Any:
        """A number among nodes is a head: `effect(9.10)` is of a9.h10."""
        if not isinstance(argument, s.Number) or argument.percent:
            return argument
        node = node_named(argument.text)
        if node is None:
            self.report("C009", f"`{argument.text}` is not a head", argument.span, NODE_FORMS)
            return argument
        return s.NodeLiteral(node=node, span=argument.span)

    def once(self, words: Any) -> set[str]:
        """The names of clauses, each of which may be written once."""
        seen: dict[str, Span] = {}
        for name, span in words:
            if name in seen:
                self.report(
                    "C008",
                    f"`{name}` is written twice in one statement",
                    span,
                    "keep one of the two",
                    Label(span=seen[name], message="first written here"),
                )
            seen.setdefault(name, span)
        return set(seen)

    def keyword(self, parts: Parts, first: int, last: int) -> s.Keyword:
        """`name = value` among arguments."""
        name = self.tokens.text(first)
        return s.Keyword(name=name, value=parts[1], span=self.span(first, last))

    def arguments(self, parts: Parts, first: int, last: int) -> Parts:
        """What stands between the parentheses of a call."""
        return parts

    def parenthesised(self, parts: Parts, first: int, last: int) -> Any:
        """Parentheses only group."""
        return parts[0]
