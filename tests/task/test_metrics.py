"""Metrics become sums of terms, positions and all; expressions have one way of being written."""

from __future__ import annotations

import pytest

from circuitspec.language.syntax import Metric as MetricStatement
from circuitspec.task.expressions import canonical
from circuitspec.task.metrics import read_metric
from circuitspec.task.records import MetricTerm


def statement(task, text):
    (found,) = [s for s in task(f"metric m = {text}").statements if isinstance(s, MetricStatement)]
    return found


def terms(*found):
    return tuple(MetricTerm(coefficient=c, quantity=q, answer=a) for c, q, a in found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("logit(IO)", [(1, "logit", "IO")]),
        ("logit(IO) - logit(S1)", [(1, "logit", "IO"), (-1, "logit", "S1")]),
        ("-logit(IO)", [(-1, "logit", "IO")]),
        ("logit(A) - (logit(B) - logit(C))",
         [(1, "logit", "A"), (-1, "logit", "B"), (1, "logit", "C")]),
        ("2 * logit(A) + prob(B) / 4", [(2, "logit", "A"), (0.25, "prob", "B")]),
        ("logit(A) * 50%", [(0.5, "logit", "A")]),
        ("-3 * prob(A)", [(-3, "prob", "A")]),
        ("(logit(A) - logit(B)) / 2", [(0.5, "logit", "A"), (-0.5, "logit", "B")]),
        ("cross_entropy(A)", [(-1, "log_prob", "A")]),
        ("log_prob(A) + rank(B)", [(1, "log_prob", "A"), (1, "rank", "B")]),
        ("prob(greater( YY ,list)) - prob(less_equal(YY, list))",
         [(1, "prob", "greater(YY, list)"), (-1, "prob", "less_equal(YY, list)")]),
        ("logit(((A+B)) mod 113)", [(1, "logit", "(A + B) mod 113")]),
        ('logit("he")', [(1, "logit", '"he"')]),
        ("logit(S1[0])", [(1, "logit", "S1[0]")]),
    ],
)  # fmt: skip
def test_terms(task, text, expected):
    metric, diagnostics = read_metric(statement(task, text))
    assert not diagnostics
    assert metric.terms == terms(*expected)
    assert (str(metric.at), metric.until, metric.kl) == ("END", None, False)


def test_kl_stands_alone(task):
    for text in ("kl()", "kl"):
        metric, _ = read_metric(statement(task, text))
        assert metric.kl
        assert metric.terms == ()
    metric, _ = read_metric(statement(task, "kl() at S1"))
    assert (metric.kl, str(metric.at)) == (True, "S1")


def test_places(task):
    metric, _ = read_metric(statement(task, "(logit(A) - logit(B)) at (P[0]+1)"))
    assert str(metric.at) == "P[0]+1"
    metric, _ = read_metric(statement(task, "logit(A) at P - logit(B) at P"))
    assert str(metric.at) == "P"
    metric, _ = read_metric(statement(task, "cross_entropy(next) at (X[0]..X[-2])"))
    assert (str(metric.at), str(metric.until)) == ("X[0]", "X[-2]")
    assert metric.terms[0].next_token


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("A+B*C", "A + B * C"),
        ("(A+B)*C", "(A + B) * C"),
        ("A-(B-C)", "A - (B - C)"),
        ("(A-B)-C", "A - B - C"),
        ("-(A+B)", "-(A + B)"),
        ("A mod 2==1", "A mod 2 == 1"),
        ("f( A , k=2 )", "f(A, k = 2)"),
        ('"a\\"b"', '"a\\"b"'),
        ("X[*]", "X[*]"),
        ("(a.b)", "a.b"),
        ("20%", "20%"),
    ],
)
def test_expressions_are_written_one_way(task, text, written):
    (answer,) = statement(task, f"logit({text})").value.arguments
    assert canonical(answer) == written
    (again,) = statement(task, f"logit({written})").value.arguments
    assert again == answer


def test_answers_of_every_kind(good, word_level):
    data = good(
        """
        template t "the {A} and the {B} or the"
        slot A, B from "dog", "cat", "cow"
        words few = "dog", "cat"
        slot C = lower(A)
        metric a = prob(others(A))
        metric b = prob(others(A, "cow"))
        metric c = prob(few) - prob("cow")
        metric d = logit(B[0]) - logit(C)
        metric e = logit(choose(A == B, "park", "store"))
        sample evaluation 40, seed 0
        bos no
        """
    )
    words = ("dog", "cat", "cow")

    def ids(*found):
        return tuple(word_level.encode(w).ids[0] for w in found)

    for prompt in data.evaluation:
        a, b = prompt.slots["A"], prompt.slots["B"]
        assert prompt.answers["others(A)"] == ids(*(w for w in words if w != a))
        assert prompt.answers['others(A, "cow")'] == ids(*(w for w in words if w not in (a, "cow")))
        assert prompt.answers["few"] == ids("dog", "cat")
        assert prompt.answers['"cow"'] == ids("cow")
        assert prompt.answers["B[0]"] == ids(b)
        assert prompt.answers["C"] == ids(a)
        chosen = "park" if a == b else "store"
        assert prompt.answers['choose(A == B, "park", "store")'] == ids(chosen)


def test_an_answer_that_names_no_word_is_said(make):
    data, diagnostics = make(
        """
        tokens integer 0..9
        template t "{A}"
        slot A from 0..9
        metric m = prob(greater(A)) - prob(less(A))
        sample all
        """,
        None,
    )
    assert data is None
    assert {d.code for d in diagnostics} == {"T037"}
    assert any("'9'" in d.message for d in diagnostics)
