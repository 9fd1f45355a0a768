"""Completeness and minimality where every figure is known, and so is every verdict."""

from __future__ import annotations

import pytest

from circuitspec.judge.competence import backwards, mostly_wrong
from tests.claims.by_hand import GAINS, MODEL, hand_world

WHOLE = "role adders = a0.h0, a0.h1 @ END  role remover = a0.h2 @ END"
WITHOUT_REMOVER = "role adders = a0.h0, a0.h1 @ END"
WITH_IDLER = f"{WHOLE} role idler = a0.h3 @ END"
WITH_MUTE = f"{WHOLE} role mute = a0.h4 @ END"
COMPLETE = """expect complete under zeroed {
  knockouts roles, random 6, greedy 2x2x2
  require incompleteness <= 20% * model.logit_diff }"""


def gained(*heads: int) -> float:
    return sum(GAINS[h] for h in heads) / 4


def test_the_true_circuit_is_complete_with_every_gap_zero() -> None:
    judged = hand_world(WHOLE, COMPLETE).judged("complete")
    assert judged.result.verdict == "holds"
    measures = judged.result.measures
    assert measures["model.logit_diff"] == pytest.approx(MODEL)
    assert [s["incompleteness"] for s in measures["sets"]] == pytest.approx(
        [0.0] * len(measures["sets"]), abs=1e-6
    )
    named = {s["name"]: s for s in measures["sets"]}
    assert named["adders"]["circuit.logit_diff"] == pytest.approx(gained(2), abs=1e-6)
    assert named["remover"]["model.logit_diff"] == pytest.approx(gained(0, 1), abs=1e-6)


def test_a_circuit_without_the_remover_is_incomplete_by_what_it_lacks() -> None:
    claim = COMPLETE.replace("20%", "19%")
    result = hand_world(WITHOUT_REMOVER, claim).judged("complete").result
    assert result.verdict == "refuted"
    for entry in result.measures["sets"]:
        assert entry["incompleteness"] == pytest.approx(-gained(2), abs=1e-6), entry["name"]
    (requirement,) = result.requirements
    assert requirement.exact
    assert requirement.interval is None
    # the contrast at the end of the band that is passed, against 0
    assert requirement.estimate == pytest.approx(0.5 - 0.19 * MODEL, abs=1e-6)
    assert requirement.threshold == 0.0
    assert result.measures["worst"]["logit_diff"]["incompleteness"] == pytest.approx(0.5)


def test_the_same_gap_passes_where_the_threshold_leaves_room_for_it() -> None:
    claim = COMPLETE.replace("20%", "21%")  # of 2.5, where the gap is 0.5
    assert hand_world(WITHOUT_REMOVER, claim).judged("complete").result.verdict == "holds"
    signed = COMPLETE.replace("20% * model.logit_diff", "0.51")
    assert hand_world(WITHOUT_REMOVER, signed).judged("complete").result.verdict == "holds"
    less = COMPLETE.replace("20% * model.logit_diff", "0.49")
    assert hand_world(WITHOUT_REMOVER, less).judged("complete").result.verdict == "refuted"


def test_that_some_set_is_worse_is_the_opposite_claim() -> None:
    claim = COMPLETE.replace("<= 20% * model.logit_diff", ">= {}")
    worse = hand_world(WITHOUT_REMOVER, claim.replace("{}", "0.4")).judged("complete").result
    assert worse.verdict == "holds"
    none = hand_world(WITHOUT_REMOVER, claim.replace("{}", "0.6")).judged("complete").result
    assert none.verdict == "refuted"
    assert none.reason is not None
    assert "no set reaches" in none.reason


def test_expected_refutation_of_an_incomplete_circuit_holds() -> None:
    claim = COMPLETE.replace("expect", "expect refuted").replace("20%", "10%")
    assert hand_world(WITHOUT_REMOVER, claim).judged("complete").result.verdict == "holds"


MINIMAL = """expect minimal under zeroed {
  each head
  require effect >= 1% * model.logit_diff }"""


def test_every_head_of_the_true_circuit_has_its_own_gain_as_effect() -> None:
    result = hand_world(WHOLE, MINIMAL).judged("minimal").result
    assert result.verdict == "holds"
    effects = {e["name"]: e["effect"] for e in result.measures["effects"]}
    assert effects == pytest.approx({f"a0.h{h}": GAINS[h] / 4 for h in range(3)}, abs=1e-6)
    # signed: the remover's effect is negative, and still an effect
    assert effects["a0.h2"] < 0
    given = {e["name"]: e["K"] for e in result.measures["effects"]}
    assert given["a0.h0"] == ["a0.h1 @ END"]
    assert given["a0.h2"] == []


