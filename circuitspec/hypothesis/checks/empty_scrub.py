"""H056: a scrub of a hypothesis whose roles carry nothing, or that draws no graph."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.records import Hypothesis, Scrub
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language.diagnostics import Diagnostic

NAME = "scrub-of-nothing"
CODE = "H056"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Claims whose scrub has no interpretation to test."""
    found = []
    for claim in hypothesis.claims:
        if not isinstance(claim.intervention, Scrub):
            continue
        names = claim.intervention.roles or tuple(hypothesis.roles)
        carrying = any(hypothesis.roles[n].carries for n in names if n in hypothesis.roles)
        if hypothesis.edges and carrying:
            continue
        if not hypothesis.edges:
            message = f"`{claim.name}` scrubs a graph, and the hypothesis states no edges"
            hint = "state who reads whom: `edge input -> ROLE.kv`, `edge ROLE -> logits`"
        else:
            message = f"`{claim.name}` scrubs, and none of its roles says what it carries"
            hint = "add `carries token(X)` (or another feature) to a role"
        found.append(Diagnostic(code=CODE, message=message, span=claim.span, hint=hint))
    return tuple(found)
