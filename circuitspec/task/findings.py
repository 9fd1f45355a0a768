"""Mistakes met while prompts are made, gathered by what they are about.

A list with forty words that are not one token gives one diagnostic that names them, and not forty.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Label, Span
from circuitspec.task.functions import ExpressionError
from circuitspec.task.suggestions import listing


@dataclass(slots=True)
class _Gathered:
    code: str
    message: str
    span: Span
    hint: str
    words: dict[str, None] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)

    def diagnostic(self) -> Diagnostic:
        """All of it in one message, at the first place; the others are labelled."""
        message = self.message
        if self.words:
            message = message.replace("{words}", listing(self.words))
        if self.places:
            plural = "s" if len(self.places) > 1 else ""
            message = message.replace("{places}", f"template{plural} {listing(self.places)}")
        others = (span for span in dict.fromkeys(self.places.values()) if span != self.span)
        return Diagnostic(
            code=self.code,
            message=message,
            span=self.span,
            hint=self.hint,
            labels=tuple(Label(span=span, message="and here") for span in others),
        )


@dataclass(slots=True)
class Findings:
    """Mistakes met while prompts are made, one for each code and subject."""

    found: dict[tuple[str, str], _Gathered] = field(default_factory=dict)

    def add(
        self,
        code: str,
        subject: str,
        message: str,
        span: Span,
        hint: str,
        *words: str,
        template: str | None = None,
    ) -> None:
        """A mistake about `subject`; `words` join those of earlier ones, in place of `{words}`,
        and templates in place of `{places}`."""
        entry = self.found.setdefault((code, subject), _Gathered(code, message, span, hint))
        entry.words.update(dict.fromkeys(words))
        if template is not None:
            entry.places.setdefault(template, span)

    def fault(self, fault: ExpressionError, span: Span, hint: str) -> None:
        """A fault of an expression; its own span and hint where it has them."""
        where = span if fault.span is NO_SPAN else fault.span
        self.add(fault.code, f"at {where.start}", fault.message, where, fault.hint or hint)

    def blame(self, span: Span, about: str, code: str, known: Container[tuple[str, str]]) -> None:
        """What has been found beside `known` is laid to one thing: its words are not the task's."""
        for key in [key for key in self.found if key not in known]:
            entry = self.found.pop(key)
            message = entry.message.replace("{words}", listing(entry.words))
            self.add(code, f"{about} {message}", f"{about}: {message}", span, entry.hint)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What was found, in the order in which it was met."""
        return tuple(each.diagnostic() for each in self.found.values())
