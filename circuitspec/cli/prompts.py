"""`circuitspec prompts`: every prompt that a run can use."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import emit, reserve, say, wants_color, width_of

EPILOG = """\b
Examples:
  circuitspec prompts specs/ioi_mini.circuit | head -1 | python -m json.tool
  circuitspec prompts specs/ioi_mini.circuit --format table
  circuitspec prompts specs/ioi_mini.circuit --set counterfactual:abc --output abc.jsonl

\b
One JSON object a line: set, index, pair (the evaluation prompt that a counterfactual belongs to),
template, text, tokens (ids), positions (label to token indices from 0), slots, answers, task.
"""


class PromptFormat(StrEnum):
    """How prompts are printed."""

    jsonl = "jsonl"
    table = "table"


def prompts(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A spec file.")],
    form: Annotated[
        PromptFormat, typer.Option("--format", "-f", help="How to print prompts.")
    ] = PromptFormat.jsonl,
    hypothesis: Annotated[
        str | None,
        typer.Option("--hypothesis", metavar="NAME", help="Only this hypothesis of the file."),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SET", help="Only this set; repeatable."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Instead of the seed in the spec.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write them there."),
    ] = None,
) -> None:
    """Print every prompt that verifying a spec can use, with its tokens and positions.

    With these and the checkpoint anyone can recompute a figure that `verify` printed.
    """
    from circuitspec.cli.selection import load_or_exit, select
    from circuitspec.listing import CannotListError, listed
    from circuitspec.report import prompts as render

    reserve(output, reads=[spec])
    loaded = load_or_exit(spec, prompts="all", seed=seed)
    try:
        lines = listed(select(loaded, hypothesis), loaded.not_checked)
    except CannotListError as error:
        say(str(error))
        raise typer.Exit(Exit.WRONG) from None
    names = list(dict.fromkeys(line["set"] for line in lines))
    unknown = [name for name in sets or () if name not in names]
    if unknown:
        say(f"no set is named {', '.join(unknown)}; there are: {', '.join(map(str, names))}")
        raise typer.Exit(Exit.WRONG)
    chosen = [line for line in lines if not sets or line["set"] in sets]
    if form is PromptFormat.table:
        color = wants_color(sys.stdout) and output is None
        text = render.table(chosen, width=width_of(sys.stdout), color=color)
    else:
        text = render.jsonl(chosen)
    problem = emit(text, output)
    if problem is not None:
        say(problem)
        raise typer.Exit(Exit.WRONG)
