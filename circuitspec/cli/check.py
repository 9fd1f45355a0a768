"""`circuitspec check`: every mistake that can be found without loading a weight."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import say, write
from circuitspec.language.diagnostics import Severity

EPILOG = """\b
Examples:
  circuitspec check specs/ioi_mini.circuit
  circuitspec check specs/*.circuit --format github
  circuitspec check specs/*.circuit --format sarif > circuits.sarif
  cat draft.circuit | circuitspec check -

\b
Exit codes: 0 clean, 1 errors or warnings found, 2 a file cannot be read.
What a code means, and what to write instead: circuitspec explain CODE
"""


class CheckFormat(StrEnum):
    """How findings are printed."""

    terminal = "terminal"
    json = "json"
    github = "github"
    sarif = "sarif"


def check(
    specs: Annotated[
        list[Path], typer.Argument(metavar="SPEC...", help="Spec files; - reads standard input.")
    ],
    form: Annotated[
        CheckFormat, typer.Option("--format", help="How to print findings.")
    ] = CheckFormat.terminal,
    ignore: Annotated[
        list[str] | None,
        typer.Option("--ignore", metavar="CODE", help="A warning to let pass; repeatable."),
    ] = None,
    prompts: Annotated[
        bool,
        typer.Option(
            "--prompts/--no-prompts", help="Draw the prompts too, to check words against tokens."
        ),
    ] = True,
) -> None:
    """Find the mistakes in a spec, without loading a model.

    Syntax, names, layer order, positions, and the words of the task under the model's tokenizer
    where it is on this machine. What could not be looked into is said.
    """
    from circuitspec.cli import findings
    from circuitspec.loading import load_spec

    ignored = frozenset(code.upper() for code in ignore or ())
    exit_code = Exit.CLEAN
    found, not_checked = [], []
    for spec in specs:
        text = sys.stdin.read() if str(spec) == "-" else None
        loaded = load_spec(spec, text=text, prompts="few" if prompts else "none")
        kept = [
            d for d in loaded.diagnostics if d.severity is Severity.ERROR or d.code not in ignored
        ]
        if not loaded.readable:
            exit_code = Exit.WRONG
        elif exit_code is Exit.CLEAN and any(d.severity in findings.FINDINGS for d in kept):
            exit_code = Exit.FINDINGS
        found += kept
        not_checked += [t for t in loaded.not_checked if t not in not_checked]
        if form is CheckFormat.terminal:
            findings.show(kept, loaded.sources, not_checked=loaded.not_checked)
            dropped = len(loaded.diagnostics) - len(kept)
            said = findings.totals(kept) or "no mistakes found"
            say(f"{spec}: {said}" + (f" ({dropped} ignored)" if dropped else ""))
    if form is CheckFormat.json:
        from circuitspec.report.json import render_diagnostics

        write(render_diagnostics(found, not_checked=not_checked))
    elif form is CheckFormat.github:
        from circuitspec.report.github import render_diagnostics as annotations

        write(annotations(found))
    elif form is CheckFormat.sarif:
        from circuitspec.report.sarif import render_diagnostics as log

        write(log(found))
    raise typer.Exit(exit_code)
