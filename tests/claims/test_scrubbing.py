"""Causal scrubbing: random stories against the reference, and stories whose figure is known."""

from __future__ import annotations

import numpy as np
import pytest

from circuitspec.claims import scrubbing
from circuitspec.claims.measured import Measured
from circuitspec.engine.runs import EngineError
from circuitspec.engine.scrubbing import states
from circuitspec.engine.scrubbing.states import attend_from
from circuitspec.task.pools import pool_of
from circuitspec.task.records import Prompt
from tests.claims.scrub_replay import TASK, asked, path_of, replayed, story
from tests.claims.worlds import World, world

CLAIM = "expect s { scrub over task draws 2 require scrub_recovered(logit_diff) >= 0.5 ci 95 }"


def scrub(random: World) -> Measured:
    return scrubbing.measure(random.claims["s"], random.context)


FEW = [
    ("gpt2", 1),
    ("gpt2", 8),
    ("gpt2", 9),
    ("gpt_neox", 8),
    ("llama", 5),
    ("toy_mlp_layer_norm", 6),
]
NAMES = ("gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2_sliding", "qwen3", "toy_bidirectional_mlp")
MANY = [(NAMES[seed % len(NAMES)], seed) for seed in range(12, 26)]


def agrees(random: World, atol: float) -> None:
    """Every figure of a scrub is the reference's, from the prompts and the JSON's draws."""
    measured = scrub(random)
    expected, floor = replayed(random, measured.draws, "s")
    for metric, values in expected.items():
        ours = measured.arms[0].series
        np.testing.assert_allclose(ours[metric].values, values, atol=atol)
        np.testing.assert_allclose(ours[f"rand.{metric}"].values, floor[metric], atol=atol)


@pytest.mark.parametrize(("name", "seed"), FEW)
def test_random_stories_against_the_reference(name: str, seed: int) -> None:
    agrees(world(CLAIM, name=name, body=story(seed)), 1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "seed"), MANY)
def test_many_random_stories_against_the_reference(name: str, seed: int) -> None:
    agrees(world(CLAIM, name=name, body=story(seed)), 1e-9)


@pytest.mark.parametrize("seed", [5, 8])
def test_in_single_precision(seed: int) -> None:
    agrees(world(CLAIM, body=story(seed), dtype="float32"), 1e-4)


