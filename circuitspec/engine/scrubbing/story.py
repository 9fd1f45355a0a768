"""What a hypothesis says of one prompt: roles at token indices, and what each of them reads.

The treeified graph is walked from the logits. A **state** is some members of a role at a token, to
be computed on a prompt x with one draw o for all else; a **slot** is how it reads another state: by
which role, at which token, along which edge statement. States that have the same role, token and
members read alike, whatever the path to them, so they are described once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from circuitspec.engine.batches import indices_at
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.records import Circuit, EdgeStatement, Hypothesis, Role
from circuitspec.hypothesis.shape import ModelShape, exists
from circuitspec.hypothesis.task_text import task_info
from circuitspec.language.nodes import (
    INPUT,
    LOGITS,
    Channel,
    Head,
    Input,
    Logits,
    Mlp,
    depth,
    is_upstream,
)
from circuitspec.task.records import Prompt

Part = Head | Mlp
Receiver = Head | Mlp | Logits
Through = int | Literal["keep"]
"""The number of an edge statement, or `keep`: read through a kept node."""

Key = tuple[str, int, tuple[Receiver, ...]]
"""A kind of state: role, token index, members."""

ROOT = "logits"
KEEP: Literal["keep"] = "keep"


@dataclass(frozen=True, slots=True, order=True)
class Slot:
    """How a state reads another: a role at a token index, along an edge statement."""

    role: str
    position: int
    statement: Through

    def __str__(self) -> str:
        return f"{self.role}@{self.position}#{self.statement}"


@dataclass(frozen=True, slots=True)
class Term:
    """One sender in the mix that a channel reads at a token, in place of its value on o.

    With `slot` it is read from that state; without, `input` is the reference's own, and a head or
    MLP is a kept one, computed on the reader's reference.
    """

    sender: Input | Head | Mlp
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Members of a role at a token (or the logits at one), and the slots that they read.

    `leaf`: the role has no incoming edge there, and its members have their ordinary values.
    `exact`: it claims to carry nothing, and is read on its reader's own prompt.
    """

    role: str
    position: int
    members: tuple[Receiver, ...]
    leaf: bool
    exact: bool
    slots: tuple[tuple[Slot, State], ...] = field(hash=False, compare=False)

    @property
    def key(self) -> Key:
        """What kind of state this is."""
        return (self.role, self.position, self.members)

    def __str__(self) -> str:
        return f"{self.role}@{self.position}({','.join(map(str, self.members))})"


@dataclass(slots=True)
class _Place:
    """A role at a token: its nodes, the tokens it attends (None: all), what its channels read."""

    nodes: tuple[Receiver, ...]
    keys: frozenset[int] | None
    reads: dict[tuple[Receiver, Channel, int], dict[Input | Part, Term]] = field(
        default_factory=dict
    )


