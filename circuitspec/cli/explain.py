"""`circuitspec explain CODE`: the page of a diagnostic."""

from __future__ import annotations

from typing import Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import say, write

EPILOG = """\b
Examples:
  circuitspec explain C012
  circuitspec explain            every code with its title
"""


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="A code that `check` printed.")
    ] = None,
) -> None:
    """Say what a diagnostic means, why it is a mistake, and what to write instead."""
    from circuitspec.language import explain as pages

    if code is None:
        write("".join(f"{name}  {title}\n" for name, title in pages.titles()))
        return
    page = pages.explain(code)
    if page is None:
        say(f"no diagnostic has the code {code!r}; `circuitspec explain` lists them all")
        raise typer.Exit(Exit.WRONG)
    write(page.rstrip("\n") + "\n")
