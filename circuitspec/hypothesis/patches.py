"""Path patching: which sender elements and receiver inputs are written together.

A patched sender changes a receiver's input at the sender's own positions only (heads stay frozen,
and MLPs do not move between positions), so a pair holds the positions where both meet.
"""

from __future__ import annotations

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
    edges = _edges(action.senders, action.hops[0], scope, report)
    onward = tuple(
        _onward(before, after, scope, report)
        for before, after in zip(action.hops, action.hops[1:], strict=False)
    )
    mode, through = action.mode, action.through
    each = _each_pair(edges or (), onward, scope)
    if mode is None and len(each) == 1:
        mode = "all"  # one sender, one receiver: both words mean the same
    if mode is None and edges is not None:
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
    if edges is None or baseline is None or mode is None or through is None:
        return None
    if not all(hop.receivers for hop in onward):
        return None
    name = " -> ".join(
        [targets_text(action.senders), *(", ".join(map(receiver_text, hop)) for hop in action.hops)]
    )
    together = PatchedPair(
        name=name, senders=_senders(edges, scope), receivers=_reads(edges), onward=onward
    )
    pairs = (together,) if mode == "all" else each
    return PathPatch(mode=mode, pairs=pairs, baseline=baseline, through=through)


def _onward(
    before: tuple[syntax.Receiver, ...],
    after: tuple[syntax.Receiver, ...],
    scope: Scope,
    report: Report,
) -> OnwardHop:
    """A hop from the receivers of the one before; without receivers where it cannot be said."""
    edges = _edges(tuple(r.target for r in before), after, scope, report) or ()
    return OnwardHop(senders=_senders(edges, scope), receivers=_reads(edges))


def baseline_name(name: syntax.Name, scope: Scope, report: Report) -> str | None:
    """The task's baseline of that name."""
    if name.text in scope.info.baselines or not scope.info.known:
        return name.text
    return report.unknown(UNKNOWN, "baseline", name.text, name.span, scope.info.baselines)


def _edges(
    senders: tuple[syntax.Target, ...],
    receivers: tuple[syntax.Receiver, ...],
    scope: Scope,
    report: Report,
) -> tuple[Edge, ...] | None:
    """The edges a hop runs along, in a stable order; None if something in it is unknown."""
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
    return tuple(sorted(found, key=edge_key)) if complete else None


def _reads(edges: tuple[Edge, ...]) -> tuple[Read, ...]:
    return tuple(dict.fromkeys((e.receiver, e.channel, e.position) for e in edges_by_read(edges)))


def edges_by_read(edges: tuple[Edge, ...]) -> list[Edge]:
    """Edges in the order of what they are read by."""
    return sorted(
        edges, key=lambda e: (node_key(e.receiver), channel_key(e.channel), str(e.position))
    )


def _lives(sender: Input | Head | Mlp, scope: Scope) -> tuple[Element, ...]:
    lives = {Element(sender, place.query) for place in scope.placed(sender)}
    return tuple(sorted(lives, key=element_key))


def _senders(edges: tuple[Edge, ...], scope: Scope) -> tuple[Element, ...]:
    found = {element for e in edges for element in _lives(e.sender, scope)}
    return tuple(sorted(found, key=element_key))


def _each_pair(
    edges: tuple[Edge, ...], onward: tuple[OnwardHop, ...], scope: Scope
) -> tuple[PatchedPair, ...]:
    """One pair for every sender element and receiver channel that it meets."""
    pairs: dict[tuple[Element, Head | Mlp | Logits, Channel], list[Read]] = {}
    for edge in edges:
        for element in _lives(edge.sender, scope):
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
