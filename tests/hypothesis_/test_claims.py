"""From `expect` to claims: protocols, sets, patches, K for each v."""

from __future__ import annotations

import pytest

from circuitspec.hypothesis.records import (
    AblateComplement,
    AblateSet,
    Ablation,
    ActivationPatch,
    Claim,
    Denoise,
    Hypothesis,
    PathPatch,
    Scrub,
)
from circuitspec.language.nodes import END, Position

from .specs import GOOD, claim, findings, marked, one

PLACE = "  expect complete under paper {"


def with_claim(body: str, *more: str) -> Hypothesis:
    extra = "".join(f"  {m}\n" for m in more)
    assert PLACE in GOOD
    return one(GOOD.replace(PLACE, f"{extra}  expect new {body}\n{PLACE}"))


def new(body: str, *more: str) -> Claim:
    return claim(with_claim(body, *more), "new")


METRIC = "require logit_diff <= 1 ci 95"
MEAN = Ablation(by="nodes", kind="mean", baseline="abc", over="template")


def test_a_protocol_fills_in_what_a_claim_leaves_out() -> None:
    assert new(f"under paper {{ ablate complement {METRIC} }}").ablation == MEAN
    ours = new(f"under paper {{ ablate complement by edges {METRIC} }}").ablation
    assert ours == Ablation(by="edges", kind="mean", baseline="abc", over="template")
    zero = new(f"under paper {{ ablate complement with zero {METRIC} }}").ablation
    assert zero == Ablation(by="nodes", kind="zero")


def test_a_protocol_can_say_what_is_done() -> None:
    protocol = "protocol whole { ablate complement by edges with resample from abc draws 4 }"
    got = new(f"under whole {{ {METRIC} }}", protocol)
    assert isinstance(got.intervention, AblateComplement)
    assert got.ablation == Ablation(by="edges", kind="resample", baseline="abc", draws=4)
    # A claim that does something of its own takes from it only what cutting means.
    own = new(f"under whole {{ patch dup from abc {METRIC} }}", protocol)
    assert isinstance(own.intervention, ActivationPatch)
    assert own.ablation == got.ablation


def test_a_protocol_of_the_file_serves_every_hypothesis() -> None:
    text = GOOD.replace(
        "\nhypothesis h", "\nprotocol shared { ablate by nodes with zero }\n\nhypothesis h"
    ).replace("expect faithful under paper", "expect faithful under shared")
    assert claim(one(text), "faithful").ablation == Ablation(by="nodes", kind="zero")


def test_values_say_everything_about_themselves() -> None:
    for written, meant in {
        "zero": Ablation(by="nodes", kind="zero"),
        "mean from abc over batch": Ablation(by="nodes", kind="mean", baseline="abc", over="batch"),
        "counterfactual from abc": Ablation(by="nodes", kind="counterfactual", baseline="abc"),
        "noise 3.0": Ablation(by="nodes", kind="noise", scale=3.0),
    }.items():
        assert new(f"{{ ablate dup by nodes with {written} {METRIC} }}").ablation == meant


def test_roles_groups_and_nodes_are_cut_where_they_live() -> None:
    for written, elements in {
        "dup": {"a0.h1 @ S2", "a0.h2 @ S2"},
        "late": {"a1.h0 @ END", "a1.h3 @ END", "a2.h1 @ END", "a3.h0 @ END"},
        "a0.h1": {"a0.h1 @ S2"},
        "a1.h5": {"a1.h5 @ S2"},  # where it is open
        "m0": {"m0 @ *"},  # where it is kept
        "a9.h9": {"a9.h9 @ *"},  # of no role: everywhere
        "m1..m2": {"m1 @ *", "m2 @ *"},
        "dup, a1.h0": {"a0.h1 @ S2", "a0.h2 @ S2", "a1.h0 @ END"},
    }.items():
        got = new(f"under paper {{ ablate {written} {METRIC} }}").intervention
        assert isinstance(got, AblateSet)
        assert {str(e) for e in got.cut.elements} == elements
        assert got.cut.name == written


