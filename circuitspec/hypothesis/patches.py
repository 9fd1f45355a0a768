"""Path patching: which sender elements and receiver inputs are written together.

A patched sender changes a receiver's input at the sender's own positions only (heads stay frozen,
and MLPs do not move between positions), so a pair holds the positions where both meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from circuitspec.hypothesis.edges import UNRESOLVED, channels_of, parties
from circuitspec.hypothesis.members import UNKNOWN, Scope
from circuitspec.hypothesis.ordering import channel_key, edge_key, element_key, node_key
from circuitspec.hypothesis.places import meet
from circuitspec.hypothesis.product import Product
from circuitspec.hypothesis.records import Edge, Element, OnwardHop, PatchedPair, PathPatch
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.text import channels_text, receiver_text, targets_text
from circuitspec.language import syntax
from circuitspec.language.nodes import Channel, Head, Input, Logits, Mlp, Position

PATCH_UNSAID = "H022"

Read = tuple[Head | Mlp | Logits, Channel, Position]


def path_patch(action: syntax.Patch, scope: Scope, report: Report) -> PathPatch | None:
    """Resolve `patch all|each A -> B.ch from D direct|through mlps`; None if it cannot be said."""
    baseline = baseline_name(action.baseline, scope, report)
    first = _hop(action.senders, action.hops[0], scope, report)
    onward = tuple(
        _onward(before, after, scope, report)
        for before, after in zip(action.hops, action.hops[1:], strict=False)
    )
    mode, through = action.mode, action.through
    each = _each_pair(first, onward, scope) if first is not None else ()
    if mode is None and len(each) == 1:
        mode = "all"  # one sender, one receiver: both words mean the same
    if mode is None and first is not None:
        report.error(
            PATCH_UNSAID,
            f"it is not said whether the {len(each)} pairs are patched together or one by one",
            action.span,
            hint="write `patch all ...` (written at once) or `patch each ...` (one claim a pair)",
        )
    if through is None:
        report.error(
            PATCH_UNSAID,
            "it is not said what the path goes through",
            action.span,
            hint="add `direct` (MLPs frozen) or `through mlps` (MLPs recomputed)",
        )
    if first is None or baseline is None or mode is None or through is None:
        return None
    if not all(hop.receivers for hop in onward):
        return None
    name = " -> ".join(
        [targets_text(action.senders), *(", ".join(map(receiver_text, hop)) for hop in action.hops)]
    )
    together = PatchedPair(name=name, senders=first.senders, receivers=first.reads, onward=onward)
    pairs = (together,) if mode == "all" else each
    return PathPatch(mode=mode, pairs=pairs, baseline=baseline, through=through)


def _onward(
    before: tuple[syntax.Receiver, ...],
    after: tuple[syntax.Receiver, ...],
    scope: Scope,
    report: Report,
) -> OnwardHop:
    """A hop from the receivers of the one before; without receivers where it cannot be said."""
    hop = _hop(tuple(r.target for r in before), after, scope, report)
    if hop is None:
        return OnwardHop(senders=(), receivers=())
    return OnwardHop(senders=hop.senders, receivers=hop.reads)


def baseline_name(name: syntax.Name, scope: Scope, report: Report) -> str | None:
    """The task's baseline of that name."""
    if name.text in scope.info.baselines or not scope.info.known:
        return name.text
    return report.unknown(UNKNOWN, "baseline", name.text, name.span, scope.info.baselines)


@dataclass(frozen=True, slots=True)
class _Hop:
    """The edges a hop runs along, in a stable order, and where each sender is patched: at the
    positions of the roles that the hop names, though the node may be in others as well."""

    edges: tuple[Edge, ...]
    lives: Mapping[Input | Head | Mlp, tuple[Element, ...]]

    @property
    def senders(self) -> tuple[Element, ...]:
        """The senders that some receiver meets, at all positions named."""
        found = {element for e in self.edges for element in self.lives[e.sender]}
        return tuple(sorted(found, key=element_key))

    @property
    def reads(self) -> tuple[Read, ...]:
        """What is read at the hop's end."""
        return tuple(
            dict.fromkeys((e.receiver, e.channel, e.position) for e in edges_by_read(self.edges))
        )


def _hop(
    senders: tuple[syntax.Target, ...],
    receivers: tuple[syntax.Receiver, ...],
    scope: Scope,
    report: Report,
) -> _Hop | None:
    """One hop of a path; None if something in it is unknown."""
    found: set[Edge] = set()
    complete = True
    sending = parties(senders, scope, report, "sender")
    for stated in receivers:
        for receiver in parties((stated.target,), scope, report, "receiver"):
            channels = channels_of(stated, receiver, report)
            for sender in sending:
                if UNRESOLVED in (sender.name, receiver.name) or not channels:
                    complete = False
                    continue
                edges = Product(
                    sender=sender, receiver=receiver, channels=channels, at=None,
                    scope=scope, span=stated.span,
                ).edges(report)  # fmt: skip
                complete = complete and bool(edges)
                found.update(edges)
    if not complete:
        return None
    lives: dict[Input | Head | Mlp, set[Element]] = {}
    for party in sending:
        for node, places in party.members:
            if not isinstance(node, Logits):
                lives.setdefault(node, set()).update(Element(node, p.query) for p in places)
    return _Hop(
        tuple(sorted(found, key=edge_key)),
        {node: tuple(sorted(where, key=element_key)) for node, where in lives.items()},
    )


def edges_by_read(edges: tuple[Edge, ...]) -> list[Edge]:
    """Edges in the order of what they are read by."""
    return sorted(
        edges, key=lambda e: (node_key(e.receiver), channel_key(e.channel), str(e.position))
    )


def _each_pair(hop: _Hop, onward: tuple[OnwardHop, ...], scope: Scope) -> tuple[PatchedPair, ...]:
    """One pair for every sender element and receiver channel that it meets."""
    pairs: dict[tuple[Element, Head | Mlp | Logits, Channel], list[Read]] = {}
    for edge in hop.edges:
        for element in hop.lives[edge.sender]:
            if meet((element.position,), (edge.position,), scope.info):
                key = (element, edge.receiver, edge.channel)
                pairs.setdefault(key, []).append((edge.receiver, edge.channel, edge.position))
    return tuple(
        PatchedPair(
            name=f"{element} -> {receiver}{channels_text((channel,) if channel else ())}",
            senders=(element,),
            receivers=tuple(reads),
            onward=onward,
        )
        for (element, receiver, channel), reads in pairs.items()
    )
