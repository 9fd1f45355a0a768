"""Features: what `carries` can speak of, and which prompts agree on it."""

from __future__ import annotations

import pytest

from circuitspec.language.parser import parse
from circuitspec.language.syntax import Role
from circuitspec.task.checks import check_feature
from circuitspec.task.features import (
    FeatureError,
    classes,
    feature_labels,
    feature_value,
    is_constant,
)


def feature(text):
    spec, diagnostics = parse(
        f"circuitspec 1\nhypothesis h {{ role r = m0 @ END carries {text} }}\n", "f"
    )
    assert not diagnostics, diagnostics
    (role,) = [s for s in spec.hypotheses[0].statements if isinstance(s, Role)]
    (found,) = role.carries
    return found


SUMS = """
    tokens integer 0..113
    template first  "{A} {B} 113"
    template second "{B} 112 {A} 113"
    slot A, B from 0..4
    slot C = (A + B) mod 5
    slot D from A
    position BIG = argmax(A, B)
    table half { "0": "low", "1": "low", "2": "low", "3": "high", "4": "high" }
    metric m = logit(C)
    sample all
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("token(A)", lambda a, b, t: (a,)),
        ("token(A + 1)", lambda a, b, t: (b if t == "first" else 113,)),
        ("token(END)", lambda a, b, t: (113,)),
        ("position(A)", lambda a, b, t: (0 if t == "first" else 2,)),
        ("position(BIG)", lambda a, b, t: ((0 if t == "first" else 2) if a >= b else
                                           (1 if t == "first" else 0),)),
        ("equal(A, B)", lambda a, b, t: a == b),
        ("order(A, B)", lambda a, b, t: ("A", "B") if t == "first" else ("B", "A")),
        ("template", lambda a, b, t: t),
        ("A", lambda a, b, t: str(a)),
        ("(A + B) mod 113", lambda a, b, t: (a + b) % 113),
        ("C", lambda a, b, t: str((a + b) % 5)),
        ("A > B", lambda a, b, t: a > b),
        ("sign(A - B)", lambda a, b, t: (a > b) - (a < b)),
        ("abs(A - B)", lambda a, b, t: abs(a - b)),
        ("max(A, B)", lambda a, b, t: str(max(a, b))),
        ("half(A)", lambda a, b, t: "low" if a < 3 else "high"),
        ("half(A) == half(B)", lambda a, b, t: (a < 3) == (b < 3)),
        ("count(2)", lambda a, b, t: (a == 2) + (b == 2)),
        ("count(2, 3)", lambda a, b, t: (a in (2, 3)) + (b in (2, 3))),
        ("choose(A > B, 1, 0)", lambda a, b, t: int(a > b)),
        ("A / 2", lambda a, b, t: a // 2 if a % 2 == 0 else a / 2),
    ],
)  # fmt: skip
def test_values(good, text, expected):
    data = good(SUMS, None)
    assert len(data.evaluation) == 50
    for prompt in data.evaluation:
        a, b = int(prompt.slots["A"]), int(prompt.slots["B"])
        found = feature_value(feature(text), prompt, data.context)
        assert found == expected(a, b, prompt.template), (text, prompt.text)
        hash(found)


BRACKETS = """
    tokens integer 0..2
    words brackets = 0..1
    template t "2 {X}"
    slot X = draw(brackets, 6)
    metric m = logit(1)
    sample evaluation 30, seed 0
