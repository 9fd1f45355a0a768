"""Where rules must keep silent, and where one mistake could be taken for several."""

from __future__ import annotations

import pytest

from circuitspec.hypothesis.checks.constant_feature import constant
from circuitspec.hypothesis.graph import graph_of
from circuitspec.hypothesis.task_text import task_info

from .specs import GOOD, TASK, findings, marked, one, spec

ONE_TEMPLATE = "".join(line for line in TASK.splitlines(True) if "template baba" not in line)
SEVERAL_TOKENS = ONE_TEMPLATE.replace("distinct one_token", "distinct")


@pytest.mark.parametrize(
    ("feature", "task", "same"),
    [
        ("template", ONE_TEMPLATE, True),
        ("template", TASK, False),
        ("order(IO, S1)", ONE_TEMPLATE, True),
        ("order(IO, S1)", TASK, False),
        ("position(S1)", ONE_TEMPLATE, True),
        # In the other template the names change places, and S1 with them.
        ("position(S1)", TASK, False),
        # A name of several tokens before it moves it.
        ("position(S1)", SEVERAL_TOKENS, False),
        ("position(IO)", SEVERAL_TOKENS, True),
        ("position(END)", ONE_TEMPLATE, True),
        ("position(END)", SEVERAL_TOKENS, False),
        ("token(S1)", ONE_TEMPLATE, False),
        ("token(place)", ONE_TEMPLATE.replace('"store", "park"', '"store"'), True),
        ("token(place)", ONE_TEMPLATE, False),
    ],
)
def test_what_is_the_same_in_every_prompt(feature: str, task: str, same: bool) -> None:
    h = one(spec(f"role r = a0.h0 @ END carries {feature}", task=task))
    assert constant(h.roles["r"].carries[0], task_info(h.task)) is same


@pytest.mark.parametrize(
    "second",
    [
        "require agreement >= 0.8 ci 95",
        "require error <= 0.5 ci 95",
        "require kl <= 0.1 ci 95",
        "require logit_diff <= 120% * model.logit_diff ci 95",
        "accept blind require gap <= 0.5 ci 95",
    ],
)
def test_a_second_side_makes_faithfulness_two_sided(second: str) -> None:
    one_sided = GOOD.replace("within 20% of model", ">= 80% * model")
    assert [d.code for d in findings(one_sided)] == ["H051"]
    assert (
        findings(one_sided.replace("    ablate complement\n", f"    ablate complement {second}\n"))
        == ()
    )


def test_the_first_break_of_a_chain_is_the_one_reported() -> None:
    chain = (
        "role a = a0.h0 @ END",
        "role b = a1.h0 @ END",
        "role c = a2.h0 @ END",
        "role d = a3.h0 @ END",
        "edge input -> d.q",
        "edge d -> logits",
    )
    unheard = spec(*chain, "edge input -> a.q", "edge a -> b.q", "edge b -> c.q")
    assert [(d.code, marked(d, unheard)[:6]) for d in findings(unheard)] == [("H042", "role c")]
    unfed = spec(*chain, "edge a -> b.q", "edge b -> c.q", "edge c -> logits")
    assert [(d.code, marked(d, unfed)[:6]) for d in findings(unfed)] == [("H043", "role a")]


def test_a_feature_may_come_from_a_place_that_text_cannot_tell_apart() -> None:
    """`S1+1` may be IO where nothing stands between the two; where a word does, it is not."""
    body = (
        "role r = a0.h0 @ END attends S1+1 carries token(IO)",
        "edge input -> r.kv",
        "edge r -> logits",
    )
    apart = spec(*body, task=ONE_TEMPLATE.replace("{IO} and {S1}", "{S1} and {IO}"))
    assert [d.code for d in findings(apart)] == ["H048"]
    beside = spec(*body, task=ONE_TEMPLATE.replace("{IO} and {S1}", "{S1} {IO}"))
    assert findings(beside) == ()


def test_a_slot_that_repeats_another_holds_its_token_too() -> None:
    body = ("role r = a0.h0 @ END attends S2 carries {}", "edge input -> r.kv", "edge r -> logits")
    assert findings(spec(*body).replace("{}", "token(S1)")) == ()
    assert [d.code for d in findings(spec(*body).replace("{}", "token(IO)"))] == ["H048"]


