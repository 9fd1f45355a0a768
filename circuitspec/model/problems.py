"""What can be wrong with a model: the codes M001–M016, as diagnostics at the spec's model line."""

from __future__ import annotations

from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Severity, Span

NO_SUCH_MODEL = "M001"
BAD_CONFIG = "M002"
UNKNOWN_ARCHITECTURE = "M003"
UNSUPPORTED_OPTION = "M004"
NO_WEIGHTS = "M005"
DAMAGED_WEIGHTS = "M006"
WEIGHTS_DO_NOT_FIT = "M007"
NOT_FINITE = "M008"
UNUSED_WEIGHTS = "M009"
NO_NETWORK = "M010"
NOT_ON_HUB = "M011"
WRONG_REVISION = "M012"
NO_TOKENIZER = "M013"
BAD_TOKENIZER = "M014"
NOT_INSTALLED = "M015"
SHAPE_UNKNOWN = "M016"


class ModelError(Exception):
    """A model that cannot be had; it never leaves this folder, where passes return diagnostics."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def diagnostic(self, span: Span = NO_SPAN) -> Diagnostic:
        """The same as a value, at `span`."""
        return Diagnostic(code=self.code, message=self.message, hint=self.hint, span=span)


def warning(code: str, message: str, hint: str | None = None, span: Span = NO_SPAN) -> Diagnostic:
    """A finding that does not keep the model from being used."""
    return Diagnostic(code=code, message=message, hint=hint, span=span, severity=Severity.WARNING)
