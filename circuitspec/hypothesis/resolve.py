"""Syntax tree → hypotheses: names resolved, refinements merged, edges and claims expanded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from circuitspec.hypothesis.claims import claims_of
from circuitspec.hypothesis.edges import edge_statements
from circuitspec.hypothesis.files import Library, library
from circuitspec.hypothesis.idle import report_idle
from circuitspec.hypothesis.members import DUPLICATE, UNKNOWN, scope_of
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.refine import merge
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.task_text import task_info
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label
from circuitspec.language.syntax import SpecFile, Task

MISSING = "H034"

S = TypeVar("S", syntax.ModelStatement, syntax.Task)


def resolve(
    spec: SpecFile, *, base_dir: Path | str = "."
) -> tuple[tuple[Hypothesis, ...], tuple[Diagnostic, ...]]:
    """Every hypothesis of a file, with what is wrong in the text.

    `base_dir` is the folder that `use` is confined to. Where there are errors the hypotheses are
    as complete as can be, so that the checks can go on, and must not be run. A mistake in what a
    refinement inherits is reported once.
    """
    report = Report()
    names = library(spec, Path(base_dir), report)
    hypotheses = tuple(_resolve(h, names, report) for h in names.own)
    report_idle(spec, hypotheses, report)
    return hypotheses, _once(report.found)


def _once(found: list[Diagnostic]) -> tuple[Diagnostic, ...]:
    first: dict[tuple[object, ...], Diagnostic] = {}
    for d in found:
        first.setdefault((d.code, d.span.file, d.span.start, d.span.end, d.message), d)
    return tuple(sorted(first.values(), key=lambda d: (d.span.file, d.span.start, d.code)))


def _resolve(stated: syntax.Hypothesis, names: Library, report: Report) -> Hypothesis:
    merged = merge(stated, names.hypotheses, report)
    statements = merged.statements
    model = _single(
        [s for s in statements if isinstance(s, syntax.ModelStatement)], stated, report,
        "model", 'add `model "gpt2"`: a packaged name, a directory or a hub name',
    )  # fmt: skip
    task = _single(
        [s for s in statements if isinstance(s, syntax.Task)], stated, report,
        "task", "add `task NAME { ... }`, or `task NAME` for one declared in the file",
    )  # fmt: skip
    carried = tuple(c for s in statements if isinstance(s, syntax.Role) for c in s.carries)
    task = task and _task(task, carried, names, report)
    info = task_info(task or Task(name=syntax.Name(text="?")))
    scope = scope_of(statements, info, report)
    edges = edge_statements(statements, scope, report)
    return Hypothesis(
        name=stated.name.text,
        model=model.reference.value if model else "",
        revision=model.revision.value if model and model.revision else None,
        task=task or Task(name=syntax.Name(text="?")),
        roles=scope.roles,
        groups=scope.groups,
        kept=scope.kept,
        open_nodes=scope.open_nodes,
        edges=edges,
        claims=claims_of(statements, names.protocols, scope, edges, report),
        file=stated.span.file,
        refines=stated.refines.text if stated.refines else None,
        dropped=merged.dropped,
        sweeps=tuple(s for s in statements if isinstance(s, syntax.Sweep)),
        doc=stated.doc,
        span=stated.span,
        name_span=stated.name.span,
        statements=statements,
    )


def _single(
    stated: list[S], hypothesis: syntax.Hypothesis, report: Report, kind: str, hint: str
) -> S | None:
    if not stated:
        if hypothesis.refines is None:
            message = f"`{hypothesis.name}` names no {kind}"
            report.error(MISSING, message, hypothesis.name.span, hint=hint)
        return None
    for again in stated[1:]:
        report.error(
            DUPLICATE,
            f"a second {kind} in one hypothesis",
            again.span,
            hint="remove one; a rival over another belongs in a hypothesis of its own",
            labels=(Label(span=stated[0].span, message="the first is here"),),
        )
    return stated[0]


def _task(
    task: Task, carried: tuple[syntax.Expr, ...], names: Library, report: Report
) -> Task | None:
    """The task with its statements, and with the file's word lists that it or a feature names."""
    if task.statements is None:
        name: str | None = task.name.text
        if name not in names.tasks:
            name = report.unknown(UNKNOWN, "task", task.name.text, task.name.span, names.tasks)
        if name is None:
            return None
        task = names.tasks[name]
    statements = task.statements or ()
    own = {s.name.text for s in statements if isinstance(s, syntax.Words)}
    used = dict.fromkeys((*_words_used(statements), *(n for c in carried for n in _names(c))))
    shared = tuple(names.words[n] for n in used if n in names.words and n not in own)
    return replace(task, statements=(*shared, *statements)) if shared else task


def _words_used(statements: tuple[syntax.TaskStatement, ...]) -> Iterator[str]:
    """Every name a task mentions where a word list may stand."""
    for statement in statements:
        match statement:
            case syntax.Slot(source=source, value=value):
                if isinstance(source, syntax.Ref):
                    yield source.name
                if value is not None:
                    yield from _names(value)
            case (
                syntax.Metric(value=value)
                | syntax.Baseline(value=value)
                | syntax.PositionDeclaration(value=value)
            ):
                yield from _names(value)
            case _:
                pass


def _names(expression: syntax.Expr) -> Iterator[str]:
    match expression:
        case syntax.Ref(name=name):
            yield name
        case syntax.Call(arguments=arguments, keywords=keywords):
            for value in (*arguments, *(k.value for k in keywords)):
                yield from _names(value)
        case syntax.Binary(left=left, right=right):
            yield from _names(left)
            yield from _names(right)
        case syntax.Unary(operand=operand):
            yield from _names(operand)
        case syntax.At(value=value):
            yield from _names(value)
        case _:
            return
