"""Tokens → tree: the LALR automaton of the grammar.

It is the textbook automaton over the tables that Lark makes (`tables`). It is driven here and not
by Lark for three reasons: a word is a keyword only where the state accepts it as one; after a
mistake the stack must be cut back to where reading can go on (`recovery`); and Lark need not be
imported. That both accept the same texts is tested.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

from circuitspec.language.builder import Builder, Handler
from circuitspec.language.lexer import Tokens
from circuitspec.language.syntax import SpecFile
from circuitspec.language.tables import Rule, tables


class Stack(NamedTuple):
    """The automaton's stack at a moment, with the lengths of the lists that grow in place."""

    states: list[int]
    values: list[Any]
    firsts: list[int]
    lengths: list[int]


class Automaton(ABC):
    """One run over one text. `values[i]` began at token `firsts[i]` and led to `states[i + 1]`."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        self.builder = Builder(tokens)
        self.tables = tables()
        self.states = [self.tables.start]
        self.values: list[Any] = []
        self.firsts: list[int] = []
        self.position = 0
        self.forced: set[int] = set()
        """Words that are keywords here, whatever else the grammar would take them for."""
        self.line_words: set[int] = set()
        """Words that start a line and are, or nearly are, keywords of a statement."""
        self.handlers: list[Handler | None] = [
            None if rule.spliced else self.builder.handler(rule.callback)
            for rule in self.tables.rules
        ]

    @abstractmethod
    def start(self) -> SpecFile | None:
        """Read the header; a tree where the rest should not be read."""

    @abstractmethod
    def recover(self) -> None:
        """The token at `position` has no action: say so, and get to where reading can go on."""

    @abstractmethod
    def is_next_statement(self, at: int) -> bool:
        """Whether a word that would be read as a name starts the next statement, by its place."""

    @abstractmethod
    def closing(self, state: int) -> None:
        """Called when a block is about to be closed by its `}`."""

    def run(self) -> SpecFile:
        """The tree of the whole text."""
        early = self.start()
        if early is not None:
            return early
        actions, rules, blocks = self.tables.actions, self.tables.rules, self.tables.blocks
        kind, keyword, handlers = self.tokens.kind, self.tokens.keyword, self.handlers
        accept, line_words = self.tables.accept, self.line_words
        while True:
            states = self.states
            position = self.position
            row = actions[states[-1]]
            word = keyword[position]
            action = row.get(word) if word else None
            if (
                action is None
                and not (word and position in self.forced)
                and not (position in line_words and self.is_next_statement(position))
            ):
                action = row.get(kind[position])
            if action is None:
                self.recover()
            elif action > 0:
                if states[-1] in blocks and kind[position] == "RBRACE":
                    self.closing(states[-1])
                states.append(action - 1)
                self.values.append(position)
                self.firsts.append(position)
                self.position = position + 1
            else:
                self.reduce(rules[-action - 1], handlers[-action - 1])
                if self.states[-1] == accept:
                    result: SpecFile = self.values[-1]
                    return result

    def reduce(self, rule: Rule, handler: Handler | None) -> None:
        """Replace the parts of a production by what the builder makes of them."""
        values, firsts, states = self.values, self.firsts, self.states
        length = rule.length
        parts = values[-length:]
        first = firsts[-length]
        del values[-length:], firsts[-length:], states[-length:]
        value: Any
        if handler is None:
            value = _gathered(rule.plan, parts)
        else:
            children: list[Any] = []
            for i in rule.plan:
                if i is None:
                    children.append(None)
                elif i >= 0:
                    children.append(parts[i])
                else:
                    children.extend(parts[-i - 1])
            if rule.inline and len(children) == 1:
                value = children[0]
            else:
                value = handler(children, first, self.position - 1)
        states.append(self.tables.gotos[states[-1]][rule.origin])
        values.append(value)
        firsts.append(first)

    def snapshot(self) -> Stack:
        """The stack as it is now."""
        lengths = [len(v) if type(v) is list else -1 for v in self.values]
        return Stack(self.states[:], self.values[:], self.firsts[:], lengths)

    def restore(self, stack: Stack) -> None:
        """Back to a snapshot."""
        for value, length in zip(stack.values, stack.lengths, strict=True):
            if length >= 0:
                del value[length:]
        self.states, self.values, self.firsts = stack.states[:], stack.values[:], stack.firsts[:]


def _gathered(plan: tuple[int | None, ...], parts: list[Any]) -> list[Any]:
    """The children that a repetition or an underscored rule hands up."""
    head = plan[0]
    if head is None or head >= 0:
        return [parts[i] for i in plan if i is not None]
    # A list and perhaps one more, grown in place: copying would cost the square of its length.
    gathered: list[Any] = parts[-head - 1]
    for i in plan[1:]:
        if i is not None and i >= 0:
            gathered.append(parts[i])
        elif i is not None:
            gathered.extend(parts[-i - 1])
    return gathered