def test_a_head_that_nothing_reads_refutes_minimality() -> None:
    result = hand_world(WITH_IDLER, MINIMAL).judged("minimal").result
    assert result.verdict == "refuted"
    assert result.requirements[0].arm == "a0.h3"


def test_a_head_that_writes_nothing_makes_minimality_invalid() -> None:
    result = hand_world(WITH_MUTE, MINIMAL).judged("minimal").result
    assert result.verdict == "invalid"
    assert result.reason is not None
    assert result.reason.startswith("a0.h4: inert")


def test_that_a_head_does_nothing_can_be_claimed_of_one_that_writes_nothing() -> None:
    claim = "expect idle under zeroed { each role require effect <= 0.01 }"
    assert hand_world("role mute = a0.h4 @ END", claim).judged("idle").result.verdict == "holds"
    assert hand_world(WITH_MUTE, claim).judged("idle").result.verdict == "refuted"


def test_a_set_whose_ablation_changes_nothing_makes_completeness_invalid() -> None:
    result = hand_world(WITH_MUTE, COMPLETE).judged("complete").result
    assert result.verdict == "invalid"
    assert result.reason is not None
    assert "mute: inert" in result.reason


def test_a_refutation_stands_beside_an_inert_set() -> None:
    body = f"{WITHOUT_REMOVER} role mute = a0.h4 @ END"
    result = hand_world(body, COMPLETE.replace("20%", "10%")).judged("complete").result
    assert result.verdict == "refuted"


def test_each_role_takes_whole_roles_out() -> None:
    claim = MINIMAL.replace("each head", "each role")
    result = hand_world(WHOLE, claim).judged("minimal").result
    effects = {e["name"]: e["effect"] for e in result.measures["effects"]}
    assert effects == pytest.approx({"adders": gained(0, 1), "remover": gained(2)}, abs=1e-6)


@pytest.mark.parametrize(
    ("bound", "verdict"), [("-1", "invalid"), ("-20% * model.logit_diff", "invalid")]
)
def test_no_absolute_value_is_below_a_negative_threshold(bound: str, verdict: str) -> None:
    claim = COMPLETE.replace("20% * model.logit_diff", bound)
    result = hand_world(WHOLE, claim).judged("complete").result
    assert result.verdict == verdict
    assert result.reason is not None
    assert "negative" in result.reason


def test_a_band_says_nothing_of_a_size() -> None:
    claim = COMPLETE.replace("<= 20% * model.logit_diff", "== 0 +- 0.1")
    result = hand_world(WHOLE, claim).judged("complete").result
    assert result.verdict == "invalid"
    assert result.reason is not None
    assert "not with a band" in result.reason


def test_every_set_and_element_is_listed_under_its_claim() -> None:
    result = hand_world(WITHOUT_REMOVER, COMPLETE).judged("complete").result
    sets = {entry["name"] for entry in result.measures["sets"]}
    listed = result.notes[0].removeprefix("incompleteness, the worst first: ").split(", ")
    assert {name.rpartition(" ")[0] for name in listed} == sets
    assert {name.rpartition(" ")[2] for name in listed} == {"+0.5"}
    minimal = "expect minimal under zeroed { each head require effect >= 1% * model.logit_diff }"
    (effects,) = hand_world(WITH_IDLER, minimal).judged("minimal").result.notes
    listed = effects.removeprefix("effect, the weakest first: ").split(", ")
    assert listed[0] == "a0.h3 +0"
    assert len(listed) == 4


def test_a_model_that_is_mostly_wrong_is_said_to_be() -> None:
    """By the share of right answers alone: its mean may be as far from 0 as it likes."""
    found = {"metrics": {"logit_diff": {"mean": 2.0, "interval": [1.5, 2.5]}}}
    assert list(mostly_wrong(found)) == []  # nothing says which answer is right
    for share, told in ((0.2, 1), (0.5, 0), (0.99, 0)):
        found["metrics"]["logit_diff"]["accuracy"] = {"mean": share, "interval": [0.0, 1.0]}
        notes = list(mostly_wrong(found))
        assert len(notes) == told
        assert all("right answer in only 20% of prompts" in note for note in notes)


def test_a_model_that_does_its_task_backwards_is_said_to() -> None:
    task = hand_world(WHOLE, COMPLETE).context.task
    found = {"metrics": {"logit_diff": {"mean": -2.0, "interval": [-2.5, -1.5]}}}
    (note,) = backwards(task, found)
    assert "logit_diff of the model is clearly below 0" in note
    for interval in ([-2.5, 0.5], [1.5, 2.5]):
        found["metrics"]["logit_diff"]["interval"] = interval
        assert backwards(task, found) == ()
