"""`circuitspec expand`: what a spec says, one fact a line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli.output import write

EPILOG = """\b
Examples:
  circuitspec expand specs/ioi_mini.circuit
  circuitspec expand specs/rivals.circuit --hypothesis literature | grep a9.h9
  diff <(circuitspec expand a.circuit) <(circuitspec expand b.circuit)
"""


def expand(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A spec file.")],
    hypothesis: Annotated[
        str | None,
        typer.Option("--hypothesis", metavar="NAME", help="Only this hypothesis of the file."),
    ] = None,
) -> None:
    """Print what a spec says as a flat list, one fact a line.

    Members, places, edges and claims, each line complete in itself and sorted, so that `diff` of
    two expansions shows what two hypotheses differ in.
    """
    from circuitspec.cli.selection import load_or_exit, select
    from circuitspec.hypothesis.expand import expand as facts

    loaded = load_or_exit(spec, prompts="none")
    write("\n".join(facts(bound.hypothesis) for bound in select(loaded, hypothesis)))
