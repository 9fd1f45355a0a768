"""Prompts from a file beside the spec: JSONL or CSV, a row a prompt, its columns slots and places.

Columns: `text` (the prompt, `{X}` in it the place of column or slot X), `template` (a name for
rows that belong together), `position:LABEL` (token indices, BOS counted, separated by spaces);
every other column is a slot. In JSONL a list is one value a position. Without `text` the task's
own templates are filled from the columns.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Span
from circuitspec.task.resolved import Row
from circuitspec.task.templates import Piece, TemplateText
from circuitspec.task.words import Unreadable, read_beside

PREFIX = "position:"
LABEL = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class _Problem:
    line: int
    message: str
    hint: str


Columns = Mapping[str, str | tuple[str, ...]]


def read_rows(
    statement: syntax.PromptsFile, base_dir: Path, slots: set[str]
) -> tuple[tuple[Row, ...], tuple[Diagnostic, ...]]:
    """The rows of a prompts file. `slots` are those that the task declares beside the columns."""
    path, span = statement.path.value, statement.path.span
    content = read_beside(base_dir, path)
    if isinstance(content, Unreadable):
        return (), (_say("T017", content.reason, span, content.hint),)
    if path.endswith(".jsonl"):
        records = _jsonl(content)
    elif path.endswith(".csv"):
        records = _csv(content)
    else:
        hint = "end its name in `.jsonl` or `.csv`"
        return (), (_say("T017", f"`{path}` is neither JSONL nor CSV", span, hint),)
    rows: list[Row] = []
    problems: list[_Problem] = []
    for line, record in records:
        row = record if isinstance(record, _Problem) else _row(line, record, slots)
        if isinstance(row, _Problem):
            problems.append(row)
        else:
            rows.append(row)
    problems += _uneven(rows)
    diagnostics = [
        _say("T041", f"line {p.line} of `{path}`: {p.message}", span, p.hint) for p in problems[:5]
    ]
    if not rows and not problems:
        hint = "write one prompt a line"
        diagnostics.append(_say("T041", f"`{path}` has no prompts", span, hint))
    return tuple(rows), tuple(diagnostics)


def _say(code: str, message: str, span: Span, hint: str) -> Diagnostic:
    return Diagnostic(code=code, message=message, span=span, hint=hint)


def _jsonl(content: str) -> Iterator[tuple[int, Columns | _Problem]]:
    hint = 'a line is one object: {"text": "When {IO} and {S1} went to", "IO": "Mary", ...}'
    for number, line in enumerate(content.splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, _Problem(number, f"not JSON ({error})", hint)
            continue
        if not isinstance(record, dict):
            yield number, _Problem(number, "not a JSON object", hint)
            continue
        columns: dict[str, str | tuple[str, ...]] = {}
        for key, value in record.items():
            if isinstance(value, list):
                columns[key] = tuple(_scalar(v) for v in value)
            elif value is not None:
                columns[key] = _scalar(value)
        yield number, columns


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value)


def _csv(content: str) -> Iterator[tuple[int, Columns | _Problem]]:
    import csv  # few tasks pay for importing it
    import io

    reader = csv.DictReader(io.StringIO(content, newline=""), strict=True)
    try:
        for record in reader:
            extra = record.pop(None, None)  # csv's key for a surplus
            if extra:
                hint = "quote a value that has a comma in it"
                yield reader.line_num, _Problem(reader.line_num, "more values than columns", hint)
                continue
            yield reader.line_num, {k: v for k, v in record.items() if v is not None}
    except csv.Error as error:
        yield reader.line_num, _Problem(reader.line_num, f"not CSV ({error})", 'quote with `"`')


def _row(line: int, record: Columns, slots: set[str]) -> Row | _Problem:
    values: dict[str, str] = {}
    columns: dict[str, tuple[str, ...]] = {}
    positions: dict[str, tuple[int, ...]] = {}
    text = template = None
    for key, value in record.items():
        if key.startswith(PREFIX):
            indices = value if isinstance(value, tuple) else tuple(value.split())
            if not indices or not all(i.isascii() and i.isdigit() for i in indices):
                hint = "write token indices from 0, BOS counted, separated by spaces"
                return _Problem(line, f"`{key}` is not a list of token indices", hint)
            positions[key.removeprefix(PREFIX)] = tuple(int(i) for i in indices)
        elif isinstance(value, tuple):
            columns[key] = value
        elif key == "text":
            text = value
        elif key == "template":
            template = value
        elif not NAME.fullmatch(key) or key in slots:
            hint = "name columns like slots: letters, digits and `_`"
            if key in slots:
                hint = f"drop the column or the statement `slot {key}`"
            return _Problem(line, f"`{key}` cannot be a column", hint)
        else:
            values[key] = value
    parsed = None if text is None else _text(template or "file", text, {*values, *slots})
    if parsed is not None and len(set(parsed.labels)) < len(parsed.labels):
        hint = "give the second place a column of its own"
        return _Problem(line, "a label stands twice in the text", hint)
    return Row(text=parsed, template=template, values=values, columns=columns, positions=positions)


def _text(name: str, text: str, known: set[str]) -> TemplateText:
    """A row's text. Braces around anything but a known name are braces: prompts may be code."""
    pieces: list[Piece] = []
    at = 0
    for match in LABEL.finditer(text):
        if match[1] not in known:
            continue
        if match.start() > at:
            pieces.append(Piece(text=text[at : match.start()]))
        pieces.append(Piece(text=match[1], is_label=True))
        at = match.end()
    if at < len(text):
        pieces.append(Piece(text=text[at:]))
    return TemplateText(name=name, pieces=tuple(pieces))


def _uneven(rows: list[Row]) -> list[_Problem]:
    """Rows must agree on their columns, or a prompt would lack a slot that others have."""
    if not rows:
        return []
    first = {*rows[0].values, *rows[0].columns}
    problems = []
    for number, row in enumerate(rows, 1):
        own = {*row.values, *row.columns}
        differing = sorted(first ^ own)
        if differing or (row.text is None) != (rows[0].text is None):
            what = f"column `{differing[0]}`" if differing else "column `text`"
            hint = "give every row the same columns"
            problems.append(_Problem(number, f"{what} is not in every row", hint))
    return problems
