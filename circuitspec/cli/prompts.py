"""`circuitspec prompts`: every prompt that a run can use."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import StrEnum
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import emit, say, wants_color, width_of

if TYPE_CHECKING:
    from circuitspec.hypothesis.records import Hypothesis
    from circuitspec.task.records import PromptSet, TaskData

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
    from circuitspec.report import prompts as render
    from circuitspec.task.export import prompt_lines

    loaded = load_or_exit(spec, prompts="all", seed=seed)
    printed: list[list[dict[str, object]]] = []
    for bound in select(loaded, hypothesis):
        if bound.task is None:
            reasons = "; ".join(loaded.not_checked) or "its task could not be built"
            say(f"no prompts for {bound.hypothesis.name}: {reasons}")
            raise typer.Exit(Exit.WRONG)
        lines = prompt_lines(bound.task, _pools(bound.hypothesis, bound.task))
        for _, group in groupby(lines, key=lambda line: line["set"]):
            own = [{**line, "task": bound.task.name} for line in group]
            if own not in printed:  # rivals over one task share their prompts
                printed.append(own)
    names = list(dict.fromkeys(line["set"] for lines in printed for line in lines))
    unknown = [name for name in sets or () if name not in names]
    if unknown:
        say(f"no set is named {', '.join(unknown)}; there are: {', '.join(map(str, names))}")
        raise typer.Exit(Exit.WRONG)
    chosen = [x for lines in printed for x in lines if not sets or x["set"] in sets]
    if form is PromptFormat.table:
        color = wants_color(sys.stdout) and output is None
        text = render.table(chosen, width=width_of(sys.stdout), color=color)
    else:
        text = render.jsonl(chosen)
    problem = emit(text, output)
    if problem is not None:
        say(problem)
        raise typer.Exit(Exit.WRONG)


def _pools(hypothesis: Hypothesis, task: TaskData) -> Iterator[PromptSet]:
    """The pools that a hypothesis's scrubs draw from."""
    from circuitspec.hypothesis.records import Scrub
    from circuitspec.task.pools import pool_of

    for claim in hypothesis.claims:
        if isinstance(claim.intervention, Scrub):
            pool, found = pool_of(task, claim.name, claim.intervention.over)
            if pool is None:
                say(f"no pool for {claim.name}: " + "; ".join(d.message for d in found))
                raise typer.Exit(Exit.WRONG)
            yield pool
