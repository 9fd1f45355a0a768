"""The commands of `circuitspec`, and what they share: `--version`, `--debug`, `--help`."""

from __future__ import annotations

from typing import Annotated

import typer

from circuitspec import __version__
from circuitspec.cli import (
    check,
    compare,
    expand,
    explain,
    fmt,
    lsp,
    plan,
    prompts,
    render,
    scan,
    sweep,
    verify,
)
from circuitspec.cli.exits import quietly
from circuitspec.cli.output import write

EPILOG = """\b
From an idea to a verdict:
  circuitspec scan MODEL TASK         where in the model to look
  circuitspec check spec.circuit      the mistakes in it, at once and without a model
  circuitspec expand spec.circuit     what it says: every node and edge
  circuitspec render spec.circuit     its figure, as SVG
  circuitspec prompts spec.circuit    what it will be tested on
  circuitspec plan spec.circuit       what that will cost
  circuitspec verify spec.circuit     whether the model bears it out
  circuitspec sweep spec.circuit      whether that depends on what cutting means
  circuitspec compare spec.circuit    whether a rival explains it as well

\b
circuitspec COMMAND --help has examples and exit codes.
"""

# Plain help: rich's panels take 0.1 s more to start and do not paste.
app = typer.Typer(
    name="circuitspec",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=EPILOG,
)


def _version(value: bool) -> None:
    if value:
        write(f"circuitspec {__version__}\n")
        raise typer.Exit


@app.callback()
def circuitspec(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print a traceback on internal errors.")
    ] = False,
) -> None:
    """Write hypotheses about circuits in transformers down, and verify them on a model."""


for command, summary, epilog in (
    (verify.verify, "Decide whether a model bears out a spec's claims.", verify.EPILOG),
    (check.check, "Find a spec's mistakes, at once, without a model.", check.EPILOG),
    (compare.compare, "Set a hypothesis against its rivals.", compare.EPILOG),
    (sweep.sweep, "Show which verdicts turn under another ablation.", sweep.EPILOG),
    (scan.scan, "Look for a circuit: every node by every measure.", scan.EPILOG),
    (plan.plan, "Say what verifying a spec would cost.", plan.EPILOG),
    (prompts.prompts, "Print every prompt a run can use.", prompts.EPILOG),
    (expand.expand, "Print the nodes and edges a spec stands for.", expand.EPILOG),
    (render.render, "Draw the circuit: SVG, DOT, Mermaid or JSON.", render.EPILOG),
    (fmt.fmt, "Lay out spec files in the one style.", fmt.EPILOG),
    (explain.explain, "Say what a diagnostic's code means.", explain.EPILOG),
    (lsp.lsp, "Serve an editor: diagnostics, completion, renaming.", lsp.EPILOG),
):
    app.command(epilog=epilog, short_help=summary)(quietly()(command))
