"""T036 on drawn prompts: a position of the circuit that some prompt does not reach to."""

from __future__ import annotations

from collections.abc import Iterable

from circuitspec.language.diagnostics import Diagnostic
from circuitspec.language.phrases import print_position
from circuitspec.language.syntax import PositionExpr
from circuitspec.task.positions import as_position
from circuitspec.task.records import TaskData

CODE = "T036"


def outside_prompts(positions: Iterable[PositionExpr], task: TaskData) -> tuple[Diagnostic, ...]:
    """An error for each position that lies beyond either end of a prompt, or of a slot's tokens.

    A label that stands in no template is another finding, and is passed over here.
    """
    found = []
    for stated in positions:
        position = as_position(stated)
        for prompt in task.evaluation.prompts:
            if position is None or position.label not in prompt.positions:
                continue
            try:
                prompt.at(position)
            except IndexError:
                found.append(
                    Diagnostic(
                        code=CODE,
                        message=f"`{print_position(stated)}` is not in {prompt.text!r}",
                        span=stated.span,
                        hint="name a position that every prompt has",
                    )
                )
                break
    return tuple(found)
