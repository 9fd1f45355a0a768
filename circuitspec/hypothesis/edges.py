"""From `edge` lines to edge statements: who is meant, at which channels, in a stable order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from circuitspec.hypothesis.members import (
    NOT_LISTED,
    PLACE_UNKNOWN,
    UNKNOWN,
    Scope,
    bad_range,
)
from circuitspec.hypothesis.ordering import channel_key, edge_key
from circuitspec.hypothesis.places import positions
from circuitspec.hypothesis.product import BACKWARD, Node, Party, Product
from circuitspec.hypothesis.records import Edge, EdgeStatement, Place
from circuitspec.hypothesis.refine import edge_text, nodes_of
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.text import channels_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Span
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    QKV,
    Channel,
    Head,
    Input,
    Logits,
    Mlp,
    Position,
)
from circuitspec.language.syntax import HypothesisStatement, Target

REPEATED = "H015"
CHANNEL = "H018"

UNRESOLVED = "?"
"""The sender or receiver of a statement that names nothing known: reported, and kept so that
rules about who is fed do not complain a second time."""


def edge_statements(
    statements: tuple[HypothesisStatement, ...], scope: Scope, report: Report
) -> tuple[EdgeStatement, ...]:
    """Every edge line expanded, numbered in an order that does not depend on the text's."""
    lines: dict[tuple[str, ...], list[EdgeStatement]] = {}
    for statement in statements:
        if not isinstance(statement, syntax.Edge):
            continue
        expanded = _expand(statement, scope, report)
        key = tuple(sorted(_statement_text(e) for e in expanded))
        if key in lines and all(e.edges for e in expanded):
            report.warn(
                REPEATED,
                f"`edge {edge_text(statement)}` is stated twice",
                statement.span,
                hint="remove one of the two",
            )
        else:
            lines[key] = sorted(expanded, key=_statement_text)
    _overlaps(lines.values(), scope, report)
    return tuple(
        replace(part, statement=number)
        for number, key in enumerate(sorted(lines))
        for part in lines[key]
    )


def _statement_text(part: EdgeStatement) -> str:
    where = ",".join(sorted({str(e.position) for e in part.edges}))
    return f"{part.sender} -> {part.receiver}{channels_text(part.channels)} @ {where}"


def _overlaps(lines: Iterable[list[EdgeStatement]], scope: Scope, report: Report) -> None:
    first: dict[Edge, EdgeStatement] = {}
    for line in sorted(lines, key=lambda parts: [p.span.start for p in parts]):
        repeated = ((p, e) for p in line for e in p.edges if e in first)
        seen = next((e for p, e in repeated if not _by_roles(p, first[e], scope)), None)
        if seen is not None:
            report.warn(
                REPEATED,
                f"`{seen}` is stated by two lines",
                line[0].span,
                hint="state an edge once: scrubbing draws once for each statement",
            )
        first.update((e, p) for p in line for e in p.edges if e not in first)


def _by_roles(part: EdgeStatement, other: EdgeStatement, scope: Scope) -> bool:
    """Whether an edge is repeated because its end is in two roles, which has its own rule."""
    return any(
        one != two and one in scope.roles and two in scope.roles
        for one, two in ((part.sender, other.sender), (part.receiver, other.receiver))
    )


def _expand(statement: syntax.Edge, scope: Scope, report: Report) -> list[EdgeStatement]:
    at = None if statement.at is None else positions(statement.at, report)
    if statement.within is not None:
        return _within(statement, statement.within, at, scope, report)
    senders = parties(statement.senders, scope, report, "sender")
    parts: dict[tuple[str, str], EdgeStatement] = {}
    for stated in statement.receivers:
        for receiver in parties((stated.target,), scope, report, "receiver"):
            channels = channels_of(stated, receiver, report)
            for sender in senders:
                edges: tuple[Edge, ...] = ()
                if UNRESOLVED not in (sender.name, receiver.name) and channels:
                    product = Product(
                        sender=sender, receiver=receiver, channels=channels, at=at,
                        scope=scope, span=stated.span,
                    )  # fmt: skip
                    edges = product.edges(report)
                key = (sender.name, receiver.name)
                before = parts.get(key)
                merged = {*channels, *(before.channels if before else ())}
                parts[key] = EdgeStatement(
                    statement=0,
                    sender=sender.name,
                    receiver=receiver.name,
                    channels=tuple(sorted(merged, key=channel_key)),
                    edges=tuple(sorted({*edges, *(before.edges if before else ())}, key=edge_key)),
                    span=statement.span,
                )
    return list(parts.values())


