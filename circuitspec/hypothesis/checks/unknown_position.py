"""H047: a position whose label stands nowhere, or not in every template."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import position_expressions
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.hypothesis.text import position_text
from circuitspec.language import syntax
from circuitspec.language.nodes import Position

NAME = "unknown-position"
CODE = "H047"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Labels that name no place, BOS where there is none, tokens no prompt or slot has."""
    if not info.places_known:
        return ()
    report = Report()
    for position in position_expressions(hypothesis):
        _check(position, info, report)
    return tuple(dict.fromkeys(report.found))


def _check(position: syntax.PositionExpr, info: TaskInfo, report: Report) -> None:
    label = position.label
    if label == "BOS" and info.bos is False and not info.integer_tokens:
        report.error(
            CODE,
            "there is no BOS in these prompts",
            position.span,
            hint="the task says `bos no`; write `bos yes`, or name another position",
        )
        return
    if label not in info.places:
        report.unknown(CODE, "position", label, position.span, info.places)
        return
    missing = [t.name for t in info.templates if not info.stands_in(label, t)]
    if missing:
        report.error(
            CODE,
            f"`{label}` does not stand in template {', '.join(f'`{m}`' for m in missing)}",
            position.span,
            hint=f"put `{{{label}}}` in it, or name a position that every template has",
        )
    elif info.one_token(label) and position.index not in (0, -1, None, "*"):
        report.error(
            CODE,
            f"`{label}` is one token: there is no `{label}[{position.index}]`",
            position.span,
            hint=f"write `{label}`, or `{label}+1` for the token to its right",
        )
    elif all(
        info.outside(Position(label, position.offset, position.index), t) for t in info.templates
    ):
        report.error(
            CODE,
            f"`{position_text(position)}` lies outside every prompt",
            position.span,
            hint=f"the offset counts tokens from `{label}`",
        )
