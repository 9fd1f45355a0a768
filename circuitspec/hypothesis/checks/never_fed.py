"""H043: a role to which no path of edges leads from the input."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.flow import links
from circuitspec.hypothesis.records import Hypothesis, Scrub
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.nodes import Head

NAME = "never-fed"
CODE = "H043"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Roles in some edge that nothing comes to; a warning where kept nodes could feed them."""
    if not hypothesis.edges:
        return ()
    joined = links(hypothesis)
    fed = joined.fed()
    mentioned = set(joined.feeds) | set(joined.reaches)
    found = []
    for name, role in hypothesis.roles.items():
        if name in fed or name not in mentioned:
            continue
        # Where what feeds it is not fed either, that one is the mistake.
        before = joined.feeds.get(name, frozenset()) - {name}
        if any(b in hypothesis.roles and b not in fed for b in before):
            continue
        if not before and role.carries and _is_scrubbed(hypothesis):
            continue  # a leaf of the scrubbed tree: its ordinary value on a prompt that agrees
        severity = Severity.WARNING if hypothesis.kept else Severity.ERROR
        message = f"no path of edges leads from the input to `{name}`"
        if hypothesis.kept:
            message += ", except by way of what is kept"
        channel = "qkv" if any(isinstance(n, Head) for n in role.nodes) else "in"
        hint = f"add `edge input -> {name}.{channel}`, or an edge from a role that is fed"
        found.append(
            Diagnostic(code=CODE, message=message, span=role.span, severity=severity, hint=hint)
        )
    return tuple(found)


def _is_scrubbed(hypothesis: Hypothesis) -> bool:
    return any(isinstance(claim.intervention, Scrub) for claim in hypothesis.claims)