def _within(
    statement: syntax.Edge,
    name: syntax.Name,
    at: tuple[Position, ...] | None,
    scope: Scope,
    report: Report,
) -> list[EdgeStatement]:
    target = syntax.Ref(name=name.text, span=name.span)
    parts = []
    for party in parties((target,), scope, report, "role"):
        if party.name == UNRESOLVED:
            continue
        kinds = {type(node) for node, _ in party.members}
        channels: tuple[Channel, ...] = (*QKV,) if Head in kinds else ()
        channels += ("in",) if Mlp in kinds else ()
        product = Product(
            sender=party, receiver=party, channels=channels, at=at,
            scope=scope, span=statement.span, within=True,
        )  # fmt: skip
        edges = product.edges(report)
        used = {e.channel for e in edges}
        parts.append(
            EdgeStatement(
                statement=0,
                sender=party.name,
                receiver=party.name,
                channels=tuple(c for c in channels if c in used),
                edges=tuple(sorted(set(edges), key=edge_key)),
                span=statement.span,
            )
        )
    return parts


def parties(targets: tuple[Target, ...], scope: Scope, report: Report, side: str) -> list[Party]:
    """Who a list of targets stands for; a name that means nothing becomes one unresolved party."""
    found: list[Party] = []
    for target in targets:
        if isinstance(target, syntax.Ref):
            found += _named(target, scope, report, side)
            continue
        nodes = nodes_of(target)
        if not nodes and isinstance(target, syntax.NodeRange):
            bad_range(target, report)
            found.append(_unresolved(target.span))
        for node in nodes:
            found.append(_written_out(node, target.span, scope, report, side))
    return found


def _unresolved(span: Span) -> Party:
    return Party(name=UNRESOLVED, members=(), span=span)


def _named(target: syntax.Ref, scope: Scope, report: Report, side: str) -> list[Party]:
    if target.name in ("mlps", "heads"):
        report.error(
            NOT_LISTED,
            f"`{target.name}` cannot stand in an edge: which ones exist depends on the model",
            target.span,
            hint="write them out, for example `m0..m11`, or `keep mlps @ *`",
        )
        return [_unresolved(target.span)]
    name: str | None = target.name
    if target.name not in scope.named:
        options = scope.named if side == "role" else (*scope.named, "input", "logits")
        name = report.unknown(UNKNOWN, "role or group", target.name, target.span, options)
    if name in ("input", "logits"):
        node: Node = Input() if name == "input" else Logits()
        return [_written_out(node, target.span, scope, report, side)]
    # A role whose members could not be read has been reported, and is as good as unknown.
    roles = [role for role in scope.expand(name or "") if role.nodes]
    if not roles:
        return [_unresolved(target.span)]
    return [
        Party(
            name=role.name,
            members=tuple((node, role.places) for node in role.nodes),
            span=target.span,
        )
        for role in roles
    ]


def _written_out(node: Node, span: Span, scope: Scope, report: Report, side: str) -> Party:
    match node:
        case Logits() if side == "receiver":
            places = tuple(Place(query=p) for p in scope.info.logit_positions())
            return Party(name="logits", members=((node, places),), span=span)
        case Input() if side == "sender":
            return Party(name="input", members=((node, (Place(query=ALL_POSITIONS),)),), span=span)
        case Logits() | Input():
            report.error(
                BACKWARD,
                f"`{node}` cannot be a {side}: it stands at the "
                + ("end" if isinstance(node, Logits) else "beginning"),
                span,
                hint="edges lead from `input` to `logits`",
            )
            return _unresolved(span)
        case Head() | Mlp():
            places = scope.placed(node)
            if places:
                return Party(name=str(node), members=((node, places),), span=span)
            report.error(
                PLACE_UNKNOWN,
                f"`{node}` is in no role, so no position is known for it",
                span,
                hint=f"give it a role (`role NAME = {node} @ POSITION`) or `keep {node} @ *`",
            )
            return _unresolved(span)


def channels_of(stated: syntax.Receiver, receiver: Party, report: Report) -> tuple[Channel, ...]:
    """The channels an edge arrives at; reports what does not fit its receiver."""
    if receiver.name == UNRESOLVED:
        return ()
    kinds = {type(node) for node, _ in receiver.members}
    channels = tuple(dict.fromkeys(stated.channels))
    name = receiver.name
    if kinds == {Logits}:
        if not channels:
            return ("",)
        report.error(CHANNEL, "the logits have no channels", stated.span, hint="write `-> logits`")
        return ("",)
    if not channels:
        if kinds == {Mlp}:
            return ("in",)
        report.error(
            CHANNEL,
            f"it is not said which input of `{name}` the edge arrives at",
            stated.span,
            hint=f"write `{name}.q`, `{name}.kv` or `{name}.qkv`"
            + (", or `.in` for its MLPs" if Mlp in kinds else ""),
        )
        return ()
    allowed = {*(QKV if Head in kinds else ()), *(("in",) if Mlp in kinds else ())}
    wrong = [c for c in channels if c not in allowed]
    if wrong:
        what = "MLPs are read at `.in`" if kinds == {Mlp} else "heads are read at `.q`, `.k`, `.v`"
        report.error(
            CHANNEL,
            f"`{name}` has no channel `{''.join(wrong) or ' '}`",
            stated.span,
            hint=what,
        )
    return tuple(c for c in channels if c in allowed)
