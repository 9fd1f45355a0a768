"""H045: a node in two roles (or twice in one, or in a role and open) at one position."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.places import meet, positions
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.refine import nodes_of
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label, Span
from circuitspec.language.nodes import Head, Input, Logits, Mlp, Position

NAME = "two-roles-at-one-position"
CODE = "H045"

Node = Input | Head | Mlp | Logits


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """One message a node and pair of statements, at the second mention."""
    found = []
    first: dict[Node, list[tuple[str, tuple[Position, ...], Span]]] = {}
    seen: set[str] = set()
    for statement in hypothesis.statements:
        match statement:
            case syntax.Role(name=name, nodes=nodes, at=at):
                owner = f"`{name}`"
                if owner in seen:
                    continue  # a second role of that name is reported as such
                seen.add(owner)
            case syntax.Open(nodes=nodes, at=at):
                owner = "`open`"
            case _:
                continue
        where = positions(at, Report())
        for literal in nodes:
            for node in nodes_of(literal):
                for other, elsewhere, span in first.get(node, ()):
                    both = meet(where, elsewhere, info)
                    if both:
                        found.append(_found(node, owner, other, both[0], literal.span, span))
                        break
                first.setdefault(node, []).append((owner, where, literal.span))
    return tuple(found)


def _found(
    node: Node, owner: str, other: str, position: Position, span: Span, first: Span
) -> Diagnostic:
    if owner == other:
        message = f"`{node}` stands twice in {owner}"
        hint = "remove one of the two"
    else:
        message = f"`{node}` is in {other} and in {owner} at {position}"
        hint = "a node has one part to play at a position: remove it from one of them"
    label = Label(span=first, message="first here")
    return Diagnostic(code=CODE, message=message, span=span, hint=hint, labels=(label,))
