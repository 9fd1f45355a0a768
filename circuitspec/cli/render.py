"""`circuitspec render`: a hypothesis as the circuit figure of a paper."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import emit, reserve, say

EPILOG = """\b
Examples:
  circuitspec render specs/ioi_gpt2.circuit -o ioi.svg
  circuitspec render specs/ioi_gpt2.circuit --hypothesis ioi_naive -o naive.svg
  circuitspec render spec.circuit --format dot | dot -Tpdf -o circuit.pdf
  circuitspec render spec.circuit --format mermaid >> README.md

\b
Exit codes: 0 done, 2 the spec has errors or a file cannot be written.
"""


class FigureFormat(StrEnum):
    """What a figure is written as."""

    svg = "svg"
    dot = "dot"
    mermaid = "mermaid"
    json = "json"


def render(
    spec: Annotated[
        Path, typer.Argument(metavar="SPEC", help="A spec file; - reads standard input.")
    ],
    hypothesis: Annotated[
        str | None,
        typer.Option(
            "--hypothesis", metavar="NAME", help="Which hypothesis of the file; else its first."
        ),
    ] = None,
    form: Annotated[
        FigureFormat, typer.Option("--format", help="How to write the figure.")
    ] = FigureFormat.svg,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to this file.")
    ] = None,
) -> None:
    """Draw the circuit that a spec states: token positions across, layers upwards.

    Works on the text alone; no model is loaded.
    """
    from circuitspec.cli.selection import load_or_exit, select
    from circuitspec.report.figure.scene import scene_of

    reserve(output, reads=[spec])
    loaded = load_or_exit(spec, prompts="none")
    chosen = select(loaded, hypothesis)
    if not chosen:
        say(f"{spec} states no hypothesis: there is nothing to draw")
        raise typer.Exit(Exit.WRONG)
    if len(chosen) > 1:
        others = ", ".join(bound.hypothesis.name for bound in chosen[1:])
        say(f"drawn: {chosen[0].hypothesis.name}; --hypothesis draws another: {others}")
    scene = scene_of(chosen[0].hypothesis)
    if form is FigureFormat.dot:
        from circuitspec.report.figure.dot import to_dot

        text = to_dot(scene)
    elif form is FigureFormat.mermaid:
        from circuitspec.report.figure.mermaid import to_mermaid

        text = to_mermaid(scene)
    else:
        from circuitspec.report.figure.layout import layout

        if form is FigureFormat.svg:
            from circuitspec.report.figure.svg import to_svg

            text = to_svg(layout(scene))
        else:
            from circuitspec.report.figure.json import to_json

            text = to_json(layout(scene))
    failure = emit(text, output)
    if failure is not None:
        say(failure)
        raise typer.Exit(Exit.WRONG)
