"""What a rule is: a module with a name, a code and a check."""

from __future__ import annotations

from typing import Protocol

from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language.diagnostics import Diagnostic

Findings = tuple[Diagnostic, ...]


class Rule(Protocol):
    """The face of a rule's module."""

    NAME: str
    CODE: str

    def check(self, hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
        """What the rule finds; nothing where it needs a shape and there is none."""
        ...
