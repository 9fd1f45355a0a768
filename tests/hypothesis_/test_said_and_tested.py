"""What a file declares and does not use, says and does not test, or asks too loosely."""

from __future__ import annotations

import pytest

from circuitspec.language.diagnostics import Severity
from circuitspec.loading import load_spec

SPEC = """circuitspec 1
{before}
hypothesis h {{
  model "gpt2"
  task t {{
    template t "When {{IO}} and {{S1}} went out, {{S2}} gave it to"
    slot IO, S1 from {names} distinct one_token
    slot S2 from S1
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 100, reference 100, pool 100, seed 0
    bos no
  }}
  role mover = a9.h9 @ END attends IO carries token(IO)
  {claims}
}}
"""
EDGES = "edge input -> mover.qkv edge mover -> logits "
SCRUB = "expect a {{ scrub {over} over task draws 4 require scrub_recovered >= 0.6 ci 95 }}"
PATCH = "expect b { patch mover from abc require logit_diff <= 50% * model.logit_diff ci 95 }"


def said(claims: str, *, before: str = "", names: str = "names.english") -> list[tuple[str, str]]:
    text = SPEC.format(before=before, names=names, claims=claims)
    found = load_spec("t.circuit", text=text, prompts="none").diagnostics
    return [(d.code, text[d.span.start : d.span.end]) for d in found]


def test_what_no_claim_tests_is_noted() -> None:
    assert said(PATCH) == [("H058", "IO"), ("H058", "token(IO)")]
    assert said(EDGES + PATCH) == [("H058", "token(IO)")]
    assert said("") == []  # a draft


NOTHING_MEETS = {"logit_diff >= 1000 ci 95"}
"""Fine to claim, absurd to refute."""


@pytest.mark.parametrize("over", ["", "mover"])
def test_a_scrub_tests_what_is_carried(over: str) -> None:
    assert said(EDGES + SCRUB.format(over=over) + PATCH) == []


@pytest.mark.parametrize("of", ["mover", "a9.h9"])
def test_a_requirement_of_attention_tests_where_is_attended(of: str) -> None:
    claim = f"expect c {{ require attention({of}) >= 0.5 ci 95 }}"
    assert said(claim + PATCH) == [("H058", "token(IO)")]


def test_unused_words_tasks_and_protocols_of_the_file() -> None:
    before = (
        'words used = "Mary", "John"\nwords idle = "Tom"\n'
        "protocol lonely { ablate by nodes with zero }\ntask spare { bos no }\n"
    )
    found = said(PATCH, before=before, names="used")
    assert [f for f in found if f[0] == "H050"] == [
        ("H050", "idle"), ("H050", "lonely"), ("H050", "spare"),
    ]  # fmt: skip
    assert "H050" not in {code for code, _ in said("", before=before, names="used")}


@pytest.mark.parametrize(
    ("requirement", "warned"),
    [
        ("logit_diff within 49% of model.logit_diff ci 95", None),
        ("logit_diff within 50% of model.logit_diff ci 95", "50%"),
        ("logit_diff within 20% of model.logit_diff ci 80", None),
        ("logit_diff within 20% of model.logit_diff ci 50", "50"),
        ("logit_diff >= -1000 ci 95", "-1000"),
        ("-1000 <= logit_diff ci 95", "-1000"),
        ("logit_diff <= 1000 ci 95", "1000"),
        ("logit_diff >= 1000 ci 95", None),
        ("logit_diff <= 2.5 ci 95", None),
        ("ratio <= 200% ci 95", "200%"),
        ("ratio <= 120% ci 95", None),
        ("ratio >= -10% ci 95", "-10%"),
        ("accuracy >= 0.01 ci 95", "0.01"),
        ("agreement >= 1% ci 95", "1%"),
        ("agreement <= 0.99 ci 95", "0.99"),
        ("agreement >= 2% ci 95", None),
        ("agreement >= 99% ci 95", None),
        ("attention(mover) <= 0.98 ci 95", None),
        ("ratio == 1 +- 5 ci 95", "5"),
        ("ratio == 1 +- 500 ci 95", "500"),
        ("ratio == 1 +- 0.2 ci 95", None),
        ("ratio == 1 +- 0.9 ci 95", None),
        ("agreement == 0.5 +- 0.5 ci 95", "0.5"),
        ("agreement == 0.9 +- 0.2 ci 95", None),
        ("error == 0 +- 200 ci 95", "200"),
        ("logit_diff == 3 +- 1 ci 95", None),
        ("logit_diff == 3 +- 300 ci 95", "300"),
    ],
)
def test_what_next_to_nothing_would_miss(requirement: str, warned: str | None) -> None:
    claim = (
        "expect d { ablate mover by nodes with mean from abc over template "
        f"require {requirement} }}"
    )
    found = [text for code, text in said(claim) if code == "H057"]
    assert found == ([] if warned is None else [warned])
    refuted = [c for c, _ in said(claim.replace("expect d", "expect refuted d"))]
    assert ("H057" in refuted) == (warned in ("50%", "50") or requirement in NOTHING_MEETS)


