"""From edge lines to edges: positions, channels, groups, ranges."""

from __future__ import annotations

from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.records import Hypothesis

from .specs import GPT2, findings, marked, one, spec

MAX_TASK = """\
  task t {
    tokens integer 0..63
    template two "{A} {B} 63"
    slot A, B from 0..62
    position BIG = argmax(A, B)
    position NEXT = A + 1
    metric right = logit(BIG)
    sample all
  }
"""

# Five positions and a second thing to predict, as in the docstring circuit.
DOC_TASK = """\
  task t {
    template d "def f ( {A_def} , {B_def} ) : param {A_doc} param {B_doc} param"
    slot A_def, B_def from names.english distinct one_token
    slot A_doc from A_def
    slot B_doc from B_def
    position COMMA = A_def + 1
    metric m = logit(A_def) at B_doc
    baseline other = resample(A_def, B_def)
    sample evaluation 20, seed 0
    bos no
  }
"""


def edges(hypothesis: Hypothesis) -> set[str]:
    return {str(e) for part in hypothesis.edges for e in part.edges}


def test_bare_lists_multiply() -> None:
    h = one(
        spec(
            "role r = a0.h0 @ A_doc, B_doc attends A_def, B_def",
            "edge input -> r.qk",
            "edge r -> logits",
            task=DOC_TASK,
        )
    )
    assert edges(h) == {
        "input -> a0.h0.q @ A_doc",
        "input -> a0.h0.q @ B_doc",
        "input -> a0.h0.k @ A_def",
        "input -> a0.h0.k @ B_def",
        "a0.h0 -> logits @ B_doc",
    }
    (role,) = h.roles.values()
    assert [(str(p.query), [str(k) for k in p.keys]) for p in role.places] == [
        ("A_doc", ["A_def", "B_def"]),
        ("B_doc", ["A_def", "B_def"]),
    ]


def test_lists_in_parentheses_match_one_to_one() -> None:
    h = one(spec("role r = a0.h0 @ (A_doc, B_doc) attends (A_def, B_def)", task=DOC_TASK))
    assert [(str(p.query), [str(k) for k in p.keys]) for p in h.roles["r"].places] == [
        ("A_doc", ["A_def"]),
        ("B_doc", ["B_def"]),
    ]


def test_a_sender_at_one_of_the_places_is_read_there_alone() -> None:
    h = one(
        spec(
            "role first = a0.h0 @ A_doc attends A_def",
            "role second = a1.h0 @ A_doc, B_doc attends A_doc",
            "edge first -> second.qkv",
            task=DOC_TASK,
        )
    )
    assert edges(h) == {
        "a0.h0 -> a1.h0.q @ A_doc",
        "a0.h0 -> a1.h0.k @ A_doc",
        "a0.h0 -> a1.h0.v @ A_doc",
    }


def test_at_restricts_an_edge_to_some_positions() -> None:
    h = one(
        spec(
            "role r = a0.h0 @ A_doc, B_doc attends A_def",
            "edge input -> r.q at B_doc",
            task=DOC_TASK,
        )
    )
    assert edges(h) == {"input -> a0.h0.q @ B_doc"}


def test_logits_are_read_where_the_metric_is() -> None:
    h = one(spec("role r = m0 @ A_doc, B_doc", "edge r -> logits", task=DOC_TASK))
    assert edges(h) == {"m0 -> logits @ B_doc"}
    text = spec("role r = m0 @ END", "edge r -> logits", task=DOC_TASK)
    assert [d.code for d in findings(text) if "H01" in d.code] == ["H012"]


def test_without_attends_keys_are_read_everywhere() -> None:
    h = one(
        spec(
            "role first = a0.h0 @ A_doc",
            "role second = a1.h0 @ END",
            "edge input -> first.k",
            "edge first -> second.v",
            task=DOC_TASK,
        )
    )
    assert edges(h) == {"input -> a0.h0.k @ *", "a0.h0 -> a1.h0.v @ A_doc"}


def test_declared_aliases_are_seen_through() -> None:
    h = one(
        spec(
            "role first = a0.h0 @ A_def+1",
            "role second = a1.h0 @ END attends COMMA",
            "edge first -> second.kv",
            task=DOC_TASK,
        )
    )
    assert edges(h) == {"a0.h0 -> a1.h0.k @ COMMA", "a0.h0 -> a1.h0.v @ COMMA"}


def test_a_position_that_depends_on_the_data_is_met_by_all_it_can_be() -> None:
    both = spec(
        "role embed = m0 @ A, B",
        "role big = a1.h0 @ END attends BIG",
        "edge embed -> big.v",
        task=MAX_TASK,
    )
    assert edges(one(both)) == {"m0 -> a1.h0.v @ BIG"}
    half = both.replace("m0 @ A, B", "m0 @ A")
    assert "H012" in [d.code for d in findings(half)]


