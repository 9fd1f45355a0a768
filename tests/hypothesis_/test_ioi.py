"""The circuit of Wang et al. 2022, against published counts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from circuitspec.hypothesis.checks import check_all
from circuitspec.hypothesis.circuit import circuit_of, edges_of
from circuitspec.hypothesis.graph import graph_of
from circuitspec.hypothesis.records import Circuit, Edge, Hypothesis, PathPatch
from circuitspec.hypothesis.resolve import resolve
from circuitspec.hypothesis.task_text import task_info
from circuitspec.language.diagnostics import Severity
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    END,
    Head,
    HeadIndex,
    Input,
    Layer,
    Logits,
    Mlp,
    Position,
    is_upstream,
)
from circuitspec.language.parser import parse

from .specs import GPT2, IOI, SHIPPED, claim, load

TEXT = IOI.read_text(encoding="utf-8")
# ACDC's transcription has no edge from the input to the queries of the induction heads.
AS_TRANSCRIBED = TEXT.replace("induction.q, ", "")
WITH_DIRECT_EDGE = AS_TRANSCRIBED.replace("  keep mlps", "  edge input -> logits\n  keep mlps")


@pytest.fixture(scope="module")
def ioi() -> Hypothesis:
    return load(TEXT)[0]


def test_it_is_clean() -> None:
    tree, mistakes = parse(TEXT)
    hypotheses, found = resolve(tree)
    shapes = {h.name: GPT2 for h in hypotheses}
    checked = check_all(hypotheses, shapes=shapes, base_dir=IOI.parent)
    problems = [d for d in (*mistakes, *found, *checked) if d.severity is not Severity.NOTE]
    assert problems == []


@pytest.mark.parametrize("path", sorted(SHIPPED.rglob("*.circuit")), ids=lambda p: p.stem)
def test_what_is_shipped_has_no_error(path: Path) -> None:
    tree, mistakes = parse(path.read_text(encoding="utf-8"), path.name)
    hypotheses, found = resolve(tree, base_dir=path.parent)
    checked = check_all(hypotheses, base_dir=path.parent)
    errors = [d for d in (*mistakes, *found, *checked) if d.severity is Severity.ERROR]
    assert errors == []


def test_it_has_the_papers_26_heads(ioi: Hypothesis) -> None:
    assert {name: len(role.nodes) for name, role in ioi.roles.items()} == {
        "previous_token": 2,
        "duplicate_token": 3,
        "induction": 4,
        "s_inhibition": 4,
        "name_mover": 3,
        "backup_mover": 8,
        "negative_mover": 2,
    }


def test_it_expands_to_the_182_edges_of_the_transcription() -> None:
    (ioi, _) = load(AS_TRANSCRIBED)
    assert AS_TRANSCRIBED != TEXT
    edges = {(e.sender, e.receiver, e.channel) for part in ioi.edges for e in part.edges}
    kinds = Counter((type(s).__name__, type(r).__name__) for s, r, _ in edges)
    assert kinds == {("Head", "Head"): 124, ("Input", "Head"): 45, ("Head", "Logits"): 13}
    assert len(edges) == 182


def test_induction_queries_add_four(ioi: Hypothesis) -> None:
    assert sum(len(part.edges) for part in ioi.edges) == 186


def test_every_edge_is_read_where_its_receiver_lives(ioi: Hypothesis) -> None:
    info = task_info(ioi.task)
    lives = {node: role for role in ioi.roles.values() for node in role.nodes}
    for edge in (e for part in ioi.edges for e in part.edges):
        if isinstance(edge.receiver, Logits):
            assert edge.position in info.logit_positions() == (END,)
            continue
        (place,) = lives[edge.receiver].places  # type: ignore[index]  # roles hold no logits
        expected = (place.query,) if edge.channel == "q" else place.keys
        assert (edge.position,) == expected
        if isinstance(edge.sender, Head):
            assert lives[edge.sender].places[0].query == edge.position


def _by_channel(edges: frozenset[Edge]) -> int:
    return len({(e.sender, e.receiver, e.channel) for e in edges})


@pytest.mark.parametrize(("text", "count"), [(AS_TRANSCRIBED, 962), (WITH_DIRECT_EDGE, 963)])
def test_with_every_mlp_edge_it_is_the_transcriptions_963(text: str, count: int) -> None:
    """The published count of 963 holds the direct edge from the input to the logits."""
    circuit = circuit_of(load(text)[0], GPT2)
    assert _by_channel(circuit.edges) == count
    assert _by_channel(circuit.kept_edges) == 780
    kinds = Counter((type(e.sender).__name__, type(e.receiver).__name__) for e in circuit.edges)
    assert kinds["Input", "Mlp"] == kinds["Mlp", "Logits"] == 12
    assert kinds["Mlp", "Mlp"] == 12 * 11 / 2
    # Heads by layer: each is read by the MLPs from its own layer on, and reads those below it.
    layers = [e.node.layer for e in circuit.members if isinstance(e.node, Head)]
    assert kinds["Head", "Mlp"] == sum(12 - layer for layer in layers) == 123
    assert kinds["Mlp", "Head"] == sum(3 * layer for layer in layers) == 567
    assert kinds["Input", "Logits"] == count - 962


def head(layer: int, index: int) -> Head:
    return Head(Layer(layer), HeadIndex(index))


def test_kept_edges_are_read_where_heads_live(ioi: Hypothesis) -> None:
    circuit = circuit_of(ioi, GPT2)
    m0, m11 = Mlp(Layer(0)), Mlp(Layer(11))
    mover, s_io = head(9, 9), Position("IO")
    assert Edge(m0, mover, "q", END) in circuit.kept_edges
    assert Edge(m0, mover, "k", s_io) in circuit.kept_edges
    assert Edge(m0, mover, "v", s_io) in circuit.kept_edges
    assert Edge(head(2, 2), m11, "in", Position("S1", 1)) in circuit.kept_edges
    assert Edge(m0, m11, "in", ALL_POSITIONS) in circuit.kept_edges
    assert Edge(Input(), m0, "in", ALL_POSITIONS) in circuit.kept_edges
    assert Edge(m11, Logits(), "", END) in circuit.kept_edges
    assert Edge(m11, mover, "q", END) not in circuit.edges
    assert {e.position for e in circuit.kept} == {ALL_POSITIONS}
    assert len(circuit.members) == 26
    assert len(circuit.kept) == 12


def test_open_nodes_are_outside_the_circuit(ioi: Hypothesis) -> None:
    circuit = circuit_of(ioi, GPT2)
    assert [str(e) for e, _ in ioi.open_nodes] == ["a7.h1 @ S2"]
    assert all(e.node != head(7, 1) for e in circuit.members | circuit.kept)


# The paper's sets K, from its released code: the head's own class, with these exceptions.
MOVERS = (
    *("a9.h9", "a10.h0", "a9.h6"),
    *("a10.h10", "a10.h6", "a10.h2", "a10.h1", "a11.h2", "a9.h7", "a9.h0", "a11.h9"),
)


def _papers_order(text: str) -> str:
    """The spec with its movers listed in the paper's order, which `before it` goes by."""
    lines = []
    for line in text.splitlines():
        if line.strip().startswith("role name_mover"):
            line = f"  role name_mover = {', '.join(MOVERS[:3])} @ END attends IO"
        elif line.strip().startswith("role backup_mover"):
            line = f"  role backup_mover = {', '.join(MOVERS[3:])} @ END attends IO"
        lines.append(line)
    return "\n".join(lines)


