"""H044: a role that no edge mentions, in a hypothesis that states edges."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.edges import UNRESOLVED
from circuitspec.hypothesis.flow import links
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language.diagnostics import Diagnostic, Severity

NAME = "in-no-edge"
CODE = "H044"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Roles outside the graph. Silent where an edge names something unknown: it may be meant."""
    names = {name for part in hypothesis.edges for name in (part.sender, part.receiver)}
    if not hypothesis.edges or UNRESOLVED in names:
        return ()
    joined = links(hypothesis)
    mentioned = set(joined.feeds) | set(joined.reaches) | names
    return tuple(
        Diagnostic(
            code=CODE,
            message=f"no edge mentions `{name}`: nothing feeds it, and nothing reads it",
            span=role.span,
            severity=Severity.WARNING,
            hint=f"add `edge input -> {name}.qkv` and `edge {name} -> logits`, or what is meant; "
            "if its part is not understood, declare it `open`",
        )
        for name, role in hypothesis.roles.items()
        if name not in mentioned
    )
