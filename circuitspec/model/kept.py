"""Models kept from one call to the next, where many specs are about the same few models."""

from __future__ import annotations

from pathlib import Path

from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Span
from circuitspec.model.load import LoadedModel, load
from circuitspec.model.problems import ModelError
from circuitspec.model.source import Source, find


class KeptModels:
    """A loader that reads each model once, whatever spec asks for it.

    What is told of a model is told once; one that cannot be loaded is tried again each time.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Source, str | None], LoadedModel] = {}

    def __call__(
        self,
        reference: str,
        revision: str | None = None,
        base_dir: Path | None = None,
        span: Span = NO_SPAN,
    ) -> tuple[LoadedModel | None, tuple[Diagnostic, ...]]:
        """As `load`."""
        try:
            key = (find(reference, base_dir), revision)
        except ModelError as error:
            return None, (error.diagnostic(span),)
        if key in self._kept:
            return self._kept[key], ()
        model, found = load(reference, revision, base_dir, span)
        if model is not None:
            self._kept[key] = model
        return model, found
