"""Diagnostics → text for a terminal: the message, the source lines, what points where, a hint."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from circuitspec.language.diagnostics import Diagnostic, Severity, Span

TAB = 4
"""Columns a tab is shown as, whatever column it stands at."""

RESET = "\x1b[0m"
BOLD = "\x1b[1m"
BLUE = "\x1b[1;34m"
COLORS = {Severity.ERROR: "\x1b[1;31m", Severity.WARNING: "\x1b[1;33m", Severity.NOTE: "\x1b[1;36m"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One place to underline on one line: columns from 0 into its shown text, end exclusive."""

    start: int
    end: int
    primary: bool
    message: str


def render(
    diagnostics: Sequence[Diagnostic],
    sources: Mapping[str, str],
    *,
    color: bool = False,
    width: int = 100,
) -> str:
    """All diagnostics as text, a blank line between two, a newline at the end.

    `sources` maps a span's `file` to its text; a file that is not there is named without its
    lines. Lines wider than `width` columns are cut around what is underlined.
    """
    texts = {file: text.split("\n") for file, text in sources.items()}
    return "".join(_one(d, texts, color, width) for d in diagnostics)


def _one(diagnostic: Diagnostic, sources: Mapping[str, list[str]], color: bool, width: int) -> str:
    severity = diagnostic.severity
    head = _paint(f"{severity.value}[{diagnostic.code}]", COLORS[severity], color)
    lines = [f"{head}{_paint(f': {shown(diagnostic.message)}', BOLD, color)}"]
    labels = [(label.span, label.message) for label in diagnostic.labels if label.span.line > 0]
    spans = [diagnostic.span, *(span for span, _ in labels)]
    gutter = max(len(str(span.line)) for span in spans)
    files = list(dict.fromkeys(span.file for span in spans if span.line > 0))
    bar = _paint(" " * gutter + " |", BLUE, color)
    for n, file in enumerate(files):
        here = [(diagnostic.span, "", True)] if diagnostic.span.file == file else []
        here = [entry for entry in here if entry[0].line > 0]
        here += [(span, message, False) for span, message in labels if span.file == file]
        first = here[0][0]
        arrow = _paint(" " * gutter + ("-->" if n == 0 else ":::"), BLUE, color)
        lines.append(f"{arrow} {shown(file)}:{first.line}:{first.column}")
        text = sources.get(file)
        if text is not None:
            lines.append(bar)
            lines += _excerpt(here, text, gutter, color, COLORS[severity], width)
    if diagnostic.hint is not None:
        if files:
            lines.append(bar)
        equals = _paint(" " * gutter + " =", BLUE, color)
        lines.append(f"{equals} {_paint('hint:', BOLD, color)} {shown(diagnostic.hint)}")
    return "\n".join(line.rstrip() for line in lines) + "\n\n"


def _excerpt(
    here: list[tuple[Span, str, bool]],
    text: list[str],
    gutter: int,
    color: bool,
    paint: str,
    width: int,
) -> list[str]:
    """The lines that spans of one file stand on, each underlined."""
    by_line: dict[int, list[Mark]] = {}
    for span, message, primary in here:
        line = text[span.line - 1] if span.line <= len(text) else ""
        start = columns(line[: span.column - 1])
        stop = span.end_column - 1 if span.end_line == span.line else len(line.rstrip())
        end = max(start + 1, columns(line[:stop]))
        mark = Mark(start=start, end=end, primary=primary, message=shown(message))
        by_line.setdefault(span.line, []).append(mark)
    out = []
    bar = _paint(" " * gutter + " |", BLUE, color)
    previous = None
    for number in sorted(by_line):
        if previous is not None and number > previous + 1:
            if number == previous + 2 and previous < len(text):
                skipped, _ = clipped(displayed(text[previous]), [], width - gutter - 3)
                out.append(f"{_paint(f'{previous + 1:>{gutter}} |', BLUE, color)} {skipped}")
            else:
                out.append(_paint("...", BLUE, color))
        previous = number
        line = text[number - 1] if number <= len(text) else ""
        shown_line, marks = clipped(displayed(line), by_line[number], width - gutter - 3)
        out.append(f"{_paint(f'{number:>{gutter}} |', BLUE, color)} {shown_line}")
        out += [f"{bar} {row}" for row in _underlines(marks, color, paint)]
    return out


