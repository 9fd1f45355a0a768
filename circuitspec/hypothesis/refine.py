"""`refines` and `drop`: the statements that a hypothesis has once its parents' are copied in.

Everything named that is declared anew replaces its namesake; edges, keeps and open nodes add up.
`drop` removes a role and its name from edges, groups and claims. What is left empty goes too, and
is listed; so does a claim that loses what it does or what it is conditioned on, since what would
remain is another claim.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.text import (
    channels_text,
    requirement_text,
    target_text,
    targets_text,
)
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Label
from circuitspec.language.nodes import Head, HeadIndex, Input, Layer, Logits, Mlp
from circuitspec.language.syntax import Expr, HypothesisStatement, Target

NOT_A_HYPOTHESIS = "H001"
CIRCULAR = "H004"
DROPPED = "H005"
DROPPED_AND_DECLARED = "H006"

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A hypothesis's own and inherited statements. `dropped` lists what its refinements removed."""

    statements: tuple[HypothesisStatement, ...]
    dropped: tuple[str, ...] = ()


def merge(
    hypothesis: syntax.Hypothesis, known: Mapping[str, syntax.Hypothesis], report: Report
) -> Merged:
    """All statements of a hypothesis, its ancestors' copied in."""
    return _merge(hypothesis, known, report, ())


def _merge(
    hypothesis: syntax.Hypothesis,
    known: Mapping[str, syntax.Hypothesis],
    report: Report,
    below: tuple[str, ...],
) -> Merged:
    name = hypothesis.refines
    if name is None:
        for dropped in _drops(hypothesis):
            report.unknown(NOT_A_HYPOTHESIS, "inherited role", dropped.text, dropped.span, ())
        return Merged(statements=_without_drops(hypothesis))
    if name.text in (*below, hypothesis.name.text):
        path = (*below, hypothesis.name.text)
        _circle(path[path.index(name.text) :], known, report)
        return Merged(statements=_without_drops(hypothesis))
    meant: str | None = name.text
    if name.text not in known:
        others = [k for k in known if k != hypothesis.name.text and k not in below]
        meant = report.unknown(NOT_A_HYPOTHESIS, "hypothesis", name.text, name.span, others)
    if meant is None:
        return Merged(statements=_without_drops(hypothesis))
    parent = _merge(known[meant], known, report, (*below, hypothesis.name.text))
    return _refined(hypothesis, parent, report)


def _circle(names: tuple[str, ...], known: Mapping[str, syntax.Hypothesis], report: Report) -> None:
    """Report a circle of refinements once, whichever of its members is resolved first."""
    hops = sorted(names)
    spans = [h.span for n in hops if n in known and (h := known[n].refines) is not None]
    if not spans or any(d.code == CIRCULAR and d.span == spans[0] for d in report.found):
        return
    way = f" by way of {', '.join(f'`{n}`' for n in hops[1:])}" if hops[1:] else ""
    report.error(
        CIRCULAR,
        f"`{hops[0]}` refines itself{way}",
        spans[0],
        hint="let one of them stand on its own",
        labels=tuple(Label(span=s, message="which refines this") for s in spans[1:]),
    )


def _drops(hypothesis: syntax.Hypothesis) -> Iterator[syntax.Name]:
    for statement in hypothesis.statements:
        if isinstance(statement, syntax.Drop):
            yield from statement.roles


def _without_drops(hypothesis: syntax.Hypothesis) -> tuple[HypothesisStatement, ...]:
    return tuple(s for s in hypothesis.statements if not isinstance(s, syntax.Drop))


