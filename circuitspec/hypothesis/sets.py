"""What claims cut, patch and restore: roles, groups and nodes as sets of elements and edges."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from circuitspec.hypothesis.members import NOT_LISTED, UNKNOWN, Scope, bad_range
from circuitspec.hypothesis.places import meet
from circuitspec.hypothesis.records import CutSet, Edge, EdgeStatement, Element
from circuitspec.hypothesis.refine import nodes_of
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.hypothesis.text import targets_text
from circuitspec.language import syntax
from circuitspec.language.nodes import ALL_POSITIONS, Head, Input, Mlp, Position
from circuitspec.language.syntax import Target

CANNOT_CUT = "H019"


@dataclass(frozen=True, slots=True)
class Declared:
    """The edges of a hypothesis, by sender: claims ask again and again what leaves a set."""

    statements: tuple[EdgeStatement, ...]
    info: TaskInfo
    by_sender: Mapping[Head | Mlp | Input, tuple[Edge, ...]]

    @classmethod
    def of(cls, statements: tuple[EdgeStatement, ...], info: TaskInfo) -> Declared:
        """Index the edges of statements."""
        edges = {edge: None for statement in statements for edge in statement.edges}
        return cls(statements=statements, info=info, by_sender=_by_sender(edges))

    def cut_set(self, name: str, elements: Iterable[Element]) -> CutSet:
        """A set under a name; its edges are the declared ones that leave its elements."""
        members = frozenset(elements)
        return CutSet(
            name=name, elements=members, edges=_leaving(members, self.by_sender, self.info)
        )


def leaving(elements: frozenset[Element], edges: Iterable[Edge], info: TaskInfo) -> frozenset[Edge]:
    """The edges whose sender, at the place it is read, is one of the elements."""
    return _leaving(elements, _by_sender(edges), info)


def _by_sender(edges: Iterable[Edge]) -> dict[Head | Mlp | Input, tuple[Edge, ...]]:
    found: dict[Head | Mlp | Input, list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.sender, []).append(edge)
    return {sender: tuple(sent) for sender, sent in found.items()}


def _leaving(
    elements: frozenset[Element],
    by_sender: Mapping[Head | Mlp | Input, tuple[Edge, ...]],
    info: TaskInfo,
) -> frozenset[Edge]:
    lives: dict[Head | Mlp | Input, list[Position]] = {}
    for element in elements:
        lives.setdefault(element.node, []).append(element.position)
    return frozenset(
        edge
        for node, places in lives.items()
        for edge in by_sender.get(node, ())
        if edge.position in places or meet(places, (edge.position,), info)
    )


def elements_of(
    targets: tuple[Target, ...],
    scope: Scope,
    report: Report,
    *,
    at: tuple[Position, ...] | None = None,
) -> tuple[Element, ...] | None:
    """The elements that targets stand for, in the order listed; None if something is unknown.

    Roles and groups are at their roles' positions, a node at those of its roles (or where it is
    kept or open), or everywhere if it has no place of its own. `at` overrides all of this.
    """
    found: dict[Element, None] = {}
    complete = True
    for target in targets:
        elements = _target(target, scope, report)
        if elements is None:
            complete = False
            continue
        if at is not None:
            elements = [Element(e.node, p) for e in elements for p in at]
        found.update(dict.fromkeys(elements))
    return tuple(found) if complete else None


def _target(target: Target, scope: Scope, report: Report) -> list[Element] | None:
    if isinstance(target, syntax.Ref):
        name: str | None = target.name
        if name in ("mlps", "heads"):
            report.error(
                NOT_LISTED,
                f"`{name}` cannot stand here: which ones exist depends on the model",
                target.span,
                hint="write them out, for example `m0..m11`",
            )
            return None
        if name not in scope.named:
            name = report.unknown(UNKNOWN, "role or group", target.name, target.span, scope.named)
        if name is None:
            return None
        return [e for role in scope.expand(name) for e in role.elements]
    nodes = nodes_of(target)
    if not nodes and isinstance(target, syntax.NodeRange):
        bad_range(target, report)
        return None
    found: list[Element] = []
    for node in nodes:
        if not isinstance(node, Head | Mlp):
            report.error(
                CANNOT_CUT,
                f"`{node}` cannot be acted on here",
                target.span,
                hint="name roles, groups, heads or MLPs",
            )
            return None
        places = scope.placed(node)
        found += [Element(node, p.query) for p in places] or [Element(node, ALL_POSITIONS)]
    return found


def named_set(
    targets: tuple[Target, ...],
    scope: Scope,
    declared: Declared,
    report: Report,
    *,
    at: tuple[Position, ...] | None = None,
) -> CutSet | None:
    """The set that targets stand for, named as they are written."""
    elements = elements_of(targets, scope, report, at=at)
    return None if elements is None else declared.cut_set(targets_text(targets), elements)


def without_kept(elements: Iterable[Element], scope: Scope) -> tuple[Element, ...]:
    """The elements that a K may hold: kept nodes belong to none."""
    return tuple(e for e in elements if not scope.is_kept(e))
