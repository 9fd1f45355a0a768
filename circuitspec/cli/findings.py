"""Diagnostics on the command line: printed for people, counted for the exit code."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TextIO

from circuitspec.cli.output import wants_color, width_of, write
from circuitspec.language.diagnostics import Diagnostic, Severity

FINDINGS = (Severity.ERROR, Severity.WARNING)
"""What `check` counts. Notes are only told."""


def show(
    diagnostics: Sequence[Diagnostic],
    sources: Mapping[str, str],
    *,
    not_checked: Sequence[str] = (),
    stream: TextIO | None = None,
) -> None:
    """Print diagnostics for a person, with the lines they point at; then what was not checked."""
    out = stream or sys.stdout
    if diagnostics:
        from circuitspec.language.rendering import render

        write(render(diagnostics, sources, color=wants_color(out), width=width_of(out)), out)
    for sentence in not_checked:
        write(f"not checked: {sentence}\n", out)


def totals(diagnostics: Sequence[Diagnostic]) -> str:
    """`2 errors, 1 warning`; empty where there is nothing."""
    counts = Counter(d.severity for d in diagnostics)
    return ", ".join(
        f"{counts[s]} {s.value}{'' if counts[s] == 1 else 's'}" for s in Severity if counts[s]
    )
