"""H053: a number of draws, sets or prompts with which nothing can be decided."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import actions
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Span

NAME = "number-of-nothing"
CODE = "H053"

MOST = 1_000_000
"""Draws, sets or prompts that nobody means: listing them alone would take hours."""

LEAST_SEQUENTIAL = 128
"""Prompts from which a confidence sequence is looked at: its guarantee is asymptotic."""


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Counts of zero or beyond all means, noise of no strength, sampling that may not decide."""
    found: list[Diagnostic] = []

    def say(message: str, span: Span, hint: str) -> None:
        found.append(Diagnostic(code=CODE, message=message, span=span, hint=hint))

    for what, number, span in _counts(hypothesis):
        if number > MOST:
            say(f"{number:,} {what} are more than a run can take", span, f"write at most {MOST}")
    for action in actions(hypothesis):
        match action:
            case syntax.Scrub(draws=int() as draws) if draws < 1:
                say("a scrub without draws replaces nothing", action.span, "write `draws 4`")
            case syntax.Ablate(value=syntax.AblationValue(draws=int() as draws) as value):
                if draws < 1:
                    say("no draw, no value to put in", value.span, "write `draws 4`")
            case syntax.Ablate(value=syntax.AblationValue(scale=syntax.Number() as scale)):
                if scale.value <= 0:
                    say("noise of no strength changes nothing", scale.span, "write `noise 3.0`")
            case syntax.Knockouts(random=int() as number) if number < 1:
                say("no random set is drawn", action.span, "write `random 100`")
            case syntax.Until(at_most=at_most) if at_most < LEAST_SEQUENTIAL:
                say(
                    f"sampling until decided looks from {LEAST_SEQUENTIAL} prompts on, "
                    f"and may take {at_most}",
                    action.span,
                    f"allow more: `until decided, at most {LEAST_SEQUENTIAL * 10}`",
                )
            case _:
                pass
    return tuple(found)


def _counts(hypothesis: Hypothesis) -> Iterator[tuple[str, int, Span]]:
    """Everything that is counted out: what it is, how many, and where that is said."""
    for action in actions(hypothesis):
        match action:
            case syntax.Scrub(draws=int() as draws):
                yield "draws", draws, action.span
            case syntax.Ablate(value=syntax.AblationValue(draws=int() as draws)):
                yield "draws", draws, action.span
            case syntax.Knockouts(random=number, greedy=greedy):
                yield "random sets", number or 0, action.span
                yield "candidates of a greedy search", prod(greedy or ()), action.span
            case syntax.Until(at_most=number):
                yield "prompts", number, action.span
            case _:
                pass
    for statement in hypothesis.task.statements or ():
        if isinstance(statement, syntax.Sample):
            for count in (statement.evaluation, statement.reference, statement.pool):
                if isinstance(count, syntax.Count):
                    yield "prompts", count.number, statement.span
