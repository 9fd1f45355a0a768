"""Between the checker's spans, in characters, and an editor's ranges, in UTF-16 code units."""

from __future__ import annotations

from lsprotocol import types

from circuitspec.language.diagnostics import Diagnostic, Severity, Span

SEVERITIES = {
    Severity.ERROR: types.DiagnosticSeverity.Error,
    Severity.WARNING: types.DiagnosticSeverity.Warning,
    Severity.NOTE: types.DiagnosticSeverity.Information,
}

SOURCE = "circuitspec"


class Text:
    """A text, with places in it as an editor counts them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")

    def range_of(self, span: Span) -> types.Range:
        """The range of a span; that of a span of no place is the beginning of the file."""
        if span.line == 0:
            start = types.Position(line=0, character=0)
            return types.Range(start=start, end=start)
        return types.Range(
            start=self._position(span.line, span.column),
            end=self._position(span.end_line, span.end_column),
        )

    def _position(self, line: int, column: int) -> types.Position:
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return types.Position(line=line - 1, character=units(text[: column - 1]))

    def offset_of(self, position: types.Position) -> int:
        """The character offset of a position; one beyond a line's end is at its end."""
        if position.line >= len(self.lines):
            return len(self.text)
        before = sum(len(line) + 1 for line in self.lines[: position.line])
        taken = 0
        line = self.lines[position.line]
        for n, character in enumerate(line):
            if taken >= position.character:
                return before + n
            taken += units(character)
        return before + len(line)

    def whole(self) -> types.Range:
        """The range of all of it."""
        last = len(self.lines) - 1
        return types.Range(
            start=types.Position(line=0, character=0),
            end=types.Position(line=last, character=units(self.lines[last])),
        )


def units(text: str) -> int:
    """UTF-16 code units: what the protocol counts in unless agreed otherwise."""
    return len(text) + sum(ord(character) > 0xFFFF for character in text)


def diagnostic_of(found: Diagnostic, text: Text, file: str, uri: str) -> types.Diagnostic:
    """A finding as an editor shows it: the hint beneath the message, labels as related places.

    What was found in another file (one that `use` names) is told at the beginning of this one.
    """
    here = found.span.file in ("", file)
    message = found.message if here else f"in {found.span.file}: {found.message}"
    if found.hint is not None:
        message += f"\nhint: {found.hint}"
    related = [
        types.DiagnosticRelatedInformation(
            location=types.Location(uri=uri, range=text.range_of(label.span)),
            message=label.message,
        )
        for label in found.labels
        if label.span.file == file
    ]
    start = types.Position(line=0, character=0)
    return types.Diagnostic(
        range=text.range_of(found.span) if here else types.Range(start=start, end=start),
        message=message,
        severity=SEVERITIES[found.severity],
        code=found.code,
        source=SOURCE,
        related_information=related or None,
    )
