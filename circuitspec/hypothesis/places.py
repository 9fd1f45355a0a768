"""Positions of statements: lists that multiply, lists that pair, ranges, and where two meet."""

from __future__ import annotations

from collections.abc import Iterable

from circuitspec.hypothesis.records import Place
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.hypothesis.text import position_text
from circuitspec.language import syntax
from circuitspec.language.nodes import EVERYWHERE, Position

BAD_RANGE = "H007"
UNPAIRED = "H008"


def positions(stated: syntax.PositionList, report: Report) -> tuple[Position, ...]:
    """Every position a list names, ranges written out, each once, in the order written."""
    found: dict[Position, None] = {}
    for expression in stated.positions:
        found.update(dict.fromkeys(_range(expression, report)))
    return tuple(found)


def _range(stated: syntax.PositionExpr, report: Report) -> tuple[Position, ...]:
    first = Position(stated.label, stated.offset, stated.index)
    if stated.end is None:
        return (first,)
    last = Position(stated.end.label, stated.end.offset, stated.end.index)
    if first.label == last.label:
        i, j = first.index, last.index
        if (
            first.offset == last.offset
            and isinstance(i, int)
            and isinstance(j, int)
            and i <= j
            and (i < 0) == (j < 0)
        ):
            return tuple(Position(first.label, first.offset, n) for n in range(i, j + 1))
        if i == j and first.offset <= last.offset:
            offsets = range(first.offset, last.offset + 1)
            return tuple(Position(first.label, o, first.index) for o in offsets)
    hint = f"write `{first.label}[0]..{first.label}[3]` or `{first.label}..{first.label}+3`"
    if (first.label, first.index, last.index) == (last.label, 0, -1):
        hint = f"write `{first.label}[*]` for all of its tokens"
    report.error(
        BAD_RANGE,
        f"`{position_text(stated)}` is not a range of one label's tokens, both ends counted from "
        "the same side, from left to right",
        stated.span,
        hint=hint,
    )
    return (first,)


def places(
    at: syntax.PositionList, attends: syntax.PositionList | None, report: Report
) -> tuple[Place, ...]:
    """Where a role lives. Lists in parentheses match one to one, bare lists multiply."""
    queries = positions(at, report)
    if attends is None:
        return tuple(Place(query=q) for q in queries)
    keys = positions(attends, report)
    if not (at.paired or attends.paired) or len(queries) == 1 or len(keys) == 1:
        return tuple(Place(query=q, keys=keys) for q in queries)
    if len(queries) != len(keys) or not (at.paired and attends.paired):
        report.error(
            UNPAIRED,
            f"{len(queries)} query positions against {len(keys)} attended ones cannot be paired",
            attends.span,
            hint="write both lists in parentheses, equally long, or neither",
        )
        return tuple(Place(query=q, keys=keys) for q in queries)
    return tuple(Place(query=q, keys=(k,)) for q, k in zip(queries, keys, strict=True))


def meet(
    sends: Iterable[Position], reads: Iterable[Position], info: TaskInfo
) -> tuple[Position, ...]:
    """The positions at which something living at `sends` is read by something reading at `reads`.

    `*` meets everything, the narrower of the two is what remains; declared aliases are seen
    through; `BIG = argmax(A, B)` is met by a sender that lives at A and at B.
    """
    sent = {info.canonical(p): p for p in sends}
    found: dict[Position, None] = {}
    for read in reads:
        place = info.canonical(read)
        choices = info.choices(place)
        if choices and all(any(_covers(s, c, info) for s in sent) for c in choices):
            found[read] = None
            continue
        for source, stated in sent.items():
            if _covers(source, place, info):
                found[read] = None
            elif _covers(place, source, info):
                found[stated] = None
    return tuple(found)


def _covers(wide: Position, narrow: Position, info: TaskInfo) -> bool:
    """Whether every token `narrow` names is one that `wide` names."""
    if wide.label == EVERYWHERE or wide == narrow:
        return True
    if wide.label != narrow.label or wide.offset != narrow.offset:
        return False
    return wide.index in (None, "*") or info.one_token(wide.label)


def restricted(
    reads: tuple[Position, ...], at: tuple[Position, ...] | None, info: TaskInfo
) -> tuple[Position, ...]:
    """What is left of the positions read when an edge statement says `at`."""
    return reads if at is None else meet(at, reads, info)


def listed(stated: Iterable[Position]) -> str:
    """`S1, END`."""
    return ", ".join(str(p) for p in stated)
