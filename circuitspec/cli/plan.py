"""`circuitspec plan`: what verifying a spec would cost, before anything is loaded."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli import findings
from circuitspec.cli.exits import Exit
from circuitspec.cli.output import emit, reserve, say
from circuitspec.cli.verify import require_extras
from circuitspec.importing import importing

EPILOG = """\b
Examples:
  circuitspec plan specs/ioi_gpt2.circuit
  circuitspec plan spec.circuit --format json

\b
Each line has the passes above it. A forward is one plain pass of the spec's own prompts; instances
are outputs of one head or MLP at one token; goes are the parts in which runs and prompts are
computed, as many at once as batch and memory allow, peak the most that one of them takes.
Self-checks and the audit through hooks come on top.
"""


class PlanFormat(StrEnum):
    """How a plan is printed."""

    terminal = "terminal"
    json = "json"


def plan(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A spec file.")],
    form: Annotated[
        PlanFormat, typer.Option("--format", "-f", help="How to print the plan.")
    ] = PlanFormat.terminal,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Prompts at once.")
    ] = None,
) -> None:
    """Say what a spec's verification computes, pass by pass of the compiler, and about how long.

    Needs the model's shape, and no weights.
    """
    reserve(output, reads=[spec])
    require_extras("plan")
    with importing():
        from circuitspec.planning import plan as look  # torch: seconds

    plans, diagnostics = look(spec, batch_size=batch_size)
    if diagnostics:
        from circuitspec.loading import sources_of

        findings.show(diagnostics, sources_of(diagnostics, {}), stream=sys.stderr)
    if plans is not None and not plans:
        say(f"{spec} states no hypothesis with a claim: there is nothing to plan")
    if not plans:
        raise typer.Exit(Exit.WRONG)
    if form is PlanFormat.json:
        from circuitspec.report.json import dumps
        from circuitspec.report.plan import document

        text = dumps(document(plans))
    else:
        from circuitspec.report.plan import render

        text = "\n".join(render(each) for each in plans)
    problem = emit(text, output)
    if problem is not None:
        say(problem)
        raise typer.Exit(Exit.WRONG)
