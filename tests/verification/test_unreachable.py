"""A cut that cannot reach the metric lets anything hold: the result says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.verification import Options, verify

from .conftest import ROOT, claim

TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
TASK = TEXT[: TEXT.index('"""')]


def heads(layers: range) -> str:
    return ", ".join(f"a{layer}.h{head}" for layer in layers for head in range(8))


def warnings(folder: Path, last: str) -> tuple[str, ...]:
    path = folder / "spec.circuit"
    path.write_text(
        TASK
        + f"""
hypothesis nearly_everything {{
  model "ioi-mini"
  task ioi
  role early = {heads(range(3))} @ *
  role late  = {last} @ END
  keep mlps @ *
  edge early -> late.qkv
  edge late -> logits
  expect faithful under nodes {{
    ablate complement
    require logit_diff within 20% of model.logit_diff ci 95
  }}
}}
""",
        "utf-8",
    )
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    return claim(result, "faithful").warnings


def test_a_complement_that_no_metric_reads_is_told(tmp_path: Path) -> None:
    # what is cut are heads of the last layer, where nothing after them reads
    assert any(
        "nothing that is cut reaches" in text for text in warnings(tmp_path, heads(range(3, 4)))
    )


@pytest.mark.parametrize(
    "cut", ["ablate {role} by nodes with mean from abc over template", "patch {role} from abc"]
)
def test_a_cut_that_no_metric_reads_is_told(tmp_path: Path, cut: str) -> None:
    told = {}
    for role in ("unread", "suppressor"):
        path = tmp_path / f"{role}.circuit"
        action = cut.format(role=role)
        path.write_text(
            TEXT[: TEXT.rindex("}")]
            + f"""
  role unread = a3.h6 @ S2
  expect tried {{ {action} require logit_diff >= 0 ci 95 }}
}}
""",
            "utf-8",
        )
        result, diagnostics = verify(path, options=Options(only=("tried",)))
        assert result is not None, diagnostics
        told[role] = [n for n in claim(result, "tried").notes if "nothing that is cut" in n]
    assert told["suppressor"] == []
    (note,) = told["unread"]
    assert "reaches logit_diff" in note


def test_a_complement_that_matters_is_not(tmp_path: Path) -> None:
    assert not any("nothing that is cut" in text for text in warnings(tmp_path, "a3.h0, a3.h1"))
