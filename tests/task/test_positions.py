"""Positions that depend on the data."""

from __future__ import annotations

import pytest

from circuitspec.language.nodes import Position

TASK = """
    tokens integer 0..99
    template t "90 {A} {B} {C} 91 {D}"
    slot A, B, C from 0..9 distinct
    slot D from A
    slot X = draw(digits, 3)
    words digits = 0..9
    metric m = logit(A) - logit(B)
    sample evaluation 40, seed 0
"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("argmax(A, B, C)", lambda t, v: (1 + v.index(max(v)),)),
        ("argmin(A, B, C)", lambda t, v: (1 + v.index(min(v)),)),
        ("argmax(A, B) + 1", lambda t, v: (2 + v[:2].index(max(v[:2])),)),
        ("find(token = D)", lambda t, v: (1,)),
        ("find(token = D, nth = 2)", lambda t, v: (5,)),
        ("find(token = D, nth = -1)", lambda t, v: (5,)),
        ("find(token = D, after = A)", lambda t, v: (5,)),
        ("find(token = 91)", lambda t, v: (4,)),
        ("find(token = max(A, B, C), before = C + 1)", lambda t, v: (1 + v.index(max(v)),)),
        ("kth_place", lambda t, v: (1 + v.index(sorted(v)[1]),)),
        ("choose(A > B, A, B)", lambda t, v: (1 if v[0] > v[1] else 2,)),
        ("span(A, C)", lambda t, v: (1, 2, 3)),
        ("3", lambda t, v: (3,)),
        ("index(3)", lambda t, v: (3,)),
        ("-1", lambda t, v: (5,)),
        ("END - 1", lambda t, v: (4,)),
        ("OTHER", lambda t, v: (4,)),
    ],
)
def test_declared_positions(good, expression, expected):
    if expression == "kth_place":
        expression = "find(token = kth(2, A, B, C))"
    data = good(TASK + f"position OTHER = END - 1\nposition P = {expression}\n", None)
    for prompt in data.evaluation:
        values = [int(prompt.slots[s]) for s in ("A", "B", "C")]
        assert prompt.positions["P"] == expected(prompt.tokens, values), prompt.text


@pytest.mark.parametrize(
    ("expression", "code"),
    [
        ("A - 2", "T036"),
        ("END + 1", "T036"),
        ("find(token = 55)", "T036"),
        ("find(token = A, nth = 3)", "T036"),
        ("span(C, A)", "T036"),
        ("P + 1", "T010"),
        ("argmax(A)", "T014"),
        ("find(A)", "T014"),
        ("find(tokens = A)", "T014"),
        ("argmux(A, B)", "T013"),
        ("argmax(A, Q)", "T011"),
        ("A[1]", "T036"),
    ],
)
def test_positions_that_do_not_exist(make, expression, code):
    data, diagnostics = make(TASK + f"position P = {expression}\n", None)
    assert data is None
    assert code in {d.code for d in diagnostics}
    assert all(d.hint for d in diagnostics)


def test_positions_declared_by_each_other(make):
    _, diagnostics = make(TASK + "position P = Q + 1\nposition Q = P + 1\n", None)
    assert "T036" in {d.code for d in diagnostics}


def test_a_position_of_several_tokens_and_one_of_them(good):
    body = TASK.replace("{D}", "{D} {X}").replace("A, B, C from", "A, B, C  from")
    data = good(body + "position FIRST = X[0]\nposition LAST = X[-1]\n", None)
    for prompt in data.evaluation:
        places = prompt.positions["X"]
        assert places == (6, 7, 8)
        assert prompt.at(Position("X", 0, -1)) == prompt.positions["LAST"] == (8,)
        assert prompt.at(Position("X", 1, 0)) == (7,)
        assert prompt.at(Position("X", 0, "*")) == places
        assert prompt.positions["FIRST"] == (6,)
        assert prompt.tokens[6:9] == tuple(map(int, prompt.slots["X"].split()))


@pytest.mark.parametrize(
    "statement",
    [
        "metric far = logit(A) at (END+1)",
        "metric far = logit(A) at BOS",
        "metric far = cross_entropy(next) at (A..END)",
        "metric far = logit(A) at X",
        "baseline far = noise(3, X)",
        "baseline far = noise(3, END + 1)",
    ],
)
def test_what_is_read_where_a_prompt_has_no_token(make, statement):
    data, diagnostics = make(TASK + statement, None)
    assert data is None
    assert [d.code for d in diagnostics if d.code != "T003"] == ["T036"]


def test_noise_goes_to_places_and_nothing_else(make):
    _, diagnostics = make(TASK + "baseline far = noise(3, argmax(A, B))", None)
    assert "T014" in {d.code for d in diagnostics}