def test_all_parts_of_a_computed_feature_have_to_arrive() -> None:
    task = """\
  task t {
    tokens integer 0..113
    template sum "{A} {B} 113"
    slot A, B from 0..112
    slot C = (A + B) mod 113
    metric m = logit(C)
    sample all
  }
"""
    body = ("role r = a0.h0 @ END attends A carries (A + B) mod 113", "edge r -> logits")
    half = spec(*body, "edge input -> r.kv", task=task)
    found = findings(half)
    assert [(d.code, marked(d, half)) for d in found] == [("H048", "(A + B) mod 113")]
    assert "path from the input at B" in (found[0].hint or "")
    assert findings(half.replace("attends A carries", "attends A, B carries")) == ()
    # A slot that is computed and stands nowhere is carried by what it is computed from.
    assert (
        findings(half.replace("attends A carries (A + B) mod 113", "attends A, B carries C")) == ()
    )
    assert [d.code for d in findings(half.replace("(A + B) mod 113\n  edge", "C\n  edge"))] == [
        "H048"
    ]


@pytest.mark.parametrize(
    ("baseline", "requirement", "noted"),
    [
        ("resample(place)", "logit_diff within 20% of model.logit_diff", True),
        ("resample(place)", "logit_diff == 3 +- 0.1", True),
        ("resample(place)", "logit_diff < model.logit_diff", False),
        ("resample(place, S2)", "logit_diff within 20% of model.logit_diff", False),
        ("swap(IO, S1)", "logit_diff within 20% of model.logit_diff", False),
        ('set(place = "park")', "logit_diff within 20% of model.logit_diff", True),
        ("shuffle()", "logit_diff within 20% of model.logit_diff", False),
    ],
)
def test_no_effect_where_no_answer_is_changed(baseline: str, requirement: str, noted: bool) -> None:
    task = TASK.replace("resample(IO, S1, S2)", baseline)
    for action in ("patch r from abc", "ablate r by nodes with mean from abc over batch"):
        claim = f"expect c {{ {action} require {requirement} ci 95 }}"
        text = spec("role r = a0.h0 @ END", claim, task=task)
        assert [d.code for d in findings(text)] == ["H059"] * noted
        assert findings(text.replace("expect c", "expect refuted c")) == ()


def test_a_computed_answer_is_traced_to_what_is_drawn() -> None:
    task = TASK.replace("logit(IO) -", "logit(first(WHO)) -").replace(
        "    metric", "    slot WHO = join(IO, place)\n    metric"
    )
    task = task.replace("- logit(S1)", "- logit(WHO)").replace("(IO, S1, S2)", "(S1, S2)")
    claim = "expect c { patch r from abc require logit_diff == 3 +- 1 ci 95 }"
    assert [d.code for d in findings(spec("role r = a0.h0 @ END", claim, task=task))] == ["H059"]
    task = task.replace("(S1, S2)", "(place)")
    assert findings(spec("role r = a0.h0 @ END", claim, task=task)) == ()


@pytest.mark.parametrize(
    ("feature", "attends", "codes"),
    [
        ('count("Mary")', "END", ["H048"]),
        ('count("Mary") - count("John", to = here)', "END", ["H048"]),
        ('count("Mary")', "*", []),
        ('count("Mary")', "IO", []),
        ("member(IO, names.female)", "S1", ["H048"]),
        ("member(IO, names.female)", "IO", []),
    ],
)
def test_a_count_or_a_class_comes_from_the_tokens_it_is_of(
    feature: str, attends: str, codes: list[str]
) -> None:
    role = f"role r = a0.h0 @ END attends {attends} carries {feature}"
    text = spec(role, "edge input -> r.kv", "edge r -> logits", task=ONE_TEMPLATE)
    assert [d.code for d in findings(text)] == codes


def test_in_the_graph_a_node_of_two_places_reads_at_each_its_own() -> None:
    h = one(
        spec(
            "role x = a1.h0 @ S2 attends S1",
            "role y = a1.h0 @ END attends IO",
            "edge input -> x.kv, y.kv",
        )
    )
    assert {(str(s[1]), str(t[1])) for s, t in graph_of(h).edges} == {("S1", "S2"), ("IO", "END")}