"""


def test_running_counts(good):
    """The sign of opened minus closed brackets so far."""
    data = good(BRACKETS, None)
    depth = feature("sign(count(0, to = here) - count(1, to = here))")
    whole = feature("count(0) - count(1)")
    for prompt in data.evaluation:
        for i in range(len(prompt.tokens)):
            seen = prompt.tokens[: i + 1]
            balance = seen.count(0) - seen.count(1)
            value = feature_value(depth, prompt, data.context, i)
            assert value == (balance > 0) - (balance < 0)
        total = prompt.tokens.count(0) - prompt.tokens.count(1)
        assert feature_value(whole, prompt, data.context) == total
        half = feature_value(feature("count(0, to = X[2])"), prompt, data.context)
        assert half == prompt.tokens[:4].count(0)
    with pytest.raises(FeatureError, match="here"):
        feature_value(depth, data.evaluation.prompts[0], data.context)


def test_words_are_counted_with_and_without_a_space(good, bpe):
    data = good(
        """
        template t "dog the dog and the {A}"
        slot A from "dog", "cat"
        metric m = prob(A)
        sample all
        bos no
        """,
        bpe,
    )
    counts = [feature_value(feature('count("dog")'), p, data.context) for p in data.evaluation]
    assert counts == [3, 2]
    animals = feature("count(nouns.animals)")
    assert not check_feature(data.context.task, feature('count("dog")'))
    assert check_feature(data.context.task, animals)  # the list is not one of the task's


def test_classes_of_products_and_constants(good):
    data = good(SUMS, None)
    prompts = data.evaluation.prompts
    sums = classes([feature("(A + B) mod 5")], prompts, data.context)
    assert sorted(len(c) for c in sums.values()) == [10] * 5
    assert sorted(i for c in sums.values() for i in c) == list(range(50))
    both = classes([feature("A"), feature("template")], prompts, data.context)
    assert sorted(len(c) for c in both.values()) == [5] * 10
    assert is_constant(feature("token(END)"), prompts, data.context)
    assert is_constant(feature("equal(A, A)"), prompts, data.context)
    assert not is_constant(feature("position(A)"), prompts, data.context)
    first = [p for p in prompts if p.template == "first"]
    assert is_constant(feature("position(A)"), first, data.context)


def test_a_feature_of_a_position_may_be_constant_at_one(good):
    data = good(BRACKETS, None)
    opened = feature("count(2, to = here)")
    assert is_constant(opened, data.evaluation.prompts, data.context)
    depth = feature("count(0, to = here)")
    assert is_constant(depth, data.evaluation.prompts, data.context, 0)
    assert not is_constant(depth, data.evaluation.prompts, data.context)


def test_columns_of_a_file(good, tmp_path):
    (tmp_path / "x.jsonl").write_text(
        '{"text": "0 1 {A}", "A": "1", "kind": "even", "depth": [1, 0, 1]}\n'
        '{"text": "0 0 {A}", "A": "0", "kind": "odd", "depth": [1, 2, 3]}\n'
    )
    data = good(
        'tokens integer 0..2\nprompts from "x.jsonl"\nmetric m = logit(A)\nsample all\n', None
    )
    kind, depth = feature("column(kind)"), feature("column(depth)")
    first, second = data.evaluation
    assert feature_value(kind, first, data.context) == "even"
    assert [feature_value(depth, second, data.context, i) for i in range(3)] == ["1", "2", "3"]
    assert feature_value(depth, second, data.context) == ("1", "2", "3")
    assert is_constant(depth, data.evaluation.prompts, data.context, 0)
    assert not is_constant(depth, data.evaluation.prompts, data.context)
    assert not check_feature(data.context.task, depth)
    (unknown,) = check_feature(data.context.task, feature("column(dept)"))
    assert "depth" in (unknown.hint or "")


@pytest.mark.parametrize(
    ("text", "code"),
    [("token(Q)", "T011"), ("tokens(A)", "T013"), ("position()", "T014"), ("A + Q", "T011"),
     ("count(2, upto = A)", "T014")],
)  # fmt: skip
def test_features_that_speak_of_nothing(good, text, code):
    data = good(SUMS, None)
    assert [d.code for d in check_feature(data.context.task, feature(text))] == [code]


def test_a_feature_without_a_value_says_where(good):
    data = good(SUMS, None)
    prompt = data.evaluation.prompts[0]
    for text in ("A / 0", "(A + 1) mod 0", "half(7)", "A[3]"):
        with pytest.raises(FeatureError, match=prompt.text):
            feature_value(feature(text), prompt, data.context)


def test_what_a_feature_depends_on(good):
    data = good(SUMS, None)
    assert feature_labels(feature("token(BIG)"), data.context) == {"BIG", "A", "B"}
    assert feature_labels(feature("C"), data.context) == {"A", "B", "C"}
    assert feature_labels(feature("template"), data.context) == set()
