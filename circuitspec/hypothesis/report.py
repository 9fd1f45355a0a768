"""Collecting findings: one message for a mistake however often it is met, and what exists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from circuitspec.language.diagnostics import Diagnostic, Label, Severity, Span
from circuitspec.task.suggestions import MOST_GUESSED

MANY = 12
"""Names listed in a hint; a longer list helps nobody."""


def closest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant, or None."""
    import difflib  # only where a mistake was made: it is slow to import

    options = sorted(set(candidates))
    by_fold: dict[str, str] = {}
    for option in options:
        by_fold.setdefault(option.casefold(), option)
    if name.casefold() in by_fold:
        return by_fold[name.casefold()]
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.6)
    return by_fold[found[0]] if found else None


def listing(names: Iterable[str]) -> str:
    """`a, b, c`, cut where it grows long."""
    ordered = sorted(set(names))
    shown = ", ".join(ordered[:MANY])
    return f"{shown}, ... ({len(ordered)} in all)" if len(ordered) > MANY else shown


@dataclass(slots=True)
class Report:
    """Findings so far. A name that resolves to nothing is reported once, further uses as labels."""

    found: list[Diagnostic] = field(default_factory=list)
    _unknown: dict[str, int] = field(default_factory=dict)
    _guessed: dict[tuple[str, tuple[str, ...]], str | None] = field(default_factory=dict)
    _listed: dict[tuple[str, ...], str] = field(default_factory=dict)

    def error(
        self,
        code: str,
        message: str,
        span: Span,
        *,
        hint: str | None = None,
        labels: tuple[Label, ...] = (),
    ) -> None:
        """A mistake that keeps the spec from being verified."""
        self.add(Diagnostic(code=code, message=message, span=span, hint=hint, labels=labels))

    def warn(self, code: str, message: str, span: Span, *, hint: str | None = None) -> None:
        """Something that is probably not meant."""
        self.add(
            Diagnostic(code=code, message=message, span=span, hint=hint, severity=Severity.WARNING)
        )

    def note(self, code: str, message: str, span: Span) -> None:
        """Something to know."""
        self.add(Diagnostic(code=code, message=message, span=span, severity=Severity.NOTE))

    def add(self, diagnostic: Diagnostic) -> None:
        """Add a finding as it is."""
        self.found.append(diagnostic)

    def unknown(
        self, code: str, kind: str, name: str, span: Span, candidates: Iterable[str]
    ) -> str | None:
        """Report a name that nothing bears; returns the name that was probably meant.

        The rest of the resolution goes on with that one, so that a slip of the pen is one message
        and not one for everything that hangs on it.
        """
        candidates = tuple(candidates)
        meant = self._guess(name, candidates)
        first = self._unknown.get(name)
        if first is not None:
            known = self.found[first]
            spans = {known.span, *(label.span for label in known.labels)}
            if span not in spans:
                again = Label(span=span, message="and here")
                self.found[first] = replace(known, labels=(*known.labels, again))
            return meant
        self._unknown[name] = len(self.found)
        exists = (
            f"there are: {self._listing(candidates)}" if candidates else f"there is no {kind} here"
        )
        hint = f"did you mean `{meant}`? {exists}" if meant is not None else exists
        self.error(code, f"`{name}` is not a {kind}", span, hint=hint)
        return meant

    def _guess(self, name: str, candidates: tuple[str, ...]) -> str | None:
        if (name, candidates) not in self._guessed:
            if len(self._guessed) >= MOST_GUESSED:
                return None
            self._guessed[name, candidates] = closest(name, candidates)
        return self._guessed[name, candidates]

    def _listing(self, candidates: tuple[str, ...]) -> str:
        if candidates not in self._listed:
            self._listed[candidates] = listing(candidates)
        return self._listed[candidates]
