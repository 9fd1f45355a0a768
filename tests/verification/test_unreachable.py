"""A cut that cannot reach the metric lets anything hold: the result says so."""

from __future__ import annotations

from pathlib import Path

from circuitspec.verification import verify

from .conftest import ROOT, claim

TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
TASK = TEXT[: TEXT.index('"""')]


def heads(layers: range) -> str:
    return ", ".join(f"a{layer}.h{head}" for layer in layers for head in range(8))


def notes(folder: Path, last: str) -> tuple[str, ...]:
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
    return claim(result, "faithful").notes


def test_a_complement_that_no_metric_reads_is_told(tmp_path: Path) -> None:
    # what is cut are heads of the last layer, where nothing after them reads
    assert any(
        "nothing that is cut reaches" in note for note in notes(tmp_path, heads(range(3, 4)))
    )


def test_a_complement_that_matters_is_not(tmp_path: Path) -> None:
    assert not any("nothing that is cut" in note for note in notes(tmp_path, "a3.h0, a3.h1"))
