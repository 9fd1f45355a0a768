"""True stories hold and wrong ones fail, for every claim as it is known to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from proving.catalogue import Entry, catalogue
from proving.label import Hypothesis, hypotheses, refused, true_story
from proving.outcomes import mistakes
from proving.run import accepted, verdicts
from proving.task import Task
from proving.world import World

ALL = "sample all, reference all, seed 0"
ENTRIES = pytest.mark.parametrize("entry", catalogue(), ids=lambda entry: entry.name)
STORIES = 8
QUICK = ("induction",)


def tried(entry: Entry, listed: list[Hypothesis], folder: Path) -> None:
    passed, _ = accepted(entry, listed, folder)
    assert passed
    assert mistakes(verdicts(entry, passed, ALL, folder, exact=True)) == []


@pytest.mark.parametrize(
    "entry", [e for e in catalogue() if e.name in QUICK], ids=lambda entry: entry.name
)
def test_a_few_mutants(entry: Entry, tmp_path: Path) -> None:
    tried(entry, list(hypotheses(entry, stories=5, claims=2)), tmp_path)


@pytest.mark.parametrize(
    "entry", [e for e in catalogue() if e.name in QUICK], ids=lambda entry: entry.name
)
def test_what_cannot_be_said_is_refused(entry: Entry, tmp_path: Path) -> None:
    listed = [
        Hypothesis(name=f"refused_{number}", story=mutant.story, claims=())
        for number, mutant in enumerate(refused(entry))
    ]
    assert len(listed) > 10
    passed, why = accepted(entry, listed, tmp_path)
    assert passed == []
    assert {"H011", "H012"} <= set(why)


def test_a_wrong_figure_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The comparison with known figures is one that can fail: here means ignore the length."""
    (entry,) = (e for e in catalogue() if e.name == "layered")
    anew = World(machine=entry.world.machine, task=entry.world.task)
    monkeypatch.setattr(
        Task, "over_position", lambda _, values: np.broadcast_to(values.mean(0), values.shape)
    )
    story = true_story(replace(entry, world=anew), kind="faithful by nodes")
    wrong = mistakes(verdicts(entry, [story], ALL, tmp_path, exact=True))
    assert {"over position" in outcome.claim.key for outcome in wrong} == {True}
    assert all(outcome.agrees is False for outcome in wrong)


def test_a_sample_until_decided(tmp_path: Path) -> None:
    """On prompts that are drawn: what is true by 2δ is never refuted, and mostly decided."""
    (entry,) = (e for e in catalogue() if e.name in QUICK)
    story = true_story(entry, kind="until decided")
    claims = tuple(claim for claim in story.claims if "by nodes" in claim.key)
    assert len(claims) > 10
    outcomes = verdicts(
        entry,
        [replace(story, claims=claims)],
        "sample evaluation 130, reference all, seed 0",
        tmp_path,
        exact=False,
    )
    decided = [outcome for outcome in outcomes if outcome.verdict == "holds"]
    assert len(decided) > len(claims) / 2
    assert not [outcome for outcome in outcomes if outcome.verdict == "refuted"]


@pytest.mark.slow
@ENTRIES
def test_the_true_story_holds(entry: Entry, tmp_path: Path) -> None:
    tried(entry, [true_story(entry)], tmp_path)


@pytest.mark.slow
@ENTRIES
def test_all_mutants(entry: Entry, tmp_path: Path) -> None:
    tried(entry, list(hypotheses(entry, stories=STORIES, claims=3)), tmp_path)
