"""`circuitspec expand`: what a spec says, one fact a line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli.exits import Exit

EPILOG = """\b
Examples:
  circuitspec expand specs/ioi_mini.circuit
  circuitspec expand specs/rivals.circuit --hypothesis literature | grep a9.h9
"""


def expand(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A spec file.")],
    hypothesis: Annotated[
        str | None,
        typer.Option("--hypothesis", metavar="NAME", help="Only this hypothesis of the file."),
    ] = None,
) -> None:
    """Print the flat list of nodes and edges that a spec's roles stand for."""
    from circuitspec.cli.selection import load_or_exit, select

    loaded = load_or_exit(spec, prompts=False)
    for bound in select(loaded, hypothesis):
        raise typer.Exit(Exit.CLEAN)