def _underlines(marks: list[Mark], color: bool, paint: str) -> list[str]:
    """`^^^^` under the primary place, `----` under others, with their messages."""
    width = max(mark.end for mark in marks)
    under = [" "] * width
    for mark in sorted(marks, key=lambda m: m.primary):
        under[mark.start : mark.end] = ("^" if mark.primary else "-") * (mark.end - mark.start)
    row = _painted(under, color, paint)
    told = sorted((m for m in marks if m.message), key=lambda m: -m.start)
    if told and told[0].end == width:
        row += " " + _paint(told[0].message, BLUE, color)
        told = told[1:]
    rows = [row]
    for n, mark in enumerate(told):
        stems = {m.start for m in told[n + 1 :]}
        before = "".join("|" if i in stems else " " for i in range(mark.start))
        rows.append(_paint(before + "|", BLUE, color))
        rows.append(_paint(before + mark.message, BLUE, color))
    return rows


def _painted(cells: list[str], color: bool, paint: str) -> str:
    """A row of underlines, the primary ones in the severity's colour."""
    if not color:
        return "".join(cells)
    codes = {"^": paint, "-": BLUE}
    out, current = "", ""
    for cell in cells:
        wanted = codes.get(cell, "")
        if wanted != current:
            out += (RESET if current else "") + wanted
            current = wanted
        out += cell
    return out + (RESET if current else "")


def clipped(line: str, marks: list[Mark], width: int) -> tuple[str, list[Mark]]:
    """A line no wider than `width`, cut around its first mark, and the marks moved with it."""
    width = max(width, 20)
    if columns(line) <= width:
        return line, marks
    first = min((m.start for m in marks), default=0)
    last = min(max((m.end for m in marks), default=0), first + width // 2)
    begin = 0 if last < width - 1 else max(0, first - width // 4)
    cells = [c for c in line for _ in range(columns(c))] if not line.isascii() else list(line)
    end = begin + width - 1
    kept = "".join(c for i, c in enumerate(cells) if begin <= i < end and _starts(cells, i))
    kept = ("…" + kept[1:] if begin else kept) + ("…" if end < len(cells) else "")
    moved = [
        Mark(
            start=min(max(m.start - begin, 0), width - 1),
            end=min(max(m.end - begin, 1), width),
            primary=m.primary,
            message=m.message,
        )
        for m in marks
    ]
    return kept, moved


def _starts(cells: list[str], index: int) -> bool:
    """Whether a cell is the first of its character: wide characters fill two."""
    return not (columns(cells[index]) == 2 and _run_before(cells, index) % 2 == 1)


def _run_before(cells: list[str], index: int) -> int:
    """How many cells right before this one hold the same character."""
    run = 0
    while index > run and cells[index - run - 1] == cells[index]:
        run += 1
    return run


def displayed(line: str) -> str:
    """A source line as it may be printed: tabs as spaces, nothing that a terminal would obey."""
    return shown(line.rstrip("\r").replace("\t", " " * TAB))


def shown(text: str) -> str:
    """Text without characters that move the cursor, reorder the line or cannot be encoded."""
    if text.isascii() and text.isprintable():
        return text
    return "".join("�" if _is_unsafe(c) else c for c in text)


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text) + (TAB - 1) * text.count("\t")
    return sum(_columns_of(c) for c in text)


def _columns_of(character: str) -> int:
    if character == "\t":
        return TAB
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _paint(text: str, code: str, color: bool) -> str:
    return f"{code}{text}{RESET}" if color else text