@pytest.mark.parametrize(
    ("requirement", "code", "says"),
    [
        ("agreement + 1 >= 1", "H052", "`agreement >= 0` always holds"),
        ("1 <= 1 + 2 * agreement", "H052", "`agreement >= 0` always holds"),
        ("0 - agreement > 0", "H052", "`agreement < 0` can never hold"),
        ("2 * agreement >= 3", "H052", "lies between 0 and 1: 1.5"),
        ("agreement + error >= 0", "H052", "this always holds"),
        ("agreement - error > 1", "H052", "this can never hold"),
        ("attention(mover) <= 0.9999999999", "H057", "could hardly fail"),
        ("attention(mover) >= 0.0001", "H057", "could hardly fail"),
        ("error >= 1e-300", "H057", "could hardly fail"),
        ("kl <= 1e300", "H057", "could hardly fail"),
        ("logit_diff + 1 >= 1", None, ""),
        ("agreement + error >= 1", None, ""),
        ("attention(mover) <= 0.9", None, ""),
        ("attention(mover) <= 0.0001", None, ""),
    ],
)
def test_what_arithmetic_hides_is_found(requirement: str, code: str | None, says: str) -> None:
    claim = (
        "expect d { ablate complement by nodes with mean from abc over template "
        f"require {requirement} ci 95 }}"
    )
    text = SPEC.format(before="", names="names.english", claims=claim)
    found = load_spec("t.circuit", text=text, prompts="none").diagnostics
    told = [d for d in found if d.code in ("H052", "H057")]
    assert [d.code for d in told] == ([code] if code else [])
    assert all(says in d.message for d in told)


@pytest.mark.parametrize("value", ["0", "-0.5"])
def test_sizes_are_never_negative(value: str) -> None:
    """`effect` of an `each` claim and `incompleteness` are compared by size; a named effect is
    signed."""
    under = "by nodes with mean from abc over template"
    for claim, wrong in (
        (f"expect d {{ ablate {under} each head require effect >= {value} ci 95 }}", True),
        (f"expect d {{ ablate {under} knockouts roles require incompleteness >= {value} ci 95 }}",
         True),
        (f"expect d {{ ablate complement {under} require effect(mover) >= {value} ci 95 }}", False),
    ):  # fmt: skip
        assert ("H052" in {code for code, _ in said(claim)}) == wrong, claim


@pytest.mark.parametrize(
    ("requirement", "warned"),
    [
        ("logit_diff >= 1000 * model.logit_diff", True),
        ("1000 * model.logit_diff <= logit_diff", True),
        ("logit_diff <= 1000 * model.logit_diff", False),
        ("logit_diff >= 1000", True),
        ("logit_diff - 1000 >= 0", True),
        ("agreement >= 0.99999", True),
        ("error <= 1e-9", True),
        ("ratio >= 200%", True),
        ("logit_diff >= 50% * model.logit_diff", False),
        ("agreement >= 90%", False),
        ("agreement >= 99%", False),
    ],
)
def test_a_refutation_that_anything_earns_is_warned_of(requirement: str, warned: bool) -> None:
    claim = (
        "expect refuted d { ablate complement by nodes with mean from abc over template "
        f"require {requirement} ci 95 }}"
    )
    assert ("H057" in {code for code, _ in said(claim)}) == warned
    assert "H052" not in {code for code, _ in said(claim)}