def test_mlp_roles_are_read_at_their_input_and_feed_each_other() -> None:
    h = one(
        spec(
            "role late = m2..m4 @ END",
            "edge input -> late",
            "edge within late",
            "edge late -> logits",
        )
    )
    assert edges(h) == {
        *(f"input -> m{i}.in @ END" for i in (2, 3, 4)),
        *(f"m{i} -> logits @ END" for i in (2, 3, 4)),
        "m2 -> m3.in @ END",
        "m2 -> m4.in @ END",
        "m3 -> m4.in @ END",
    }


def test_within_a_role_every_channel_joins_that_fits() -> None:
    h = one(spec("role r = a0.h0, a0.h1, a1.h0 @ END attends S1", "edge within r"))
    assert edges(h) == {"a0.h0 -> a1.h0.q @ END", "a0.h1 -> a1.h0.q @ END"}
    assert h.edges[0].channels == ("q",)


def test_a_group_stands_for_its_roles() -> None:
    roles = ("role a = a0.h0 @ END", "role b = a0.h1 @ END", "role c = a1.h0 @ END attends S1")
    together = one(spec(*roles, "group g = a, b", "edge g -> c.q"))
    apart = one(spec(*roles, "group g = a, b", "edge a, b -> c.q"))
    assert together.edges == apart.edges
    assert edges(together) == {"a0.h0 -> a1.h0.q @ END", "a0.h1 -> a1.h0.q @ END"}


def test_a_product_keeps_what_layers_allow() -> None:
    h = one(spec("role a = a0.h0, a3.h0 @ END", "role b = a1.h0, a4.h0 @ END", "edge a -> b.q"))
    assert edges(h) == {
        "a0.h0 -> a1.h0.q @ END",
        "a0.h0 -> a4.h0.q @ END",
        "a3.h0 -> a4.h0.q @ END",
    }


def test_attention_feeds_the_mlp_of_its_layer_where_blocks_are_sequential() -> None:
    h = one(spec("role a = a2.h0 @ END", "role b = m2 @ END", "edge a -> b", "edge b -> logits"))
    assert "a2.h0 -> m2.in @ END" in edges(h)
    from dataclasses import replace

    assert len(circuit_of(h, GPT2).edges) == 2
    assert len(circuit_of(h, replace(GPT2, parallel=True)).edges) == 1


def test_a_node_written_out_is_at_its_roles_places() -> None:
    h = one(
        spec("role a = a0.h0, a0.h1 @ S2", "role b = a1.h0 @ END attends S2", "edge 0.1 -> b.k")
    )
    assert edges(h) == {"a0.h1 -> a1.h0.k @ S2"}
    assert (h.edges[0].sender, h.edges[0].receiver) == ("a0.h1", "b")


def test_a_kept_node_can_be_an_edges_end() -> None:
    h = one(
        spec(
            "keep m0 @ *", "role b = a1.h0 @ END attends IO", "edge m0 -> b.kv", "edge b -> logits"
        )
    )
    assert edges(h) == {"m0 -> a1.h0.k @ IO", "m0 -> a1.h0.v @ IO", "a1.h0 -> logits @ END"}


def test_one_line_is_one_statement_and_two_lines_are_two() -> None:
    roles = ("role a = a0.h0 @ END", "role b = a1.h0 @ END attends S1")
    once = one(spec(*roles, "edge input -> a.qkv, b.kv"))
    assert {p.statement for p in once.edges} == {0}
    twice = one(spec(*roles, "edge input -> a.qkv", "edge input -> b.kv"))
    assert {p.statement for p in twice.edges} == {0, 1}
    split = one(spec(*roles, "edge input -> b.k", "edge input -> b.v"))
    assert [(p.statement, p.channels) for p in split.edges] == [(0, ("k",)), (1, ("v",))]


def test_a_missing_slot_label_in_the_middle_of_a_list_has_its_own_span() -> None:
    text = spec("role a = a0.h0 @ END attends S1, S9, IO")
    found = [d for d in findings(text) if d.code == "H047"]
    assert [marked(d, text) for d in found] == ["S9"]


def test_keeps_hold_heads_and_positions_too() -> None:
    h = one(spec("keep a0.h1, mlps @ S2, END", "role r = a1.h0 @ END attends S2"))
    circuit = circuit_of(h, GPT2)
    assert {str(e) for e in circuit.kept if "a0" in str(e)} == {"a0.h1 @ S2", "a0.h1 @ END"}
    assert len(circuit.kept) == 2 + 24
    kept = {str(e) for e in circuit.kept_edges}
    assert {"m0 -> a1.h0.q @ END", "m0 -> a1.h0.k @ S2", "a0.h1 -> m3.in @ S2"} <= kept
    assert "a0.h1 -> logits @ S2" not in kept
    assert "a0.h1 -> logits @ END" in kept
    assert "input -> a0.h1.k @ *" in kept