def _refined(hypothesis: syntax.Hypothesis, parent: Merged, report: Report) -> Merged:
    own = _without_drops(hypothesis)
    own_keys = {key for s in own if (key := statement_key(s)) is not None}
    inherited = [s for s in parent.statements if statement_key(s) not in own_keys]
    before = {s.name.text: s for s in parent.statements if isinstance(s, syntax.Role)}
    own_roles = {s.name.text: s for s in own if isinstance(s, syntax.Role)}
    removed: set[str] = set()
    for name in _drops(hypothesis):
        if name.text in own_roles:
            report.error(
                DROPPED_AND_DECLARED,
                f"`{name}` is dropped and declared in one hypothesis",
                name.span,
                hint="a role declared anew replaces its namesake: remove it from `drop`",
                labels=(Label(span=own_roles[name.text].span, message="declared here"),),
            )
        elif name.text in before:
            removed.add(name.text)
        else:
            # What was meant stays: to drop it on a guess would break what hangs on it.
            report.unknown(NOT_A_HYPOTHESIS, "inherited role", name.text, name.span, before)
    after = [s for n, s in before.items() if n not in removed and n not in own_roles]
    after += own_roles.values()
    stated: list[Target] = [n for s in after for n in s.nodes]
    for statement in (*inherited, *own):
        if isinstance(statement, syntax.Open):
            stated += statement.nodes
        elif isinstance(statement, syntax.Keep):
            stated += [t for t in statement.targets if not isinstance(t, syntax.Ref)]
    gone = _nodes(n for s in before.values() for n in s.nodes) - _nodes(stated)
    cutter = _Cutter(removed=removed, gone=gone, lost=[])
    kept = cutter.statements(inherited)
    if cutter.lost:
        report.note(
            DROPPED,
            f"`{hypothesis.name}` drops what its roles leave empty: " + "; ".join(cutter.lost),
            hypothesis.refines.span if hypothesis.refines else hypothesis.span,
        )
    listed = (*(f"role {name}" for name in sorted(removed)), *cutter.lost)
    return Merged(statements=(*kept, *own), dropped=(*parent.dropped, *listed))


def statement_key(statement: HypothesisStatement) -> Key | None:
    """What a statement replaces when declared anew in a refinement; None where they add up."""
    match statement:
        case syntax.ModelStatement():
            return ("model", "")
        case syntax.Task():
            return ("task", "")
        case syntax.Role(name=name) | syntax.Group(name=name):
            return ("role", name.text)
        case syntax.Protocol(name=name):
            return ("protocol", name.text)
        case syntax.Expect(name=name):
            return ("expect", name.text)
        case _:
            return None


def _nodes(literals: Iterable[Target]) -> set[Head | Mlp | Input | Logits]:
    return {node for literal in literals for node in nodes_of(literal)}


def nodes_of(literal: Target) -> tuple[Head | Mlp | Input | Logits, ...]:
    """The nodes of a literal or a range; none for a name or for a range that runs backwards."""
    match literal:
        case syntax.NodeLiteral(node=node):
            return (node,)
        case syntax.NodeRange(first=first, last=last):
            match first.node, last.node:
                case Mlp() as a, Mlp() as b:
                    return tuple(Mlp(Layer(i)) for i in range(a.layer, b.layer + 1))
                case Head() as c, Head() as d if c.layer == d.layer:
                    indices = range(c.index, d.index + 1)
                    return tuple(Head(c.layer, HeadIndex(i)) for i in indices)
                case _:
                    return ()
        case syntax.Ref():
            return ()


