"""Measured values on arrows and roles: which arrows they are of, and what is drawn and told."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion

from circuitspec.hypothesis.records import Hypothesis
from circuitspec.judge.records import ClaimResult, HypothesisResult
from circuitspec.loading import load_spec
from circuitspec.report.figure.layout import layout
from circuitspec.report.figure.scene import Scene, scene_of
from circuitspec.report.figure.svg import to_svg
from circuitspec.report.html.along import along, arrow
from circuitspec.report.html.measured import explained, told, with_measures
from tests.figure.test_layout import check_apart, check_boxes, check_nodes, check_wires

from ..report.conftest import claim, hypothesis, requirement
from .test_page import HEAD

SPEC = (
    HEAD
    + """\
  role early  = a0.h0, a0.h1 @ (S1, S2) attends (IO, S1)
  role reader = a2.h0, a3.h2 @ END attends S2
  keep mlps @ *
  edge input  -> early.qkv, reader.q
  edge early  -> reader.kv
  edge reader -> logits

  expect one_by_one {
    patch each reader -> logits from abc direct
    require logit_diff <= 90% * model.logit_diff ci 95
  }
  expect hops {
    patch all early -> reader.kv -> logits from abc direct
    require logit_diff <= 90% * model.logit_diff ci 95
  }
  expect all_at_once {
    patch all input -> early.qkv, reader.q from abc direct
    require logit_diff <= 90% * model.logit_diff ci 95
  }
  expect each_edge {
    ablate by edges with mean from abc over template
    each edge
    require effect >= 0.1 ci 95
  }
  expect no_early {
    ablate early by edges with mean from abc over template
    require logit_diff <= 90% * model.logit_diff ci 95
  }
  expect patched_reader {
    patch reader from abc
    require logit_diff <= 90% * model.logit_diff ci 95
  }
}
"""
)
AT_LOGITS = "reader@END -> logits@END"
INTO_READER = "early@S2 -> reader@END"


@pytest.fixture(scope="module")
def stated() -> Hypothesis:
    loaded = load_spec("t.circuit", text=SPEC, prompts="none")
    assert loaded.ok, loaded.diagnostics
    (bound,) = loaded.bound
    return bound.hypothesis


def drop(estimate: float, **more: object) -> ClaimResult:
    """A claim whose metric is `estimate` where the model's is 5."""
    text = "logit_diff <= 90% * model.logit_diff ci 95"
    judged = requirement(text, estimate=-0.5, interval=(-0.6, -0.4), threshold=0.0)
    measures = {"logit_diff": estimate, "model.logit_diff": 5.0}
    return replace(claim("?", "holds", judged, measures=measures), **more)


@pytest.fixture
def result() -> HypothesisResult:
    """What might have been measured, with numbers that are easily found again."""
    pairs = {"a2.h0 @ END -> logits": 4.5, "a3.h2 @ END -> logits": 2.0}
    each = [
        requirement("logit_diff <= 90% * model.logit_diff ci 95", estimate=value - 4.5, arm=name,
                    interval=(value - 4.6, value - 4.4), threshold=0.0)
        for name, value in pairs.items()
    ]  # fmt: skip
    edge = "a0.h0 -> a2.h0.k @ S2"
    effects = [{"name": edge, "given": "nothing",
                "before.logit_diff": 4.0, "after.logit_diff": 3.25}]  # fmt: skip
    row = {"set": edge, "verdict": "holds", "relation": ">=", "threshold": 0.1, "estimate": 0.75,
           "interval": [0.61, 0.89], "level": 99.0}  # fmt: skip
    return hypothesis(
        drop(0.0, name="one_by_one", requirements=tuple(each),
             measures={"pairs": {n: {"logit_diff": v} for n, v in pairs.items()},
                       "model.logit_diff": 5.0}),
        drop(5.25, name="hops"),
        drop(4.0, name="all_at_once"),
        claim("each_edge", "holds",
              requirement("effect >= 0.1 ci 95", threshold=(-0.1, 0.1), contrasts=(row,)),
              measures={"model.logit_diff": 5.0, "circuit.logit_diff": 4.0, "effects": effects}),
        drop(1.5, name="no_early"),
        drop(0.5, name="patched_reader"),
        name="small",
    )  # fmt: skip


@pytest.fixture
def shown(stated: Hypothesis, result: HypothesisResult) -> Scene:
    return with_measures(scene_of(stated), stated, result)


def notes(scene: Scene) -> dict[str, str]:
    return {arrow(bundle): bundle.note for bundle in scene.bundles}


def test_at_an_arrow_stands_the_largest_of_what_went_along_it_alone(shown: Scene) -> None:
    found = notes(shown)
    assert found[AT_LOGITS] == "−3", "the second head's; of the first it is 0.5"
    assert found[INTO_READER] == "−0.75", "the edge's effect; the path goes on, the cut has others"