def test_a_cut_sets_edges_are_those_that_leave_it() -> None:
    got = new(f"under paper {{ ablate a1.h0 {METRIC} }}").intervention
    assert isinstance(got, AblateSet)
    assert {str(e) for e in got.cut.edges} == {"a1.h0 -> a2.h1.q @ END", "a1.h0 -> a3.h0.q @ END"}


def test_given_ablated_is_a_further_knock_out() -> None:
    got = new(f"under paper {{ ablate mover given ablated dup given ablated a1.h0 {METRIC} }}")
    assert [g.name for g in got.given] == ["dup", "a1.h0"]


def test_denoising_puts_back_nodes_at_positions() -> None:
    got = new(f"{{ run from abc restore m1..m2, dup @ S1 {METRIC} }}").intervention
    assert isinstance(got, Denoise)
    assert {str(e) for e in got.restored} == {"m1 @ S1", "m2 @ S1", "a0.h1 @ S1", "a0.h2 @ S1"}
    nothing = new(f"{{ run from abc {METRIC} }}").intervention
    assert nothing == Denoise(baseline="abc", restored=frozenset())


def test_scrubbing_is_over_the_task_by_name_or_keyword() -> None:
    body = "{{ scrub {} draws 4 require scrub_recovered >= 0.5 ci 95 }}"
    for written, over, roles in (
        ("over task", "t", ()),
        ("over t", "t", ()),
        ("over abc", "abc", ()),
        ("dup, late over t", "t", ("dup", "inhibit", "mover")),
    ):
        got = new(body.format(written)).intervention
        assert got == Scrub(over=over, draws=4, roles=roles)


def test_one_pair_needs_no_all_or_each() -> None:
    body = "{{ patch {} from abc direct " + METRIC + " }}"
    got = new(body.format("a1.h0 -> a2.h1.q")).intervention
    assert isinstance(got, PathPatch)
    assert (got.mode, got.through, len(got.pairs)) == ("all", "direct", 1)


def test_paths_run_on_over_several_hops() -> None:
    got = new("{ patch all dup -> inhibit.v -> mover.q -> logits from abc direct " + METRIC + " }")
    assert isinstance(got.intervention, PathPatch)
    (pair,) = got.intervention.pairs
    assert {(str(r), c, str(p)) for r, c, p in pair.receivers} == {
        ("a1.h0", "v", "S2"),
        ("a1.h3", "v", "S2"),
    }
    assert [[(str(r), c) for r, c, _ in hop.receivers] for hop in pair.onward] == [
        [("a2.h1", "q"), ("a3.h0", "q")],
        [("logits", "")],
    ]
    assert [[str(e.node) for e in hop.senders] for hop in pair.onward] == [
        ["a1.h0", "a1.h3"],
        ["a2.h1", "a3.h0"],
    ]


def test_patching_into_keys_is_at_the_attended_position() -> None:
    got = new("{ patch each dup -> inhibit.kv from abc direct " + METRIC + " }").intervention
    assert isinstance(got, PathPatch)
    assert len(got.pairs) == 2 * 2 * 2
    assert {p for pair in got.pairs for _, _, p in pair.receivers} == {Position("S2")}
    assert {e.position for pair in got.pairs for e in pair.senders} == {Position("S2")}


def test_a_node_in_two_roles_is_patched_where_the_one_that_is_named_lives() -> None:
    """Its other role reads a place that this path's receivers read as well."""
    also = ("role also = a0.h1 @ END", "role wide = m1 @ S2, END")
    got = new("{ patch all dup -> wide.in from abc direct " + METRIC + " }", *also)
    hops = new("{ patch all input -> dup.v -> wide.in from abc direct " + METRIC + " }", *also)
    both = new("{ patch all dup, also -> wide.in from abc direct " + METRIC + " }", *also)
    assert isinstance(got.intervention, PathPatch)
    assert isinstance(hops.intervention, PathPatch)
    assert isinstance(both.intervention, PathPatch)
    named = {"a0.h1 @ S2", "a0.h2 @ S2"}
    assert set(map(str, got.intervention.pairs[0].senders)) == named
    assert set(map(str, hops.intervention.pairs[0].onward[0].senders)) == named
    assert set(map(str, both.intervention.pairs[0].senders)) == named | {"a0.h1 @ END"}


