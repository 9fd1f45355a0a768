"""Every set's and every element's figures against the slow reference, and the draws redone."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from circuitspec.claims import completeness, kinds, minimality
from circuitspec.claims.measured import Measured
from circuitspec.claims.sets import halves
from circuitspec.hypothesis.ordering import edge_key, element_key
from tests.claims.worlds import TASK, Reference, World, world

NODES = "ablate by nodes with {value}"
EDGES = "ablate by edges with {value}"
MEAN = "mean from abc over template"
KEPT = TASK + " keep m0, m2 @ * "

DECLARED_AND_KEPT = (
    TASK
    + """ role encoder = m0 @ A2
    edge input, early -> encoder.in
    edge encoder -> late.kv, logits
    keep mlps @ * """
)
"""Edges of the MLP at one position, of all that `keep` adds."""

CASES = [
    ("gpt2", TASK, NODES, MEAN),
    ("gpt2", KEPT, NODES, "zero"),
    ("gpt2", KEPT, EDGES, "counterfactual from abc"),
    ("gpt_neox", TASK, EDGES, MEAN),
    ("gpt2", DECLARED_AND_KEPT, EDGES, MEAN),
    ("llama", KEPT, NODES, "counterfactual from abc"),
    (
        "toy_mlp_layer_norm",
        KEPT.replace("a0.h3", "a0.h0").replace("a1.h2", "a1.h1").replace("a2.h2", "a2.h0"),
        NODES,
        MEAN,
    ),
]


def measured(case: tuple[str, str, str, str], claim: str, name: str) -> tuple[World, Measured]:
    model, body, by, value = case
    place = world(claim.replace("HOW", by.format(value=value)), name=model, body=body)
    return place, kinds.measure(place.claims[name], place.context)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[2].split()[2]}-{c[3].split()[0]}")
def test_completeness(case: tuple[str, str, str, str]) -> None:
    claim = """expect complete { HOW knockouts roles, { a0.h1, a2.h1 }, random 3
        require incompleteness <= 0.1 ci 95 }"""
    place, got = measured(case, claim, "complete")
    ablation = place.claims["complete"].ablation
    assert ablation is not None
    reference = Reference(place, ablation)
    assert len(got.sets) == 3 + 1 + 3
    sizes = set()
    for row in got.sets:
        without = parts(place, row.elements, ablation.by)
        sizes.add(len(without))
        np.testing.assert_allclose(row.circuit["logit_diff"], reference.circuit(without), atol=1e-8)
        np.testing.assert_allclose(row.model["logit_diff"], reference.model(without), atol=1e-8)
        entry = next(e for e in got.numbers["sets"] if e["name"] == row.name)
        signed = np.mean(reference.circuit(without)) - np.mean(reference.model(without))
        assert entry["incompleteness"] == pytest.approx(signed, abs=1e-8)
    assert len(sizes) > 2


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[2].split()[2]}-{c[3].split()[0]}")
@pytest.mark.parametrize("unit", ["head", "role"])
def test_minimality(case: tuple[str, str, str, str], unit: str) -> None:
    claim = f"""expect minimal {{ HOW each {unit} given {{ early, middle before it; role }}
        require effect >= 0.1 ci 95 }}"""
    if unit == "role":
        claim = claim.replace(
            "given { early, middle before it; role }", "given { late: early; role }"
        )
    place, got = measured(case, claim, "minimal")
    stated = place.claims["minimal"]
    assert stated.ablation is not None
    assert stated.minimality is not None
    reference = Reference(place, stated.ablation)
    pairs = [(v, k) for v, ks in stated.minimality.candidates for k in ks]
    assert len(got.effects) == len(pairs) >= 3
    biggest = 0.0
    for row, (v, k) in zip(got.effects, pairs, strict=True):
        if stated.ablation.by == "nodes":
            without, more = k.elements, k.elements | v.elements
        else:
            without = leaving(place, k.elements)
            more = leaving(place, k.elements | v.elements)
        before, after = reference.circuit(without), reference.circuit(more)
        np.testing.assert_allclose(
            minimality.effect(row, "logit_diff"), np.subtract(before, after), atol=1e-8
        )
        biggest = max(biggest, *np.abs(np.subtract(before, after)))
    assert biggest > 1e-3  # what was compared is not all zero


@pytest.mark.parametrize("body", [TASK, DECLARED_AND_KEPT], ids=["declared", "kept as well"])
def test_minimality_of_edges(body: str) -> None:
    claim = "expect minimal { HOW each edge require effect >= 0.1 ci 95 }"
    place, got = measured(("gpt2", body, EDGES, MEAN), claim, "minimal")
    stated = place.claims["minimal"]
    assert stated.ablation is not None
    assert stated.minimality is not None
    reference = Reference(place, stated.ablation)
    pairs = [(v, k) for v, ks in stated.minimality.candidates for k in ks]
    assert len(pairs) == len(got.effects) > 20
    for at in range(0, len(pairs), 9):
        (v, k), row = pairs[at], got.effects[at]
        before, after = reference.circuit(k.edges), reference.circuit(k.edges | v.edges)
        effects = minimality.effect(row, "logit_diff")
        np.testing.assert_allclose(effects, np.subtract(before, after), atol=1e-8)
    if body is DECLARED_AND_KEPT:
        (entering,) = (row for row in got.effects if row.name == "input -> m0.in @ A2")
        assert np.abs(minimality.effect(entering, "logit_diff")).max() > 0.01
        assert not entering.inert


def parts(place: World, printed: tuple[str, ...], by: str) -> frozenset:
    """Elements or edges by what is printed of them."""
    circuit = place.context.circuit
    known = {str(p): p for p in (circuit.members if by == "nodes" else circuit.edges)}
    return frozenset(known[text] for text in printed)


def leaving(place: World, elements: frozenset) -> frozenset:
    """The circuit's edges whose sender is one of `elements`, where it lives."""
    # all roles live at one label, and edges are read there, so labels can be compared as they are
    return frozenset(
        edge
        for edge in place.context.circuit.edges
        for element in elements
        if edge.sender == element.node
        and (
            edge.position == element.position or "*" in (str(edge.position), str(element.position))
        )
    )


