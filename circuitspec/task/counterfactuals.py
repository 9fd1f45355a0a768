"""What becomes of a prompt's slots in a counterfactual."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from circuitspec.language.diagnostics import Span
from circuitspec.task.functions import ExpressionError
from circuitspec.task.resolved import (
    FromColumn,
    Group,
    OtherTemplate,
    Resample,
    ResolvedTask,
    SetTo,
    Swap,
    Transformation,
)
from circuitspec.task.sampling import Assignment, assign, pick
from circuitspec.task.suggestions import listing
from circuitspec.task.templates import Piece, TemplateText

Alike = Callable[[TemplateText, str, str, Sequence[str]], Sequence[str]]
"""(text, slot, word, words) → those of the words that take as many tokens as `word` where the slot
stands."""

TRIES = 200
"""Draws before a counterfactual that fits its prompt is given up."""


def transform(
    task: ResolvedTask,
    transformation: Transformation,
    clean: Assignment,
    rng: random.Random,
    alike: Alike,
    span: Span,
) -> Assignment:
    """A prompt's counterfactual. Noise and shuffling change no slot, and leave it as it is.

    Raises ExpressionError, placed at `span` (the baseline's), where no value is left to draw.
    """
    match transformation:
        case Resample():
            return _resample(task, transformation, clean, rng, alike, span)
        case Swap(first=first, second=second):
            exchanged = {first: clean.values.get(second), second: clean.values.get(first)}
            return rewritten(task, clean, {k: v for k, v in exchanged.items() if v is not None})
        case SetTo(values=values):
            return rewritten(task, clean, {k: v for k, v in values.items() if k in clean.values})
        case OtherTemplate(templates=templates):
            # It stays a prompt of its partner's template: that is where values correspond.
            return Assignment(
                template=clean.template,
                values=clean.values,
                text=task.templates[templates[clean.template]],
                row=clean.row,
            )
        case FromColumn(column=column):
            text = TemplateText(name=clean.template, pieces=(Piece(text=clean.values[column]),))
            return Assignment(
                template=clean.template, values=clean.values, text=text, row=clean.row
            )
        case _:
            return clean


def rewritten(task: ResolvedTask, clean: Assignment, new: dict[str, str]) -> Assignment:
    """A prompt with other words in some slots; what follows from these follows."""
    values = {**clean.values, **new}
    return assign(task, clean.template, values, clean.row, fixed=frozenset(new))


def _resample(
    task: ResolvedTask,
    how: Resample,
    clean: Assignment,
    rng: random.Random,
    alike: Alike,
    span: Span,
) -> Assignment:
    """Slots in sorted order, each drawn from its own words less those that are taken."""
    named = [s for s in sorted(how.slots) if s in clean.values]
    for _ in range(TRIES):
        new: dict[str, str] = {}
        for slot in named:
            new[slot] = _redraw(task, slot, clean, named, new, rng, alike, span)
        drawn = rewritten(task, clean, new)
        changed = how.changing is None or (
            drawn.values.get(how.changing) != clean.values.get(how.changing)
        )
        kept = how.keeping is None or (
            drawn.values.get(how.keeping) == clean.values.get(how.keeping)
        )
        if changed and kept:
            return drawn
    watched = how.changing or how.keeping
    verb = "changes" if how.changing else "keeps"
    raise ExpressionError(
        f"no redraw of {listing(named)} was found that {verb} `{watched}`",
        span,
        f"`{watched}` must depend on what is redrawn, and take more than one value",
    )


def _redraw(
    task: ResolvedTask,
    slot: str,
    clean: Assignment,
    named: list[str],
    new: dict[str, str],
    rng: random.Random,
    alike: Alike,
    span: Span,
) -> str:
    taken = {clean.values[s] for s in named} | set(new.values())
    group = task.group_of(task.source(slot))
    if group is not None and group.length is not None:
        return _sequence(group, taken, rng, span)
    group = task.group_of(slot)
    if group is not None and group.distinct:
        taken |= {clean.values[n] for n in group.names if n not in named and n in clean.values}
    own = clean.values[slot]
    every = alike(clean.text, slot, own, task.domain(slot) or ())
    words = [w for w in every if w not in taken]
    if not words:
        raise ExpressionError(
            f"`{slot}` cannot be redrawn: no word is left that differs from "
            f"{listing(sorted(taken))} and has as many tokens as `{own}` in template "
            f"`{clean.text.name}`",
            span,
            "add words to its list, or resample fewer slots",
        )
    return words[pick(rng, len(words))]


def _sequence(group: Group, taken: set[str], rng: random.Random, span: Span) -> str:
    assert group.length is not None
    for _ in range(TRIES):
        words = list(group.words)
        drawn = []
        for _ in range(group.length):
            i = pick(rng, len(words))
            drawn.append(words.pop(i) if group.distinct else words[i])
        if " ".join(drawn) not in taken:
            return " ".join(drawn)
    text = f"`{group.names[0]}` has no other value to be redrawn with"
    raise ExpressionError(text, span, "draw it from more words")
