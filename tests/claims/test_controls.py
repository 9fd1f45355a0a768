"""What a faithfulness claim is set against, and the tables by template."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from circuitspec.claims import kinds
from circuitspec.claims.controls import random_circuits
from circuitspec.language.nodes import Head
from tests.claims.by_hand import MODEL, hand_world
from tests.claims.by_hand import TASK as COUNTING
from tests.claims.worlds import TASK, Reference, World, world

NODES = "ablate complement by nodes with mean from abc over template"
EDGES = "ablate complement by edges with mean from abc over template"
KEPT = TASK + " keep m0, a1.h3 @ * "


def faithful(action: str, body: str = KEPT) -> World:
    claim = f"expect c {{ {action} require logit_diff within 20% of model.logit_diff ci 95 }}"
    return world(claim, body=body)


@pytest.mark.parametrize("action", [NODES, EDGES], ids=["nodes", "edges"])
def test_random_circuits_have_the_shape_of_the_circuit(action: str) -> None:
    place = faithful(action)
    circuit, claim = place.context.circuit, place.claims["c"]
    assert claim.ablation is not None
    found = random_circuits(place.context, claim.ablation)
    assert set(found) == ({"same layers", "same size"} if action is NODES else {"same layers"})
    for kind, circuits in found.items():
        assert len(circuits) == 5
        assert len({c.members for c in circuits}) > 2
        for drawn in circuits:
            assert drawn.kept == circuit.kept
            assert Counter(e.position for e in drawn.members) == Counter(
                e.position for e in circuit.members
            )
            assert not drawn.members & drawn.kept
            assert all(str(e.node) != "a1.h3" for e in drawn.members if kind == "same layers")
            if kind == "same layers":
                assert layers(drawn.members) == layers(circuit.members)
                assert len(drawn.edges) == len(circuit.edges)


def layers(members: frozenset) -> Counter:
    return Counter((e.node.layer, e.position) for e in members if isinstance(e.node, Head))


@pytest.mark.parametrize("action", [NODES, EDGES], ids=["nodes", "edges"])
def test_controls_are_measured_as_circuits_are(action: str) -> None:
    place = faithful(action)
    place = replace(place, context=replace(place.context, controls=2))
    claim = place.claims["c"]
    got = kinds.measure(claim, place.context).numbers["controls"]["logit_diff"]
    assert claim.ablation is not None
    for kind, circuits in random_circuits(place.context, claim.ablation).items():
        for number, circuit in enumerate(circuits):
            there = replace(place, context=replace(place.context, circuit=circuit))
            reference = Reference(there, claim.ablation)
            m, whole = reference.circuit(frozenset()), reference.model(frozenset())
            assert got[kind]["logit_diff"][number] == pytest.approx(np.mean(m), abs=1e-8)
            error = np.mean(np.abs(np.subtract(m, whole)))
            assert got[kind]["error"][number] == pytest.approx(error, abs=1e-8)
    assert got["full"] == pytest.approx(np.mean(whole), abs=1e-8)


def test_a_circuit_that_random_ones_match_says_so() -> None:
    band = "require logit_diff within 99% of model.logit_diff"
    claim = f"expect c under zeroed {{ ablate complement {band} }}"
    worse = hand_world("role adders = a0.h3 @ END", claim).judged("c").result
    note = "random circuits of the same layers are as near"
    assert any(note in text for text in worse.notes)
    whole = hand_world("role adders = a0.h0, a0.h1, a0.h2 @ END", claim).judged("c").result
    assert whole.verdict == "holds"
    controls = whole.measures["controls"]["logit_diff"]
    assert controls["full"] == pytest.approx(MODEL, abs=1e-6)
    assert controls["empty"] == pytest.approx(0.0, abs=1e-6)
    # heads 3 and 4 add nothing: only a draw of the three that count is as near
    expected = sum(abs(m - MODEL) < 1e-5 for m in controls["same layers"]["logit_diff"])
    assert controls["same layers"]["closer"] == expected < 5


@pytest.mark.parametrize(
    ("bound", "met"),
    [
        ("logit_diff >= -1", True),
        ("logit_diff >= 1", False),
        ("recovered >= 50%", False),
        ("circuit.logit_diff >= -1", True),
        ("logit_diff >= 1% * empty.logit_diff", True),
    ],
)
def test_a_requirement_that_the_empty_circuit_meets_is_told(bound: str, met: bool) -> None:
    claim = f"expect c under zeroed {{ ablate complement require {bound} accept blind }}"
    result = hand_world("role adders = a0.h0, a0.h1, a0.h2 @ END", claim).judged("c").result
    assert result.verdict == "holds"
    told = [text for text in result.warnings if text.startswith("the empty circuit meets")]
    assert bool(told) == met
    assert all(bound in text for text in told)


def test_what_stands_beside_the_circuit_is_told() -> None:
    claim = "expect c under zeroed { ablate complement require logit_diff >= 1 }"
    result = hand_world("role adders = a0.h0, a0.h1, a0.h2 @ END", claim).judged("c").result
    (told,) = [note for note in result.notes if note.startswith("logit_diff of the empty circuit")]
    values = result.measures["controls"]["logit_diff"]["same layers"]["logit_diff"]
    assert f"5 random ones of the same layers {min(values):.3g} to {max(values):.3g}" in told


def test_only_what_the_claim_is_about_stands_beside_it() -> None:
    both = COUNTING.replace("    sample", "    metric other = logit(A)\n    sample")
    for requirement, named in (
        ("other >= -9", {"other"}),
        ("circuit.logit_diff >= -9 * empty.logit_diff", {"logit_diff"}),
        ("agreement(other) + error(logit_diff) >= 0.01", {"logit_diff", "other"}),
    ):
        claim = f"expect c under zeroed {{ ablate complement require {requirement} }}"
        place = hand_world("role adders = a0.h0, a0.h1 @ END", claim, both)
        got = kinds.measure(place.claims["c"], place.context)
        beside = [n.split(" of ")[0] for n in got.notes if "of the empty circuit" in n]
        assert set(beside) == named
        assert set(got.numbers["controls"]) == {"logit_diff", "other"}  # all, for machines


def test_controls_can_be_left_out() -> None:
    place = faithful(NODES)
    context = replace(place.context, controls=0)
    assert "controls" not in kinds.measure(place.claims["c"], context).numbers


def test_figures_by_template() -> None:
    place = faithful(NODES)
    got = kinds.measure(place.claims["c"], place.context)
    templates = np.array([p.template for p in place.context.task.evaluation])
    for template in ("near", "far"):
        mine = got.arms[0].series["circuit.logit_diff"].values[templates == template]
        table = got.numbers["templates"][template]
        assert table["circuit.logit_diff"] == pytest.approx(float(mine.mean()))
    assert list(got.numbers["templates"]) == ["near", "far"]


def test_every_pair_by_template() -> None:
    place = world(
        "expect c { patch each early -> late.k from abc direct require logit_diff >= 0 ci 95 }"
    )
    got = kinds.measure(place.claims["c"], place.context)
    table = got.numbers["templates"]["far"]
    assert set(table) == {arm.name for arm in got.arms}
    assert len(table) > 1
    assert all(set(entry) == {"logit_diff"} for entry in table.values())
