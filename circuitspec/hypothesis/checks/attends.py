"""H054: attention asked of a role that attends nowhere, or stated of nodes that cannot attend."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import parts, requirements
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label
from circuitspec.language.nodes import Head

NAME = "attends-nowhere"
CODE = "H054"

_OF_HEADS = ("copying", "negative_copying", "previous_token", "duplicate_token", "induction")


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """`attention(R)` without `attends`, head scores of MLPs, and `attends` of roles of MLPs."""
    found = []
    for statement in hypothesis.statements:
        if isinstance(statement, syntax.Role) and statement.attends is not None:
            role = hypothesis.roles.get(statement.name.text)
            if role and role.nodes and not any(isinstance(n, Head) for n in role.nodes):
                found.append(
                    Diagnostic(
                        code=CODE,
                        message=f"`{role.name}` is made of MLPs, and MLPs do not attend",
                        span=statement.attends.span,
                        hint="an MLP reads its own position only: remove `attends ...`",
                    )
                )
    for _, require in requirements(hypothesis):
        for side in (require.left, require.right):
            for part in parts(side):
                if isinstance(part, syntax.Call):
                    found += _call(part, hypothesis)
    return tuple(found)


def _call(call: syntax.Call, hypothesis: Hypothesis) -> list[Diagnostic]:
    if call.function != "attention" and call.function not in _OF_HEADS:
        return []
    found = []
    for argument in call.arguments:
        names: tuple[str, ...] = ()
        if isinstance(argument, syntax.Ref):
            names = hypothesis.groups.get(argument.name, (argument.name,))
        elif isinstance(argument, syntax.NodeLiteral):
            names = tuple(n for n, r in hypothesis.roles.items() if argument.node in r.nodes)
        for role in (hypothesis.roles[n] for n in names if n in hypothesis.roles):
            label = (Label(span=role.span, message="declared here"),)
            if not any(isinstance(n, Head) for n in role.nodes):
                message = f"`{role.name}` has no heads, and `{call.function}` is of heads"
                hint = "name a role of heads"
            elif call.function == "attention" and not any(p.keys for p in role.places):
                message = f"it is not said where `{role.name}` attends"
                hint = "add `attends POSITION` to the role"
            else:
                continue
            found.append(
                Diagnostic(code=CODE, message=message, span=call.span, hint=hint, labels=label)
            )
    return found
