"""What the text of a task says before any prompt is drawn: its labels, their order, its names.

Everything here is read off the syntax tree: no word list is opened and nothing is tokenised, so
answers about distances are bounds ("at least one token between") or None where text cannot tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from circuitspec.language import syntax
from circuitspec.language.nodes import ALL_POSITIONS, BOS, END, EVERYWHERE, Position
from circuitspec.language.syntax import Expr, Task

_GAP = re.compile(r"\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}")

Order = Literal["before", "same", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateText:
    """A template cut at its gaps: `texts[i]` stands before `labels[i]`, the last at the end."""

    name: str
    texts: tuple[str, ...]
    labels: tuple[str, ...]

    def words_between(self, first: str, second: str) -> int | None:
        """Words that certainly stand between two labels, `second` to the right; None otherwise.

        Words glued to a gap (`{S1}'s`) count as one token at least, like any other.
        """
        if first not in self.labels or second not in self.labels:
            return None
        i, j = self.labels.index(first), self.labels.index(second)
        if i >= j:
            return None
        return sum(len(text.split()) for text in self.texts[i + 1 : j + 1]) + (j - i - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """A task's names and the places its templates give to labels.

    `labels` is None where prompts come from a file whose columns have not been read.
    """

    name: str
    templates: tuple[TemplateText, ...] = ()
    slots: Mapping[str, syntax.Slot] = field(default_factory=dict)
    declared: Mapping[str, syntax.PositionDeclaration] = field(default_factory=dict)
    metrics: Mapping[str, syntax.Metric] = field(default_factory=dict)
    baselines: Mapping[str, syntax.Baseline] = field(default_factory=dict)
    tables: Mapping[str, syntax.Table] = field(default_factory=dict)
    words: Mapping[str, syntax.Words] = field(default_factory=dict)
    sample: syntax.Sample | None = None
    bos: bool | None = None
    integer_tokens: bool = False
    from_file: bool = False
    known: bool = True

    @property
    def places(self) -> tuple[str, ...]:
        """Every label a position may use, in the order of the text."""
        standing = dict.fromkeys(label for t in self.templates for label in t.labels)
        return (*standing, *self.declared, "END", "BOS", EVERYWHERE)

    @property
    def places_known(self) -> bool:
        """Whether `places` are all that there are: a file's columns have not been read."""
        return self.known and not self.from_file and bool(self.templates)

    def nowhere(self, positions: Iterable[Position]) -> bool:
        """Whether one of the positions has a label that no place bears, which is told by itself."""
        return self.places_known and any(p.label not in self.places for p in positions)

    def stands_in(self, label: str, template: TemplateText) -> bool:
        """Whether a label has a place in prompts of the template."""
        if label in (END.label, BOS.label, EVERYWHERE) or label in self.declared:
            return True
        return label in template.labels

    def stands(self, label: str) -> bool:
        """Whether a label has a place in some template."""
        return any(self.stands_in(label, t) for t in self.templates)

    def place_of(self, expression: Expr) -> Position | None:
        """The place an expression names (`S1`, `S1[-1]`, `S1 + 1`), aliases written out."""
        position = _alias(expression)
        return None if position is None else self.canonical(position)

    def canonical(self, position: Position) -> Position:
        """The position with declared aliases written out: `NEXT` for `position NEXT = S1 + 1`."""
        seen: set[str] = set()
        while position.label in self.declared and position.label not in seen:
            seen.add(position.label)
            base = _alias(self.declared[position.label].value)
            if base is None:
                break
            index = position.index if base.index is None else base.index
            position = Position(base.label, base.offset + position.offset, index)
        return position

    def choices(self, position: Position) -> tuple[Position, ...]:
        """The positions among which data choose: A and B for `position BIG = argmax(A, B)`."""
        declaration = self.declared.get(position.label)
        if declaration is None or position.offset or position.index is not None:
            return ()
        value = declaration.value
        match value:
            case syntax.Call(function="argmax" | "argmin", arguments=arguments):
                places = [_alias(a) for a in arguments]
            case syntax.Call(function="choose", arguments=(_, first, second)):
                places = [_alias(first), _alias(second)]
            case _:
                return ()
        return tuple(self.canonical(p) for p in places if p is not None)

    def root(self, label: str) -> str:
        """The slot whose value a slot repeats: S1 for `slot S2 from S1`."""
        seen: set[str] = set()
        while label not in seen:
            seen.add(label)
            slot = self.slots.get(label)
            if slot is None or not isinstance(slot.source, syntax.Ref):
                return label
            if slot.source.name not in self.slots:
                return label
            label = slot.source.name
        return label

    def one_token(self, label: str) -> bool:
        """Whether the text promises that a slot is one token long."""
        slot = self.slots.get(self.root(label))
        if self.integer_tokens:
            return True
        return slot is not None and any(c.text == "one_token" for c in slot.constraints)

    def outside(self, position: Position, template: TemplateText) -> bool:
        """Whether a position lies beyond either end of every prompt of a template."""
        place = self.canonical(position)
        if place.label == END.label:
            before, after = slice(None), slice(0)
        elif place.label in template.labels:
            i = template.labels.index(place.label)
            before, after = slice(i + 1), slice(i + 1, None)
        else:
            return False
        if place.offset < 0:
            most = self._most_tokens(template.texts[before], template.labels[before][:-1])
            return most is not None and -place.offset > most + (self.bos is not False)
        most = self._most_tokens(template.texts[after], template.labels[after])
        return most is not None and place.offset > most

    def _most_tokens(self, texts: tuple[str, ...], labels: tuple[str, ...]) -> int | None:
        """Tokens that a part of a template can have: of text, one a byte; None if none is sure."""
        if not all(self.one_token(label) for label in labels):
            return None
        return sum(len(text.encode()) for text in texts) + len(labels)

    def logit_positions(self) -> tuple[Position, ...]:
        """Where the task's metrics read the logits: END unless a metric says `at`."""
        places: dict[Position, None] = {}
        for metric in self.metrics.values():
            places.update(dict.fromkeys(positions_read(metric.value)))
        return tuple(places) or (END,)

    def order(self, first: Position, second: Position, template: TemplateText) -> Order | None:
        """Which of two positions comes first in every prompt of a template, where text can tell."""
        first, second = self.canonical(first), self.canonical(second)
        if first == second:
            return "same"
        if first.label == second.label and first.index == second.index:
            return "before" if first.offset < second.offset else "after"
        if _surely_before(self, first, second, template):
            return "before"
        if _surely_before(self, second, first, template):
            return "after"
        return None


