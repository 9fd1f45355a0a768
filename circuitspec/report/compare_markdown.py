"""A comparison as Markdown, to paste into a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitspec.report.compare_blocks import Block, Heading, Items, Paragraph, Table, blocks
from circuitspec.report.markdown import escape

if TYPE_CHECKING:
    from circuitspec.comparing.records import Comparison


def render(result: Comparison) -> str:
    """The same parts as on a terminal, tables as tables."""
    return "\n\n".join(_block(block) for block in blocks(result)) + "\n"


def _block(block: Block) -> str:
    match block:
        case Heading(text=text, level=level):
            return f"{'##' if level == 1 else '####'} {escape(text)}"
        case Paragraph(text=text, strong=strong):
            return f"**{escape(text)}**" if strong else f"<sub>{escape(text)}</sub>"
        case Items(items=items):
            return "\n".join(f"- {escape(item)}" for item in items)
        case Table(head=head, rows=rows):
            return "\n".join(
                [_row(head), f"|---|{'---:|' * (len(head) - 1)}", *(_row(row) for row in rows)]
            )


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"
