"""What can be wrong with a model: the M codes, as diagnostics at the spec's model line."""

from __future__ import annotations

from collections.abc import Mapping

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
SHAPE_UNKNOWN = "M016"

TITLES: Mapping[str, str] = {
    NO_SUCH_MODEL: "neither a packaged model, nor a directory, nor a name that the Hub could have",
    BAD_CONFIG: "config.json is missing, damaged, or contradicts itself",
    UNKNOWN_ARCHITECTURE: "an architecture that circuitspec does not compute",
    UNSUPPORTED_OPTION: "a known architecture with an option that would be computed wrongly",
    NO_WEIGHTS: "no weights in the directory or repository, or no telling which",
    DAMAGED_WEIGHTS: "a file of weights is truncated, or holds more than tensors",
    WEIGHTS_DO_NOT_FIT: "parameters missing, left over, or of another shape than the config says",
    NOT_FINITE: "a weight is NaN or infinite",
    UNUSED_WEIGHTS: "weights that the architecture has no place for (warning)",
    NO_NETWORK: "the model is not on this machine and huggingface.co does not answer",
    NOT_ON_HUB: "huggingface.co has no such model, or gives it only to those it let in",
    WRONG_REVISION: "no such revision, or a directory whose content has another hash",
    NO_TOKENIZER: "a task with text, and no tokenizer on this machine",
    BAD_TOKENIZER: "a tokenizer file that cannot be read",
    SHAPE_UNKNOWN: "a Hub model whose shape is not known before it is fetched (warning)",
}
"""What each code stands for, in a line: the title of its page."""


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
