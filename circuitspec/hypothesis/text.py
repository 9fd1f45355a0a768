"""Parts of a hypothesis as one line of text, for messages, results and `expand`."""

from __future__ import annotations

from circuitspec.language import syntax
from circuitspec.language.nodes import Channel
from circuitspec.language.phrases import (
    cells,
    print_expr,
    print_position,
    print_receiver,
    print_target,
)

expression_text = print_expr
position_text = print_position
receiver_text = print_receiver
target_text = print_target


def targets_text(targets: tuple[syntax.Target, ...]) -> str:
    """Several targets, separated by commas."""
    return ", ".join(target_text(t) for t in targets)


def channels_text(channels: tuple[Channel, ...]) -> str:
    """`.kv`, `.in`, or nothing for the logits."""
    joined = "".join(channels)
    return f".{joined}" if joined else ""


def statement_text(statement: syntax.Located) -> str:
    """A statement that opens no block, on one line however long."""
    return " ".join(piece for cell in cells(statement) for piece in cell)


def requirement_text(require: syntax.Require) -> str:
    """The `require` line without its keyword."""
    return statement_text(require).removeprefix("require ")
