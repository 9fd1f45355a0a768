"""H054: attention asked of what attends nowhere, or everywhere, or of nodes that cannot attend."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import parts, requirements
from circuitspec.hypothesis.members import keeps
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label
from circuitspec.language.nodes import ALL_POSITIONS, Head, Input, Logits, Mlp

NAME = "attends-nowhere"
CODE = "H054"

_OF_HEADS = ("copying", "negative_copying", "previous_token", "duplicate_token", "induction")


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """`attention(R)` without `attends` or with `*`, head scores and `attends` of MLPs."""
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
            if not names:
                found += _roleless(call, argument, hypothesis)
        for role in (hypothesis.roles[n] for n in names if n in hypothesis.roles):
            label = (Label(span=role.span, message="declared here"),)
            if isinstance(argument, syntax.NodeLiteral):
                if not isinstance(argument.node, Head):
                    found.append(_no_head(call, argument))
                    break
            elif not all(isinstance(n, Head) for n in role.nodes):
                mixed = any(isinstance(n, Head) for n in role.nodes)
                has = "has MLPs among its nodes" if mixed else "has no heads"
                message = f"`{role.name}` {has}, and `{call.function}` is of heads"
                hint = "name a role of heads" + (", or a head of it" if mixed else "")
                found.append(
                    Diagnostic(code=CODE, message=message, span=call.span, hint=hint, labels=label)
                )
                continue
            if call.function == "attention" and not any(p.keys for p in role.places):
                message = f"it is not said where `{role.name}` attends"
                hint = "add `attends POSITION` to the role"
            elif call.function == "attention" and any(ALL_POSITIONS in p.keys for p in role.places):
                message = f"`{role.name}` attends `*`: its attention is 1 whatever it looks at"
                hint = "say where it attends, for example `attends S2`"
            else:
                continue
            found.append(
                Diagnostic(code=CODE, message=message, span=call.span, hint=hint, labels=label)
            )
    return found


def _no_head(call: syntax.Call, argument: syntax.NodeLiteral) -> Diagnostic:
    return Diagnostic(
        code=CODE,
        message=f"`{argument.node}` is no head, and `{call.function}` is of heads",
        span=argument.span,
        hint="name a head, or a role of heads",
    )


def _roleless(
    call: syntax.Call, argument: syntax.NodeLiteral, hypothesis: Hypothesis
) -> list[Diagnostic]:
    """Of a node that is kept or open only: it has a place, and attends nowhere that is said."""
    node = argument.node
    if isinstance(node, Input | Logits):
        return []
    kept = any(keeps(each, node) for each in hypothesis.kept)
    if not kept and not any(element.node == node for element, _ in hypothesis.open_nodes):
        return []
    if isinstance(node, Mlp):
        return [_no_head(call, argument)]
    if call.function != "attention":
        return []
    return [
        Diagnostic(
            code=CODE,
            message=f"`{node}` is in no role, so it is not said where it attends",
            span=argument.span,
            hint=f"give it one: `role NAME = {node} @ POSITION attends POSITION`",
        )
    ]
