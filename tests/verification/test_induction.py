"""A trained induction model: the true story holds, wrong ones are refuted, a broken model fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.judge.records import RunResult
from circuitspec.verification import verify

from .conftest import ROOT, claim

MODELS = ROOT.parent / "shared" / "models"
TEXT = (Path(__file__).parent / "induction.circuit").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(
    not MODELS.is_dir(), reason="needs the trained models in ../shared/models, which are not here"
)

KEY_EDGE = "  edge previous_token -> induction.k\n"
ROLE = "role previous_token = a0.h0 @ B attends A carries token(A)"
CLAIM_OF_THE_EDGE = """  expect key_edge_is_used {
    patch all previous_token -> induction.k from abc direct
    require logit_diff <= 50% * model.logit_diff ci 95
  }
"""
CLAIM_OF_ITS_ATTENTION = (
    "  expect previous_token_attends { require attention(previous_token) >= 0.6 ci 95 }\n"
)


def decided(tmp_path: Path, text: str, model: str = "induction") -> RunResult:
    path = tmp_path / "spec.circuit"
    named = text.replace('"../shared/models/induction"', f'"{MODELS / model}"')
    assert named != text
    path.write_text(named, encoding="utf-8")
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    return result


def changed(*changes: tuple[str, str]) -> str:
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


def test_the_true_story_holds(tmp_path: Path) -> None:
    assert decided(tmp_path, TEXT).verdict == "holds"


def test_the_same_text_fails_on_the_destroyed_model(tmp_path: Path) -> None:
    result = decided(tmp_path, TEXT, "induction-destroyed")
    assert result.verdict == "refuted"
    assert claim(result, "the_model_can").verdict == "refuted"
    assert claim(result, "faithful").verdict == "refuted"
    assert claim(result, "induction_attends").verdict == "refuted"


def test_without_the_key_edge_it_is_refuted(tmp_path: Path) -> None:
    story = changed(
        (KEY_EDGE, ""),
        (f"  {ROLE}\n", ""),
        ("previous_token.qkv, ", ""),
        (CLAIM_OF_THE_EDGE, ""),
        (CLAIM_OF_ITS_ATTENTION, ""),
    )
    assert claim(decided(tmp_path, story), "faithful").verdict == "refuted"


def test_with_the_key_edge_at_the_query_it_is_refuted(tmp_path: Path) -> None:
    story = changed(
        (ROLE, "role previous_token = a0.h0 @ B, END attends A"),
        ("previous_token -> induction.k", "previous_token -> induction.q"),
    )
    result = decided(tmp_path, story)
    assert claim(result, "faithful").verdict == "refuted"
    assert claim(result, "key_edge_is_used").verdict == "refuted"


def test_with_the_previous_token_head_at_the_wrong_offset_it_is_refuted(tmp_path: Path) -> None:
    story = changed((ROLE, "role previous_token = a0.h0 @ B attends A-1"))
    result = decided(tmp_path, story)
    assert claim(result, "faithful").verdict == "refuted"
    assert claim(result, "previous_token_attends").verdict == "refuted"
