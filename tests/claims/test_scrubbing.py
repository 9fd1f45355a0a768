"""Causal scrubbing: random stories against the reference, and stories whose figure is known."""

from __future__ import annotations

import numpy as np
import pytest

from circuitspec.claims import scrubbing
from tests.claims.scrub_replay import asked, path_of, replayed, story
from tests.claims.worlds import World, world

CLAIM = "expect s { scrub over task draws 2 require scrub_recovered(logit_diff) >= 0.5 ci 95 }"


def scrub(random: World):
    return scrubbing.measure(random.claims["s"], random.context)


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["gpt2", "toy_mlp_layer_norm"])
def test_random_stories_against_the_reference(name: str, seed: int) -> None:
    random = world(CLAIM, name=name, body=story(seed))
    measured = scrub(random)
    expected, floor = replayed(random, measured.draws, "s")
    for metric, values in expected.items():
        ours = measured.arms[0].series
        np.testing.assert_allclose(ours[metric].values, values, atol=1e-9)
        np.testing.assert_allclose(ours[f"rand.{metric}"].values, floor[metric], atol=1e-9)


@pytest.mark.parametrize("seed", range(12))
def test_draws_are_given_for_exactly_the_paths_there_are(seed: int) -> None:
    random = world(CLAIM, body=story(seed))
    for tree in scrub(random).draws["trees"]:
        draws, others = asked(random, random.context.task.evaluation.prompts[tree["rows"][0]])
        given = {path_of(e["path"]) for e in tree["paths"] if "draw" in e}
        assert given == draws
        assert {path_of(e["path"]) for e in tree["paths"] if "other" in e} == others