def test_patching_where_the_sender_does_not_live_is_a_mistake() -> None:
    text = GOOD.replace("patch all inhibit -> mover.q", "patch all inhibit -> mover.kv")
    assert [(d.code, marked(d, text)) for d in findings(text)] == [("H012", "mover.kv")]


def test_until_accept_and_refuted_are_kept() -> None:
    body = f"under paper {{ ablate complement accept blind until decided, at most 2000 {METRIC} }}"
    got = new(body)
    assert (got.accept_blind, got.at_most, got.refuted) == (True, 2000, False)
    text = GOOD.replace("expect used {", "expect refuted used {")
    assert claim(one(text), "used").refuted


def test_requirements_keep_their_text_and_numbers() -> None:
    got = new(
        "under paper { ablate complement "
        "require logit_diff within 20% of 2 * model.logit_diff ci 99 "
        "require each effect(dup) == -(1 - 0.5) +- 0.1 ci 95 }"
    )
    first, second = got.requirements
    assert first.text == "logit_diff within 20% of 2 * model.logit_diff ci 99"
    assert (first.tolerance, first.level) == (0.2, 99.0)
    assert second.text == "each effect(dup) == -(1 - 0.5) +- 0.1 ci 95"
    assert second.each


def test_the_whole_population_needs_no_confidence() -> None:
    text = GOOD.replace("sample evaluation 100, reference 100, pool 100, seed 0", "sample all")
    text = text.replace(" ci 95", "").replace("mean from abc over template", "zero")
    assert [d.code for d in findings(text)] == []


# ── sets K ───────────────────────────────────────────────────────────────────────────────────────


def candidates(body: str, *more: str) -> dict[str, list[set[str]]]:
    got = new(f"under paper {{ {body} require effect >= 1 ci 95 }}", *more).minimality
    assert got is not None
    return {
        unit.name: [{str(e.node) for e in k.elements} for k in sets]
        for unit, sets in got.candidates
    }


def test_without_a_clause_k_is_the_rest_of_the_role() -> None:
    assert candidates("each head") == {
        "a0.h1": [{"a0.h2"}],
        "a0.h2": [{"a0.h1"}],
        "a1.h0": [{"a1.h3"}],
        "a1.h3": [{"a1.h0"}],
        "a2.h1": [{"a3.h0"}],
        "a3.h0": [{"a2.h1"}],
    }


def test_the_most_particular_clause_decides() -> None:
    table = candidates("each head given { late; mover before it; a2.h1: dup; role }")
    late = {"a1.h0", "a1.h3", "a2.h1", "a3.h0"}
    assert table["a2.h1"] == [{"a0.h1", "a0.h2"}]  # named itself
    assert table["a3.h0"] == [{"a2.h1"}]  # stands in a list said `before it` of
    # Two clauses said of all: two sets, each to be passed.
    assert sorted(table["a1.h0"], key=len) == [{"a1.h3"}, late - {"a1.h0"}]
    assert sorted(table["a0.h1"], key=len) == [{"a0.h2"}, late]


def test_clauses_in_any_order_say_the_same() -> None:
    clauses = ["late", "mover before it", "a2.h1: dup", "role"]
    first = candidates(f"each head given {{ {'; '.join(clauses)} }}")
    again = candidates(f"each head given {{ {'; '.join(reversed(clauses))} }}")
    assert first == again