def _surely_before(
    info: TaskInfo, first: Position, second: Position, template: TemplateText
) -> bool:
    """Whether `first` stands strictly left of `second` in every prompt of the template."""
    if EVERYWHERE in (first.label, second.label):
        return False
    if first == BOS:
        return second.label in template.labels and second.offset >= 0
    if second.label == BOS.label:
        return False
    if second == END:
        if first.label not in template.labels:
            return False
        place = template.labels.index(first.label)
        words = sum(len(t.split()) for t in template.texts[place + 1 :])
        words += len(template.labels) - 1 - place
        return first.offset < words
    between = template.words_between(first.label, second.label)
    if between is None:
        return False
    # From the last token of `first` to the first of `second` are `between` + 1 steps at least; an
    # index into a slot of several tokens only widens the gap (left) or is bounded by it (right).
    return first.offset - second.offset < between + 1


def task_info(task: Task) -> TaskInfo:
    """Read a task's statements; names declared twice keep their first declaration."""
    statements = task.statements or ()
    templates: dict[str, TemplateText] = {}
    slots: dict[str, syntax.Slot] = {}
    declared: dict[str, syntax.PositionDeclaration] = {}
    metrics: dict[str, syntax.Metric] = {}
    baselines: dict[str, syntax.Baseline] = {}
    tables: dict[str, syntax.Table] = {}
    words: dict[str, syntax.Words] = {}
    sample: syntax.Sample | None = None
    bos: bool | None = None
    integers = from_file = False
    for statement in statements:
        match statement:
            case syntax.Template(name=name, text=text):
                templates.setdefault(name.text, _cut(name.text, text.value))
            case syntax.Slot(names=names):
                for name in names:
                    slots.setdefault(name.text, statement)
            case syntax.PositionDeclaration(name=name):
                declared.setdefault(name.text, statement)
            case syntax.Metric(name=name):
                metrics.setdefault(name.text, statement)
            case syntax.Baseline(name=name):
                baselines.setdefault(name.text, statement)
            case syntax.Table(name=name):
                tables.setdefault(name.text, statement)
            case syntax.Words(name=name):
                words.setdefault(name.text, statement)
            case syntax.Sample():
                sample = sample or statement
            case syntax.Bos(prepend=prepend):
                bos = prepend
            case syntax.Tokens():
                integers = True
            case syntax.PromptsFile():
                from_file = True
            case syntax.Answers():
                pass
    return TaskInfo(
        name=task.name.text,
        templates=tuple(templates.values()),
        slots=slots,
        declared=declared,
        metrics=metrics,
        baselines=baselines,
        tables=tables,
        words=words,
        sample=sample,
        bos=bos,
        integer_tokens=integers,
        from_file=from_file,
        known=task.statements is not None,
    )


def _cut(name: str, text: str) -> TemplateText:
    # `{{` and `}}` are braces of the prompt; what stands for them here only has to be no gap.
    pieces = _GAP.split(text.replace("{{", "[").replace("}}", "]"))
    return TemplateText(name=name, texts=tuple(pieces[::2]), labels=tuple(pieces[1::2]))


def _alias(value: Expr) -> Position | None:
    """The position an expression is another name for, or None where data decide."""
    match value:
        case syntax.Ref(name=name):
            return Position(name)
        case syntax.Subscript(label=label, index=index):
            return Position(label.name, 0, index)
        case syntax.Binary(operator="+", left=left, right=syntax.Number() as number):
            base = _alias(left)
            return None if base is None else _shift(base, int(number.value))
        case syntax.Binary(operator="-", left=left, right=syntax.Number() as number):
            base = _alias(left)
            return None if base is None else _shift(base, -int(number.value))
        case _:
            return None


def _shift(position: Position, offset: int) -> Position:
    return Position(position.label, position.offset + offset, position.index)


def positions_read(expression: Expr) -> Iterator[Position]:
    """The positions a metric reads the logits at: what `at` names, END for a term without it."""
    match expression:
        case syntax.At(position=syntax.PositionExpr(end=syntax.PositionExpr() as end) as first):
            # From one token of a label to another: an edge may be read at any token of it.
            same = first.label == end.label and first.offset == end.offset
            yield Position(first.label, first.offset, "*") if same else ALL_POSITIONS
        case syntax.At(position=place):
            yield Position(place.label, place.offset, place.index)
        case syntax.Binary(left=left, right=right):
            yield from positions_read(left)
            yield from positions_read(right)
        case syntax.Unary(operand=operand):
            yield from positions_read(operand)
        case syntax.Call():
            yield END
        case _:
            return
