"""`circuitspec explain CODE`: the page of a diagnostic."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import say, width_of, write

WIDEST = 88
"""Columns of prose at most: longer lines are hard to read."""

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
    from circuitspec.language.explain import explain as page_of
    from circuitspec.language.explain import titles

    if code is None:
        write("".join(f"{name}  {title}\n" for name, title in titles()))
        return
    page = page_of(code)
    if page is None:
        say(f"no diagnostic has the code {code!r}; `circuitspec explain` lists them all")
        raise typer.Exit(Exit.WRONG)
    write(_folded(page, min(width_of(sys.stdout), WIDEST)))


def _folded(page: str, width: int) -> str:
    """The page with its prose folded; blocks of code stay as they are."""
    import textwrap

    out: list[str] = []
    code = False
    for line in page.rstrip("\n").split("\n"):
        code ^= line.startswith("```")
        prose = not code and len(line) > width
        out += textwrap.wrap(line, width, break_long_words=False) if prose else [line]
    return "\n".join(out) + "\n"
