"""T006: a scrub over prompts of a task that does not say how many there are to draw from."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import actions
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label

NAME = "no-pool"
CODE = "T006"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """One finding a task: draws come from a pool of a stated size, or from all prompts."""
    sample = info.sample
    if sample is None or sample.pool is not None or sample.evaluation == "all":
        return ()
    for action in actions(hypothesis):
        if isinstance(action, syntax.Scrub):
            return (
                Diagnostic(
                    code=CODE,
                    message=f"task `{info.name}` does not say how many prompts a pool has",
                    span=sample.span,
                    hint="write `pool 1000` in its `sample` statement",
                    labels=(Label(span=action.span, message="this scrub draws from it"),),
                ),
            )
    return ()
