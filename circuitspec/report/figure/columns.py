"""The token positions of a figure, in reading order, as far as the text of a task tells it.

Prompts are not drawn for a figure: a label stands where the first template that has it puts it,
counted in words, which is the order a reader of the template sees.
"""

from __future__ import annotations

from collections.abc import Iterable

from circuitspec.hypothesis.task_text import TaskInfo, TemplateText
from circuitspec.language.nodes import BOS, END, EVERYWHERE, Position

FIRST = -2.0
LAST = float("inf")


def reading_order(positions: Iterable[Position], info: TaskInfo) -> tuple[Position, ...]:
    """The positions from left to right: `*` and `BOS` first, `END` last.

    Positions that only data can place (`find(...)`, columns of a file) stand before `END`, in the
    order in which they are declared.
    """
    declared = {label: n for n, label in enumerate(info.declared)}

    def key(position: Position) -> tuple[int, float, int, str]:
        place = _place(position, info)
        if place is None:
            return (1, 0.0, declared.get(position.label, len(declared)), str(position))
        return (2 if place == LAST else 0, place, position.offset, str(position))

    return tuple(sorted(set(positions), key=key))


def words_at(position: Position, info: TaskInfo) -> str:
    """The words of the templates that stand there: `went / and` for `S1+1`; empty for a slot."""
    found: dict[str, None] = {}
    for template in info.templates:
        words = _words(template)
        place = _place_in(info.canonical(position), template)
        if place is None or place < 0 or (place != LAST and place >= len(words)):
            return ""
        word = words[-1] if place == LAST else words[int(place)]
        if word == "{" + position.label + "}":
            return ""
        found[word] = None
    return " / ".join(found)


def _place(position: Position, info: TaskInfo) -> float | None:
    """Words before a position, in the first template that has it."""
    position = info.canonical(position)
    choices = info.choices(position)
    if choices:
        # Among A and B, whichever is the larger: right after both.
        places = [p for p in (_place(c, info) for c in choices) if p is not None]
        return max(places) + 0.5 if places else None
    if position.label == EVERYWHERE:
        return FIRST
    if position.label in (BOS.label, END.label):
        return _place_in(position, None)
    found = (_place_in(position, template) for template in info.templates)
    return next((place for place in found if place is not None), None)


def _place_in(position: Position, template: TemplateText | None) -> float | None:
    if position.label == BOS.label:
        return -1.0 + position.offset
    if position.label == END.label:
        return LAST if position.offset >= 0 else _before_end(position, template)
    if template is None or position.label not in template.labels:
        return None
    gap = template.labels.index(position.label)
    before = sum(len(text.split()) for text in template.texts[: gap + 1]) + gap
    index = position.index
    within = 0.0 if not isinstance(index, int) else (index if index >= 0 else 50 + index) / 100
    return before + position.offset + within


def _before_end(position: Position, template: TemplateText | None) -> float:
    if template is None:
        return 1e6 + position.offset
    return len(_words(template)) - 1.0 + position.offset


def _words(template: TemplateText) -> list[str]:
    """The template word by word, gaps as `{IO}`."""
    words = template.texts[0].split()
    for label, text in zip(template.labels, template.texts[1:], strict=True):
        words += ["{" + label + "}", *text.split()]
    return words
