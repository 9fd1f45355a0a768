"""The product of an edge line's senders and receivers, as far as layers and places allow.

A receiver is read at its own places: q at the query position, k and v at the attended ones (`*`
where none is stated), an MLP's `.in` at its position, the logits where the metrics read them.
"""

from __future__ import annotations

from dataclasses import dataclass

from circuitspec.hypothesis.members import Scope
from circuitspec.hypothesis.places import listed, meet, restricted
from circuitspec.hypothesis.records import Edge, Place
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.text import channels_text
from circuitspec.language.diagnostics import Label, Span
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    QKV,
    Channel,
    Head,
    Input,
    Logits,
    Mlp,
    Position,
    is_upstream,
)

BACKWARD = "H010"
EMPTIED = "H011"
ELSEWHERE = "H012"
NOWHERE = "H014"

Node = Input | Head | Mlp | Logits
Pair = tuple[
    tuple[Input | Head | Mlp, tuple[Place, ...]], tuple[Head | Mlp | Logits, tuple[Place, ...]]
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """One side of an edge statement: a role, `input`, `logits`, or a node, with its places."""

    name: str
    members: tuple[tuple[Node, tuple[Place, ...]], ...]
    span: Span


def reads(place: Place, channel: Channel) -> tuple[Position, ...]:
    """The positions at which a receiver living at a place reads one of its channels."""
    if channel in ("k", "v"):
        return place.keys or (ALL_POSITIONS,)
    return (place.query,)


def fits(node: Node, channel: Channel) -> bool:
    """Whether a node has a channel of that name."""
    match node:
        case Head():
            return channel in QKV
        case Mlp():
            return channel == "in"
        case Logits():
            return channel == ""
        case Input():
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One sender and one receiver of an edge line."""

    sender: Party
    receiver: Party
    channels: tuple[Channel, ...]
    at: tuple[Position, ...] | None
    scope: Scope
    span: Span
    within: bool = False

    def edges(self, report: Report) -> tuple[Edge, ...]:
        """The edges, and one report of what there is to complain about."""
        found: set[Edge] = set()
        missing: list[Channel] = []
        pairs = self._pairs()
        if not pairs:
            self._no_pairs(report)
            return ()
        outside = True
        for channel in self.channels:
            of_channel = set()
            for (sender, sends), (receiver, places) in pairs:
                if not fits(receiver, channel):
                    continue
                for place in places:
                    where = restricted(reads(place, channel), self.at, self.scope.info)
                    outside = outside and not where
                    lives = [p.query for p in sends]
                    for position in meet(lives, where, self.scope.info):
                        of_channel.add(Edge(sender, receiver, channel, position))
            if not of_channel:
                missing.append(channel)
            found |= of_channel
        if self.at is not None and outside:
            self._outside(self.at, report)
        elif missing and not (self.within and found):
            self._elsewhere(tuple(missing), report)
        return tuple(found)

    def _pairs(self) -> list[Pair]:
        return [
            ((s, sends), (r, places))
            for s, sends in self.sender.members
            for r, places in self.receiver.members
            if not isinstance(s, Logits) and not isinstance(r, Input) and is_upstream(s, r)
        ]

    def _no_pairs(self, report: Report) -> None:
        names = f"`{self.sender.name}` -> `{self.receiver.name}`"
        single = len(self.sender.members) == len(self.receiver.members) == 1
        labels = self._labels("sends from here", "is read here")
        if self.within:
            report.error(
                EMPTIED,
                f"no member of `{self.sender.name}` lies above another: there is nothing to join",
                self.span,
                hint="`edge within` joins members of different layers; remove the line",
            )
        elif single:
            s, r = self.sender.members[0][0], self.receiver.members[0][0]
            same = isinstance(s, Head | Mlp) and isinstance(r, Head | Mlp) and s.layer == r.layer
            report.error(
                BACKWARD,
                f"{names} leads {'across one layer' if same else 'backwards'}: {r} cannot read {s}",
                self.span,
                hint="a receiver reads lower layers, and an MLP the heads of its own layer",
                labels=labels,
            )
        else:
            report.error(
                EMPTIED,
                f"{names} has no edge: every sender lies at or above every receiver",
                self.span,
                hint="turn the edge round, or check the layers of both roles",
                labels=labels,
            )

    def _labels(self, sends: str, reads_: str) -> tuple[Label, ...]:
        found = []
        for party, message in ((self.sender, sends), (self.receiver, reads_)):
            role = self.scope.roles.get(party.name)
            if role is not None:
                found.append(Label(span=role.span, message=f"`{party.name}` {message}"))
        return tuple(found)

    def _elsewhere(self, missing: tuple[Channel, ...], report: Report) -> None:
        lives = dict.fromkeys(p.query for _, places in self.sender.members for p in places)
        wanted = dict.fromkeys(
            position
            for _, places in self.receiver.members
            for place in places
            for channel in missing
            for position in restricted(reads(place, channel), self.at, self.scope.info)
        )
        if self.scope.info.nowhere((*lives, *wanted)):
            return
        name, channels = self.receiver.name, channels_text(missing)
        others = [c for c in QKV if c not in missing and self._would_meet(c, list(lives))]
        hint = f"let `{self.sender.name}` live there (`@ {listed(wanted)}`)"
        if others and any(isinstance(r, Head) for r, _ in self.receiver.members):
            hint += f", or lead the edge to `{name}.{''.join(others)}`"
        report.error(
            ELSEWHERE,
            f"`{self.sender.name}` lives at {listed(lives)}, "
            f"but `{name}{channels}` is read at {listed(wanted)}",
            self.span,
            hint=hint,
            labels=self._labels("lives here", "reads here"),
        )

    def _would_meet(self, channel: Channel, lives: list[Position]) -> bool:
        return any(
            meet(lives, reads(place, channel), self.scope.info)
            for _, places in self.receiver.members
            for place in places
        )

    def _outside(self, at: tuple[Position, ...], report: Report) -> None:
        read = dict.fromkeys(
            position
            for node, places in self.receiver.members
            for place in places
            for channel in self.channels
            if fits(node, channel)
            for position in reads(place, channel)
        )
        if self.scope.info.nowhere((*at, *read)):
            return
        report.error(
            NOWHERE,
            f"`{self.receiver.name}{channels_text(self.channels)}` is not read at {listed(at)}",
            self.span,
            hint=f"it is read at {listed(read)}",
        )
