"""The declared graph on one prompt, for the slow path: who lives where, and who reads whom.

Written out from the records of the hypothesis, edge by edge. Nothing of `scrubbing.story` is used.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from circuitspec.engine.audit.writes import Node
from circuitspec.hypothesis.records import Circuit, EdgeStatement, Hypothesis
from circuitspec.hypothesis.shape import ModelShape, exists
from circuitspec.language.nodes import (
    INPUT,
    LOGITS,
    QKV,
    Channel,
    Head,
    Input,
    Logits,
    Mlp,
    is_upstream,
)
from circuitspec.task.records import Prompt

Part = Head | Mlp
Receiver = Head | Mlp | Logits
Step = tuple[str, int, int | str]
"""How a node reads a role: (role, token, number of the edge statement or `keep`)."""
Home = tuple[str, int]
"""A role at a token, or (`logits`, token)."""
Terms = dict[Node, Step | None]
"""What a channel reads other than on o: a role by a step; None, of the reader's own reference."""

ROOT, KEEP = "logits", "keep"


@dataclass(slots=True)
class Graph:
    """Roles at tokens, kept nodes by token, and declared edges by who reads what where."""

    shape: ModelShape
    length: int
    nodes: dict[Home, tuple[Receiver, ...]] = field(default_factory=dict)
    keys: dict[Home, frozenset[int]] = field(default_factory=dict)
    kept: dict[int, frozenset[Part]] = field(default_factory=dict)
    declared: dict[tuple[Home, Receiver, Channel, int], Terms] = field(default_factory=dict)

    def is_leaf(self, home: Home) -> bool:
        """Whether a role reads nothing at its token."""
        return home[0] != ROOT and all(key[0] != home for key in self.declared)

    def terms(self, home: Home, node: Receiver, channel: Channel, at: int) -> Terms:
        """What a member of a role reads at token `at`: declared edges, and kept nodes."""
        found = dict(self.declared.get((home, node, channel, at), {}))
        if channel not in ("k", "v") or at in self.keys[home]:
            for kept in self.kept.get(at, ()):
                if self.upstream(kept, node):
                    found.setdefault(kept, None)
        return found

    def kept_terms(self, node: Part, at: int) -> Terms:
        """What a kept node reads at token `at`: the input, kept nodes, members of roles there."""
        found: Terms = {INPUT: None}
        for (role, t), members in self.nodes.items():
            for member in members:
                if t == at and not isinstance(member, Logits) and self.upstream(member, node):
                    found.setdefault(member, (role, t, KEEP))
        for kept in self.kept.get(at, ()):
            if self.upstream(kept, node):
                found[kept] = None
        return found

    def reads(self, node: Receiver, at: int) -> list[tuple[Channel, int]]:
        """The channels of a node at token `at`, and the tokens at which each reads."""
        if isinstance(node, Logits):
            return [("", at)]
        if isinstance(node, Mlp):
            return [("in", at)]
        before = range(at + 1 if self.shape.causal else self.length)
        return [(c, t) for c in QKV for t in ([at] if c == "q" else before)]

    def upstream(self, sender: Node, receiver: Receiver) -> bool:
        """Whether a sender comes before a receiver."""
        return is_upstream(sender, receiver, parallel=self.shape.parallel)


def graph_of(
    hypothesis: Hypothesis,
    circuit: Circuit,
    shape: ModelShape,
    prompt: Prompt,
    roots: Collection[int],
) -> Graph:
    """A hypothesis as it stands for a prompt, the logits being read at tokens `roots`."""
    graph = Graph(shape, len(prompt.tokens))
    everywhere = frozenset(range(graph.length))
    for role in hypothesis.roles.values():
        members = tuple(node for node in role.nodes if exists(node, shape))
        for place in role.places:
            keys = frozenset(t for key in place.keys for t in prompt.at(key)) or everywhere
            for t in prompt.at(place.query):
                graph.nodes[role.name, t] = members
                graph.keys[role.name, t] = graph.keys.get((role.name, t), frozenset()) | keys
    for t in sorted(roots):
        graph.nodes[ROOT, t], graph.keys[ROOT, t] = (LOGITS,), frozenset()
    for element in circuit.kept:
        if not isinstance(element.node, Input):
            for t in prompt.at(element.position):
                graph.kept[t] = graph.kept.get(t, frozenset()) | {element.node}
    for part in sorted(hypothesis.edges, key=lambda part: part.statement):
        _declare(graph, part, hypothesis.roles, prompt)
    return graph


def _declare(
    graph: Graph, part: EdgeStatement, roles: Mapping[str, object], prompt: Prompt
) -> None:
    """Put the edges of one statement where they are read; the first statement that says one."""
    for edge in part.edges:
        sender, receiver, channel = edge.sender, edge.receiver, edge.channel
        real = exists(sender, graph.shape) and exists(receiver, graph.shape)
        if not real or not graph.upstream(sender, receiver):
            continue
        for at in prompt.at(edge.position):
            step: Step | None = None
            if not isinstance(sender, Input):
                homes = [
                    role
                    for (role, t), members in graph.nodes.items()
                    if t == at and sender in members and _means(part.sender, role, roles)
                ]
                if not homes:
                    continue
                step = (homes[0], at, part.statement)
            for home, members in graph.nodes.items():
                role, t = home
                if receiver not in members or not _means(part.receiver, role, roles):
                    continue
                if channel in ("k", "v"):
                    reaches = at in graph.keys[home] and (at <= t or not graph.shape.causal)
                else:
                    reaches = at == t
                if reaches:
                    terms = graph.declared.setdefault((home, receiver, channel, at), {})
                    terms.setdefault(sender, step)


def _means(name: str, role: str, roles: Mapping[str, object]) -> bool:
    """Whether an end of a statement means a role: by its name, or a node of it written out."""
    return name == role or name not in roles
