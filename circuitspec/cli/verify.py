"""`circuitspec verify`: decide the claims of a spec on its model."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitspec.cli.exits import Exit, exit_of
from circuitspec.cli.output import emit, reserve, say, wants_color, width_of, write
from circuitspec.cli.pages import write_junit, write_plots, write_report
from circuitspec.cli.progress import ProgressBar
from circuitspec.extras import missing_extras
from circuitspec.importing import importing
from circuitspec.language.diagnostics import Diagnostic, Severity, has_errors

if TYPE_CHECKING:
    from circuitspec.judge.records import RunResult
    from circuitspec.loading import Loaded
    from circuitspec.report.github import Places
    from circuitspec.report.lock import Json as Lock

EPILOG = """\b
Examples:
  circuitspec verify specs/ioi_mini.circuit
  circuitspec verify spec.circuit --only faithful --only movers_attend
  circuitspec verify spec.circuit --replicate 5 --format json --output result.json
  circuitspec verify spec.circuit --format github        in a workflow: annotations and a summary
  circuitspec verify spec.circuit --report report.html   with the figure, plots and single prompts
  circuitspec verify spec.circuit --locked               also: nothing moved since --write-lock

\b
Exit codes: 0 everything holds, 1 something is refuted, 2 the spec or the command is wrong,
3 nothing is refuted but something is inconclusive or invalid.