def test_what_several_arrows_share_stands_in_parentheses(shown: Scene) -> None:
    found = notes(shown)
    assert {found[f"input@{at}"] for at in ("IO -> early@S1", "S1 -> early@S1")} == {"(−1)"}
    assert "early@S1 -> reader@END" not in found, "reader reads keys and values at S2"


def test_a_cut_that_reaches_kept_nodes_is_not_the_arrow_s_alone(stated: Hypothesis) -> None:
    out = hypothesis(drop(1.5, name="no_early"), name="small")
    scene = with_measures(scene_of(stated), stated, out)
    assert notes(scene)[INTO_READER] == "(−3.5)"
    (line,) = told(scene, stated, out)[INTO_READER]
    assert line.endswith("(together with edges that are not drawn)")


def test_a_role_has_what_was_measured_of_it_alone(shown: Scene) -> None:
    assert {box.id: box.notes for box in shown.boxes} == {
        "early@S1": ("cut −3.5",),
        "early@S2": ("cut −3.5",),
        "reader@END": ("patched −4.5",),
    }


def test_hovering_tells_every_number_with_interval_and_claim(
    stated: Hypothesis, result: HypothesisResult, shown: Scene
) -> None:
    lines = told(shown, stated, result)
    assert lines[AT_LOGITS] == (
        "✓ one_by_one: logit_diff <= 90% * model.logit_diff (a2.h0 @ END -> logits): "
        "0.00 [−0.10, 0.10] 95%, needs ≤ 0, n 200",
        "✓ one_by_one: logit_diff <= 90% * model.logit_diff (a3.h2 @ END -> logits): "
        "−2.50 [−2.60, −2.40] 95%, needs ≤ 0, n 200",
        "✓ hops: logit_diff <= 90% * model.logit_diff: "
        "−0.50 [−0.60, −0.40] 95%, needs ≤ 0, n 200 (together with 1 more)",
    )
    assert (
        "✓ each_edge: effect >= 0.1 (a0.h0 -> a2.h0.k @ S2): "
        "0.75 [0.61, 0.89] 99%, needs ≥ 0.1, n 200"
    ) in lines[INTO_READER]
    assert "each_edge: logit_diff 4 with a0.h0 -> a2.h0.k @ S2, 3.25 without" in lines[INTO_READER]
    assert any("no_early" in line for line in lines[INTO_READER]), "by edges they are cut too"
    assert not any("hops" in line for line in lines["reader@END"])


def test_an_invalid_claim_is_told_and_not_drawn(
    stated: Hypothesis, result: HypothesisResult
) -> None:
    claims = tuple(replace(c, verdict="invalid") for c in result.claims)
    withdrawn = replace(result, claims=claims)
    scene = with_measures(scene_of(stated), stated, withdrawn)
    assert set(notes(scene).values()) == {""}
    assert all(not box.notes for box in scene.boxes)
    assert told(scene, stated, withdrawn)[AT_LOGITS]
    assert explained(scene, stated, withdrawn) == ""


def test_a_claim_that_was_not_run_is_not_in_the_figure(stated: Hypothesis) -> None:
    nothing = hypothesis(name="small")
    assert along(scene_of(stated), stated, nothing) == ()
    assert with_measures(scene_of(stated), stated, nothing) == scene_of(stated)


def test_next_to_nothing_is_0(stated: Hypothesis) -> None:
    tiny = hypothesis(drop(5.0 + 1e-9, name="all_at_once"), name="small")
    found = notes(with_measures(scene_of(stated), stated, tiny))
    assert found["input@END -> reader@END"] == "(0)"


def test_what_the_numbers_are_is_said_beneath(
    stated: Hypothesis, result: HypothesisResult, shown: Scene
) -> None:
    assert explained(shown, stated, result) == (
        "Numbers with a sign are by how much logit_diff moves when what is at an arrow, or in a "
        "role, is patched with the counterfactual or cut. In parentheses: together with other "
        "edges. Of several at one arrow, the largest."
    )


def test_there_is_room_for_every_number(shown: Scene) -> None:
    long = tuple(replace(b, note=b.note and f"({b.note}{b.note})") for b in shown.bundles)
    for scene in (shown, replace(shown, bundles=long)):
        figure = layout(scene)
        for check in (check_boxes, check_nodes, check_wires, check_apart):
            check(figure)
    assert layout(replace(shown, bundles=long)).width > layout(shown).width


def test_as_drawn_before(
    stated: Hypothesis, result: HypothesisResult, shown: Scene, snapshot: SnapshotAssertion
) -> None:
    """After a change meant to be seen, look at the picture, then update the snapshot."""
    svg = to_svg(layout(shown), told=told(shown, stated, result))
    root = ET.fromstring(svg)
    measured = [e.text for e in root.iter("{http://www.w3.org/2000/svg}tspan")
                if e.get("class") == "measured"]  # fmt: skip
    assert sorted(measured) == sorted(note for note in notes(shown).values() if note)
    assert svg == snapshot
