"""The table a person reads: claims, measured values, intervals, thresholds, verdicts, reasons.

Every line is built as styled text and laid out by hand, so that it is the same with and without
colour, fits the width it is given, and can be pasted into a paper or a pull request.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from circuitspec.judge.records import (
    ClaimResult,
    HypothesisResult,
    RunResult,
    SelfCheck,
    VerdictName,
)
from circuitspec.report.numbers import level_text, short
from circuitspec.report.rows import (
    SIGNS,
    Row,
    circuit_parts,
    claim_tag,
    competence_notes,
    competence_parts,
    headline,
    levels_of,
    model_line,
    replicate_line,
    row_of,
    run_line,
    warnings_of,
)

STYLES: dict[VerdictName, str] = {
    "holds": "green",
    "refuted": "red",
    "inconclusive": "yellow",
    "invalid": "magenta",
}
NARROWEST = 40
PAGE = 80
"""Columns that a page has where there is room, though its table needs fewer."""
TEXT_COLUMN = 40
"""Columns that a requirement's text needs for its numbers to stand on the same line."""
RELATIVE = (
    "Where a claim compares two means, what is measured and needed is their difference "
    "(for a band, from its nearer end); the line below it has the means."
)
GAP = "  "
LABEL = 12


def render(result: RunResult, *, width: int = 100, color: bool = False) -> str:
    """The whole report at most `width` columns wide; with ANSI colours where `color`."""
    return to_string(lines(result, width=width), width=width, color=color)


def render_claim(claim: ClaimResult, *, width: int = 100, color: bool = False) -> str:
    """One claim by itself, as it stands in the report."""
    rows = [row_of(requirement) for requirement in claim.requirements]
    levels = {requirement.level for requirement in claim.requirements}
    columns = _columns(rows, max(width, NARROWEST), levels.pop() if len(levels) == 1 else None)
    return to_string(_claims((claim,), columns), width=width, color=color)


def to_string(rows: Iterable[Text], *, width: int, color: bool) -> str:
    """Styled lines as one string, without trailing blanks."""
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=max(width, NARROWEST) + 1,
        force_terminal=color,
        color_system="256" if color else None,
        highlight=False,
        legacy_windows=False,
    )
    for row in rows:
        row.rstrip()
        console.print(row, soft_wrap=True)
    return buffer.getvalue()


def lines(result: RunResult, *, width: int = 100) -> list[Text]:
    """The report as styled lines, none wider than `width`, nor than its own table needs."""
    levels = levels_of(result)
    columns = _columns(
        [row_of(r) for h in result.hypotheses for c in h.claims for r in c.requirements],
        max(width, NARROWEST),
        next(iter(levels)) if len(levels) == 1 else None,
    )
    out: list[Text] = []
    for hypothesis in result.hypotheses:
        out += _hypothesis(hypothesis, columns)
        out.append(Text())
    out += _footer(result, columns.page)
    return out


# ── One hypothesis ───────────────────────────────────────────────────────────────────────────────


def _hypothesis(hypothesis: HypothesisResult, columns: _Columns) -> Iterator[Text]:
    width = columns.page
    style = STYLES[hypothesis.verdict]
    verdict = f"{SIGNS[hypothesis.verdict]} {hypothesis.verdict}"
    name = Text(hypothesis.name, style="bold")
    name.truncate(max(width - cell_len(verdict) - 4, 8), overflow="ellipsis")
    rule = "─" * max(width - name.cell_len - cell_len(verdict) - 2, 0)
    yield Text.assemble(name, " ", (rule, "dim"), " ", (verdict, f"bold {style}"))
    if hypothesis.doc:
        yield from _wrapped(hypothesis.doc.strip().split("\n\n")[0], width, style="italic")
        yield Text()
    for label, text, fact_style in _facts(hypothesis):
        yield from _wrapped(text, width, first=label.ljust(LABEL), style=fact_style)
    yield Text()
    yield from _claims(hypothesis.claims, columns)
    checks = list(_self_checks(hypothesis.self_checks))
    if hypothesis.replicates or checks or hypothesis.notes:
        yield Text()
    if hypothesis.replicates:
        yield from _wrapped(replicate_line(hypothesis), width, first="replicated".ljust(LABEL))
    for i, (text, check_style) in enumerate(checks):
        label = "" if i else "self-checks"
        yield from _wrapped(text, width, first=label.ljust(LABEL), style=check_style)
    for note in hypothesis.notes:
        yield from _wrapped(note, width, first="note".ljust(LABEL))


