"""What holds of every hypothesis: order means nothing, layers and places are respected."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.expand import expand
from circuitspec.hypothesis.records import Circuit, Hypothesis, Place
from circuitspec.hypothesis.resolve import resolve
from circuitspec.hypothesis.task_text import task_info
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    END,
    INPUT,
    LOGITS,
    Channel,
    Head,
    Input,
    Logits,
    Mlp,
    Position,
    depth,
)
from circuitspec.language.parser import parse

from .specs import GOOD, GPT2, IOI, TASK

T = TypeVar("T")

SHAPE = replace(GPT2, n_layers=4, n_heads=3, n_kv_heads=3)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

PLACES = ("S1", "S1+1", "S2", "IO", "END", "*")
NODES = [f"a{layer}.h{head}" for layer in range(4) for head in range(3)] + ["m0", "m1", "m2", "m3"]


@st.composite
def bodies(draw: st.DrawFn) -> list[str]:
    """Statements of a hypothesis over four layers; edges may turn out to be mistakes."""
    nodes = draw(st.permutations(NODES))
    statements, roles = [], []
    for name in ("r0", "r1", "r2", "r3")[: draw(st.integers(1, 4))]:
        members = [nodes.pop() for _ in range(draw(st.integers(1, 3)))]
        at = draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=2, unique=True))
        attends = draw(st.lists(st.sampled_from(PLACES), max_size=2, unique=True))
        keys = f" attends {', '.join(attends)}" if attends else ""
        statements.append(f"role {name} = {', '.join(members)} @ {', '.join(at)}{keys}")
        roles.append(name)
    for _ in range(draw(st.integers(0, 5))):
        sender = draw(st.sampled_from([*roles, "input"]))
        receiver = draw(st.sampled_from([*roles, "logits"]))
        channels = draw(st.sampled_from((".q", ".kv", ".qkv", ".in", ".k", "")))
        channels = "" if receiver == "logits" else channels
        statements.append(f"edge {sender} -> {receiver}{channels}")
    if draw(st.booleans()):
        statements.append(f"keep {draw(st.sampled_from(('mlps', 'm1, m2', nodes[0])))} @ *")
    if draw(st.booleans()):
        statements.append(f"keep m3 @ {draw(st.sampled_from(PLACES))}")
    if draw(st.booleans()):
        statements.append(f'open {nodes[-1]} @ S2 "who knows"')
    if len(roles) > 1 and draw(st.booleans()):
        statements.append(f"group g = {', '.join(draw(st.permutations(roles)))}")
    statements.append("protocol p { ablate by nodes with mean from abc over template }")
    statements.append("expect f under p { ablate complement require agreement >= 0.8 ci 95 }")
    statements.append(
        "expect c under p { knockouts groups, roles require incompleteness <= 1 ci 95 }"
    )
    statements.append("expect m under p { each node require effect >= 1 ci 95 }")
    return statements


def resolved(statements: list[str], tail: str = "") -> tuple[Hypothesis, ...]:
    body = "\n".join(statements)
    text = f'circuitspec 1\nhypothesis h {{\nmodel "toy"\n{TASK}\n{body}\n}}\n{tail}'
    tree, mistakes = parse(text)
    assert mistakes == ()
    return resolve(tree)[0]


def meaning(hypothesis: Hypothesis) -> Hypothesis:
    """A hypothesis without what only the order of its claims and its name show."""
    claims = tuple(sorted(hypothesis.claims, key=lambda c: c.name))
    return replace(hypothesis, claims=claims, name="", refines=None)


@QUICK
@given(bodies(), st.randoms())
def test_the_order_of_declarations_means_nothing(body: list[str], chance: random.Random) -> None:
    shuffled = body.copy()
    chance.shuffle(shuffled)
    (first,), (second,) = resolved(body), resolved(shuffled)
    assert meaning(first) == meaning(second)
    assert expand(first) == expand(second)
    assert circuit_of(first, SHAPE) == circuit_of(second, SHAPE)


@QUICK
@given(st.randoms(), st.sampled_from((GOOD, IOI.read_text(encoding="utf-8"))))
def test_nor_does_the_order_in_a_whole_file(chance: random.Random, text: str) -> None:
    tree, _ = parse(text)
    hypotheses = [_shuffled(h, chance) for h in tree.hypotheses]
    chance.shuffle(hypotheses)
    first, found = resolve(tree)
    second, again = resolve(replace(tree, statements=tuple(hypotheses)))
    by_name = {h.name: h for h in second}
    for hypothesis in first:
        one, other = meaning(hypothesis), meaning(by_name[hypothesis.name])
        assert replace(one, task=other.task, dropped=()) == replace(other, dropped=())
        assert sorted(hypothesis.dropped) == sorted(by_name[hypothesis.name].dropped)
    assert _codes(found) == _codes(again)


def _codes(found: tuple[Diagnostic, ...]) -> list[str]:
    return sorted(d.code for d in found)


def _shuffled(stated: syntax.Hypothesis, chance: random.Random) -> syntax.Hypothesis:
    statements = [
        replace(s, statements=_permuted(s.statements, chance))
        if isinstance(s, syntax.Task) and s.statements is not None
        else s
        for s in stated.statements
    ]
    return replace(stated, statements=_permuted(tuple(statements), chance))


def _permuted(items: tuple[T, ...], chance: random.Random) -> tuple[T, ...]:
    return tuple(chance.sample(items, len(items)))


@QUICK
@given(bodies())
def test_refining_with_nothing_is_the_parent(body: list[str]) -> None:
    parent, child = resolved(body, tail="hypothesis r refines h {\n}\n")
    assert meaning(parent) == meaning(child)
    assert circuit_of(parent, SHAPE) == circuit_of(child, SHAPE)


@QUICK
@given(bodies())
def test_edges_go_up_and_are_read_where_both_ends_live(body: list[str]) -> None:
    (hypothesis,) = resolved(body)
    places: dict[object, list[Place]] = {}
    for role in hypothesis.roles.values():
        for node in role.nodes:
            places.setdefault(node, []).extend(role.places)
    for part in hypothesis.edges:
        assert {e.channel for e in part.edges} <= set(part.channels)
        for edge in part.edges:
            assert depth(edge.sender) < depth(edge.receiver)
            reading = _reading(edge.receiver, edge.channel, places)
            assert edge.position in reading or ALL_POSITIONS in reading
            if not isinstance(edge.sender, Input):
                lives = {p.query for p in places[edge.sender]}
                assert edge.position in lives or ALL_POSITIONS in lives
    info = task_info(hypothesis.task)
    assert info.logit_positions() == (END,)


def _reading(
    receiver: Head | Mlp | Logits, channel: Channel, places: dict[object, list[Place]]
) -> set[Position]:
    if isinstance(receiver, Logits):
        return {END}
    if channel in ("k", "v"):
        return {k for p in places[receiver] for k in p.keys or (ALL_POSITIONS,)}
    return {p.query for p in places[receiver]}


@QUICK
@given(bodies())
def test_keeps_add_every_edge_between_a_kept_node_and_the_circuit(body: list[str]) -> None:
    """The closure against its definition, tried on every pair and every place."""
    (hypothesis,) = resolved(body)
    circuit: Circuit = circuit_of(hypothesis, SHAPE)
    expected = set()
    # A pair of parts of C with a kept one at either end; the input and the logits are no keeps.
    for sending, reading in (("kept", "kept"), ("kept", "member"), ("member", "kept")):
        for sender in _nodes(circuit, sending) | ({INPUT} if sending == "member" else set()):
            for receiver in _nodes(circuit, reading) | ({LOGITS} if reading == "member" else set()):
                if isinstance(receiver, Input) or not depth(sender) < depth(receiver):
                    continue
                for channel in _CHANNELS[type(receiver)]:
                    lives = _lives(sender, circuit, sending)
                    where = _where(receiver, channel, circuit, hypothesis, reading)
                    for position in _ALL:
                        if (
                            position in lives | where
                            and _at(position, lives)
                            and _at(position, where)
                        ):
                            expected.add((sender, receiver, channel, position))
    got = {(e.sender, e.receiver, e.channel, e.position) for e in circuit.edges}
    declared = {
        (e.sender, e.receiver, e.channel, e.position) for p in hypothesis.edges for e in p.edges
    }
    # An edge at `*` stands for every position; written out, both sides are the same set.
    assert _written_out(got) == _written_out(expected | declared)


_ALL = (*(Position(label) for label in ("S1", "S2", "IO")), Position("S1", 1), END, ALL_POSITIONS)
_CHANNELS: dict[type, tuple[Channel, ...]] = {Head: ("q", "k", "v"), Mlp: ("in",), Logits: ("",)}


def _at(position: Position, places: set[Position]) -> bool:
    return position in places or ALL_POSITIONS in places


def _nodes(circuit: Circuit, part: str) -> set[Input | Head | Mlp | Logits]:
    return {e.node for e in (circuit.kept if part == "kept" else circuit.members)}


def _written_out(edges: set[tuple[object, object, str, Position]]) -> set[object]:
    return {
        (s, r, c, p)
        for s, r, c, position in edges
        for p in (_ALL if position == ALL_POSITIONS else (position,))
    }


def _lives(sender: Input | Head | Mlp | Logits, circuit: Circuit, part: str) -> set[Position]:
    if isinstance(sender, Input):
        return {ALL_POSITIONS}
    elements = circuit.kept if part == "kept" else circuit.members
    return {e.position for e in elements if e.node == sender}


def _where(
    receiver: Head | Mlp | Logits,
    channel: str,
    circuit: Circuit,
    hypothesis: Hypothesis,
    part: str,
) -> set[Position]:
    if isinstance(receiver, Logits):
        return {END}
    if part == "kept":
        lives = _lives(receiver, circuit, part)
        return {ALL_POSITIONS} if channel in ("k", "v") else lives
    places = [p for r in hypothesis.roles.values() if receiver in r.nodes for p in r.places]
    if channel in ("k", "v"):
        return {k for p in places for k in p.keys or (ALL_POSITIONS,)}
    return {p.query for p in places}
