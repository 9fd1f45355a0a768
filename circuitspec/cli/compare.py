"""`circuitspec compare`: what tells rival hypotheses apart, and which differences decide."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuitspec.cli import findings
from circuitspec.cli.exits import Exit, exit_for, verdicts_in
from circuitspec.cli.output import emit, reserve, say, wants_color, width_of
from circuitspec.cli.progress import ProgressBar
from circuitspec.cli.verify import Dtype, require_extras
from circuitspec.importing import importing

if TYPE_CHECKING:
    from circuitspec.comparing.records import Comparison

EPILOG = """\b
Examples:
  circuitspec compare specs/ioi_mini.circuit specs/ioi_mini_literature.circuit
  circuitspec compare spec.circuit::full spec.circuit::naive --margin 2
  circuitspec compare spec.circuit --format markdown --output comparison.md
  circuitspec compare mine.circuit rival.circuit --expect-better      in CI

\b
Exit codes: as for verify, over the claims of all hypotheses. With --expect-better it is the
comparison that counts: 0 the first is better than every rival, 1 it is not better than one that it
is told apart from, 2 the spec or the command is wrong, 3 it is not distinguishable from one.
"""


class CompareFormat(StrEnum):
    """How a comparison is printed."""

    terminal = "terminal"
    json = "json"
    markdown = "markdown"


def compare(
    specs: Annotated[
        list[str],
        typer.Argument(metavar="SPEC...", help="Files, or FILE::HYPOTHESIS; the first is yours."),
    ],
    margin: Annotated[
        float,
        typer.Option(
            min=0.0, metavar="PERCENT", help="Of the model's metric: what does not matter."
        ),
    ] = 1.0,
    level: Annotated[
        float, typer.Option(min=50.0, max=99.9, metavar="PERCENT", help="Confidence.")
    ] = 95.0,
    expect_better: Annotated[
        bool,
        typer.Option("--expect-better", help="Succeed only if the first is better than each."),
    ] = False,
    form: Annotated[
        CompareFormat, typer.Option("--format", "-f", help="How to print the comparison.")
    ] = CompareFormat.terminal,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Instead of the seed in the specs.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(metavar="DEVICE", help="cpu, cuda, cuda:1; default: cpu.")
    ] = None,
    dtype: Annotated[Dtype, typer.Option(help="Precision of the run.")] = Dtype.float32,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Prompts a batch.")
    ] = None,
) -> None:
    """Compare the first hypothesis with its rivals on the same prompts and draws.

    Verdicts side by side, size against recovered performance, paired differences with intervals,
    what the circuits differ in and which of it decides, and a reading that never ranks on
    faithfulness alone.
    """
    reserve(output, reads=[spec.partition("::")[0] for spec in specs])
    require_extras("compare")
    with ProgressBar("loading") as progress:
        with importing():
            from circuitspec.comparing.compare import compare as decide  # torch: seconds
            from circuitspec.comparing.sides import Terms
            from circuitspec.verification import Options

        options = Options(seed=seed, device=device, dtype=dtype.value, batch_size=batch_size)
        terms = Terms(level=level, margin=margin)
        result, diagnostics = decide(specs, options=options, terms=terms, progress=progress)
    if result is None:
        from circuitspec.loading import sources_of

        findings.show(diagnostics, sources_of(diagnostics, {}), stream=sys.stderr)
        raise typer.Exit(Exit.WRONG)
    problem = emit(_text(result, form, to_file=output is not None), output)
    if problem is not None:
        say(problem)
        raise typer.Exit(Exit.WRONG)
    raise typer.Exit(_better(result) if expect_better else _verdicts(result))


def _text(result: Comparison, form: CompareFormat, *, to_file: bool) -> str:
    match form:
        case CompareFormat.terminal:
            from circuitspec.report import compare

            color = wants_color(sys.stdout) and not to_file
            return compare.render(result, width=width_of(sys.stdout), color=color)
        case CompareFormat.json:
            from circuitspec.report import compare_json
            from circuitspec.report.json import dumps

            return dumps(compare_json.document(result))
        case CompareFormat.markdown:
            from circuitspec.report import compare_markdown

            return compare_markdown.render(result)


def _verdicts(result: Comparison) -> Exit:
    return exit_for(set().union(*(verdicts_in(rival.result) for rival in result.rivals)))


def _better(result: Comparison) -> Exit:
    outcomes = {pair.outcome for pair in result.pairs}
    if outcomes == {"first"}:
        return Exit.CLEAN
    return Exit.FINDINGS if outcomes & {"second", "mixed", "apart"} else Exit.UNDECIDED
