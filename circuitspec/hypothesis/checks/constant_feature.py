"""H049: a feature that is the same in every prompt, so that scrubbing by it changes nothing."""

from __future__ import annotations

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo, TemplateText
from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.nodes import BOS, END, Position
from circuitspec.language.syntax import Expr

NAME = "constant-feature"
CODE = "H049"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """A warning for each feature that text alone shows to have one value."""
    if not info.templates or info.from_file:
        return ()
    return tuple(
        Diagnostic(
            code=CODE,
            message=f"{expression_text(feature)} is the same in every prompt: "
            f"that `{role.name}` carries it cannot fail",
            span=feature.span,
            severity=Severity.WARNING,
            hint="carry what differs between prompts, or leave it out",
        )
        for role in hypothesis.roles.values()
        for feature in role.carries
        if constant(feature, info)
    )


def constant(feature: Expr, info: TaskInfo) -> bool:
    """Whether every prompt of the task gives a feature one value, as far as text shows."""
    match feature:
        case syntax.Number() | syntax.Text():
            return True
        case syntax.Ref(name="template"):
            return len(info.templates) == 1
        case syntax.Call(function="position", arguments=(argument,)):
            place = info.place_of(argument)
            return place is not None and _fixed(place, info)
        case syntax.Call(function="order"):
            return len({t.labels for t in info.templates}) == 1
        case syntax.Call(function="token", arguments=(argument,)):
            place = info.place_of(argument)
            return place is not None and not place.offset and _one_word(place.label, info)
        case syntax.Ref(name=name):
            return _one_word(name, info)
        case syntax.Binary(left=left, right=right):
            return constant(left, info) and constant(right, info)
        case syntax.Unary(operand=operand):
            return constant(operand, info)
        case _:
            return False


def _one_word(label: str, info: TaskInfo) -> bool:
    slot = info.slots.get(info.root(label))
    if slot is None:
        return False
    source = slot.source
    if isinstance(source, syntax.Ref) and source.name in info.words:
        source = info.words[source.name].source
    if isinstance(source, syntax.WordList):
        return len({w.value for w in source.words}) == 1
    return isinstance(source, syntax.IntegerRange) and source.first == source.last


def _fixed(place: Position, info: TaskInfo) -> bool:
    """Whether a place has one token index: before it stand fixed text and single tokens."""
    before = {_before(place, t) for t in info.templates}
    if len(before) != 1:
        return False
    (stretch,) = before
    return stretch is not None and all(info.one_token(label) for label in stretch[1])


def _before(
    place: Position, template: TemplateText
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The texts and labels that stand before a place; None where text cannot tell."""
    if place.label == BOS.label:
        return ((), ())
    if place.label == END.label:
        return (template.texts, template.labels)
    if place.label not in template.labels or place.index not in (None, 0):
        return None
    index = template.labels.index(place.label)
    return (template.texts[: index + 1], template.labels[:index])
