"""H056: a scrub of a hypothesis whose roles carry nothing, or that draws no graph."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import actions
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic

NAME = "scrub-of-nothing"
CODE = "H056"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Claims whose scrub has no interpretation to test."""
    found = []
    for scrub in actions(hypothesis):
        if not isinstance(scrub, syntax.Scrub):
            continue
        names = {r.text for r in scrub.roles}
        names = {m for n in names for m in hypothesis.groups.get(n, (n,))} or {*hypothesis.roles}
        carrying = any(hypothesis.roles[n].carries for n in names if n in hypothesis.roles)
        if hypothesis.edges and (carrying or not names & {*hypothesis.roles}):
            continue
        if not hypothesis.edges:
            message = "a scrub walks the declared graph, and the hypothesis states no edges"
            hint = "state who reads whom: `edge input -> ROLE.kv`, `edge ROLE -> logits`"
        else:
            message = "none of the roles that are scrubbed says what it carries"
            hint = "add `carries token(X)` (or another feature) to a role"
        found.append(Diagnostic(code=CODE, message=message, span=scrub.span, hint=hint))
    return tuple(found)
