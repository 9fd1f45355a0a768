"""Scrubs made again through TransformerLens's hooks: the same figures on every architecture."""

from __future__ import annotations

import numpy as np
import pytest

from circuitspec.claims import scrubbing
from circuitspec.engine.audit.model import HookedModel
from circuitspec.engine.audit.scrubs import ScrubAudit
from circuitspec.engine.scrubbing.story import scrubbed_roles
from tests.claims.scrub_replay import story, value
from tests.claims.test_scrubbing import CLAIM, NAMES
from tests.claims.worlds import model, world


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("name", "seed"), [(name, seed) for seed, name in enumerate(NAMES, 5)])
def test_random_stories(name: str, seed: int, pool: bool) -> None:
    random = world(CLAIM, name=name, body=story(seed))
    claim = random.claims["s"]
    stated = claim.intervention
    fast = scrubbing.scrubbing_of(claim, stated, random.context)
    roles = scrubbed_roles(random.context.hypothesis, stated.roles)
    trees = fast.trees(roles, pool=pool)
    scrubbed, rand = scrubbing.read(fast, trees, random.context)
    audit = ScrubAudit(HookedModel(model(name)[0]), fast, roles)
    for tree in trees:
        picks = [(i, r) for i in range(len(tree.rows)) for r in range(2)]
        ours, floor, _ = audit.logits(tree, picks)
        for (i, r), logits, plain in zip(picks, ours, floor, strict=True):
            prompt = random.context.task.evaluation.prompts[tree.rows[i]]
            for metric in random.context.metrics.values():
                (at,) = metric.places(prompt)
                got = scrubbed[r].metrics[metric.name][tree.rows[i]]
                np.testing.assert_allclose(value(metric, logits[at], prompt), got, atol=1e-5)
                got = rand[r].metrics[metric.name][tree.rows[i]]
                np.testing.assert_allclose(value(metric, plain[at], prompt), got, atol=1e-5)