@pytest.mark.parametrize("seed", [1, 8, 9])
def test_pooled_draws_against_the_reference(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "MOST_PATHS", 0)
    random = world(CLAIM, body=story(seed))
    assert scrub(random).numbers["pooled"]
    agrees(random, 1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_draws_are_given_for_exactly_the_paths_there_are(seed: int) -> None:
    random = world(CLAIM, body=story(seed))
    for tree in scrub(random).draws["trees"]:
        draws, others = asked(random, random.context.task.evaluation.prompts[tree["rows"][0]])
        given = {path_of(e["path"]) for e in tree["paths"] if "draw" in e}
        assert given == draws
        assert {path_of(e["path"]) for e in tree["paths"] if "other" in e} == others


def by_hand(feature: str, prompt: Prompt, here: int) -> object:
    """A feature's value read off tokens, for prompts that agree in their number of tokens."""
    at = {label: where[0] for label, where in prompt.positions.items()}
    token = {label: prompt.tokens[i] for label, i in at.items()}
    seen = prompt.tokens[: here + 1]
    evens = [t in (0, 2, 4) for t in prompt.tokens]
    return {
        "token(A)": token["A"],
        "token(A), token(B)": (token["A"], token["B"]),
        "position(A)": at["A"],
        "order(A, B)": at["A"] < at["B"],
        "template": prompt.template,
        "equal(A, B2)": token["A"] == token["B2"],
        "(A + B) mod 3": (token["A"] + token["B"]) % 3,
        "count(evens, to = here)": sum(t in (0, 2, 4) for t in seen),
        "count(evens) - count(odds)": sum(evens) - sum(t in (1, 3, 5) for t in prompt.tokens),
        "order(A, B), token(A2)": (at["A"] < at["B"], token["A2"]),
    }[feature]


@pytest.mark.parametrize(
    "feature",
    [
        "token(A)",
        "token(A), token(B)",
        "position(A)",
        "order(A, B)",
        "template",
        "equal(A, B2)",
        "(A + B) mod 3",
        "count(evens, to = here)",
        "count(evens) - count(odds)",
        "order(A, B), token(A2)",
    ],
)
def test_draws_agree_on_the_feature_and_on_nothing_else(feature: str) -> None:
    """Every draw agrees with its reader's prompt, every prompt that agrees can be drawn, and an
    unconditional one need not agree."""
    roles = f"""
      role low = a0.h0, a0.h1 @ B2 carries {feature}
      role top = a1.h2 @ END attends B2 carries token(A)
      edge low -> top.kv
      edge top -> logits
    """
    claim = CLAIM.replace("draws 2", "draws 60")
    random = world(claim, body=TASK.replace("SEED", "7") + roles)
    task = random.context.task
    pool, _ = pool_of(task, "s", "numbers")
    assert pool is not None
    other_agrees = []
    for tree in scrub(random).draws["trees"]:
        top, low = (e for e in tree["paths"] if e["path"])
        assert [step[0] for step in low["path"]] == ["top", "low"]
        here = low["path"][-1][1]
        for i in range(len(tree["rows"])):
            readers = [pool.prompts[number] for number in top["draw"][i]]
            drawn = [pool.prompts[number] for number in low["draw"][i]]
            for reader, prompt, other in zip(readers, drawn, low_others(top, i), strict=True):
                assert len(prompt.tokens) == len(reader.tokens)
                assert by_hand(feature, prompt, here) == by_hand(feature, reader, here)
                same = by_hand(feature, pool.prompts[other], here) == by_hand(feature, reader, here)
                other_agrees.append(same)
                assert len(pool.prompts[other].tokens) == len(reader.tokens)
    assert not all(other_agrees)


def low_others(entry: dict, row: int) -> list[int]:
    return entry["other"][row]


# ── Stories whose figure is known ────────────────────────────────────────────────────────────────

WHOLE = """
  role everything = a0.h0, a0.h1, a0.h2, a0.h3, a1.h0, a1.h1, a1.h2, a1.h3, a2.h0, a2.h1, a2.h2,
      a2.h3, m0, m1, m2 @ END carries FEATURES
  edge everything, input -> logits
"""
ALL_OF_IT = "template, token(A), token(B), token(B2)"


def told(features: str) -> World:
    return world(CLAIM, body=TASK.replace("SEED", "1") + WHOLE.replace("FEATURES", features))


def recovered(measured: Measured) -> float:
    return measured.numbers["scrub_recovered(logit_diff)"]


def test_a_story_in_which_everything_is_carried_recovers_everything() -> None:
    """Exactly, prompt by prompt: the drawn prompts are the prompt itself."""
    arm = scrub(told(ALL_OF_IT)).arms[0]
    ours, model = arm.series["logit_diff"].values, arm.series["model.logit_diff"].values
    np.testing.assert_allclose(ours, model, atol=1e-9)


def test_a_scrub_whose_classes_are_single_prompts_never_holds() -> None:
    random = world(CLAIM.replace(">= 0.5", ">= -9"), body=told_body(ALL_OF_IT))
    result = random.judged("s").result
    assert result.verdict == "invalid"
    assert "vacuous" in str(result.reason)
    assert any("every class is a single prompt: everything" in note for note in result.notes)


def test_a_scrub_that_is_mostly_vacuous_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    half = world(CLAIM, body=told_body("token(A), token(B), token(B2)"))
    result = half.judged("s").result
    assert result.measures["vacuous"] == {"everything": {"reads": 12, "single": 6}}
    assert result.warnings == ()
    monkeypatch.setattr(scrubbing, "VACUOUS", 0.49)
    (warning,) = half.judged("s").result.warnings
    assert warning.startswith("vacuous for the most part: 50.0% of")
    # where nothing else could be drawn, the claim is invalid, and its reason says so
    monkeypatch.setattr(scrubbing, "VACUOUS", 0.5)
    assert world(CLAIM, body=told_body(ALL_OF_IT)).judged("s").result.warnings == ()


def told_body(features: str) -> str:
    return TASK.replace("SEED", "1") + WHOLE.replace("FEATURES", features)


def test_a_story_in_which_nothing_is_carried_recovers_nothing() -> None:
    """A constant feature, and an input that is not read: the model on another prompt."""
    body = told_body("A * 0").replace("everything, input", "everything")
    random = world(CLAIM.replace("draws 2", "draws 500"), body=body)
    measured = scrub(random)
    model = measured.arms[0].series["model.logit_diff"].values
    rand = measured.arms[0].series["rand.logit_diff"].values
    assert np.abs(model - rand).mean() > 0.3
    np.testing.assert_allclose(measured.arms[0].series["logit_diff"].values, rand, atol=0.15)


def test_scrubbing_some_roles_reads_the_others_exactly() -> None:
    body = story(8)
    some = world(CLAIM.replace("scrub over", "scrub r20 over"), body=body)
    paths = [e for tree in scrub(some).draws["trees"] for e in tree["paths"]]
    assert {e["path"][-1][0] for e in paths if "draw" in e} == {"r20"}
    assert scrub(some).numbers["unclaimed"] == ["input", "r00", "r10"]


def test_more_prompts_leave_the_draws_of_the_first_as_they_are() -> None:
    few, more = (
        world(CLAIM, body=story(8).replace("evaluation 6", f"evaluation {n}")) for n in (6, 12)
    )
    first, second = (
        {row: [e.get("draw", [None] * 99)[i] for e in tree["paths"]]
         for tree in scrub(w).draws["trees"] for i, row in enumerate(tree["rows"])}
        for w in (few, more)
    )  # fmt: skip
    assert len(second) == 12
    assert all(second[row] == first[row] for row in first)


@pytest.mark.parametrize("paths", [10**9, 0])
def test_a_scrub_that_is_not_the_model_on_the_prompt_itself_is_refused(
    paths: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The self-check: with every draw the prompt itself nothing may change, pooled or not."""
    monkeypatch.setattr(scrubbing, "MOST_PATHS", paths)
    assert scrub(world(CLAIM, body=story(8))).numbers["self_check"] < 1e-12

    def wrong(*given: object, **named: object) -> object:
        z = attend_from(*given, **named)
        return z * 1.001

    monkeypatch.setattr(states, "attend_from", wrong)
    with pytest.raises(EngineError, match="self-check failed"):
        scrub(world(CLAIM, body=story(8)))
