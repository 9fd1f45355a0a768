"""What a claim's requirements name: functions applied, values named, and the roles they are of."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from circuitspec.claims.context import Context
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.members import keeps
from circuitspec.hypothesis.records import Claim, Hypothesis, Place, Role
from circuitspec.language.nodes import Head, Input, Logits, Mlp
from circuitspec.language.syntax import (
    At,
    Binary,
    Call,
    Expr,
    NodeLiteral,
    Number,
    Ref,
    Unary,
)


def calls(claim: Claim) -> Iterator[Call]:
    """Every function applied anywhere in a claim's requirements."""
    for requirement in claim.requirements:
        for side in (requirement.left, requirement.right):
            yield from (part for part in _parts(side) if isinstance(part, Call))


def names(claim: Claim) -> Iterator[str]:
    """Every name used as a value or a function in a claim's requirements."""
    for requirement in claim.requirements:
        for side in (requirement.left, requirement.right):
            for part in _parts(side):
                if isinstance(part, Ref):
                    yield part.name
                elif isinstance(part, Call):
                    yield part.function


def metrics_named(claim: Claim, metrics: Collection[str]) -> tuple[str, ...]:
    """Those of the task's metrics that a claim's requirements are of, in the task's order.

    All, where none is named: `agreement` is of the only one.
    """
    named = {name.rpartition(".")[2] for name in names(claim)}
    return tuple(metric for metric in metrics if metric in named) or tuple(metrics)


def _parts(expr: Expr) -> Iterator[Expr]:
    yield expr
    match expr:
        case Call(arguments=arguments):
            for argument in arguments:
                yield from _parts(argument)
        case Unary(operand=operand):
            yield from _parts(operand)
        case Binary(left=left, right=right):
            yield from _parts(left)
            yield from _parts(right)
        case At(value=value):
            yield from _parts(value)
        case _:
            return


def call_key(call: Call) -> str:
    """The name under which a call's series is kept: `attention(name_mover)`."""
    return f"{call.function}({', '.join(argument_text(a) for a in call.arguments)})"


def argument_text(expr: Expr) -> str:
    """An argument as it is written."""
    match expr:
        case Ref(name=name):
            return str(name)
        case NodeLiteral(node=node):
            return str(node)
        case Number(text=text):
            return str(text)
        case _:
            raise EngineError(
                "an argument of a measure must be a role, a node, a layer or a metric"
            )


def metric_argument(call: Call, context: Context) -> str:
    """The metric a measure is of: its second argument, or the task's only one."""
    if len(call.arguments) > 1:
        return argument_text(call.arguments[1])
    if len(context.metrics) != 1:
        raise EngineError(f"{call.function} needs a metric: this task has several")
    return next(iter(context.metrics))


def roles_named(call: Call, context: Context) -> tuple[Role, ...]:
    """The roles a measure's first argument means: a role, a group, or the role of one node."""
    first = call.arguments[0]
    roles = context.hypothesis.roles
    if isinstance(first, NodeLiteral):
        found = tuple(
            replace(role, nodes=(node,))
            for role in roles.values()
            for node in role.nodes
            if node == first.node
        )
        if found:
            return found
        return (_roleless(first.node, context.hypothesis),)
    name = argument_text(first)
    members = context.hypothesis.groups.get(name, (name,))
    return tuple(roles[member] for member in members)


def _roleless(node: Head | Mlp | Input | Logits, hypothesis: Hypothesis) -> Role:
    """A node without a role, where it is kept, else where it is open."""
    if isinstance(node, Input | Logits):
        raise EngineError(f"{node} is no head or MLP")
    kept = [p for k in hypothesis.kept if keeps(k, node) for p in k.positions]
    where = kept or [e.position for e, _ in hypothesis.open_nodes if e.node == node]
    if not where:
        raise EngineError(f"{node} has no role here, so no position to read it at")
    places = tuple(Place(query=position) for position in dict.fromkeys(where))
    return Role(name=str(node), nodes=(node,), places=places)
