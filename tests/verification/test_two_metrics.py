"""A task with two metrics: measures say of which, and a division by nothing is refused."""

from __future__ import annotations

from pathlib import Path

from circuitspec.loading import load_spec
from circuitspec.verification import verify

from .conftest import ROOT, claim

TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
HEAD = TEXT[: TEXT.index('  """These heads at these positions')].replace(
    "  baseline abc", "  metric right = prob(IO)\n  baseline abc"
)


def written(folder: Path, *requirements: str) -> Path:
    path = folder / "spec.circuit"
    lines = "".join(f"    require {each} ci 95\n" for each in requirements)
    path.write_text(HEAD + f"  expect a under nodes {{\n    ablate complement\n{lines}  }}\n}}\n")
    return path


def test_each_measure_can_be_told_of_which(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "agreement(logit_diff) >= 0.9",
        "kl(right) <= 3",
        "accuracy(logit_diff) >= 0.3",
        "error(right) <= 0.5",
    )
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    assert [r.verdict for r in claim(result, "a").requirements] == ["holds"] * 4


def test_one_that_is_not_told_is_a_mistake_of_the_spec(tmp_path: Path) -> None:
    loaded = load_spec(written(tmp_path, "agreement >= 0.9", "kl <= 3"), prompts="none")
    said = [d for d in loaded.diagnostics if d.code == "H028"]
    assert [d.hint for d in said] == [
        "name one: `agreement(logit_diff)`, `agreement(right)`",
        "name one: `kl(logit_diff)`, `kl(right)`",
    ]


def test_a_division_by_nothing_costs_no_more_than_its_claim(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "logit_diff / (model.logit_diff - model.logit_diff) >= 0.5",
        "agreement(logit_diff) >= 0.9",
    )
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    first, second = claim(result, "a").requirements
    assert (first.verdict, second.verdict) == ("invalid", "holds")
    assert "divides by 0" in str(first.reason)