def test_the_papers_table_of_k_can_be_said() -> None:
    ioi = load(_papers_order(TEXT))[0]
    minimality = claim(ioi, "minimal").minimality
    assert minimality is not None
    table = {
        unit.name: [{str(e.node) for e in given.elements} for given in sets]
        for unit, sets in minimality.candidates
    }
    assert len(table) == 26
    negative = {"a10.h7", "a11.h10"}
    for place, name in enumerate(MOVERS):
        if name in ("a9.h0", "a11.h9"):
            assert table[name] == [({*MOVERS} | negative) - {name}]
        else:
            assert table[name] == [{*MOVERS[:place]}]
    assert table["a5.h8"] == table["a5.h9"] == [negative]
    assert table["a5.h5"] == [{"a5.h8", "a5.h9", "a6.h9"}]
    assert table["a10.h7"] == [{"a11.h10"}]
    assert table["a0.h1"] == [{"a0.h10", "a3.h0"}]


def test_knockouts_are_the_papers_classes(ioi: Hypothesis) -> None:
    completeness = claim(ioi, "complete").completeness
    assert completeness is not None
    assert {k.name: len(k.elements) for k in completeness.named} == {
        "previous_token": 2,
        "duplicate_token": 3,
        "induction": 4,
        "s_inhibition": 4,
        "name_mover": 3,
        "backup_mover": 8,
        "negative_mover": 2,
        "movers": 11,
    }
    assert (completeness.random, completeness.greedy) == (100, (10, 10, 10))