class Story:
    """A hypothesis as it stands for prompts of one geometry: those whose labels fall alike.

    `drawn` are the roles whose interpretation is tested; the others are read exactly. `roots` are
    the logits, one state for each token that a metric reads them at.
    """

    def __init__(
        self,
        hypothesis: Hypothesis,
        circuit: Circuit,
        shape: ModelShape,
        prompt: Prompt,
        roots: Iterable[int],
        drawn: Iterable[str],
    ) -> None:
        self.shape = shape
        self.length = len(prompt.tokens)
        self._drawn = frozenset(drawn)
        self._places: dict[tuple[str, int], _Place] = {}
        self._homes: dict[tuple[Part, int], str] = {}
        self._kept: dict[int, list[Part]] = {}
        self._states: dict[Key, State] = {}
        self._place_roles(hypothesis, prompt)
        for t in sorted(set(roots)):
            self._places[ROOT, t] = _Place(nodes=(LOGITS,), keys=None)
        for element in sorted(circuit.kept, key=str):
            if not isinstance(element.node, Input):
                for t in indices_at(prompt, element.position):
                    self._kept.setdefault(t, []).append(element.node)
        for nodes in self._kept.values():
            nodes[:] = sorted(set(nodes), key=_order)
        for part in sorted(hypothesis.edges, key=lambda part: part.statement):
            self._place_edges(part, hypothesis, prompt)
        self.roots = tuple(
            self._state(ROOT, t, (LOGITS,)) for role, t in self._places if role == ROOT
        )

    # ── what a channel reads ─────────────────────────────────────────────────────────────────────

    def mix(
        self, role: str, position: int, node: Receiver, channel: Channel, at: int
    ) -> list[Term]:
        """What a member of a role reads at token `at` other than on o: declared edges, and keeps.

        A declared edge counts as declared, whether or not its sender is kept too.
        """
        place = self._places[role, position]
        terms = dict(place.reads.get((node, channel, at), {}))
        inside = at == position if channel not in ("k", "v") else self._attends(place, at)
        if inside:
            for kept in self._kept.get(at, ()):
                if kept not in terms and self._upstream(kept, node):
                    terms[kept] = Term(kept)
        return sorted(terms.values(), key=lambda term: _order(term.sender))

    def kept_mix(self, node: Part, at: int) -> list[Term]:
        """What a kept node reads at a token: the input, kept nodes, and members that live there."""
        terms = [Term(INPUT)]
        kept = self._kept.get(at, ())
        terms += [Term(k) for k in kept if self._upstream(k, node)]
        for (home, t), role in self._homes.items():
            if t == at and home not in kept and self._upstream(home, node):
                terms.append(Term(home, Slot(role, at, KEEP)))
        return sorted(terms, key=lambda term: _order(term.sender))

    def tokens_read(self, node: Receiver, channel: Channel, position: int) -> range:
        """The tokens at which a channel of a node at `position` reads anything."""
        if channel not in ("k", "v"):
            return range(position, position + 1)
        return range(position + 1 if self.shape.causal else self.length)

    # ── building ─────────────────────────────────────────────────────────────────────────────────

    def _place_roles(self, hypothesis: Hypothesis, prompt: Prompt) -> None:
        for role in hypothesis.roles.values():
            nodes = tuple(sorted((n for n in role.nodes if exists(n, self.shape)), key=_order))
            for place in role.places:
                keys = None
                if place.keys:
                    keys = frozenset(t for key in place.keys for t in indices_at(prompt, key))
                for t in indices_at(prompt, place.query):
                    before = self._places.get((role.name, t))
                    if before is not None:
                        both = before.keys is None or keys is None
                        before.keys = (
                            None if both else (before.keys or frozenset()) | (keys or frozenset())
                        )
                        continue
                    self._places[role.name, t] = _Place(nodes=nodes, keys=keys)
                    for node in nodes:
                        self._homes.setdefault((node, t), role.name)

    def _place_edges(self, part: EdgeStatement, hypothesis: Hypothesis, prompt: Prompt) -> None:
        for edge in part.edges:
            sender, receiver = edge.sender, edge.receiver
            if not (exists(sender, self.shape) and exists(receiver, self.shape)):
                continue
            if not self._upstream(sender, receiver):
                continue
            for at in indices_at(prompt, edge.position):
                term = Term(sender)
                if not isinstance(sender, Input):
                    home = self._home(part.sender, sender, at, hypothesis)
                    if home is None:
                        continue
                    term = Term(sender, Slot(home, at, part.statement))
                for place in self._readers(part.receiver, receiver, edge.channel, at, hypothesis):
                    read = place.reads.setdefault((receiver, edge.channel, at), {})
                    read.setdefault(sender, term)

    def _home(self, name: str, node: Part, at: int, hypothesis: Hypothesis) -> str | None:
        """The role from which a statement reads a node at a token."""
        if name in hypothesis.roles:
            place = self._places.get((name, at))
            return name if place is not None and node in place.nodes else None
        return self._homes.get((node, at))

    def _readers(
        self, name: str, node: Receiver, channel: Channel, at: int, hypothesis: Hypothesis
    ) -> Iterator[_Place]:
        """The places of the receiver that read its channel at a token."""
        for (role, t), place in self._places.items():
            if role != name and (name in hypothesis.roles or node not in place.nodes):
                continue
            if node not in place.nodes or (role == ROOT) != isinstance(node, Logits):
                continue
            if channel not in ("k", "v"):
                if at == t:
                    yield place
            elif at in self.tokens_read(node, channel, t) and self._attends(place, at):
                yield place

    @staticmethod
    def _attends(place: _Place, at: int) -> bool:
        return place.keys is None or at in place.keys

    def _upstream(self, sender: Input | Part, receiver: Receiver) -> bool:
        return is_upstream(sender, receiver, parallel=self.shape.parallel)

    def _state(self, role: str, position: int, members: tuple[Receiver, ...]) -> State:
        """A state with all that it reads below it; a state reads lower layers, so this ends."""
        key = (role, position, members)
        if key not in self._states:
            place = self._places[role, position]
            wanted: dict[Slot, set[Receiver]] = {}
            if place.reads or role == ROOT:
                seen: set[tuple[Part, int]] = set()
                for node in members:
                    for channel in _channels(node):
                        for at in self.tokens_read(node, channel, position):
                            terms = self.mix(role, position, node, channel, at)
                            self._gather(terms, at, wanted, seen)
            slots = tuple(
                (slot, self._state(slot.role, slot.position, tuple(sorted(found, key=_order))))
                for slot, found in sorted(wanted.items(), key=lambda item: str(item[0]))
            )
            self._states[key] = State(
                role=role,
                position=position,
                members=members,
                leaf=not place.reads and role != ROOT,
                exact=role not in self._drawn,
                slots=slots,
            )
        return self._states[key]

    def _gather(
        self,
        terms: Iterable[Term],
        at: int,
        wanted: dict[Slot, set[Receiver]],
        seen: set[tuple[Part, int]],
    ) -> None:
        for term in terms:
            if isinstance(term.sender, Input):
                continue
            if term.slot is not None:
                wanted.setdefault(term.slot, set()).add(term.sender)
                continue
            if (term.sender, at) in seen:
                continue
            seen.add((term.sender, at))
            for channel in _channels(term.sender):
                for t in self.tokens_read(term.sender, channel, at):
                    self._gather(self.kept_mix(term.sender, t), t, wanted, seen)


