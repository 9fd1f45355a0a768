"""Template texts: their labels, and the text of a prompt with the place of every label in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Label, Span
from circuitspec.language.syntax import Text

PIECE = re.compile(r"\{\{|\}\}|\{\s*(?P<label>[A-Za-z_][A-Za-z0-9_]*)\s*\}|[{}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of a template: fixed text, or the place of a label."""

    text: str
    is_label: bool = False
    span: Span = NO_SPAN


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateText:
    """A template taken apart."""

    name: str
    pieces: tuple[Piece, ...]
    span: Span = NO_SPAN

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels in the order in which they stand."""
        return tuple(p.text for p in self.pieces if p.is_label)

    def render(self, values: Mapping[str, str]) -> tuple[str, dict[str, tuple[int, int]]]:
        """The text with its labels filled in, and each label's stretch in characters.

        Raises KeyError where a label has no value: the checker has seen to it that all have one.
        """
        parts: list[str] = []
        spans: dict[str, tuple[int, int]] = {}
        at = 0
        for piece in self.pieces:
            text = values[piece.text] if piece.is_label else piece.text
            if piece.is_label:
                spans[piece.text] = (at, at + len(text))
            parts.append(text)
            at += len(text)
        return "".join(parts), spans


def parse_template(name: str, text: Text) -> tuple[TemplateText, tuple[Diagnostic, ...]]:
    """A template's pieces. `{X}` is a label; `{{` and `}}` are braces."""
    pieces: list[Piece] = []
    diagnostics: list[Diagnostic] = []
    seen: dict[str, Span] = {}
    at = 0

    def fixed(part: str, start: int) -> None:
        if part:
            span = within(text, start, start + len(part))
            pieces.append(Piece(text=part, span=span))

    for match in PIECE.finditer(text.value):
        fixed(text.value[at : match.start()], at)
        at = match.end()
        span = within(text, match.start(), match.end())
        label = match["label"]
        if label is not None:
            if label in seen:
                diagnostics.append(_twice(name, label, span, seen[label]))
            seen.setdefault(label, span)
            pieces.append(Piece(text=label, is_label=True, span=span))
        elif match[0] in ("{{", "}}"):
            pieces.append(Piece(text=match[0][0], span=span))
        else:
            diagnostics.append(
                Diagnostic(
                    code="T024",
                    message=f"template `{name}` has a `{match[0]}` without its partner",
                    span=span,
                    hint="a label is written `{IO}`; a brace of the text is doubled: `{{` or `}}`",
                )
            )
    fixed(text.value[at:], at)
    if not text.value.strip():
        diagnostics.append(
            Diagnostic(
                code="T024",
                message=f"template `{name}` is empty",
                span=text.span,
                hint='write the prompt: `template t "When {IO} and {S1} went to"`',
            )
        )
    return TemplateText(name=name, pieces=tuple(pieces), span=text.span), tuple(diagnostics)


def _twice(name: str, label: str, span: Span, first: Span) -> Diagnostic:
    stem = label.rstrip("0123456789")
    number = label[len(stem) :]
    other = f"{stem}{int(number) + 1 if number else 2}"
    return Diagnostic(
        code="T004",
        message=f"`{{{label}}}` stands twice in template `{name}`, so it is no one position",
        span=span,
        labels=(Label(span=first, message="it stands here already"),),
        hint=f"name the second one `{{{other}}}` and write `slot {other} from {label}`",
    )


def within(text: Text, start: int, end: int) -> Span:
    """The stretch `start`–`end` of a string's value as a span of the file.

    Exact where the string is written as it reads; with escapes in it, the whole string.
    """
    span = text.span
    quotes = (span.end - span.start - len(text.value)) // 2
    written = span.end - span.start == len(text.value) + 2 * quotes
    if span is NO_SPAN or quotes not in (1, 3) or not written or "\n" in text.value:
        return span
    return Span(
        file=span.file,
        start=span.start + quotes + start,
        end=span.start + quotes + end,
        line=span.line,
        column=span.column + quotes + start,
        end_line=span.line,
        end_column=span.column + quotes + end,
    )
