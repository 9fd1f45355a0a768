"""Prompts of two lengths in one population: each length's figures are what they are by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from proving.catalogue import Entry, catalogue
from proving.claims import Claims
from proving.machine import Array
from proving.world import World

LAYERED = next(e for e in catalogue() if e.name == "layered")
TASK = LAYERED.world.task


def alone(entry: Entry, template: str) -> World:
    task = replace(
        entry.world.task, prompts=tuple(p for p in TASK.prompts if p.template == template)
    )
    return World(machine=entry.world.machine, task=task)


def figures(world: World) -> dict[str, Array]:
    """The series of every claim that is no draw, by key."""
    claims = Claims(world, LAYERED.story)
    found = {}
    for ablation in claims.ablations():
        if ablation.over == "batch":
            continue  # one vector for all lengths: the one figure that is another by itself
        for key, logits in (
            ("circuit", world.circuit(LAYERED.story, ablation)),
            ("knock-out", world.knockout(ablation, LAYERED.story.elements("mover"))),
        ):
            found[f"{key} {ablation.text}"] = world.metric(logits)
            found[f"{key} {ablation.text}, KL"] = world.kl(logits)
    for claim, figured in (*claims.paths("exchanged"), *claims.patches("stranger")):
        figure = figured()
        assert figure is not None
        found[claim.key] = figure.parts[0]
    found["attention"] = world.attention("a1.h0", "END", ("S2",))
    found["attribution"] = world.attribution("a2.h0")
    return found


def test_the_templates_differ_in_length() -> None:
    assert sorted(set(TASK.lengths)) == [5, 7]


@pytest.mark.parametrize("template", TASK.templates)
def test_nothing_of_the_other_length_is_read(template: str) -> None:
    rows = np.array([p.template == template for p in TASK.prompts])
    together, by_itself = figures(LAYERED.world), figures(alone(LAYERED, template))
    assert together.keys() == by_itself.keys()
    assert len(by_itself) > 40
    for key, values in by_itself.items():
        assert np.allclose(together[key][rows], values, atol=1e-12), key


def test_a_mean_over_the_batch_counts_every_token_once() -> None:
    """That no figure above shows: the padding would be counted, and templates alike."""
    values = np.zeros((len(TASK.prompts), 7, 1))
    long = TASK.lengths == 7
    values[long] = 1.0
    values[~long, 5:] = 100.0  # beyond the end of a short prompt
    assert np.allclose(TASK.over_batch(values), 7 / 12)