def test_before_goes_by_the_order_of_the_list() -> None:
    one_way = candidates("each head given { inhibit, mover before it }")
    assert one_way["a2.h1"] == [{"a1.h0", "a1.h3"}]
    assert one_way["a1.h0"] == [set()]
    other_way = candidates("each head given { mover, inhibit before it }")
    assert other_way["a2.h1"] == [set()]
    assert other_way["a1.h3"] == [{"a2.h1", "a3.h0", "a1.h0"}]


def test_units_are_heads_nodes_roles_or_edges() -> None:
    mlps = "role late_mlp = m2, m3 @ END"
    assert "m2" not in candidates("each head", mlps)
    assert candidates("each node", mlps)["m2"] == [{"m3"}]
    assert candidates("each role", mlps)["late_mlp"] == [set()]
    text = GOOD.replace("ablate by nodes", "ablate by edges")
    text = text.replace(
        PLACE, "  expect new under paper { each edge require effect >= 1 ci 95 }\n" + PLACE
    )
    edges = claim(one(text), "new").minimality
    assert edges is not None
    assert len(edges.candidates) == 6 + 8 + 2 + 4 + 4 + 2
    for unit, (rest,) in edges.candidates:
        (edge,) = unit.edges
        assert edge not in rest.edges


def test_edges_of_two_roles_are_one_bundle_however_they_are_written() -> None:
    text = GOOD.replace("ablate by nodes", "ablate by edges")
    text = text.replace(
        PLACE, "  expect new under paper { each edge require effect >= 1 ci 95 }\n" + PLACE
    )
    apart = text.replace("edge dup -> inhibit.kv", "edge dup -> inhibit.k\n  edge dup -> inhibit.v")
    assert apart != text
    together, split = (claim(one(each), "new").minimality for each in (text, apart))
    assert together is not None
    assert together == split


def test_kept_nodes_are_in_no_k() -> None:
    table = candidates("each node", "role mlp_role = m0, m1 @ END", "keep a0.h2 @ S2")
    assert "m0" not in table
    assert table["m1"] == [set()]
    assert table["a0.h1"] == [set()]
    assert "a0.h2" not in table


def test_a_node_in_two_roles_is_two_elements() -> None:
    table = candidates("each head", "role other = a0.h1 @ END attends S2")
    assert {"a0.h1 @ S2", "a0.h1 @ END", "a0.h2"} <= set(table)


@pytest.mark.parametrize(
    ("stated", "names"),
    [
        ("roles", ["dup", "inhibit", "mover"]),
        ("groups", ["late"]),
        ("groups, roles", ["dup", "inhibit", "late", "mover"]),
        ("{ dup, a1.h0 }, { dup }", ["dup", "dup, a1.h0"]),
        ("roles, { dup }", ["dup", "inhibit", "mover"]),
    ],
)
def test_knockouts_name_each_set_once(stated: str, names: list[str]) -> None:
    got = new(f"under paper {{ knockouts {stated} require incompleteness <= 1 ci 95 }}")
    assert got.completeness is not None
    assert sorted(k.name for k in got.completeness.named) == names


def test_effect_of_a_role_is_compared_with_another() -> None:
    got = new("under paper { require effect(mover) >= 2 * effect(dup) ci 95 }")
    assert got.requirements[0].text == "effect(mover) >= 2 * effect(dup) ci 95"
    assert got.ablation == MEAN


def test_a_metric_has_to_be_named_where_there_are_several() -> None:
    two = GOOD.replace("    baseline abc", "    metric p = prob(IO)\n    baseline abc").replace(
        "require incompleteness <=", "require incompleteness(p) <="
    )
    assert findings(two) == ()
    assert claim(one(two), "complete").requirements[0].text == "incompleteness(p) <= 1 ci 95"


def test_senders_of_a_pair_are_elements_at_their_own_places() -> None:
    got = new("{ patch all mover -> logits from abc direct " + METRIC + " }").intervention
    assert isinstance(got, PathPatch)
    assert {e.position for e in got.pairs[0].senders} == {END}
    assert [(str(r), c, p) for r, c, p in got.pairs[0].receivers] == [("logits", "", END)]
