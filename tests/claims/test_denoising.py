"""Runs from bad prompts with clean values put back, against the reference and its definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuitspec.claims import kinds
from circuitspec.claims.measured import Measured
from circuitspec.engine.noise import embedding_sd
from tests.claims.by_hand import TASK as COUNTING
from tests.claims.by_hand import hand_world
from tests.claims.worlds import TASK, Reference, World, world
from tests.reference import slow

NOISY = TASK.replace(
    "    bos no",
    "    baseline loud = noise(3, A, A2)\n    baseline quiet = noise(0.5, A, A2)\n    bos no",
)
RESTORED = "late, a0.h1"


def measured(
    action: str, name: str = "gpt2", requirement: str = "logit_diff >= 0"
) -> tuple[World, Measured]:
    claim = f"expect c {{ {action} require {requirement} ci 95 }}"
    place = world(claim, name=name, body=NOISY)
    return place, kinds.measure(place.claims["c"], place.context)


def by_reference(place: World, corrupted: bool, restore: frozenset) -> list[float]:
    """The metric with the paired counterfactual fed, and `restore` from the prompt itself."""
    reference = Reference(place, None)
    found = []
    for prompt in place.context.task.evaluation:
        clean = torch.tensor([prompt.tokens])
        others = place.context.task.counterfactuals["abc"].prompts
        fed = torch.tensor([others[prompt.index].tokens]) if corrupted else clean
        values = slow.run_values(place.slow, clean)
        masks = reference.masks(prompt, restore)
        logits = slow.cut_nodes(place.slow, fed, masks, values)
        found.append(reference.metric(logits, prompt))
    return found


def noised_by_reference(place: World, scale: float, restore: frozenset) -> list[float]:
    reference = Reference(place, None)
    prompts = place.context.task.evaluation.prompts
    tokens = sorted({t for p in prompts for t in p.tokens})
    sd = scale * slow.embedding_sd(place.slow, torch.tensor(tokens))
    found = []
    for row, prompt in enumerate(prompts):
        length, width = len(prompt.tokens), place.slow.d_model
        drawn = np.random.default_rng([3, row]).standard_normal((length, width))
        added = torch.zeros(1, length, width, dtype=torch.float64)
        at = [prompt.positions["A"][0], prompt.positions["A2"][0]]
        added[0, at] = sd * torch.from_numpy(drawn)[at]
        masks = reference.masks(prompt, restore)
        logits = slow.noised(place.slow, torch.tensor([prompt.tokens]), added, masks)
        found.append(reference.metric(logits, prompt))
    return found


def elements(place: World) -> frozenset:
    roles = place.context.hypothesis.roles
    return frozenset(roles["late"].elements) | {
        e for e in roles["early"].elements if str(e.node) == "a0.h1"
    }


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox"])
def test_counterfactual_tokens_with_clean_values_at_the_restored_nodes(name: str) -> None:
    place, got = measured(f"run from abc restore {RESTORED}", name)
    (arm,) = got.arms
    want = by_reference(place, True, elements(place))
    np.testing.assert_allclose(arm.series["logit_diff"].values, want, atol=1e-8)
    bad = by_reference(place, True, frozenset())
    np.testing.assert_allclose(arm.series["empty.logit_diff"].values, bad, atol=1e-8)
    good = by_reference(place, False, frozenset())
    np.testing.assert_allclose(arm.series["model.logit_diff"].values, good, atol=1e-8)
    share = (np.mean(want) - np.mean(bad)) / (np.mean(good) - np.mean(bad))
    assert got.numbers["recovered"] == pytest.approx(share)
    assert max(np.abs(np.subtract(want, bad))) > 1e-2


@pytest.mark.parametrize(("baseline", "scale"), [("loud", 3.0), ("quiet", 0.5)])
@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_noise_on_the_embeddings(name: str, baseline: str, scale: float) -> None:
    place, got = measured(f"run from {baseline} restore {RESTORED}", name)
    (arm,) = got.arms
    want = noised_by_reference(place, scale, elements(place))
    np.testing.assert_allclose(arm.series["logit_diff"].values, want, atol=1e-8)
    bad = noised_by_reference(place, scale, frozenset())
    np.testing.assert_allclose(arm.series["empty.logit_diff"].values, bad, atol=1e-8)
    sd = embedding_sd(place.context.engine.weights, place.context.task.evaluation)
    assert got.numbers["noise_sd"] == pytest.approx(scale * sd)


def test_noise_does_not_depend_on_the_batch() -> None:
    place, first = measured("run from loud")
    place.context.engine.batch_size = 3
    place.context.engine._done.clear()
    again = kinds.measure(place.claims["c"], place.context)
    one, other = (m.arms[0].series["logit_diff"].values for m in (first, again))
    np.testing.assert_allclose(one, other, atol=1e-10)


def test_restoring_nothing_is_the_corrupted_run_and_everything_is_the_model() -> None:
    _, nothing = measured("run from abc")
    values = nothing.arms[0].series
    np.testing.assert_array_equal(values["logit_diff"].values, values["empty.logit_diff"].values)
    _, most = measured("run from abc restore m0..m2, a0.h0..a0.h3, a1.h0..a1.h3, a2.h0..a2.h3 @ *")
    values = most.arms[0].series
    place, _ = measured("run from abc restore late")
    # all that is left of the counterfactual is its last embedding, which is the same token
    np.testing.assert_allclose(
        values["logit_diff"].values, values["model.logit_diff"].values, atol=1e-8
    )
    assert place.context.task.counterfactuals["abc"].prompts[0].tokens[-1] == 2


def test_patching_from_noise_takes_the_values_of_the_noised_run() -> None:
    place, got = measured("patch late from loud")
    reference = Reference(place, None)
    prompts = place.context.task.evaluation.prompts
    sd = 3 * slow.embedding_sd(
        place.slow, torch.tensor(sorted({t for p in prompts for t in p.tokens}))
    )
    for row, prompt in enumerate(prompts):
        tokens = torch.tensor([prompt.tokens])
        drawn = np.random.default_rng([3, row]).standard_normal(
            (tokens.shape[1], place.slow.d_model)
        )
        at = [prompt.positions["A"][0], prompt.positions["A2"][0]]
        embedded = slow.run_values(place.slow, tokens)[slow.INPUT].clone()
        embedded[0, at] += sd * torch.from_numpy(drawn)[at]
        everywhere = {slow.INPUT: (slow.everywhere(tokens), embedded)}
        values = slow.run(place.slow, tokens, slow.Replace(everywhere)).senders
        masks = reference.masks(prompt, place.context.hypothesis.roles["late"].elements)
        want = reference.metric(slow.cut_nodes(place.slow, tokens, masks, values), prompt)
        got_here = got.arms[0].series["logit_diff"].values[row]
        assert got_here == pytest.approx(want, abs=1e-8)


def test_recovered_can_be_required_of_a_restoration() -> None:
    place, _ = measured(f"run from loud restore {RESTORED}", requirement="recovered >= 200%")
    (requirement,) = place.judged("c").result.requirements
    assert requirement.verdict != "holds"
    assert requirement.estimate is not None


def test_a_restoration_that_changes_nothing_is_inert() -> None:
    # before A nothing of the noise is seen, so clean values there are what stands there already
    place, got = measured("run from loud restore a0.h0 @ A-1", requirement="logit_diff >= -100")
    (arm,) = got.arms
    assert arm.touched is not None
    assert arm.touched.written == len(place.context.task.evaluation)
    assert arm.touched.changed == 0
    judged = place.judged("c").result
    assert judged.verdict == "invalid"
    assert judged.reason is not None
    assert judged.reason.startswith("inert")


def test_means_of_noise_are_refused() -> None:
    place = world(
        "expect c { ablate late by nodes with mean from loud over template "
        "require logit_diff >= 0 ci 95 }",
        body=NOISY,
    )
    with pytest.raises(Exception, match="no prompts of its own"):
        kinds.measure(place.claims["c"], place.context)


@pytest.mark.parametrize(
    ("requirement", "warned"),
    [
        ("logit_diff >= -3", True),
        ("logit_diff >= 1", False),
        ("kl <= 99", True),
        ("recovered <= 5", True),
        # that little comes back is a claim: everything restored would refute it
        ("recovered <= 0.9", False),
        ("kl >= 1e-9", False),
    ],
)
def test_what_holds_with_nothing_restored_is_warned_of(requirement: str, warned: bool) -> None:
    """By hand: the model has 2.5, swapped it is -2.5, with the head of gain 8 restored 1.5."""
    body = COUNTING.replace("    bos no", "    baseline swapped = swap(A, B)\n    bos no")
    claim = f"expect c {{ run from swapped restore adder require {requirement} ci 95 }}"
    result = hand_world("role adder = a0.h0 @ END", claim, body).judged("c").result
    assert result.verdict == "holds"
    assert result.measures["recovered"] == pytest.approx(0.8)
    told = [t for t in result.warnings if t.startswith("the run with nothing restored meets")]
    assert bool(told) == warned
    assert all(requirement in text for text in told)
