"""Where things stand in the text of a hypothesis, its inherited statements included."""

from __future__ import annotations

from collections.abc import Iterator

from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.refine import nodes_of
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Span
from circuitspec.language.nodes import Head, Input, Logits, Mlp
from circuitspec.language.syntax import Expr, Target

Node = Input | Head | Mlp | Logits


def position_lists(hypothesis: Hypothesis) -> Iterator[syntax.PositionList]:
    """Every list of positions in the statements of the circuit and of its claims."""
    for statement in hypothesis.statements:
        match statement:
            case syntax.Role(at=at, attends=attends):
                yield at
                if attends is not None:
                    yield attends
            case syntax.Open(at=at) | syntax.Keep(at=at):
                yield at
            case syntax.Edge(at=syntax.PositionList() as at):
                yield at
            case syntax.Expect(actions=actions) | syntax.Protocol(actions=actions):
                for action in actions:
                    if isinstance(action, syntax.Run) and action.at is not None:
                        yield action.at
            case _:
                pass


def position_expressions(hypothesis: Hypothesis) -> Iterator[syntax.PositionExpr]:
    """Every position written in the statements of the circuit, both ends of ranges."""
    for stated in position_lists(hypothesis):
        for position in stated.positions:
            yield position
            if position.end is not None:
                yield position.end


def literals(hypothesis: Hypothesis) -> Iterator[tuple[Node, Span]]:
    """Every node written out in a hypothesis, with the span of the literal or range."""
    for statement in hypothesis.statements:
        for target in _targets(statement):
            for node in nodes_of(target):
                yield node, target.span
        if isinstance(statement, syntax.Expect):
            for require in statement.requirements:
                for side in (require.left, require.right):
                    yield from _in_expression(side)


def _targets(statement: syntax.HypothesisStatement) -> Iterator[Target]:
    match statement:
        case syntax.Role(nodes=nodes) | syntax.Open(nodes=nodes):
            yield from nodes
        case syntax.Keep(targets=targets):
            yield from targets
        case syntax.Edge(senders=senders, receivers=receivers):
            yield from senders
            yield from (r.target for r in receivers)
        case syntax.Expect(actions=actions) | syntax.Protocol(actions=actions):
            for action in actions:
                yield from action_targets(action)
        case _:
            return


def action_targets(action: syntax.Action) -> Iterator[Target]:
    """What an action of a claim names: roles, groups, nodes."""
    match action:
        case syntax.Ablate(targets=tuple() as targets) | syntax.Given(targets=targets):
            yield from targets
        case syntax.Patch(senders=senders, hops=hops):
            yield from senders
            yield from (r.target for hop in hops for r in hop)
        case syntax.Run(restore=restore):
            yield from restore
        case syntax.Knockouts(sets=sets):
            yield from (t for one in sets for t in one)
        case syntax.Each(given=given):
            for clause in given:
                yield from clause.members
                yield from clause.given
        case _:
            return


def _in_expression(expression: Expr) -> Iterator[tuple[Node, Span]]:
    for part in parts(expression):
        if isinstance(part, syntax.NodeLiteral):
            yield part.node, part.span


def parts(expression: Expr) -> Iterator[Expr]:
    """An expression and everything in it."""
    yield expression
    match expression:
        case syntax.Call(arguments=arguments, keywords=keywords):
            for value in (*arguments, *(k.value for k in keywords)):
                yield from parts(value)
        case syntax.Binary(left=left, right=right):
            yield from parts(left)
            yield from parts(right)
        case syntax.Unary(operand=operand):
            yield from parts(operand)
        case syntax.At(value=value):
            yield from parts(value)
        case _:
            return


def requirements(hypothesis: Hypothesis) -> Iterator[tuple[syntax.Expect, syntax.Require]]:
    """Every requirement with its claim."""
    for statement in hypothesis.statements:
        if isinstance(statement, syntax.Expect):
            for require in statement.requirements:
                yield statement, require


def actions(hypothesis: Hypothesis) -> Iterator[syntax.Action]:
    """Every action of a claim or protocol."""
    for statement in hypothesis.statements:
        if isinstance(statement, syntax.Expect | syntax.Protocol):
            yield from statement.actions
