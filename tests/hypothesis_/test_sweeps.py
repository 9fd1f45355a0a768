"""`sweep`: one hypothesis becomes several, and none is passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.sweeps import swept
from circuitspec.language.nodes import Position
from circuitspec.loading import load_spec

from .specs import GOOD, GPT2, one


def variants(*lines: str) -> dict[str, tuple[str, str | None]]:
    place = '  open a1.h5 @ S2 "unclear"\n'
    text = GOOD.replace(place, place + "".join(f"  {line}\n" for line in lines))
    return {h.name: (h.model, h.revision) for h in swept([one(text)])}


def test_without_a_sweep_nothing_changes() -> None:
    hypothesis = one(GOOD)
    assert swept([hypothesis]) == (hypothesis,)
    assert hypothesis.base == ""


def test_once_for_each_model() -> None:
    assert variants('sweep model "toy", "gpt2"') == {
        "h [toy]": ("toy", None),
        "h [gpt2]": ("gpt2", None),
    }


def test_a_revision_stays_with_its_model() -> None:
    text = GOOD.replace('model "toy"', 'model "toy" revision "r1"\n  sweep model "toy", "gpt2"')
    assert [(h.model, h.revision) for h in swept([one(text)])] == [("toy", "r1"), ("gpt2", None)]


def test_models_and_revisions_are_combined() -> None:
    got = variants('sweep model "toy", "gpt2"', 'sweep revision "step1", "step2"')
    assert got == {
        "h [toy, revision step1]": ("toy", "step1"),
        "h [toy, revision step2]": ("toy", "step2"),
        "h [gpt2, revision step1]": ("gpt2", "step1"),
        "h [gpt2, revision step2]": ("gpt2", "step2"),
    }


def test_open_nodes_out_and_each_of_them_in() -> None:
    text = GOOD.replace(
        'open a1.h5 @ S2 "unclear"',
        'open a1.h5 @ S2 "unclear"\n  open a0.h7 @ END "too"\n  sweep open',
    )
    found = {h.name: circuit_of(h, GPT2) for h in swept([one(text)])}
    assert list(found) == ["h [open nodes out]", "h [a0.h7 @ END in]", "h [a1.h5 @ S2 in]"]
    out, first, second = found.values()
    assert {str(e) for e in first.kept - out.kept} == {"a0.h7 @ END"}
    assert {str(e) for e in second.kept - out.kept} == {"a1.h5 @ S2"}
    assert first.members == second.members == out.members
    sent = {f"{e.receiver}{e.channel}" for e in first.edges - out.edges if str(e.sender) == "a0.h7"}
    assert {"a1.h0q", "a2.h1q", "logits"} <= sent
    read = {e for e in second.edges - out.edges if str(e.receiver) == "a1.h5"}
    assert {e.channel for e in read} == {"q", "k", "v"}
    assert {e.position for e in read if e.channel == "q"} == {Position("S2")}


def test_a_model_that_is_not_there_is_told_at_its_name(tmp_path: Path) -> None:
    path = tmp_path / "spec.circuit"
    path.write_text(GOOD.replace('model "toy"', 'model "ioi-mini"\n  sweep model "./nowhere"'))
    found = [d for d in load_spec(path, prompts="none").diagnostics if d.code == "M001"]
    assert len(found) == 1
    text = path.read_text()
    assert text[found[0].span.start : found[0].span.end] == '"./nowhere"'


@pytest.mark.parametrize("sweeps", [True, False])
def test_commands_about_the_text_see_one_hypothesis(tmp_path: Path, sweeps: bool) -> None:
    path = tmp_path / "spec.circuit"
    path.write_text(GOOD.replace('model "toy"', 'model "toy"\n  sweep model "toy", "gpt2"'))
    loaded = load_spec(path, prompts="none", sweeps=sweeps)
    assert len(loaded.bound) == (2 if sweeps else 1)