def test_a_feature_that_all_prompts_agree_on_is_found_by_drawing_them() -> None:
    text = """circuitspec 1
hypothesis h {
  model "ioi-mini"
  task t {
    tokens integer 0..20
    template t "{A} {B} {C}"
    slot A, B from 1..9
    slot C = A
    metric m = logit(B)
    baseline other = resample(A, B)
    sample evaluation 50, reference 50, seed 0
    bos no
  }
  role one = a0.h0 @ END carries EQUAL
  edge input -> one.qkv
  edge one -> logits
}
"""
    for feature, constant in (("A == C", True), ("(A - C) mod 7", True), ("A < B", False)):
        found = load_spec("t.circuit", text=text.replace("EQUAL", feature), prompts="few")
        assert ("H049" in {d.code for d in found.diagnostics}) == constant, feature


@pytest.mark.parametrize(
    ("side", "hint"),
    [
        ("logit_diff", "`model.logit_diff`, `empty.logit_diff`"),
        ("model.logit_diff", "`empty.logit_diff`"),
    ],
)
def test_what_is_compared_with_itself_is_told_what_else_there_is(side: str, hint: str) -> None:
    claim = f"expect e {{ patch mover from abc require {side} >= {side} ci 95 }}"
    text = SPEC.format(before="", names="names.english", claims=claim)
    found = load_spec("t.circuit", text=text, prompts="none").diagnostics
    hints = [d.hint for d in found if d.code == "H052"]
    assert hints == [f"compare it with another run: {hint}"]


CIRCUIT = """
  role star = a3.h3 @ END attends *
  role mixed = a3.h4, m3 @ END attends IO
  keep m1 @ *
  open a4.h4 @ END "unclear"
  edge input -> star.qkv, mixed.qkv, mixed.in
  edge star, mixed -> logits
"""


@pytest.mark.parametrize(
    ("measure", "code", "says"),
    [
        ("attention(star)", "H054", "`star` attends `*`: its attention is 1"),
        ("attention(a3.h3)", "H054", "`star` attends `*`: its attention is 1"),
        ("1 - attention(star)", "H054", "`star` attends `*`: its attention is 1"),
        ("attention(mixed)", "H054", "`mixed` has MLPs among its nodes"),
        ("copying(mixed)", "H054", "`mixed` has MLPs among its nodes"),
        ("copying(a3.h4)", None, ""),
        ("copying(m3)", "H054", "`m3` is no head"),
        ("copying(m1)", "H054", "`m1` is no head"),
        ("attention(a4.h4)", "H054", "`a4.h4` is in no role, so it is not said where it attends"),
        ("dla(a4.h4)", None, ""),
        ("dla(m1)", None, ""),
        ("attention(a5.h5)", "H013", "`a5.h5` is in no role, so no position is known for it"),
        ("dla(a5.h5)", "H013", "`a5.h5` is in no role"),
        ("effect(a5.h5)", "H013", "`a5.h5` is in no role"),
        ("induction(m5)", "H013", "`m5` is in no role"),
        ("logit_diff / 0", "H028", "`logit_diff / 0` divides by 0"),
        ("(logit_diff - 1) / 0%", "H028", "divides by 0"),
        ("logit_diff / 2", None, ""),
    ],
)
def test_measures_that_no_run_could_read_are_found(
    measure: str, code: str | None, says: str
) -> None:
    claim = (
        f"{CIRCUIT} expect d {{ ablate mover by nodes with mean from abc over template "
        f"require {measure} >= 0.3 ci 95 }}"
    )
    text = SPEC.format(before="", names="names.english", claims=claim)
    found = load_spec("t.circuit", text=text, prompts="none").diagnostics
    errors = [d for d in found if d.severity is Severity.ERROR]
    assert {d.code for d in errors} == ({code} if code else set())
    assert all(says in d.message for d in errors)
