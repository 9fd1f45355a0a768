"""Results for GitHub: annotations where claims do not hold, and the summary of a workflow step."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from circuitspec.judge.records import ClaimResult, HypothesisResult, RunResult
from circuitspec.language.diagnostics import Diagnostic, Severity, Span
from circuitspec.report import markdown
from circuitspec.report.rows import SIGNS, competence_notes, headline, labelled, numbers_of, row_of

_LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}

Places = Mapping[tuple[str, str], Span]
"""Where a claim stands: (hypothesis, claim) → span."""


def render(result: RunResult, *, places: Places | None = None) -> str:
    """One annotation a claim that does not hold, at its line where `places` knows it.

    Refuted claims are errors; inconclusive and invalid ones are warnings (the run fails, too, by
    its exit code 3), as are a model that mostly fails at its task and a verdict that, as the run
    found, says nothing. A last notice has the totals.
    """
    out = []
    for hypothesis in result.hypotheses:
        for note in competence_notes(hypothesis.competence):
            title = f"{hypothesis.name}: competence"
            out.append(_command("warning", {"file": hypothesis.file, "title": title}, note))
        for claim in hypothesis.claims:
            place = (places or {}).get((hypothesis.name, claim.name))
            if claim.verdict != "holds":
                out.append(_claim(hypothesis, claim, place))
            out += [_warned(hypothesis, claim, text, place) for text in claim.warnings]
        for check in hypothesis.self_checks:
            if not check.passed:
                title = f"{hypothesis.name}: self-check {check.name} failed"
                out.append(
                    _command(
                        "error", {"file": hypothesis.file, "title": title}, check.detail or title
                    )
                )
    title = f"circuitspec: {result.verdict}"
    out.append(_command("notice", {"title": title}, headline(result)))
    return "\n".join(out) + "\n"


def step_summary(result: RunResult, figures: Mapping[str, str]) -> str:
    """What a workflow step's summary shows: the tables, then each circuit as Mermaid draws it.

    `figures` are Mermaid texts by hypothesis.
    """
    blocks = [markdown.render(result)]
    for hypothesis in result.hypotheses:
        figure = figures.get(hypothesis.name)
        if figure is not None:
            title = f"<summary>The circuit of {html.escape(hypothesis.name)}</summary>"
            blocks.append(f"<details>{title}\n\n```mermaid\n{figure}```\n\n</details>\n")
    return "\n".join(blocks)


def _claim(hypothesis: HypothesisResult, claim: ClaimResult, span: Span | None) -> str:
    lines = [claim.reason] if claim.reason else []
    for requirement in claim.requirements:
        if requirement.verdict == "holds" and claim.verdict != "refuted":
            continue
        row = row_of(requirement)
        lines.append(f"{row.sign} {labelled(row)}: {numbers_of(row)}")
        lines += [text for text in (row.shown, row.reason) if text and text != claim.reason]
    properties = {"file": hypothesis.file, **_place(span)}
    properties["title"] = f"{SIGNS[claim.verdict]} {hypothesis.name}.{claim.name}: {claim.verdict}"
    level = "error" if claim.verdict == "refuted" else "warning"
    return _command(level, properties, "\n".join(lines) or claim.verdict)


def _warned(hypothesis: HypothesisResult, claim: ClaimResult, text: str, span: Span | None) -> str:
    title = f"{hypothesis.name}.{claim.name}: {claim.verdict}, with a warning"
    return _command("warning", {"file": hypothesis.file, **_place(span), "title": title}, text)


def render_diagnostics(diagnostics: Sequence[Diagnostic]) -> str:
    """One annotation a finding, at its place."""
    out = []
    for diagnostic in diagnostics:
        hint = f"\n{diagnostic.hint}" if diagnostic.hint else ""
        properties = {"file": diagnostic.span.file, **_place(diagnostic.span)}
        properties["title"] = f"circuitspec {diagnostic.code}"
        out.append(_command(_LEVELS[diagnostic.severity], properties, diagnostic.message + hint))
    return "".join(f"{line}\n" for line in out)


def _place(span: Span | None) -> dict[str, str]:
    if span is None or not span.line:
        return {}
    place = {"line": str(span.line), "endLine": str(span.end_line), "col": str(span.column)}
    if span.end_line == span.line:
        place["endColumn"] = str(span.end_column)
    return place


def _command(level: str, properties: Mapping[str, str], message: str) -> str:
    given = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{level} {given}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
