"""H051: faithfulness that only asks for enough, and so passes a circuit that does too much."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.syntax import Expr

NAME = "one-sided-faithfulness"
CODE = "H051"

_PROMPT_BY_PROMPT = frozenset({"agreement", "error", "kl", "gap"})


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """A warning for each `ablate complement` whose requirements bound the metric on one side."""
    found = []
    for claim in hypothesis.statements:
        if not isinstance(claim, syntax.Expect) or claim.refuted or not _complement(claim):
            continue
        sides = {r: side for r in claim.requirements if (side := _side(r, info)) is not None}
        if {*sides.values()} == {"below"} and not _guarded(claim):
            found.append(
                Diagnostic(
                    code=CODE,
                    message=f"`{claim.name}` asks for enough and not for too much: cutting heads "
                    "can raise the metric far above the model's, and this passes",
                    span=next(iter(sides)).span,
                    severity=Severity.WARNING,
                    hint="write `within 20% of model.METRIC`, and add "
                    "`require agreement >= 0.8 ci 95`",
                )
            )
    return tuple(found)


def _complement(claim: syntax.Expect) -> bool:
    return any(isinstance(a, syntax.Ablate) and a.targets == "complement" for a in claim.actions)


def _side(requirement: syntax.Require, info: TaskInfo) -> str | None:
    """Whether a requirement bounds the circuit's performance from below, above or both."""
    left, right = _performs(requirement.left, info), _performs(requirement.right, info)
    if not left and not right:
        return None
    if requirement.operator in ("within", "=="):
        return "both"
    from_below = (requirement.operator in (">=", ">")) == left
    return "below" if from_below else "above"


def _performs(expression: Expr, info: TaskInfo) -> bool:
    """Whether a side is the intervened run's metric, or a ratio of it."""
    match expression:
        case syntax.Ref(name=name):
            return name.removeprefix("circuit.") in {*info.metrics, "ratio", "recovered"}
        case syntax.Call(function="ratio" | "recovered"):
            return True
        case _:
            return False


def _guarded(claim: syntax.Expect) -> bool:
    """Whether another requirement compares the circuit with the model prompt by prompt."""
    for requirement in claim.requirements:
        for side in (requirement.left, requirement.right):
            name = side.name if isinstance(side, syntax.Ref) else ""
            name = side.function if isinstance(side, syntax.Call) else name
            if name in _PROMPT_BY_PROMPT:
                return True
    return False
