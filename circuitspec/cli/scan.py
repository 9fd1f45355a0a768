"""`circuitspec scan`: where in a model to look for a circuit."""

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
  circuitspec scan ioi-mini specs/ioi_mini.circuit --seed 1
  circuitspec scan gpt2 task.circuit --metric logit_diff --rows 40
  circuitspec scan ./checkpoint task.circuit --format json --output scan.json

\b
A scan says where to look, not what holds: write what you see as a spec, and verify it on prompts
of another seed. Scan with a --seed that the spec does not use.
"""


class ScanFormat(StrEnum):
    """How a scan is printed."""

    terminal = "terminal"
    json = "json"


def scan(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A packaged model, a directory, or a Hub name."),
    ],
    task: Annotated[Path, typer.Argument(metavar="TASK", help="A spec file that has a task.")],
    name: Annotated[
        str | None, typer.Option("--task", metavar="NAME", help="Which task of the file.")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: the task's first.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(metavar="NAME", help="Default: the task's first.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Instead of the seed in the task.")
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most rows a table; the strongest are shown.")
    ] = 24,
    form: Annotated[
        ScanFormat, typer.Option("--format", "-f", help="How to print the scan.")
    ] = ScanFormat.terminal,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1; default: cpu.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, metavar="N")] = None,
) -> None:
    """Look at every head and MLP at every position, by four measures and by attention.

    Knock-out, activation patching, path patching to the logits, direct logit attribution: a heat
    map each, and the strongest cells of each in order.
    """
    reserve(output, reads=[task])
    require_extras("scan")
    with ProgressBar("loading") as progress:
        with importing():
            from circuitspec.scanning import ScanOptions  # torch: seconds
            from circuitspec.scanning import scan as look

        options = ScanOptions(
            task=name,
            metric=metric,
            baseline=baseline,
            seed=seed,
            device=device,
            batch_size=batch_size,
        )
        result, diagnostics = look(model, task, options=options, progress=progress)
    if diagnostics:
        from circuitspec.loading import sources_of

        findings.show(diagnostics, sources_of(diagnostics, {}), stream=sys.stderr)
    if result is None:
        raise typer.Exit(Exit.WRONG)
    from circuitspec.report import scan as report

    if form is ScanFormat.json:
        from circuitspec.report.json import dumps

        text = dumps(report.document(result))
    else:
        color = wants_color(sys.stdout) and output is None
        text = report.render(result, width=width_of(sys.stdout), color=color, most=rows)
    problem = emit(text, output)
    if problem is not None:
        say(problem)
        raise typer.Exit(Exit.WRONG)
