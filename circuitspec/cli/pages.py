"""What `verify` writes beside its result: the HTML report, JUnit XML, and plots as files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import emit, say

if TYPE_CHECKING:
    from circuitspec.judge.records import RunResult
    from circuitspec.loading import Loaded
    from circuitspec.model.load import Loader
    from circuitspec.verification import Options


def write_report(
    path: Path, result: RunResult, loaded: Loaded, options: Options, loader: Loader
) -> None:
    """The report as one HTML file, with a look at single prompts."""
    from circuitspec.closeup import closeups
    from circuitspec.report.html.page import render

    hypotheses = {bound.hypothesis.name: bound.hypothesis for bound in loaded.bound}
    seen = closeups(loaded.path, options=options, loader=loader)
    _write(render(result, hypotheses=hypotheses, closeups=seen), path)


def write_junit(path: Path, result: RunResult) -> None:
    """The result as JUnit XML."""
    from circuitspec.report import junit

    _write(junit.render(result), path)


def write_plots(folder: Path, result: RunResult) -> None:
    """Every scatter and bar chart as an SVG file named for its claim and metric."""
    from circuitspec.report.html.page import figures
    from circuitspec.report.html.plots import standalone

    drawn = [figure for hypothesis in result.hypotheses for figure in figures(hypothesis)]
    for name, svg in drawn:
        _write(standalone(svg), folder / f"{name}.svg")
    if not drawn:
        say("no plots: there is no claim of completeness or minimality")


def _write(text: str, path: Path) -> None:
    problem = emit(text, path)
    say(problem or f"written to {path}")
    if problem is not None:
        raise typer.Exit(Exit.WRONG)
