"""A plan as a table, and as plain records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from circuitspec.planning import Plan

SCHEMA = "circuitspec.plan/1"

_HEADINGS = ("pass", "goes", "instances", "operations", "peak", "forwards", "about")


def document(plans: Sequence[Plan]) -> dict[str, Any]:
    """What `--format json` prints."""
    return {"schema": SCHEMA, "hypotheses": [asdict(each) for each in plans]}


def render(plan: Plan) -> str:
    """One hypothesis's plan for a terminal: a line a pass."""
    rows = [
        (
            line.name,
            f"{line.goes:,}",
            f"{line.instances:,}",
            f"{_scaled(line.flops, 1000)}FLOP",
            f"{_scaled(line.peak, 1024)}B",
            f"{line.forwards:.2f}",
            _duration(line.seconds),
        )
        for line in plan.passes
    ]
    widths = [max(len(row[i]) for row in (_HEADINGS, *rows)) for i in range(len(_HEADINGS))]
    runs = plan.passes[0].runs if plan.passes else 0
    lines = [
        f"{plan.hypothesis} on {plan.model}: {runs} runs on {plan.prompts} prompts, "
        f"{plan.batch_size} at once, beside {_scaled(plan.weights, 1024)}B of weights"
    ]
    for row in (_HEADINGS, *rows):
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  " + "  ".join((first, *rest)))
    lines += [f"  note: {note}" for note in plan.notes]
    return "\n".join(lines) + "\n"


def _scaled(value: float, base: int) -> str:
    """A number with its prefix: 3.2 G."""
    for prefix in ("", "K", "M", "G", "T", "P"):
        if value < base or prefix == "P":
            return f"{value:.3g} {prefix}"
        value /= base
    raise AssertionError("unreachable")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
