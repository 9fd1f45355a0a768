"""H055: a mean over reference prompts that the task does not draw."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import actions
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label

NAME = "no-reference-prompts"
CODE = "H055"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """One finding a task: means are taken of reference prompts, never of those that are judged."""
    if info.sample is None or info.sample.reference is not None:
        return ()
    for action in actions(hypothesis):
        if isinstance(action, syntax.Ablate) and action.value and action.value.kind == "mean":
            return (
                Diagnostic(
                    code=CODE,
                    message="a claim ablates with a mean, "
                    "and the task draws no reference prompts to take it of",
                    span=info.sample.span,
                    hint="write `sample evaluation 200, reference 200 each template, seed 0`",
                    labels=(Label(span=action.value.span, message="this mean"),),
                ),
            )
    return ()
