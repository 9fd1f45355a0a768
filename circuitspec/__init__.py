"""circuitspec: hypotheses about circuits in transformers, written down and verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitspec.api import (
        SpecError,
        check,
        compare,
        frame,
        load,
        plan,
        prompts,
        rows,
        verify,
    )

__version__ = "0.1.0"

__all__ = [
    "SpecError",
    "__version__",
    "check",
    "compare",
    "frame",
    "load",
    "plan",
    "prompts",
    "rows",
    "verify",
]


def __getattr__(name: str) -> object:
    """The functions of `circuitspec.api`, imported when one of them is asked for."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from circuitspec import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted(__all__)
