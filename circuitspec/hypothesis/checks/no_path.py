"""H048: a role that carries a feature which no path of edges could bring it."""

from __future__ import annotations

from collections.abc import Iterable

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.flow import Flow, links
from circuitspec.hypothesis.ordering import position_key
from circuitspec.hypothesis.places import listed
from circuitspec.hypothesis.records import Hypothesis, Role
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label
from circuitspec.language.nodes import EVERYWHERE, Head, Position
from circuitspec.language.syntax import Expr

NAME = "no-path-for-feature"
CODE = "H048"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """Features whose tokens reach none of a role's inputs by declared edges.

    A token's value may come from any place where the slot, or one that repeats it, stands; a
    position from any place told from the label's. Positions that text cannot tell apart count as
    one, so what is reported holds for every prompt.
    """
    if not hypothesis.edges or not info.templates:
        return ()
    flow, fed = Flow(hypothesis, info), links(hypothesis).fed()
    found = []
    for role in hypothesis.roles.values():
        if role.name not in fed:
            continue
        reached = {
            info.canonical(p) for n in role.nodes for q in role.places for p in flow.sources(n, q)
        }
        for feature in role.carries:
            missing = next((p for p in _needs(feature, info) if not p.met(reached, info)), None)
            if missing is not None:
                found.append(_found(role, feature, missing.places, reached, info))
    return tuple(found)


class _Need:
    """Places of the input any one of which would do for a part of a feature."""

    def __init__(self, places: Iterable[Position], *, any_offset: bool = False) -> None:
        self.places = tuple(places)
        self.any_offset = any_offset

    def met(self, reached: set[Position], info: TaskInfo) -> bool:
        return any(self._same(r, p, info) for r in reached for p in self.places)

    def _same(self, reached: Position, place: Position, info: TaskInfo) -> bool:
        if reached.label == EVERYWHERE:
            return True
        if reached.label == place.label and (self.any_offset or reached.offset == place.offset):
            return True
        return any(
            info.order(reached, place, t) in (None, "same")
            for t in info.templates
            if info.stands_in(place.label, t)
        )


def _needs(feature: Expr, info: TaskInfo) -> list[_Need]:
    """What has to reach a role for it to carry a feature; nothing where text cannot tell."""
    match feature:
        case syntax.Call(function="token", arguments=(argument,)):
            return _token(argument, info)
        case syntax.Call(function="position", arguments=(argument,)):
            place = info.place_of(argument)
            return [] if place is None else [_Need((place,), any_offset=True)]
        case syntax.Call(function="order", arguments=arguments):
            places = [p for a in arguments if (p := info.place_of(a)) is not None]
            return [_Need(places, any_offset=True)] if places else []
        case syntax.Call(function="count"):
            # Of tokens anywhere: what reaches the role has to start at some place but the last.
            labels = {label for t in info.templates for label in t.labels}
            return [_Need([Position(label) for label in sorted(labels)])] if labels else []
        case syntax.Call(function="column"):
            return []
        case syntax.Call(arguments=arguments):
            return [need for a in arguments for need in _needs(a, info)]
        case syntax.Binary(left=left, right=right):
            return [*_needs(left, info), *_needs(right, info)]
        case syntax.Unary(operand=operand):
            return _needs(operand, info)
        case syntax.Ref() | syntax.Subscript():
            return _token(feature, info)
        case _:
            return []


def _token(argument: Expr, info: TaskInfo) -> list[_Need]:
    """Places that hold a label's token: its own, and those of slots with the same value."""
    place = info.place_of(argument)
    if place is None:
        return []
    choices = info.choices(place)
    if choices:
        return [_Need((place, choice)) for choice in choices]
    slot = info.slots.get(place.label)
    if slot is None or place.offset:
        return [_Need((place,))] if info.stands(place.label) else []
    root = info.root(place.label)
    same = [Position(n, 0, place.index) for n in info.slots if info.root(n) == root]
    standing = [p for p in same if info.stands(p.label)]
    computed = info.slots[root].value if root in info.slots else None
    if computed is None:
        return [_Need(standing)] if standing else []
    needs = _needs(computed, info)
    # A computed slot that stands in the prompt may be read there, or computed from its parts.
    return [_Need((*need.places, *standing)) for need in needs]


def _found(
    role: Role, feature: Expr, places: tuple[Position, ...], reached: set[Position], info: TaskInfo
) -> Diagnostic:
    text = expression_text(feature)
    comes = listed(sorted(reached, key=position_key))
    wanted = places[0]
    keys = {info.canonical(k) for place in role.places for k in place.keys}
    queries = {info.canonical(place.query) for place in role.places}
    direct = [p for p in places if p in keys] or [p for p in places if p in queries]
    heads = any(isinstance(n, Head) for n in role.nodes)
    if direct:
        wanted = direct[0]
        channel = ("kv" if wanted in keys else "q") if heads else "in"
        hint = f"missing: `edge input -> {role.name}.{channel}`, read at {wanted}"
    else:
        hint = f"missing: a path from the input at {wanted} by way of another role"
    return Diagnostic(
        code=CODE,
        message=f"`{role.name}` carries {text}, and no path of edges brings it: "
        f"what reaches the role starts at {comes}",
        span=feature.span,
        hint=hint,
        labels=(Label(span=role.span, message=f"`{role.name}` lives here"),),
    )