def test_by_edges_a_set_is_what_leaves_it(ioi: Hypothesis) -> None:
    circuit: Circuit = circuit_of(ioi, GPT2)
    completeness = claim(ioi, "complete").completeness
    assert completeness is not None
    cut = next(k for k in completeness.named if k.name == "previous_token")
    assert {e.sender for e in cut.edges} == {head(2, 2), head(4, 11)}
    assert len(cut.edges) == 2 * 4 * 2
    cut_here = edges_of(cut, circuit, task_info(ioi.task))
    # With the MLPs that read the two heads: layers 2 to 11, and 4 to 11.
    assert len(cut_here) == 16 + 10 + 8
    assert cut_here < circuit.edges


def test_patching_writes_all_queries_at_once(ioi: Hypothesis) -> None:
    patch = claim(ioi, "s_inhibition_is_used").intervention
    assert isinstance(patch, PathPatch)
    (pair,) = patch.pairs
    assert [str(e) for e in pair.senders] == [
        f"{h} @ END" for h in ("a7.h3", "a7.h9", "a8.h6", "a8.h10")
    ]
    assert {(str(r), c, p) for r, c, p in pair.receivers} == {
        (h, "q", END) for h in ("a9.h6", "a9.h9", "a10.h0")
    }
    assert (patch.mode, patch.through, patch.baseline) == ("all", "mlps", "abc")


def test_patching_each_has_a_pair_for_every_sender_and_input() -> None:
    ioi = load(TEXT.replace("patch all s_inhibition", "patch each s_inhibition"))[0]
    patch = claim(ioi, "s_inhibition_is_used").intervention
    assert isinstance(patch, PathPatch)
    assert len(patch.pairs) == 4 * 3
    assert all(len(p.senders) == len(p.receivers) == 1 for p in patch.pairs)
    assert patch.pairs[0].name == "a7.h3 @ END -> a9.h6.q"


def test_the_naive_rival_is_what_the_paper_argues_against() -> None:
    _, naive = load(TEXT)
    assert {name: {str(n) for n in role.nodes} for name, role in naive.roles.items()} == {
        "previous_token": {"a2.h2", "a4.h11"},
        "duplicate_token": {"a0.h10", "a3.h0"},
        "induction": {"a5.h5", "a5.h9"},
        "s_inhibition": {"a7.h3", "a7.h9", "a8.h6", "a8.h10"},
        "name_mover": {"a9.h6", "a9.h9", "a10.h0"},
    }
    assert naive.groups == {"movers": ("name_mover",)}
    assert "role backup_mover" in naive.dropped
    assert all("backup" not in p.receiver for p in naive.edges)
    # Named sets are by content: `movers` is now `name_mover` and is not measured twice.
    completeness = claim(naive, "complete").completeness
    assert completeness is not None
    assert "movers" not in {k.name for k in completeness.named}
    minimality = claim(naive, "minimal").minimality
    assert minimality is not None
    assert len(minimality.candidates) == 13


def test_the_graph_has_a_vertex_for_every_place(ioi: Hypothesis) -> None:
    graph = graph_of(ioi)
    assert sum(1 for _, role in graph.nodes(data="role") if role) == 26
    mover = (head(9, 9), END)
    assert graph.nodes[mover]["role"] == "name_mover"
    assert graph.edges[(head(7, 3), END), mover] == {"channels": ("q",), "reads": (END,)}
    s_io = Position("IO")
    assert graph.edges[(Input(), s_io), mover] == {"channels": ("k", "v"), "reads": (s_io,)}
    import networkx

    assert networkx.is_directed_acyclic_graph(graph)
    whole = graph_of(ioi, circuit_of(ioi, GPT2))
    assert networkx.is_directed_acyclic_graph(whole)
    assert whole.number_of_nodes() > graph.number_of_nodes()
    # Leaving the kept MLPs out of the whole graph gives the declared one.
    kept = [v for v, data in whole.nodes(data=True) if data["kept"]]
    assert len(kept) == 12
    whole.remove_nodes_from(kept)
    assert set(whole.edges) == set(graph.edges)


def test_gpt2_small_has_32491_edges() -> None:
    heads = [head(layer, index) for layer in range(12) for index in range(12)]
    mlps = [Mlp(Layer(layer)) for layer in range(12)]
    count = sum(
        (3 if isinstance(receiver, Head) else 1)
        for sender in (Input(), *heads, *mlps)
        for receiver in (*heads, *mlps, Logits())
        if is_upstream(sender, receiver)
    )
    assert count == 32_491