\b
What is measured stands in the spec. Of these options only --seed, --dtype and --only change a
number or what is decided, and the result says so.
"""


class VerifyFormat(StrEnum):
    """How a result is printed."""

    terminal = "terminal"
    json = "json"
    junit = "junit"
    github = "github"
    markdown = "markdown"


class Dtype(StrEnum):
    """Precision of the run."""

    float32 = "float32"
    float64 = "float64"


def verify(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="A spec file.")],
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="NAME",
            help="A claim, a hypothesis, or hypothesis.claim; repeatable. Others are left out.",
        ),
    ] = None,
    form: Annotated[
        VerifyFormat, typer.Option("--format", "-f", help="How to print the result.")
    ] = VerifyFormat.terminal,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write the result there."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1; default: cpu.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the run.")] = Dtype.float32,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Prompts a batch; default: what fits memory."),
    ] = None,
    replicate: Annotated[
        int, typer.Option(min=0, metavar="R", help="Repeat all with R other seeds.")
    ] = 0,
    audit: Annotated[
        bool, typer.Option("--audit", help="Compare every intervention with the slow path.")
    ] = False,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Instead of the seed in the spec.")
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE", help="Write a report in HTML, too."),
    ] = None,
    junit: Annotated[
        Path | None,
        typer.Option("--junit", metavar="FILE", help="Write JUnit XML, too."),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option("--plots", metavar="FOLDER", help="Write plots there, too, as SVG."),
    ] = None,
    write_lock: Annotated[
        bool,
        typer.Option("--write-lock", help="Write what was measured, on what, to SPEC.lock."),
    ] = False,
    locked: Annotated[
        bool, typer.Option("--locked", help="Compare with SPEC.lock; exit with 1 where it differs.")
    ] = False,
) -> None:
    """Decide whether a model bears out the claims of a spec.

    Prints each claim with its measured value, confidence interval, threshold and verdict: holds,
    refuted, inconclusive, or invalid with the reason.
    """
    from circuitspec.loading import load_spec

    reserve(output, report, junit, reads=[spec])
    if plots is not None and plots.exists() and not plots.is_dir():
        say(f"cannot write plots to {plots}: it is no folder")
        raise typer.Exit(Exit.WRONG)
    loaded = load_spec(spec, prompts="few", seed=seed)
    if not loaded.ok:  # cheap first: most mistakes need no torch to be seen
        _refuse(form, output, loaded.diagnostics)
        raise typer.Exit(Exit.WRONG)
    if write_lock and (only or locked or seed is not None):
        say(
            "--write-lock goes with the whole spec at its own seed: without --only and --seed, "
            "and --locked compares with a lock that was written before"
        )
        raise typer.Exit(Exit.WRONG)
    lock = _read_lock(spec) if locked else None
    require_extras("verify")
    with ProgressBar("loading") as progress:
        with importing():
            from circuitspec.model.kept import KeptModels  # torch: seconds
            from circuitspec.verification import Options
            from circuitspec.verification import verify as decide

        loader = KeptModels()
        options = Options(
            only=tuple(only or ()),
            device=device,
            dtype=dtype.value,
            batch_size=batch_size,
            replicate=replicate,
            audit=audit,
            seed=seed,
        )
        result, diagnostics = decide(spec, options=options, progress=progress, loader=loader)
    if result is None or has_errors(diagnostics):
        _refuse(form, output, diagnostics)
        raise typer.Exit(Exit.WRONG)
    _show([d for d in diagnostics if d.severity is not Severity.NOTE])
    text = _text(result, form, _places(loaded), to_file=output is not None)
    problem = emit(text, output)
    if problem is not None:
        say(problem)
        raise typer.Exit(Exit.WRONG)
    if form is VerifyFormat.github:
        _step_summary(result, loaded)
    if output is not None:
        from circuitspec.report.rows import summary

        say(f"{summary(result)}; written to {output}")
    if report is not None:
        write_report(report, result, loaded, options, loader)
    if junit is not None:
        write_junit(junit, result)
    if plots is not None:
        write_plots(plots, result)
    if write_lock:
        _write_lock(spec, result)
    same = lock is None or _same(spec, lock, result, whole=not only)
    raise typer.Exit(exit_of(result) or (Exit.CLEAN if same else Exit.FINDINGS))


def require_extras(command: str) -> None:
    """End the command with what to run, where the packages that compute are not installed."""
    refusal = missing_extras(command)
    if refusal is not None:
        say(refusal)
        raise typer.Exit(Exit.WRONG)


def _read_lock(spec: Path) -> Lock:
    """The lock beside a spec; the command ends where there is none to compare with."""
    from circuitspec.report.lock import parse, path_beside

    path = path_beside(spec)
    try:
        lock = parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        lock = None
        problem = error.strerror if isinstance(error, OSError) else "it is not text"
    else:
        problem = "it is no lock that this version wrote"
    if lock is None:
        say(f"cannot read {path}: {problem}. Write it with --write-lock")
        raise typer.Exit(Exit.WRONG)
    return lock


def _write_lock(spec: Path, result: RunResult) -> None:
    """What was measured, and on what, to a file beside the spec."""
    from circuitspec.report.lock import path_beside, render

    problem = emit(render(result), path_beside(spec))
    say(problem or f"written to {path_beside(spec)}")
    if problem is not None:
        raise typer.Exit(Exit.WRONG)


def _same(spec: Path, lock: Lock, result: RunResult, *, whole: bool) -> bool:
    """Whether a run has what the lock has; if not, what differs is said."""
    from circuitspec.report.lock import differences, path_beside

    found = differences(lock, result, whole=whole)
    for sentence in found:
        say(f"{path_beside(spec).name}: {sentence}")
    if not found:
        say(f"nothing moved since {path_beside(spec).name}")
    return not found


def _text(result: RunResult, form: VerifyFormat, places: Places, *, to_file: bool) -> str:
    """The result in the format asked for. Each renderer is imported only where it is used."""
    match form:
        case VerifyFormat.terminal:
            from circuitspec.report import terminal

            color = wants_color(sys.stdout) and not to_file
            return terminal.render(result, width=width_of(sys.stdout), color=color)
        case VerifyFormat.json:
            from circuitspec.report import json

            return json.render(result)
        case VerifyFormat.junit:
            from circuitspec.report import junit

            return junit.render(result)
        case VerifyFormat.github:
            from circuitspec.report import github

            return github.render(result, places=places)
        case VerifyFormat.markdown:
            from circuitspec.report import markdown

            return markdown.render(result)


def _places(loaded: Loaded) -> Places:
    """Where each claim stands in the spec, for annotations."""
    return {
        (bound.hypothesis.name, claim.name): claim.span
        for bound in loaded.bound
        for claim in bound.hypothesis.claims
    }


def _refuse(form: VerifyFormat, output: Path | None, diagnostics: Sequence[Diagnostic]) -> None:
    """Say what is wrong with the spec, in the format that was asked for where it has a way to."""
    match form:
        case VerifyFormat.json:
            from circuitspec.report import json

            problem = emit(json.render_diagnostics(diagnostics), output)
        case VerifyFormat.junit:
            from circuitspec.report import junit

            problem = emit(junit.render_diagnostics(diagnostics), output)
        case VerifyFormat.github:
            from circuitspec.report import github

            problem = emit(github.render_diagnostics(diagnostics), output)
        case _:
            problem = None
    if problem is not None:
        say(problem)
    _show(diagnostics)


def _show(diagnostics: Sequence[Diagnostic]) -> None:
    """Diagnostics for a person, on stderr, so that the result alone is on stdout."""
    if diagnostics:
        from circuitspec.cli import findings
        from circuitspec.loading import sources_of

        findings.show(diagnostics, sources_of(diagnostics, {}), stream=sys.stderr)


def _step_summary(result: RunResult, loaded: Loaded) -> None:
    """Append tables and figures to the summary of a GitHub workflow step, if this is one."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    from circuitspec.report import github
    from circuitspec.report.figure.mermaid import to_mermaid
    from circuitspec.report.figure.scene import scene_of

    figures = {b.hypothesis.name: to_mermaid(scene_of(b.hypothesis)) for b in loaded.bound}
    try:
        with Path(file).open("a", encoding="utf-8") as summary:
            write(github.step_summary(result, figures), summary)
    except OSError as error:
        say(f"cannot write the step summary {file}: {error.strerror or error}")
