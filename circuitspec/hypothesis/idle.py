"""Words, tasks and protocols of a file that none of its hypotheses uses."""

from __future__ import annotations

from collections.abc import Iterator

from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.report import Report
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.syntax import SpecFile

UNUSED = "H050"


def report_idle(spec: SpecFile, hypotheses: tuple[Hypothesis, ...], report: Report) -> None:
    """A warning for each. In a file without claims, a draft or one that others `use`,
    nothing is asked."""
    if not any(isinstance(s, syntax.Expect) for h in hypotheses for s in h.statements):
        return
    used = set(_used(hypotheses))
    stood_under = {
        claim.under.text
        for hypothesis in hypotheses
        for claim in hypothesis.statements
        if isinstance(claim, syntax.Expect) and claim.under is not None
    }
    for statement in spec.statements:
        match statement:
            case syntax.Words(name=name) | syntax.Task(name=name) | syntax.Protocol(name=name):
                is_protocol = isinstance(statement, syntax.Protocol)
                if name.text in stood_under if is_protocol else name.span.start in used:
                    continue
                if _is_misspelt(report, name.text):
                    continue
                kind = "word list" if isinstance(statement, syntax.Words) else None
                kind = kind or type(statement).__name__.lower()
                report.add(
                    Diagnostic(
                        code=UNUSED,
                        message=f"the {kind} `{name.text}` is not used",
                        span=name.span,
                        severity=Severity.WARNING,
                        hint="use it in a hypothesis, or remove it",
                    )
                )
            case _:
                pass


def _used(hypotheses: tuple[Hypothesis, ...]) -> Iterator[int]:
    """Where what is used is declared, in the file itself."""
    for hypothesis in hypotheses:
        task = hypothesis.task
        named = [task.name, *(s.name for s in task.statements or () if isinstance(s, syntax.Words))]
        yield from (name.span.start for name in named if name.span.file == hypothesis.file)


def _is_misspelt(report: Report, name: str) -> bool:
    """Whether a mistake has been reported that this name mends."""
    return any(d.hint is not None and f"`{name}`" in d.hint for d in report.found)