@dataclass(frozen=True, slots=True)
class _Cutter:
    """Removes role names and vanished nodes from statements; `lost` lists what goes with them."""

    removed: set[str]
    gone: set[Head | Mlp | Input | Logits]
    lost: list[str]

    def statements(self, inherited: list[HypothesisStatement]) -> list[HypothesisStatement]:
        kept = [s for s in inherited if not self._is_removed(s)]
        # A group left empty takes its name with it, so groups go first.
        staying: list[HypothesisStatement] = []
        for statement in kept:
            if isinstance(statement, syntax.Group):
                roles = tuple(r for r in statement.roles if r.text not in self.removed)
                if not roles:
                    self.removed.add(statement.name.text)
                    self.lost.append(f"group {statement.name}")
                    continue
                statement = replace(statement, roles=roles)
            staying.append(statement)
        return [s for s in (self._cut(s) for s in staying) if s is not None]

    def _is_removed(self, statement: HypothesisStatement) -> bool:
        return isinstance(statement, syntax.Role) and statement.name.text in self.removed

    def _cut(self, statement: HypothesisStatement) -> HypothesisStatement | None:
        match statement:
            case syntax.Edge():
                return self._edge(statement)
            case syntax.Expect():
                return self._expect(statement)
            case syntax.Keep(targets=targets):
                left = self._targets(targets)
                return replace(statement, targets=left) if left else None
            case syntax.Protocol(actions=actions):
                cut = tuple(a for a in map(self._action, actions) if a is not None)
                return replace(statement, actions=cut)
            case _:
                return statement

    def _target(self, target: Target) -> bool:
        if isinstance(target, syntax.Ref):
            return target.name not in self.removed
        nodes = nodes_of(target)
        return not nodes or any(n not in self.gone for n in nodes)

    def _targets(self, targets: tuple[Target, ...]) -> tuple[Target, ...]:
        return tuple(t for t in targets if self._target(t))

    def _receivers(self, receivers: tuple[syntax.Receiver, ...]) -> tuple[syntax.Receiver, ...]:
        return tuple(r for r in receivers if self._target(r.target))

    def _edge(self, edge: syntax.Edge) -> syntax.Edge | None:
        if edge.within is not None:
            if edge.within.text not in self.removed:
                return edge
            self.lost.append(f"edge within {edge.within}")
            return None
        senders, receivers = self._targets(edge.senders), self._receivers(edge.receivers)
        if senders and receivers:
            return replace(edge, senders=senders, receivers=receivers)
        self.lost.append(f"edge {edge_text(edge)}")
        return None

    def _expect(self, expect: syntax.Expect) -> syntax.Expect | None:
        actions: list[syntax.Action] = []
        for action in expect.actions:
            cut = self._action(action)
            if cut is None:
                self.lost.append(f"expect {expect.name}")
                return None
            actions.append(cut)
        requirements = []
        for require in expect.requirements:
            if self._mentions(require.left) or self._mentions(require.right):
                self.lost.append(f"require {requirement_text(require)} of {expect.name}")
            else:
                requirements.append(require)
        if expect.requirements and not requirements:
            self.lost.append(f"expect {expect.name}")
            return None
        return replace(expect, actions=tuple(actions), requirements=tuple(requirements))

    def _action(self, action: syntax.Action) -> syntax.Action | None:
        """The action without what is removed, or None where it was about nothing else."""
        match action:
            case syntax.Ablate(targets=tuple() as targets):
                left = self._targets(targets)
                return replace(action, targets=left) if left else None
            case syntax.Patch(senders=senders, hops=hops):
                left = self._targets(senders)
                cut = tuple(self._receivers(hop) for hop in hops)
                return replace(action, senders=left, hops=cut) if left and all(cut) else None
            case syntax.Scrub(roles=roles):
                names = tuple(r for r in roles if r.text not in self.removed)
                return replace(action, roles=names) if names or not roles else None
            case syntax.Given(targets=targets):
                left = self._targets(targets)
                return replace(action, targets=left) if left else None
            case syntax.Run(restore=restore):
                left = self._targets(restore)
                return replace(action, restore=left) if left or not restore else None
            case syntax.Knockouts(sets=sets):
                return replace(action, sets=tuple(s for s in map(self._targets, sets) if s))
            case syntax.Each(given=given):
                clauses = (self._given_set(clause) for clause in given)
                return replace(action, given=tuple(c for c in clauses if c is not None))
            case _:
                return action

    def _given_set(self, clause: syntax.GivenSet) -> syntax.GivenSet | None:
        members, given = self._targets(clause.members), self._targets(clause.given)
        if (clause.members and not members) or (clause.given and not given):
            self.lost.append(f"given {given_set_text(clause)}")
            return None
        return replace(clause, members=members, given=given)

    def _mentions(self, expression: Expr) -> bool:
        match expression:
            case syntax.Ref(name=name):
                return name in self.removed
            case syntax.NodeLiteral(node=node):
                return node in self.gone
            case syntax.Call(arguments=arguments, keywords=keywords):
                values = (*arguments, *(k.value for k in keywords))
                return any(self._mentions(v) for v in values)
            case syntax.Binary(left=left, right=right):
                return self._mentions(left) or self._mentions(right)
            case syntax.Unary(operand=operand):
                return self._mentions(operand)
            case syntax.At(value=value):
                return self._mentions(value)
            case _:
                return False


def edge_text(edge: syntax.Edge) -> str:
    """An edge statement as written, without its keyword."""
    if edge.within is not None:
        return f"within {edge.within}"
    receivers = ", ".join(target_text(r.target) + channels_text(r.channels) for r in edge.receivers)
    return f"{targets_text(edge.senders)} -> {receivers}"


def given_set_text(clause: syntax.GivenSet) -> str:
    """A clause of a minimality claim's K as written."""
    given = targets_text(clause.given) if clause.given else "role"
    head = f"{targets_text(clause.members)}: " if clause.members else ""
    return f"{head}{given}{' before it' if clause.before else ''}"
