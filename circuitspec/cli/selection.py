"""What the commands on a good spec share: loading it or saying why not, and picking hypotheses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import typer

from circuitspec.cli import findings
from circuitspec.cli.exits import Exit
from circuitspec.cli.output import say
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.loading import Bound, Loaded, load_spec


def load_or_exit(spec: Path, *, prompts: Literal["all", "none"], seed: int | None = None) -> Loaded:
    """The spec, if it has no errors; otherwise its diagnostics on stderr and exit code 2.

    All prompts are those of other packages' baselines too, whose code is run for it.
    """
    text = sys.stdin.read() if str(spec) == "-" else None
    loaded = load_spec(
        spec,
        text=text,
        prompts=prompts,
        seed=seed,
        foreign=prompts == "all",
        sweeps=prompts == "all",
    )
    if not loaded.ok:
        findings.show(errors(loaded.diagnostics), loaded.sources, stream=sys.stderr)
        raise typer.Exit(Exit.WRONG)
    return loaded


def errors(diagnostics: tuple[Diagnostic, ...]) -> tuple[Diagnostic, ...]:
    """Only what keeps the spec from being used."""
    return tuple(d for d in diagnostics if d.severity is Severity.ERROR)


def select(loaded: Loaded, name: str | None) -> tuple[Bound, ...]:
    """The hypotheses of a file, or the one named; an unknown name ends the command."""
    if name is None:
        return loaded.bound
    chosen = tuple(b for b in loaded.bound if b.hypothesis.name == name)
    if not chosen:
        known = ", ".join(b.hypothesis.name for b in loaded.bound) or "none"
        say(f"{loaded.path} has no hypothesis {name!r}; it has: {known}")
        raise typer.Exit(Exit.WRONG)
    return chosen
