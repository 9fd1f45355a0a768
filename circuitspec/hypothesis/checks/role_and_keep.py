"""H046: a role whose nodes are kept anyway, and so belong to no knock-out."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.members import Scope
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label, Severity

NAME = "role-and-keep"
CODE = "H046"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Roles with members that a `keep` line puts in the circuit for good."""
    scope = Scope(info=info, kept=hypothesis.kept)
    keeps = [s.span for s in hypothesis.statements if isinstance(s, syntax.Keep)]
    found = []
    for role in hypothesis.roles.values():
        kept = [e for e in role.elements if scope.is_kept(e)]
        if kept:
            found.append(
                Diagnostic(
                    code=CODE,
                    message=f"`{kept[0]}` of `{role.name}` is kept: no knock-out removes it",
                    span=role.span,
                    severity=Severity.NOTE,
                    hint="if it is to be cut, keep the other nodes only",
                    labels=tuple(Label(span=s, message="kept here") for s in keeps),
                )
            )
    return tuple(found)
