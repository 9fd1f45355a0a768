"""A sweep as a table: each claim under every ablation, and where its verdict turns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from circuitspec.report.json import Json, plain
from circuitspec.report.rows import SIGNS
from circuitspec.report.terminal import GAP, STYLES, fold, to_string

if TYPE_CHECKING:
    from circuitspec.sweeping import Cell, SweepResult, Swept

SCHEMA = "circuitspec.sweep/1"


def document(result: SweepResult) -> Json:
    """The sweep as plain values."""
    found: Json = plain(
        {
            "schema": SCHEMA,
            "claims": [
                {
                    "hypothesis": one.hypothesis,
                    "name": one.claim,
                    "stated": _cell(one.stated),
                    "others": [_cell(other) for other in one.others],
                    "turned": [other.ablation for other in one.turned],
                }
                for one in result.swept
            ],
            "passed_over": list(result.passed_over),
            "seed": result.seed,
            "seconds": result.seconds,
            "cost": {"plain_forwards": result.forwards},
        }
    )
    return found


def _cell(cell: Cell) -> dict[str, object]:
    return {
        "ablation": cell.ablation,
        "verdict": cell.verdict,
        "reason": cell.reason,
        "measures": cell.measured,
    }


def render(result: SweepResult, *, width: int = 100, color: bool = False) -> str:
    """The tables at most `width` columns wide; with ANSI colours where `color`."""
    return to_string(_lines(result, width), width=width, color=color)


def _lines(result: SweepResult, width: int) -> Iterator[Text]:
    for one in result.swept:
        yield from _claim(one, width)
        yield Text()
    if not result.swept:
        yield Text("no claim of this spec cuts anything: there is nothing to sweep")
        yield Text()
    if result.passed_over:
        kept = f"not swept, as they cut nothing: {', '.join(result.passed_over)}"
        yield from (Text(line, style="dim") for line in fold(kept, width))
    cost = f"seed {result.seed}; {result.seconds:.1f} s; cost {result.forwards:.3g}× a plain pass"
    yield Text(cost, style="dim")


def _claim(one: Swept, width: int) -> Iterator[Text]:
    yield Text(f"{one.hypothesis}.{one.claim}", style="bold")
    cells = (one.stated, *one.others)
    names = list(dict.fromkeys(name for cell in cells for name in cell.measured))
    first = max(cell_len(cell.ablation) for cell in cells)
    columns = [max(cell_len(name), 6) for name in names]
    head = f"  {'':{first}}" + "".join(
        f"{GAP}{name:>{w}}" for name, w in zip(names, columns, strict=True)
    )
    yield Text(head, style="dim")
    for number, cell in enumerate(cells):
        line = Text(f"{SIGNS[cell.verdict]} ", style=STYLES[cell.verdict])
        line.append(f"{cell.ablation:{first}}", style="bold" if number == 0 else "")
        for name, w in zip(names, columns, strict=True):
            value = cell.measured.get(name)
            line.append(GAP + (f"{value:>{w}.3f}" if value is not None else f"{'–':>{w}}"))
        if number == 0:
            line.append(GAP + "as stated", style="dim")
        yield line
        if cell.verdict == "invalid" and cell.reason:
            yield from (Text(f"      {part}", style="dim") for part in fold(cell.reason, width - 6))
    yield from (Text(part) for part in fold(_reading(one), width))


def _reading(one: Swept) -> str:
    """What the table says, in a sentence."""
    if not one.others:
        return "there is no other ablation to decide it under"
    if not one.turned:
        return f"{one.stated.verdict} under every ablation that could be measured"
    turned: dict[str, int] = {}
    for cell in one.turned:
        turned[cell.verdict] = turned.get(cell.verdict, 0) + 1
    parts = ", ".join(f"{verdict} under {count}" for verdict, count in turned.items())
    return f"{one.stated.verdict} as stated; of {len(one.others)} other ablations {parts}"
