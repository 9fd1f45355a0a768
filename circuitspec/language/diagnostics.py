"""What is said to the author of a spec: one record for every mistake, wherever it was found."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Severity(Enum):
    """How bad a finding is. Only `ERROR` keeps a spec from being verified."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A stretch of a source file: offsets in characters, lines and columns from 1.

    The end is exclusive.
    """

    file: str
    start: int
    end: int
    line: int
    column: int
    end_line: int
    end_column: int


NO_SPAN = Span(file="", start=0, end=0, line=0, column=0, end_line=0, end_column=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A secondary place that a diagnostic points at, with what is to be seen there."""

    span: Span
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostic:
    """A finding: stable code, one sentence in the user's words, where, and what to write instead.

    `code` is stable and has a page that `circuitspec explain CODE` prints. `span` is `NO_SPAN`
    where the finding has no place in a file (a missing model directory named on the command line).
    """

    code: str
    message: str
    span: Span = NO_SPAN
    severity: Severity = Severity.ERROR
    labels: tuple[Label, ...] = field(default=())
    hint: str | None = None


def has_errors(diagnostics: tuple[Diagnostic, ...] | list[Diagnostic]) -> bool:
    """Whether any finding keeps the spec from being verified."""
    return any(d.severity is Severity.ERROR for d in diagnostics)