def geometry(hypothesis: Hypothesis, circuit: Circuit, prompt: Prompt) -> tuple[object, ...]:
    """What of a prompt a story depends on: its length, and where every label that is used falls."""
    named = {
        p for role in hypothesis.roles.values() for q in role.places for p in (q.query, *q.keys)
    }
    named |= {element.position for element in circuit.kept}
    named |= {edge.position for part in hypothesis.edges for edge in part.edges}
    named |= set(task_info(hypothesis.task).logit_positions())
    places = tuple(indices_at(prompt, position) for position in sorted(named, key=str))
    return (len(prompt.tokens), places)


def scrubbed_roles(hypothesis: Hypothesis, only: tuple[str, ...]) -> tuple[str, ...]:
    """The roles that draw: those that say what they carry, of those that a claim names."""
    roles: Iterable[Role] = hypothesis.roles.values()
    found = tuple(r.name for r in roles if r.carries and (not only or r.name in only))
    if not found:
        raise EngineError("none of the roles that are scrubbed says what it carries")
    return found


def _channels(node: Receiver) -> tuple[Channel, ...]:
    match node:
        case Head():
            return ("q", "k", "v")
        case Mlp():
            return ("in",)
        case Logits():
            return ("",)


def _order(node: Input | Receiver) -> tuple[int, int, int]:
    return (*depth(node), int(node.index) if isinstance(node, Head) else 0)
