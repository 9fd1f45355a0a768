"""`circuitspec plan`: what a spec would cost, a line a pass, without weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from circuitspec import planning
from circuitspec.planning import plan
from circuitspec.report.plan import document, render

SPEC = """circuitspec 1

hypothesis toy {
  model "gpt2"
  task ioi {
    template abba "When {A} and {B} went to the {place}, {C} gave a drink to"
    slot A, B  from names.english distinct one_token
    slot C     from B
    slot place from nouns.ioi_places one_token
    metric logit_diff = logit(A) - logit(B)
    baseline abc = resample(A, B, C)
    sample evaluation 12, reference 6 each template, seed 0
    bos no
  }
  role mover = a9.h9, a9.h6 @ END attends A
  keep mlps @ *
  edge input -> mover.qkv
  edge mover -> logits
  protocol paper { ablate by nodes with mean from abc over template }
  expect faithful under paper {
    ablate complement
    require logit_diff within 20% of model.logit_diff ci 95
  }
  expect complete under paper {
    knockouts roles, greedy 2x3x2
    require incompleteness <= 20% * model.logit_diff ci 95
  }
}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "toy.circuit"
    path.write_text(SPEC, encoding="utf-8")
    return path


def test_a_line_a_pass_each_no_dearer_than_the_one_above(spec: Path) -> None:
    plans, diagnostics = plan(spec)
    assert plans is not None, diagnostics
    (found,) = plans
    assert [line.name for line in found.passes] == [name for name, _ in planning.PASSES]
    costs = [(line.instances, line.flops) for line in found.passes]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1][1] < costs[0][1] / 2
    assert found.passes[0].runs > 3
    assert all(line.peak > 0 and line.seconds > 0 for line in found.passes)
    assert any("up to 24 more runs" in note for note in found.notes)


def test_words_stand_in_for_tokens_where_the_tokenizer_is_not_here(
    spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans, _ = plan(spec)
    assert plans is not None
    noted = any("taken for one token" in note for note in plans[0].notes)
    words = planning._Words()
    encoded = words.encode("When Mary went, to")
    assert words.decode(encoded.ids) == "When Mary went, to"
    assert len(encoded.ids) == 5
    assert noted or plans[0].prompts == 12


def test_weights_are_never_loaded(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitspec.model import load

    def refused(*args: Any, **named: Any) -> Any:
        raise AssertionError("a plan loads no weights")

    monkeypatch.setattr(load, "load", refused)
    assert plan(spec)[0] is not None


def test_an_unknown_shape_is_said(tmp_path: Path) -> None:
    path = tmp_path / "unknown.circuit"
    path.write_text(SPEC.replace('"gpt2"', '"nobody/knows-this"'), encoding="utf-8")
    plans, diagnostics = plan(path)
    assert plans is None
    assert any("shape of 'nobody/knows-this'" in d.message for d in diagnostics)


def test_both_forms_have_every_figure(spec: Path) -> None:
    plans, _ = plan(spec, batch_size=4)
    assert plans is not None
    text = render(plans[0])
    assert "toy on gpt2" in text
    assert "4 at once" in text
    for line in plans[0].passes:
        assert line.name in text
        assert f"{line.instances:,}" in text
    written = json.loads(json.dumps(document(plans)))
    assert written["schema"] == "circuitspec.plan/1"
    assert written["hypotheses"][0]["passes"][0]["name"] == "as written"


def test_a_file_without_a_hypothesis_has_no_plan(run, tmp_path: Path) -> None:
    empty = tmp_path / "empty.circuit"
    empty.write_text("circuitspec 1\n", encoding="utf-8")
    done = run("plan", empty)
    assert (done.code, done.out) == (2, "")
    assert "states no hypothesis" in done.err