def _facts(hypothesis: HypothesisResult) -> Iterator[tuple[str, str, str]]:
    if hypothesis.file:
        yield "file", hypothesis.file, ""
    yield "model", model_line(hypothesis.model), ""
    yield "circuit", circuit_parts(hypothesis), ""
    parts = competence_parts(hypothesis.competence)
    if parts:
        yield "competence", "; ".join(parts), ""
    for note in competence_notes(hypothesis.competence):
        yield "", note, f"bold {STYLES['invalid']}"


def _self_checks(checks: tuple[SelfCheck, ...]) -> Iterator[tuple[str, str]]:
    failed = [c for c in checks if not c.passed]
    passed = len(checks) - len(failed)
    if passed:
        yield f"✓ {passed} passed" if not failed else f"✓ {passed} of {len(checks)} passed", ""
    for check in failed:
        value = f" ({short(check.value)})" if check.value is not None else ""
        detail = f": {check.detail}" if check.detail else ""
        yield f"✗ {check.name} failed{value}{detail}", "red"


# ── Claims ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Widths of the columns, one for the whole run so that its hypotheses line up.

    `page` is the width of everything. `stacked`: numbers go below the text, for want of room
    beside it. `level` is the confidence that all intervals share, `None` where they do not.
    """

    page: int
    text: int
    estimate: int
    interval: int
    threshold: int
    n: int
    stacked: bool
    level: float | None


def _columns(rows: list[Row], width: int, level: float | None) -> _Columns:
    def widest(heading: str, values: Iterable[str]) -> int:
        return max([cell_len(heading), *map(cell_len, values)])

    estimates = [r.estimate for r in rows]
    intervals = [_interval(r, level) for r in rows]
    thresholds = [r.threshold for r in rows]
    estimate = widest("measured", estimates)
    interval = widest(_interval_heading(level), intervals)
    threshold = widest("needs", thresholds)
    n = widest("n", (r.n for r in rows))
    numbers = estimate + interval + threshold + n + 4 * len(GAP)
    longest = max((cell_len(r.arm or r.text) for r in rows), default=0)
    room = width - 4 - numbers
    stacked = room < min(TEXT_COLUMN, longest)
    page = min(width, PAGE if stacked else max(PAGE, 4 + longest + numbers))
    return _Columns(
        page=page,
        text=page - 4 if stacked else page - 4 - numbers,
        estimate=widest("", estimates) if stacked else estimate,
        interval=widest("", intervals) if stacked else interval,
        threshold=widest("", thresholds) if stacked else threshold,
        n=n,
        stacked=stacked,
        level=level,
    )


def _interval_heading(level: float | None) -> str:
    return "interval" if level is None else f"{level_text(level)} interval"


def _interval(row: Row, level: float | None) -> str:
    return row.interval if level is not None or row.exact else f"{row.interval} {row.level}"


def _claims(claims: tuple[ClaimResult, ...], columns: _Columns) -> Iterator[Text]:
    if not claims:
        yield Text("no claims: nothing to verify", style="dim")
        return
    if not columns.stacked and any(c.requirements for c in claims):
        yield _heading(columns)
    for claim in claims:
        yield from _claim_head(claim, columns.page)
        for text in warnings_of(claim):
            bold = f"bold {STYLES['invalid']}"
            yield from _wrapped(text, columns.page, first="  ", style=bold)
        before = None
        for requirement in claim.requirements:
            row = row_of(requirement)
            if row.arm:  # one text, judged on several heads or pairs: the text once, then each
                if requirement.text != before:
                    yield from (Text(f"    {x}") for x in fold(row.text, columns.page - 4))
                row = replace(row, text=f"  {row.arm}")
            before = requirement.text
            yield from _requirement(row, columns, requirement.verdict)
        if claim.reason and claim.reason not in {r.reason for r in claim.requirements}:
            style = _reason_style(claim.verdict)
            yield from _wrapped(claim.reason, columns.page, first="    ", style=style)
        for note in claim.notes:
            yield from _wrapped(note, columns.page, first="    ", style="dim")


def _heading(columns: _Columns) -> Text:
    cells = [
        " " * (columns.text + 4),
        "measured".rjust(columns.estimate),
        _interval_heading(columns.level).ljust(columns.interval),
        "needs".ljust(columns.threshold),
        "n".rjust(columns.n),
    ]
    return Text(GAP.join(cells), style="dim")


def _claim_head(claim: ClaimResult, width: int) -> Iterator[Text]:
    style = STYLES[claim.verdict]
    tag = claim_tag(claim)
    name = Text(claim.name, style="bold")
    room = width - 2 - cell_len(claim.verdict) - 2 - (cell_len(tag) + 3 if tag else 0)
    name.truncate(max(room, 8), overflow="ellipsis")
    head = Text.assemble((f"{SIGNS[claim.verdict]} ", style), name)
    if tag:
        head.append(f" ({tag})", style="dim")
    head.append(" " * max(width - head.cell_len - cell_len(claim.verdict), 1))
    head.append(claim.verdict, style=style)
    yield head


def _requirement(row: Row, columns: _Columns, verdict: VerdictName) -> Iterator[Text]:
    style, width = STYLES[verdict], columns.page
    sign = Text.assemble("  ", (f"{row.sign} ", style))
    interval = _interval(row, columns.level)
    wrapped = fold(row.text, columns.text)
    if columns.stacked:
        yield Text.assemble(sign, wrapped[0])
        yield from (Text(f"    {line}") for line in wrapped[1:])
        numbers = [
            _pad(row.estimate, columns.estimate, right=True),
            _pad(interval, columns.interval),
            _pad(f"needs {row.threshold}", columns.threshold + len("needs ")),
            f"n {row.n}",
        ]
        if cell_len(GAP.join(numbers)) > width - 6:
            numbers = [number.strip() for number in numbers]
        for line in fold(GAP.join(numbers), width - 6):
            yield Text(f"      {line}")
    else:
        first, *rest = wrapped
        numbers = [
            _pad(row.estimate, columns.estimate, right=True),
            _pad(interval, columns.interval),
            _pad(row.threshold, columns.threshold),
            _pad(row.n, columns.n, right=True),
        ]
        yield Text.assemble(sign, _pad(first, columns.text), GAP, GAP.join(numbers))
        yield from (Text(f"    {line}") for line in rest)
    if row.shown:
        yield from _wrapped(row.shown, width, first="      ", style="dim")
    if row.reason:
        yield from _wrapped(row.reason, width, first="      ", style=_reason_style(verdict))


def _reason_style(verdict: VerdictName) -> str:
    return "dim" if verdict == "holds" else STYLES[verdict]


# ── The end of the report ────────────────────────────────────────────────────────────────────────


def _footer(result: RunResult, width: int) -> Iterator[Text]:
    verdict = f"{SIGNS[result.verdict]} {result.verdict}"
    style = f"bold {STYLES[result.verdict]}"
    yield from _wrapped(headline(result), width, first=f"{verdict}  ", first_style=style)
    yield from _wrapped(run_line(result), width, style="dim")
    if any(r.shown for h in result.hypotheses for c in h.claims for r in c.requirements):
        yield from _wrapped(RELATIVE, width, style="dim")


# ── Laying out text by display width ─────────────────────────────────────────────────────────────


def _pad(text: str, width: int, *, right: bool = False) -> str:
    blanks = " " * max(width - cell_len(text), 0)
    return blanks + text if right else text + blanks


def fold(text: str, width: int) -> list[str]:
    """`text` broken at blanks into lines of at most `width` cells; long words are cut. Never empty.

    Runs of blanks inside a line are kept: they separate the numbers of a row.
    """
    limit = max(width, 1)
    out: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in _words(paragraph):
            if cell_len(line + word.rstrip()) <= limit:
                line += word
                continue
            if line.strip():
                out.append(line.rstrip())
            line = word
            while cell_len(line.rstrip()) > limit:
                head = _head(line, limit)
                out.append(head)
                line = line[len(head) :]
        out.append(line.rstrip())
    return out


def _words(text: str) -> Iterator[str]:
    """Words with the blanks that follow them, so that joining them gives the text back."""
    start = 0
    for i in range(1, len(text)):
        if text[i - 1] == " " and text[i] != " ":
            yield text[start:i]
            start = i
    if text:
        yield text[start:]


def _head(text: str, width: int) -> str:
    """The longest beginning of `text` that fits `width` cells, at least one character."""
    cells = 0
    for i, character in enumerate(text):
        cells += cell_len(character)
        if cells > width:
            return text[: max(i, 1)]
    return text


def _wrapped(
    text: str, width: int, *, first: str = "", style: str = "", first_style: str = "dim"
) -> Iterator[Text]:
    """`text` folded under a label, later lines indented to where the first began."""
    indent = " " * cell_len(first)
    for i, line in enumerate(fold(" ".join(text.split()), width - cell_len(first))):
        yield Text.assemble((first if i == 0 else indent, first_style), (line, style))
