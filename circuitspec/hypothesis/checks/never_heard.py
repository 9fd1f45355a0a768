"""H042: a role from which no path of edges leads to the logits."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.flow import links
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language.diagnostics import Diagnostic, Severity

NAME = "never-heard"
CODE = "H042"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Roles in some edge that come to nothing; a warning where kept nodes could carry them on."""
    if not hypothesis.edges:
        return ()
    joined = links(hypothesis)
    heard = joined.heard()
    mentioned = set(joined.feeds) | set(joined.reaches)
    found = []
    for name, role in hypothesis.roles.items():
        if name in heard or name not in mentioned:
            continue
        # Where the next role is not heard either, that one is the mistake.
        onward = joined.reaches.get(name, frozenset()) - {name}
        if any(o in hypothesis.roles and o not in heard for o in onward):
            continue
        severity = Severity.WARNING if hypothesis.kept else Severity.ERROR
        message = f"no path of edges leads from `{name}` to the logits"
        if hypothesis.kept:
            message += ", except by way of what is kept"
        hint = f"add `edge {name} -> logits`, or an edge to a role that reaches them"
        found.append(
            Diagnostic(code=CODE, message=message, span=role.span, severity=severity, hint=hint)
        )
    return tuple(found)
