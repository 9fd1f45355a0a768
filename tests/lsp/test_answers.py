"""Hover and completion, as pure functions of a text and a place."""

from __future__ import annotations

import time

import pytest

from circuitspec.language.meanings import CLAUSES, FUNCTIONS
from circuitspec.lsp.completion import complete
from circuitspec.lsp.hover import hover
from tests.lsp.specs import SPEC, at, doc


@pytest.mark.parametrize(
    ("mark", "said"),
    [
        ("edge |early -> late", ["role early = a0.h1 @ S2", "1 node: a0.h1", "attending S1"]),
        ("edge |early -> late", ["carries token(S1)", "edges from input (3); to late (2)"]),
        ("rival refines base {\n  role |early", ["a0.h2"]),
        ("ablate |both", ["group both = early, late", "2 roles, 2 nodes"]),
        ("|require agreement", ["What must hold", "require logit_diff >= 80%"]),
        ("require |agreement", ["share of prompts", "top token"]),
        ("= |resample(", ["redrawn"]),
        ("S2 |attends S1 carries token(S1)\n  role late", ["positions", "keys and values"]),
        ("late  = a2.|h3 @", ["head 3 of layer 2", "late (base), late (rival)"]),
        ("@ |END", ["last token"]),
        ("from |abc over", ["baseline abc = resample(IO, S1, S2)"]),
        (
            "slot place from nouns.ioi_places one_token\n    |metric",
            ["**metric**: What is measured"],
        ),
        ("refines |base", ["hypothesis base", "Two roles"]),
    ],
)
def test_hover(mark: str, said: list[str]) -> None:
    text, offset = at(mark)
    found = hover(doc(text), offset)
    assert found is not None
    for part in said:
        assert part in found[0]
    assert found[1].start <= offset <= found[1].end


def test_a_word_before_a_bracket_is_a_function() -> None:
    """`resample(` is a baseline; the keyword of the same name is an ablation value."""
    text, offset = at("= |resample(")
    called = hover(doc(text), offset)
    assert called is not None
    assert called[0] == f"**resample**(...): {FUNCTIONS['resample']}"
    other = SPEC.replace("with mean from abc over template", "with resample from abc draws 2")
    bare = hover(doc(other), other.index("resample from"))
    assert bare is not None
    assert bare[0] == f"**resample**: {CLAUSES['resample']}"


def test_nothing_to_say_of_blank_space() -> None:
    assert hover(doc(), SPEC.index("\n\n") + 1) is None


def offered(line: str, replacing: str = "  keep mlps @ *\n") -> list[str]:
    """What is offered at the end of a line that is typed into the spec."""
    text = SPEC.replace(replacing, line + "\n")
    assert text != SPEC
    return [item.text for item in complete(doc(text), text.index(line) + len(line))]


@pytest.mark.parametrize(
    ("line", "some", "not_these"),
    [
        ("  ", ["role", "edge", "keep", "expect"], ["require", "slot", "hypothesis"]),
        ("  ro", ["role", "edge"], ["require"]),
        ("  edge ", ["early", "late", "both", "input", "within"], ["logits", "S1", "role"]),
        ("  edge early -> ", ["late", "logits"], ["input", "S1"]),
        ("  edge early -> late.", ["q", "k", "v", "kv", "qkv", "in"], ["late", "early"]),
        ("  edge early -> late.k at ", ["S1", "END"], ["early"]),
        ("  role x = a0.h1 @ ", ["S1", "S2", "IO", "END", "BOS"], ["early", "logit_diff"]),
        ("  role x = a0.h1 @ S2 ", ["attends", "carries"], ["early"]),
        ("  role x = a0.h1 @ S2 carries ", ["token", "position", "S1"], ["early", "logit"]),
        ("  role ", [], ["early", "S1", "role"]),
        ("  group g = ", ["early", "late"], ["both", "S1"]),
        ("  expect e under ", ["paper"], ["early", "abc"]),
        ("  expect e { ", ["ablate", "require", "patch"], ["role", "slot"]),
        ("  expect e { ablate ", ["early", "both", "complement"], ["S1"]),
        ("  expect e { patch early from ", ["abc"], ["early", "paper"]),
        ("  expect e { scrub over ", ["abc", "ioi"], ["early"]),
        ("  expect e { require ", ["agreement", "logit_diff", "model"], ["S1", "ablate"]),
        ("  expect e { require model.", ["logit_diff"], ["agreement", "early"]),
        ("  expect e { require attention(", ["early", "both"], ["S1"]),
        ("  expect e { ablate complement by ", ["nodes", "edges"], ["early"]),
        ("  # role ", [], ["role", "early"]),
    ],
)  # fmt: skip
def test_completion_in_a_hypothesis(line: str, some: list[str], not_these: list[str]) -> None:
    found = offered(line)
    assert set(some) <= set(found), found
    assert not set(not_these) & set(found), found
    assert len(found) == len(set(found))
    if not some:
        assert found == []


@pytest.mark.parametrize(
    ("line", "some", "not_these"),
    [
        ("    ", ["slot", "template", "metric"], ["role", "require"]),
        ("    slot X from ", ["names.english", "S1"], ["early", "logit"]),
        ("    slot X from names.", ["english"], ["S1"]),
        ("    slot X from S1 ", ["distinct", "one_token"], ["names.english"]),
        ("    metric m = ", ["logit", "prob", "IO"], ["early", "agreement"]),
        ("    baseline b = ", ["resample", "swap"], ["logit"]),
        ("    position P = ", ["argmax", "find", "S1"], ["logit"]),
        ("    bos ", ["yes", "no"], ["S1"]),
        ('    template t "then {', ["IO", "S1", "S2", "place"], ["early", "slot"]),
        ('    template t "then ', [], ["IO", "slot"]),
    ],
)
def test_completion_in_a_task(line: str, some: list[str], not_these: list[str]) -> None:
    found = offered(line, replacing="    bos no\n")
    assert set(some) <= set(found), found
    assert not set(not_these) & set(found), found
    if not some:
        assert found == []


@pytest.mark.parametrize("cut", range(0, len(SPEC), 7))
def test_any_place_of_any_beginning_has_an_answer(cut: int) -> None:
    text = SPEC[:cut]
    for item in complete(doc(text), cut):
        assert item.text
        assert 0 <= item.start <= cut
    hover(doc(text), cut)


def test_an_answer_is_quick() -> None:
    text = SPEC + "".join(
        f"hypothesis h{n} refines base {{ role early = a0.h3 @ S2 attends S1 }}\n"
        for n in range(100)
    )
    begin = time.perf_counter()
    complete(doc(text), len(text))
    assert time.perf_counter() - begin < 30.0
