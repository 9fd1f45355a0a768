"""Places that text can tell apart, and what follows from where a node lives."""

from __future__ import annotations

import pytest

from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.records import PathPatch
from circuitspec.hypothesis.resolve import resolve
from circuitspec.hypothesis.task_text import task_info
from circuitspec.language.nodes import Position
from circuitspec.language.parser import parse

from .specs import GOOD, GPT2, TASK, claim, findings, one, spec

INFO = task_info(one(spec("role r = a0.h0 @ END")).task)

# Words between labels: abba "When {IO} and {S1} went to the {place}, {S2} gave it to".
ORDERS = [
    ("IO", "S1", "before", "after"),
    ("S1", "IO", "after", "before"),
    ("S1", "S2", "before", "before"),
    ("S2", "S1", "after", "after"),
    ("S1", "S1+1", "before", "before"),
    ("S1+2", "S1+1", "after", "after"),
    ("S2", "END", "before", "before"),
    # Three words follow S2, so that one and two steps on are not yet the last token.
    ("S2+2", "END", "before", "before"),
    ("S2+3", "END", None, None),
    # `went to the` and the place stand between: four tokens at least, and the comma.
    ("S1+4", "place", None, "before"),
    ("S1+3", "place", "before", "before"),
    ("IO+1", "S1", "before", "after"),
    ("IO+2", "S1", None, "after"),
    ("IO", "IO", "same", "same"),
    ("*", "S1", None, None),
]


def _position(text: str) -> Position:
    label, _, offset = text.partition("+")
    return Position(label, int(offset or 0))


@pytest.mark.parametrize(("first", "second", "abba", "baba"), ORDERS)
def test_text_orders_positions_where_it_can(
    first: str, second: str, abba: str | None, baba: str | None
) -> None:
    got = [INFO.order(_position(first), _position(second), t) for t in INFO.templates]
    assert got == [abba, baba]


def test_several_tokens_of_a_slot_are_several_places() -> None:
    task = TASK.replace("slot IO, S1 from names.english distinct one_token",
                        "slot IO, S1 from names.english distinct")  # fmt: skip
    roles = ("role a = a0.h0 @ S1[0]", "role b = a1.h0 @ END attends S1[-1]")
    apart = spec(*roles, "edge a -> b.k", "edge input -> a.qkv", "edge b -> logits", task=task)
    assert [d.code for d in findings(apart)] == ["H012"]
    # A slot of one token has one place, however it is written.
    together = spec(*roles, "edge a -> b.k", "edge input -> a.qkv", "edge b -> logits")
    assert findings(together) == ()
    whole = apart.replace("S1[0]", "S1")
    assert findings(whole) == ()
    assert {str(e) for p in one(whole).edges for e in p.edges if str(e.sender) == "a0.h0"} == {
        "a0.h0 -> a1.h0.k @ S1[-1]"
    }


def test_a_role_that_is_kept_everywhere_has_no_members_left() -> None:
    circuit = circuit_of(one(spec("role r = m1, a2.h0 @ END", "keep mlps @ *")), GPT2)
    assert {str(e) for e in circuit.members} == {"a2.h0 @ END"}
    assert len(circuit.kept) == 12


def test_an_edge_that_is_declared_is_not_among_those_that_keeps_add() -> None:
    body = ("role r = a2.h0 @ END attends S1", "keep m1 @ *")
    plain = circuit_of(one(spec(*body)), GPT2)
    stated = circuit_of(one(spec(*body, "edge input -> m1", "edge m1 -> r.q")), GPT2)
    assert plain.edges == stated.edges
    assert {str(e) for e in plain.kept_edges - stated.kept_edges} == {
        "input -> m1.in @ *",
        "m1 -> a2.h0.q @ END",
    }


TWO_PLACES = (
    "role x = a1.h0 @ S2 attends S1",
    "role y = a1.h0 @ END attends IO",
    "role z = a2.h0 @ END attends S2",
    "edge x -> z.kv",
    "edge y -> z.q",
    "edge z -> logits",
)


def test_a_set_holds_the_edges_that_leave_its_own_place() -> None:
    h = one(
        spec(
            *TWO_PLACES,
            "expect c { ablate x by nodes with zero require logit_diff <= 1 ci 95 }",
            "expect d { ablate y by nodes with zero require logit_diff <= 1 ci 95 }",
        )
    )
    for name, edges in {
        "c": {"a1.h0 -> a2.h0.k @ S2", "a1.h0 -> a2.h0.v @ S2"},
        "d": {"a1.h0 -> a2.h0.q @ END"},
    }.items():
        cut = claim(h, name).intervention.cut  # type: ignore[union-attr]  # both ablate a set
        assert {str(e) for e in cut.edges} == edges


def test_what_a_node_reads_in_one_role_does_not_reach_it_in_another() -> None:
    body = ("edge input -> x.qkv", "edge input -> y.kv")
    carried = [r.replace("attends IO", "attends IO carries token(S1)") for r in TWO_PLACES]
    found = findings(spec(*carried, *body))
    assert [(d.code, d.message.split(":")[0]) for d in found] == [
        ("H048", "`y` carries token(S1), and no path of edges brings it")
    ]
    assert "starts at IO" in found[0].message


def test_each_pair_is_of_a_sender_where_it_is_read() -> None:
    h = one(
        spec(
            "role w = a1.h0 @ S2, END attends S1",
            "role z = a2.h0 @ END attends S2",
            "expect c { patch each w -> z.q from abc direct require logit_diff <= 1 ci 95 }",
        )
    )
    patch = claim(h, "c").intervention
    assert isinstance(patch, PathPatch)
    assert [p.name for p in patch.pairs] == ["a1.h0 @ END -> a2.h0.q"]


def test_a_claim_that_lacks_something_is_not_among_the_claims() -> None:
    text = GOOD.replace("expect faithful under paper", "expect faithful")
    hypotheses, _ = resolve(parse(text)[0])
    assert [c.name for c in hypotheses[0].claims] == ["used", "complete"]
