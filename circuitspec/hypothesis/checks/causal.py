"""H041: keys and values read at a position after the one that queries."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.nodes import Position

NAME = "attends-to-the-future"
CODE = "H041"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """An error where no template allows it, a warning where only some do not.

    Positions are compared only where a template's text orders them whatever the words are.
    """
    if shape is not None and not shape.causal:
        return ()
    found = []
    spans = {
        s.name.text: (s.attends or s.at).span
        for s in hypothesis.statements
        if isinstance(s, syntax.Role)
    }
    for role in hypothesis.roles.values():
        for place in role.places:
            for key in place.keys:
                late = _late(place.query, key, info)
                if not late:
                    continue
                everywhere = len(late) == len(info.templates)
                where = "" if everywhere else f" in template {', '.join(f'`{t}`' for t in late)}"
                found.append(
                    Diagnostic(
                        code=CODE,
                        message=f"`{role.name}` at {place.query} cannot attend to {key}{where}: "
                        "it comes later, and a causal model sees only what is before",
                        span=spans.get(role.name, role.span),
                        severity=Severity.ERROR if everywhere else Severity.WARNING,
                        hint=f"did you mean `@ {key} attends {place.query}`?"
                        if everywhere
                        else "there its attention to that position is 0",
                    )
                )
    return tuple(found)


def _late(query: Position, key: Position, info: TaskInfo) -> list[str]:
    """Templates in which the key stands after the query in every prompt."""
    return [t.name for t in info.templates if info.order(query, key, t) == "before"]
