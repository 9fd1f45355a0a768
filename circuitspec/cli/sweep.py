"""`circuitspec sweep`: which verdicts turn under another ablation."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli import findings
from circuitspec.cli.exits import Exit
from circuitspec.cli.output import emit, reserve, say, wants_color, width_of
from circuitspec.cli.progress import ProgressBar
from circuitspec.cli.verify import require_extras
from circuitspec.importing import importing

EPILOG = """\b
Examples:
  circuitspec sweep specs/ioi_mini.circuit
  circuitspec sweep spec.circuit --only faithful --format json

\b
A claim that holds under one ablation and not under the next is a claim about that ablation: say
so beside it, or say it of all.

\b
Exit codes: 0 the table was made, 2 the spec or the command is wrong.
"""


class SweepFormat(StrEnum):
    """How a sweep is printed."""

    terminal = "terminal"
    json = "json"


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A spec file.")],
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="A claim or a hypothesis; repeatable."),
    ] = None,
    form: Annotated[
        SweepFormat, typer.Option("--format", "-f", help="How to print the sweep.")
    ] = SweepFormat.terminal,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Instead of the seed in the spec.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1; default: cpu.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N")] = None,
) -> None:
    """Decide every claim that cuts under every ablation, and show which verdicts turn.

    Zero, mean over template, position and batch, resample and counterfactual, from every baseline
    of the task, by nodes and by edges: on the same prompts, in one run.
    """
    reserve(output, reads=[spec])
    require_extras("sweep")
    with ProgressBar("loading") as progress:
        with importing():
            from circuitspec.sweeping import sweep as decide  # torch: seconds
            from circuitspec.verification import Options

        options = Options(only=tuple(only or ()), seed=seed, device=device, batch_size=batch_size)
        result, diagnostics = decide(spec, options=options, progress=progress)
    if result is None:
        from circuitspec.loading import sources_of

        findings.show(diagnostics, sources_of(diagnostics, {}), stream=sys.stderr)
        raise typer.Exit(Exit.WRONG)
    from circuitspec.report import sweep as report

    if form is SweepFormat.json:
        from circuitspec.report.json import dumps

        text = dumps(report.document(result))
    else:
        color = wants_color(sys.stdout) and output is None
        text = report.render(result, width=width_of(sys.stdout), color=color)
    problem = emit(text, output)
    if problem is not None:
        say(problem)
        raise typer.Exit(Exit.WRONG)
