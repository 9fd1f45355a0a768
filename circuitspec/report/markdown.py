"""Results as Markdown: a summary that pastes into a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator

from circuitspec.judge.records import ClaimResult, HypothesisResult, RunResult
from circuitspec.report.numbers import level_text
from circuitspec.report.rows import (
    SIGNS,
    Row,
    circuit_parts,
    claim_tag,
    competence_notes,
    competence_parts,
    count,
    headline,
    levels_of,
    model_line,
    replicate_line,
    row_of,
    run_line,
    warnings_of,
)

_MARKS = re.compile(r"[\\|*`<>~]|(?<!\w)_|_(?!\w)|(?<=\])\(|#(?=\d)|@(?=\w)")


def render(result: RunResult) -> str:
    """One table a hypothesis, reasons and provenance below it."""
    levels = levels_of(result)
    level = next(iter(levels)) if len(levels) == 1 else None
    blocks = [f"**circuitspec: {SIGNS[result.verdict]} {result.verdict}** ({headline(result)})"]
    for hypothesis in result.hypotheses:
        blocks += _hypothesis(hypothesis, level)
    blocks.append(f"<sub>{escape(run_line(result))}</sub>")
    return "\n\n".join(blocks) + "\n"


def _hypothesis(hypothesis: HypothesisResult, level: float | None) -> Iterator[str]:
    yield f"### {SIGNS[hypothesis.verdict]} {escape(hypothesis.name)}: {hypothesis.verdict}"
    facts = [
        f"model {model_line(hypothesis.model)}",
        circuit_parts(hypothesis),
        *competence_parts(hypothesis.competence),
    ]
    if hypothesis.file:
        facts.insert(0, hypothesis.file)
    yield escape("; ".join(facts))
    for note in competence_notes(hypothesis.competence):
        yield f"**{escape(note)}**"
    yield "\n".join(_table(hypothesis, level)) if hypothesis.claims else "No claims."
    reasons = [line for claim in hypothesis.claims for line in _reasons(claim)]
    if reasons:
        yield "\n".join(reasons)
    yield _checks(hypothesis)
    notes = list(hypothesis.notes)
    if hypothesis.replicates:
        notes.insert(0, replicate_line(hypothesis))
    if notes:
        yield "\n".join(f"- {escape(note)}" for note in notes)


def _table(hypothesis: HypothesisResult, level: float | None) -> Iterator[str]:
    interval = "interval" if level is None else f"{level_text(level)} interval"
    yield f"| | claim | requirement | measured | {interval} | needs | n |"
    yield "|---|---|---|---:|---|---|---:|"
    for claim in hypothesis.claims:
        name = escape(claim.name)
        if claim_tag(claim):
            name += f" *({claim_tag(claim)})*"
        name += "".join(f"<br>**{escape(text)}**" for text in warnings_of(claim))
        for i, requirement in enumerate(claim.requirements):
            row = row_of(requirement)
            cells = [
                row.sign,
                name if i == 0 else "",
                _requirement(row),
                row.estimate,
                row.interval if level is not None or row.exact else f"{row.interval} {row.level}",
                escape(row.threshold),
                row.n,
            ]
            yield f"| {' | '.join(cells)} |"
        if not claim.requirements:
            sign = SIGNS[claim.verdict]
            yield f"| {sign} | {name} | | | | | |"


def _requirement(row: Row) -> str:
    arm = f" ({escape(row.arm)})" if row.arm else ""
    shown = f"<br>{escape(row.shown)}" if row.shown else ""
    return f"{_code(row.text)}{arm}{shown}"


def _reasons(claim: ClaimResult) -> Iterator[str]:
    head = f"{SIGNS[claim.verdict]} **{escape(claim.name)}** {claim.verdict}"
    said = [claim.reason] if claim.reason else []
    for requirement in claim.requirements:
        row = row_of(requirement)
        if requirement.verdict != "holds" and row.reason not in said:
            said += [row.reason] if row.reason else []
    if claim.verdict != "holds":
        yield f"- {head}: {escape('; '.join(said))}" if said else f"- {head}"
    for note in claim.notes:
        yield f"  - {escape(note)}" if claim.verdict != "holds" else f"- {escape(note)}"


def _checks(hypothesis: HypothesisResult) -> str:
    failed = [c for c in hypothesis.self_checks if not c.passed]
    if not hypothesis.self_checks:
        return "No self-checks were run."
    if not failed:
        return f"✓ {count(len(hypothesis.self_checks), 'self-check')} passed."
    listed = "; ".join(f"{c.name}{f': {c.detail}' if c.detail else ''}" for c in failed)
    return f"✗ {count(len(failed), 'self-check')} failed: {escape(listed)}"


def _code(text: str) -> str:
    """Text as code in a table cell. A pipe ends a cell even inside backticks."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{' '.join(text.split())}{fence}".replace("|", "\\|")


def escape(text: str) -> str:
    """Prose on one line, its marks literal; brackets and the underscores in names stay readable."""
    return _MARKS.sub(r"\\\g<0>", " ".join(text.split()))
