"""The flat list read back: nothing is lost, nothing is made up, nothing makes it fail."""

from __future__ import annotations

import difflib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitspec.hypothesis.expand import expand
from circuitspec.hypothesis.expanded import Facts, read_expanded, text_of
from circuitspec.hypothesis.records import Hypothesis

from .specs import GOOD, IOI, SHIPPED, load, one
from .test_properties import bodies, resolved

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def check(hypothesis: Hypothesis) -> None:
    text = expand(hypothesis)
    (facts,), wrong = read_expanded(text)
    assert wrong == ()
    assert text_of(facts) == text
    assert (facts.name, facts.refines) == (hypothesis.name, hypothesis.refines)
    assert (facts.model, facts.revision) == (hypothesis.model, hypothesis.revision)
    assert set(facts.edges) == {e for part in hypothesis.edges for e in part.edges}
    assert set(facts.roles) == set(hypothesis.roles)
    for name, role in hypothesis.roles.items():
        assert set(facts.roles[name].nodes) == set(role.nodes)
        assert set(facts.roles[name].places) == set(role.places)
        assert len(facts.roles[name].carries) == len(role.carries)
    assert set(facts.open_nodes) == set(hypothesis.open_nodes)
    assert {n: set(r) for n, r in facts.groups.items()} == {
        n: set(r) for n, r in hypothesis.groups.items()
    }
    assert set(facts.claims) == {claim.name for claim in hypothesis.claims}


@pytest.mark.parametrize("path", [IOI, *sorted(SHIPPED.rglob("*.circuit"))], ids=lambda p: p.stem)
def test_every_spec_comes_back(path) -> None:
    from circuitspec.hypothesis.resolve import resolve
    from circuitspec.language.parser import parse_file

    hypotheses, _ = resolve(parse_file(path)[0], base_dir=path.parent)
    assert hypotheses
    for hypothesis in hypotheses:
        check(hypothesis)


@QUICK
@given(bodies())
def test_any_hypothesis_comes_back(statements: list[str]) -> None:
    for hypothesis in resolved(statements):
        check(hypothesis)


def test_several_lists_follow_each_other() -> None:
    texts = [expand(h) for h in load(IOI.read_text(encoding="utf-8"))]
    assert len(texts) > 1
    found, wrong = read_expanded("\n".join(texts))
    assert wrong == ()
    assert [text_of(facts) for facts in found] == texts


def test_reasons_and_places_in_every_form() -> None:
    text = (
        "hypothesis h\nmodel org/some model revision 12ab\ntask t\n"
        'open a1.h5 @ S1[-1]+2 "says \\"no\\" \\\\ and\\nmore"\n'
        "edge input -> m3.in @ S1[*]\nedge m3 -> logits @ END-1\n"
    )
    (facts,), wrong = read_expanded(text)
    assert wrong == ()
    assert text_of(facts) == text
    ((element, reason),) = facts.open_nodes
    assert reason == 'says "no" \\ and\nmore'
    assert (element.position.index, element.position.offset) == (-1, 2)
    assert (facts.model, facts.revision) == ("org/some model", "12ab")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("edge a1.h1 -> a0.h1", "a0.h1"),
        ("edge a0.h1 -> a1.h1 @ END", "no channel"),
        ("edge a0.h1 -> logits.q @ END", "no channel"),
        ("edge a0.h1 -> m1.q @ END", "no channel"),
        ("edge logits -> m1.in @ END", "read by nobody"),
        ("edge early -> m1.in @ END", "not a node"),
        ("edge a0.h1 -> m1.in @ S1+", "not a line"),
        ("edge 0.1 -> m1.in @ S1", "not a node"),
        ("role early has a0.h1", "not `has`"),
        ("role early member logits", "cannot be a member"),
        ("open a0.h1 @ S1 why", "not a line"),
        ("keep mlp @ *", "not a node"),
        ("nonsense", "not a line"),
        ("expect faithful", "not a line"),
    ],
)
def test_what_is_no_fact_is_said_and_passed_over(line: str, said: str) -> None:
    text = expand(one(GOOD))
    (facts,), (wrong,) = read_expanded(f"{text}{line}\n", "flat.txt")
    assert text_of(facts).replace("role early member\n", "") == text
    assert wrong.code == "H060"
    assert said in wrong.message
    assert (wrong.span.file, wrong.span.line) == ("flat.txt", text.count("\n") + 1)
    assert wrong.span.end - wrong.span.start == len(line)


def test_a_list_without_its_first_line() -> None:
    found, (wrong,) = read_expanded("model gpt2\n")
    assert found == ()
    assert "begins with" in wrong.message


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='hypotes m1a0.edg->@ \n"\\[]+*rle', max_size=80))
def test_no_text_makes_it_fail(text: str) -> None:
    found, wrong = read_expanded("hypothesis h\n" + text)
    assert isinstance(found[0], Facts)
    for diagnostic in wrong:
        assert 2 <= diagnostic.span.line <= text.count("\n") + 2


def changed(before: str, after: str) -> list[str]:
    """What `diff` of the expansions of two specs says."""
    lists = ["".join(expand(h) for h in load(text)).splitlines() for text in (before, after)]
    found = difflib.unified_diff(*lists, n=0, lineterm="")
    return [line for line in found if line[0] in "+-" and line[:3] not in ("---", "+++")]


def test_layout_comments_and_spelling_change_nothing() -> None:
    text = IOI.read_text(encoding="utf-8")
    other = text.replace("a9.h9, a9.h6,", "9.9,\n    L9H6,").replace("  role", "\n  # why\n  role")
    assert other != text
    assert changed(text, other) == []


def test_one_more_head_is_its_line_and_its_edges() -> None:
    text = IOI.read_text(encoding="utf-8")
    assert "a2.h2, a4.h11 " in text
    lines = changed(text, text.replace("a2.h2, a4.h11 ", "a2.h2, a4.h11, a4.h1 "))
    graph = [line for line in lines if not line[1:].startswith("claim ")]
    assert all(line.startswith("+") for line in graph)
    assert all("a4.h1" in line for line in lines)
    assert "+role previous_token member a4.h1" in graph
    assert "+edge input -> a4.h1.q @ S1+1" in graph