# ------------------------------------------------------------------ what is drawn


def test_random_sets_can_be_drawn_again_from_the_seed() -> None:
    claim = "expect c { HOW knockouts random 8 require incompleteness <= 0.1 ci 95 }"
    _, got = measured(("gpt2", KEPT, NODES, MEAN), claim, "c")
    order = ["a0.h1 @ A2", "a0.h3 @ A2", "a1.h0 @ A2", "a1.h2 @ A2", "a2.h1 @ END", "a2.h2 @ END"]
    for i, row in enumerate(got.sets):
        random = Random(f"3/knockouts/random/{i}")
        assert list(row.elements) == [e for e in order if random.random() < 0.5]
    assert len({row.elements for row in got.sets}) > 4


def test_halves_are_balanced_by_template() -> None:
    place, _ = measured(
        ("gpt2", TASK, NODES, MEAN),
        "expect c { HOW knockouts roles require incompleteness <= 0.1 ci 95 }",
        "c",
    )
    searched, judged = halves(place.context)
    prompts = place.context.task.evaluation.prompts
    assert sorted(searched + judged) == list(range(len(prompts)))
    for template in ("near", "far"):
        counts = [sum(prompts[r].template == template for r in half) for half in (searched, judged)]
        assert counts[0] - counts[1] in (0, 1)


@pytest.mark.parametrize("by", [NODES, EDGES], ids=["nodes", "edges"])
def test_the_greedy_search_finds_what_the_reference_finds(by: str) -> None:
    claim = "expect c { HOW knockouts greedy 2x2x3 require incompleteness <= 0.1 ci 95 }"
    place, got = measured(("gpt2", TASK, by, MEAN), claim, "c")
    ablation = place.claims["c"].ablation
    assert ablation is not None
    reference = Reference(place, ablation)
    prompts = place.context.task.evaluation.prompts
    searched, judged = halves(place.context)
    circuit = place.context.circuit
    nodes = by == NODES
    order = (
        sorted(circuit.members, key=element_key) if nodes else sorted(circuit.edges, key=edge_key)
    )

    def size(k: frozenset) -> float:
        on = [prompts[r] for r in searched]
        return abs(np.mean(reference.circuit(k, on)) - np.mean(reference.model(k, on)))

    expected = {}
    for run in range(2):
        k, best = frozenset(), size(frozenset())
        for step in range(2):
            random = Random(f"3/knockouts/greedy/{run}/{step}")
            left = [p for p in order if p not in k]
            tried = {part: size(k | {part}) for part in random.sample(left, 3)}
            top = max(tried, key=lambda part: tried[part])
            if tried[top] > best:
                k, best = k | {top}, tried[top]
        expected.setdefault(k, f"greedy {run + 1}")
    found = {parts(place, row.elements, ablation.by): row for row in got.sets}
    assert {k: row.name for k, row in found.items()} == expected
    assert any(found)  # the search did add something
    for k, row in found.items():
        assert row.rows == judged
        signed = completeness.incompleteness(row, "logit_diff")
        on = [prompts[r] for r in judged]
        want = np.subtract(reference.circuit(k, on), reference.model(k, on))
        np.testing.assert_allclose(signed, want, atol=1e-8)
