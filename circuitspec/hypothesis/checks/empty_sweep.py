"""H061: a sweep over open nodes where none is open."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic

NAME = "sweep-of-nothing"
CODE = "H061"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """`sweep open` without `open` nodes."""
    if any(isinstance(s, syntax.Open) for s in hypothesis.statements):
        return ()
    return tuple(
        Diagnostic(
            code=CODE,
            message="there is nothing to sweep: the hypothesis has no open nodes",
            span=sweep.span,
            hint='name some (`open a7.h1 @ END "why"`), or remove the line',
        )
        for sweep in hypothesis.sweeps
        if sweep.over == "open"
    )
