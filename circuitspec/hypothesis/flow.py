"""Information flow through the declared graph: what each role is fed, and from which tokens.

Kept nodes are background here: a story that only holds because every MLP is in the circuit is not
the story that was told. A kept node that an `edge` line names takes part like any other, fed by
the edges its `keep` adds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from circuitspec.hypothesis.edges import UNRESOLVED
from circuitspec.hypothesis.places import meet
from circuitspec.hypothesis.product import reads
from circuitspec.hypothesis.records import Edge, Hypothesis, Place
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language.nodes import ALL_POSITIONS, Head, Input, Logits, Mlp, Position

Sending = Input | Head | Mlp


@dataclass(slots=True)
class Flow:
    """Walks a hypothesis's declared edges upstream. Make one for a hypothesis and ask it often."""

    hypothesis: Hypothesis
    info: TaskInfo
    _incoming: dict[Head | Mlp | Logits, list[Edge]] = field(default_factory=dict)
    _places: dict[Head | Mlp, list[Place]] = field(default_factory=dict)
    _sources: dict[tuple[Sending, Place], frozenset[Position]] = field(default_factory=dict)
    _broken: dict[str, set[str]] = field(default_factory=dict)
    """Senders of statements without edges, by receiver: reported, and taken as meant."""

    def __post_init__(self) -> None:
        for part in self.hypothesis.edges:
            for edge in part.edges:
                self._incoming.setdefault(edge.receiver, []).append(edge)
            if not part.edges:
                self._broken.setdefault(part.receiver, set()).add(part.sender)
        for role in self.hypothesis.roles.values():
            for node in role.nodes:
                self._places.setdefault(node, []).extend(role.places)

    def sources(self, node: Head | Mlp, place: Place) -> frozenset[Position]:
        """The positions of the input that some path of declared edges leads from to the node."""
        key = (node, place)
        if key not in self._sources:
            self._sources[key] = frozenset()  # a node is never upstream of itself
            found: set[Position] = set()
            for edge in self._incoming.get(node, ()):
                if meet((edge.position,), reads(place, edge.channel), self.info):
                    found |= self._from(edge)
            if node not in self._places and not self._incoming.get(node):
                found |= set(reads(place, "in"))  # kept: the input feeds it where it lives
            for name in self._names(node):
                for sender in self._broken.get(name, ()):
                    found |= self._meant(sender)
            self._sources[key] = frozenset(found)
        return self._sources[key]

    def _names(self, node: Head | Mlp) -> list[str]:
        roles = (name for name, role in self.hypothesis.roles.items() if node in role.nodes)
        return [str(node), *roles]

    def _meant(self, sender: str) -> set[Position]:
        """What a sender of a broken statement would bring, wherever it was to be read."""
        if sender in ("input", UNRESOLVED):
            return {ALL_POSITIONS}
        role = self.hypothesis.roles.get(sender)
        placed = [(n, p) for n in role.nodes for p in role.places] if role else []
        placed += [(n, p) for n, places in self._places.items() if str(n) == sender for p in places]
        return {position for n, p in placed for position in self.sources(n, p)}

    def _from(self, edge: Edge) -> set[Position]:
        if isinstance(edge.sender, Input):
            return {edge.position}
        places = self._places.get(edge.sender) or [Place(query=edge.position)]
        found: set[Position] = set()
        for place in places:
            if meet((place.query,), (edge.position,), self.info):
                found |= self.sources(edge.sender, place)
        return found


@dataclass(frozen=True, slots=True)
class Links:
    """Who sends to whom, by the names of edge statements: roles, `input`, `logits`, nodes."""

    feeds: Mapping[str, frozenset[str]]
    """From a receiver to its senders."""
    reaches: Mapping[str, frozenset[str]]
    """From a sender to its receivers."""

    def fed(self) -> frozenset[str]:
        """Names that some path leads to from the input, or from something that is not known."""
        return _closure({"input", UNRESOLVED}, self.reaches)

    def heard(self) -> frozenset[str]:
        """Names from which some path leads to the logits, or to something that is not known."""
        return _closure({"logits", UNRESOLVED}, self.feeds)


def links(hypothesis: Hypothesis) -> Links:
    """The edge statements as a graph of names; a node written out also counts for its roles.

    Statements without edges (a mistake reported elsewhere) count, and in both directions: the
    author meant something by them, perhaps the other way round.
    """
    feeds: dict[str, set[str]] = {}
    reaches: dict[str, set[str]] = {}
    aliases: dict[str, set[str]] = {}
    for role in hypothesis.roles.values():
        for node in role.nodes:
            aliases.setdefault(str(node), {str(node)}).add(role.name)
    kept = {str(n) for k in hypothesis.kept if not isinstance(k.nodes, str) for n in k.nodes}
    mentioned: set[str] = set()
    for part in hypothesis.edges:
        mentioned |= {part.sender, part.receiver}
        for sender in aliases.get(part.sender, {part.sender}):
            for receiver in aliases.get(part.receiver, {part.receiver}):
                feeds.setdefault(receiver, set()).add(sender)
                reaches.setdefault(sender, set()).add(receiver)
                if not part.edges:
                    feeds.setdefault(sender, set()).add(receiver)
                    reaches.setdefault(receiver, set()).add(sender)
    every = {k.nodes for k in hypothesis.kept if isinstance(k.nodes, str)}
    for name in mentioned - set(hypothesis.roles) - {"input", "logits", UNRESOLVED}:
        if name in kept or ("mlps" if name.startswith("m") else "heads") in every:
            reaches.setdefault("input", set()).add(name)
            feeds.setdefault("logits", set()).add(name)
    return Links(
        feeds={k: frozenset(v) for k, v in feeds.items()},
        reaches={k: frozenset(v) for k, v in reaches.items()},
    )


def _closure(start: set[str], follow: Mapping[str, frozenset[str]]) -> frozenset[str]:
    found, frontier = set(start), list(start)
    while frontier:
        for name in follow.get(frontier.pop(), frozenset()):
            if name not in found:
                found.add(name)
                frontier.append(name)
    return frozenset(found)
