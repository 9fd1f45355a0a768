"""`each head given { ... }`: the elements v of a minimality claim and the sets K for each.

Of the clauses that speak of v the most particular decide: those that name v (or its role) before
the colon, else those that say `before it` of a list v stands in, else those said of all. Several
of equal rank are several candidate sets. Without any, K is v's role without v.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuitspec.hypothesis.members import Scope
from circuitspec.hypothesis.ordering import cut_key, edge_key
from circuitspec.hypothesis.records import CutSet, Edge, EdgeStatement, Element, Minimality, Role
from circuitspec.hypothesis.refine import given_set_text
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.sets import Declared, elements_of, without_kept
from circuitspec.hypothesis.text import targets_text
from circuitspec.language import syntax
from circuitspec.language.nodes import Head

NOT_IN_CIRCUIT = "H030"
EDGES_BY_NODES = "H031"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clause:
    """A clause with its names resolved. `members` is None where it is said of all."""

    members: frozenset[Element] | None
    given: tuple[Element, ...] | None
    before: bool
    name: str

    @property
    def rank(self) -> int:
        if self.members is not None:
            return 2
        return 1 if self.before else 0

    def speaks_of(self, unit: frozenset[Element]) -> bool:
        if self.members is not None:
            return unit <= self.members
        return not self.before or unit <= frozenset(self.given or ())


def minimality(
    each: syntax.Each,
    by: str | None,
    scope: Scope,
    declared: Declared,
    report: Report,
) -> Minimality | None:
    """Resolve an `each` line; None if something in it is unknown."""
    if each.unit == "edge":
        if by == "nodes":
            report.error(
                EDGES_BY_NODES,
                "by nodes, declared edges play no part: taking one out changes nothing",
                each.span,
                hint="ablate `by edges`, or claim `each head`",
            )
            return None
        return Minimality(unit="edge", candidates=_edges(declared.statements))
    clauses = [_clause(c, scope, report) for c in each.given]
    if any(c is None for c in clauses):
        return None
    known = [c for c in clauses if c is not None]
    found: list[tuple[CutSet, tuple[CutSet, ...]]] = []
    for role in scope.roles.values():
        for name, unit in _units(each.unit, role, scope):
            sets = _candidates(unit, role, known, scope, declared)
            found.append((declared.cut_set(name, unit), sets))
    found.sort(key=lambda candidate: cut_key(candidate[0]))
    return Minimality(unit=each.unit, candidates=tuple(found))


def _units(unit: str, role: Role, scope: Scope) -> list[tuple[str, tuple[Element, ...]]]:
    """The elements v of a role, each with the name it is reported by."""
    if unit == "role":
        members = without_kept(role.elements, scope)
        return [(role.name, members)] if members else []
    found = []
    for node in role.nodes:
        if unit == "head" and not isinstance(node, Head):
            continue
        elements = without_kept((Element(node, p.query) for p in role.places), scope)
        elsewhere = any(node in r.nodes for r in scope.roles.values() if r.name != role.name)
        name = (
            f"{node} @ {', '.join(str(e.position) for e in elements)}" if elsewhere else str(node)
        )
        if elements:
            found.append((name, elements))
    return found


def _clause(clause: syntax.GivenSet, scope: Scope, report: Report) -> _Clause | None:
    members = elements_of(clause.members, scope, report) if clause.members else None
    given = elements_of(clause.given, scope, report) if clause.given else None
    if (clause.members and members is None) or (clause.given and given is None):
        return None
    in_circuit = {e for role in scope.roles.values() for e in role.elements}
    for targets, elements in ((clause.members, members), (clause.given, given)):
        outside = [e for e in elements or () if e not in in_circuit]
        if outside:
            report.error(
                NOT_IN_CIRCUIT,
                f"`{outside[0].node}` is in no role: it is not part of the circuit",
                targets[0].span if len(targets) == 1 else clause.span,
                hint="K and v are taken from the circuit's roles",
            )
            return None
    if clause.before and members is not None and not set(members) <= set(given or ()):
        report.error(
            NOT_IN_CIRCUIT,
            f"`{targets_text(clause.members)}` does not stand in `{targets_text(clause.given)}`, "
            "so nothing there is before it",
            clause.span,
            hint="drop `before it`, or name a list it stands in",
        )
        return None
    return _Clause(
        members=None if members is None else frozenset(members),
        given=given,
        before=clause.before,
        name=given_set_text(clause).rpartition(": ")[2],
    )


def _candidates(
    unit: tuple[Element, ...],
    role: Role,
    clauses: list[_Clause],
    scope: Scope,
    declared: Declared,
) -> tuple[CutSet, ...]:
    own = frozenset(unit)
    speaking = [c for c in clauses if c.speaks_of(own)]
    rank = max((c.rank for c in speaking), default=-1)
    deciding = [c for c in speaking if c.rank == rank] or [
        _Clause(members=None, given=None, before=False, name="role")
    ]
    found: dict[frozenset[Element], CutSet] = {}
    for clause in sorted(deciding, key=lambda c: c.name):
        pool = role.elements if clause.given is None else clause.given
        if clause.before:
            pool = pool[: min(pool.index(e) for e in unit)]
        elements = [e for e in without_kept(pool, scope) if e not in own]
        name = role.name if clause.given is None else clause.name.removesuffix(" it")
        label = f"{name} {unit[0].node}" if clause.before else f"{name} without {unit[0].node}"
        if not clause.before and len(elements) == len(pool):
            label = name
        key = frozenset(elements)
        found.setdefault(key, declared.cut_set(label if elements else "nothing", key))
    return tuple(found.values())


def _edges(statements: tuple[EdgeStatement, ...]) -> tuple[tuple[CutSet, tuple[CutSet, ...]], ...]:
    """Every declared edge, K the other edges between its sender's and its receiver's role."""
    bundles: dict[str, set[Edge]] = {}
    for part in statements:  # those of a pair of roles may be written out over several lines
        bundles.setdefault(f"{part.sender} -> {part.receiver}", set()).update(part.edges)
    found: dict[Edge, tuple[CutSet, tuple[CutSet, ...]]] = {}
    for bundle, edges in sorted(bundles.items()):
        for edge in edges:
            rest = frozenset(edges) - {edge}
            name = f"{bundle} without {edge}" if rest else "nothing"
            given = CutSet(name=name, elements=frozenset(), edges=rest)
            unit = CutSet(name=str(edge), elements=frozenset(), edges=frozenset({edge}))
            found.setdefault(edge, (unit, (given,)))
    return tuple(found[e] for e in sorted(found, key=edge_key))
