"""Roles, groups, keeps and open nodes: who is in a circuit, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from circuitspec.hypothesis.ordering import node_key
from circuitspec.hypothesis.places import BAD_RANGE, places, positions
from circuitspec.hypothesis.records import Element, Kept, Place, Role
from circuitspec.hypothesis.refine import nodes_of
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.hypothesis.text import target_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Label
from circuitspec.language.nodes import ALL_POSITIONS, Head, Input, Mlp, Position
from circuitspec.language.syntax import HypothesisStatement, Target

UNKNOWN = "H001"
DUPLICATE = "H002"
NOT_A_MEMBER = "H009"
PLACE_UNKNOWN = "H013"
NOT_LISTED = "H016"

Placed = tuple[Head | Mlp | Input, Place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What names mean in one hypothesis."""

    info: TaskInfo
    roles: Mapping[str, Role] = field(default_factory=dict)
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kept: tuple[Kept, ...] = ()
    open_nodes: tuple[tuple[Element, str], ...] = ()

    @property
    def named(self) -> tuple[str, ...]:
        """Every role and group."""
        return (*self.roles, *self.groups)

    def expand(self, name: str) -> tuple[Role, ...]:
        """The roles a role's or a group's name stands for."""
        if name in self.roles:
            return (self.roles[name],)
        return tuple(self.roles[r] for r in self.groups.get(name, ()) if r in self.roles)

    def placed(self, node: Head | Mlp | Input) -> tuple[Place, ...]:
        """Where a node lives: in its roles, else where it is kept, else where it is open."""
        if isinstance(node, Input):
            return (Place(query=ALL_POSITIONS),)
        in_roles = [p for r in self.roles.values() if node in r.nodes for p in r.places]
        if in_roles:
            return tuple(dict.fromkeys(in_roles))
        kept = [Place(query=p) for k in self.kept if keeps(k, node) for p in k.positions]
        if kept:
            return tuple(dict.fromkeys(kept))
        return tuple(Place(query=e.position) for e, _ in self.open_nodes if e.node == node)

    def is_kept(self, element: Element) -> bool:
        """Whether a keep puts an element in the circuit for good, so that no K may hold it."""
        return any(
            keeps(k, element.node)
            and (ALL_POSITIONS in k.positions or element.position in k.positions)
            for k in self.kept
        )


def keeps(kept: Kept, node: Head | Mlp | Input) -> bool:
    """Whether a `keep` line names a node, at whatever position."""
    match kept.nodes:
        case "mlps":
            return isinstance(node, Mlp)
        case "heads":
            return isinstance(node, Head)
        case nodes:
            return node in nodes


def scope_of(statements: tuple[HypothesisStatement, ...], info: TaskInfo, report: Report) -> Scope:
    """Resolve the statements that say who is in the circuit."""
    declared: dict[str, syntax.Name] = {}
    roles: dict[str, Role] = {}
    for statement in statements:
        if isinstance(statement, syntax.Role) and _is_new(statement.name, declared, report):
            roles[statement.name.text] = _role(statement, report)
    groups: dict[str, tuple[str, ...]] = {}
    for statement in statements:
        if isinstance(statement, syntax.Group) and _is_new(statement.name, declared, report):
            groups[statement.name.text] = _group(statement, roles, report)
    scope = Scope(info=info, roles=roles, groups=groups)
    kept = [k for s in statements if isinstance(s, syntax.Keep) for k in _kept(s, scope, report)]
    opened = [e for s in statements if isinstance(s, syntax.Open) for e in _open(s, report)]
    return Scope(
        info=info,
        roles=roles,
        groups=groups,
        kept=tuple(sorted(kept, key=str)),
        open_nodes=tuple(sorted(opened, key=str)),
    )


def _is_new(name: syntax.Name, declared: dict[str, syntax.Name], report: Report) -> bool:
    if name.text in declared:
        duplicate(name, declared[name.text], "role or group", report)
        return False
    declared[name.text] = name
    return True


def duplicate(name: syntax.Name, first: syntax.Name, kind: str, report: Report) -> None:
    """Report the second declaration of a name."""
    report.error(
        DUPLICATE,
        f"`{name}` already names a {kind}",
        name.span,
        hint="rename one of them, or remove it",
        labels=(Label(span=first.span, message="first declared here"),),
    )


def literal_nodes(
    literals: tuple[Target, ...], what: str, report: Report
) -> tuple[Head | Mlp, ...]:
    """The heads and MLPs written out in a statement, ranges spelt out, each once."""
    found: dict[Head | Mlp, None] = {}
    for literal in literals:
        nodes = nodes_of(literal)
        if not nodes and isinstance(literal, syntax.NodeRange):
            bad_range(literal, report)
        for node in nodes:
            if isinstance(node, Head | Mlp):
                found[node] = None
            else:
                report.error(
                    NOT_A_MEMBER,
                    f"`{node}` cannot be {what}: it is always there",
                    literal.span,
                    hint="name heads (`a9.h6`) or MLPs (`m3`)",
                )
    return tuple(found)


def bad_range(literal: syntax.NodeRange, report: Report) -> None:
    """Report a range of nodes that names none."""
    report.error(
        BAD_RANGE,
        f"`{target_text(literal)}` is no range of MLPs, or of one layer's heads, from low to high",
        literal.span,
        hint="write `m4..m6`, or `a5.h0..a5.h3`",
    )


def _role(statement: syntax.Role, report: Report) -> Role:
    return Role(
        name=statement.name.text,
        nodes=literal_nodes(statement.nodes, "a member of a role", report),
        places=places(statement.at, statement.attends, report),
        carries=statement.carries,
        span=statement.span,
    )


def _group(statement: syntax.Group, roles: Mapping[str, Role], report: Report) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in statement.roles:
        if name.text in roles:
            found[name.text] = None
        else:
            meant = report.unknown(UNKNOWN, "role", name.text, name.span, roles)
            if meant is not None:
                found[meant] = None
    return tuple(found)


def _kept(statement: syntax.Keep, scope: Scope, report: Report) -> list[Kept]:
    where = positions(statement.at, report)
    found: list[Kept] = []
    nodes: dict[Head | Mlp | Input, None] = {}
    for target in statement.targets:
        match target:
            case syntax.NodeLiteral(node=Input()):
                nodes[Input()] = None
            case syntax.Ref(name=name):
                meant: str | None = name
                if name not in (*scope.named, "mlps", "heads"):
                    options = (*scope.named, "mlps", "heads")
                    meant = report.unknown(UNKNOWN, "role or group", name, target.span, options)
                if meant in ("mlps", "heads"):
                    kind: Literal["mlps", "heads"] = "mlps" if meant == "mlps" else "heads"
                    found.append(Kept(nodes=kind, positions=where))
                for role in scope.expand(meant or ""):
                    nodes.update(dict.fromkeys(role.nodes))
            case _:
                nodes.update(dict.fromkeys(literal_nodes((target,), "kept", report)))
    if nodes:
        found.append(Kept(nodes=tuple(sorted(nodes, key=node_key)), positions=where))
    return found


def _open(statement: syntax.Open, report: Report) -> list[tuple[Element, str]]:
    nodes = literal_nodes(statement.nodes, "open", report)
    where: tuple[Position, ...] = positions(statement.at, report)
    return [(Element(n, p), statement.reason.value) for n in nodes for p in where]
