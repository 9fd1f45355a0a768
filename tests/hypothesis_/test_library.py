"""`use` of the packaged library, and of single roles."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.hypothesis.files import LIBRARY, PACKAGED
from circuitspec.loading import load_spec

MINE = """circuitspec 1
use ioi, ioi_paper, name_mover from "circuitspec/ioi.circuit"
hypothesis mine {
  model "gpt2"
  task ioi
  keep mlps @ *
  edge input -> name_mover.qkv
  edge name_mover -> logits
  expect faithful under ioi_paper {
    ablate complement
    require logit_diff within 20% of model.logit_diff ci 95
  }
}
hypothesis smaller refines mine {
  role name_mover = a9.h9 @ END attends IO carries token(IO)
}
"""


def codes(text: str, folder: Path) -> list[str]:
    path = folder / "t.circuit"
    return [d.code for d in load_spec(path, text=text, prompts="none").diagnostics]


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*.circuit")), ids=lambda p: p.stem)
def test_what_is_packaged_has_no_mistakes(path: Path) -> None:
    assert load_spec(path, prompts="none").diagnostics == ()


def test_tasks_protocols_and_single_roles_are_taken_over(tmp_path: Path) -> None:
    loaded = load_spec(tmp_path / "t.circuit", text=MINE, prompts="none")
    assert loaded.ok
    mine, smaller = (bound.hypothesis for bound in loaded.bound)
    assert len(mine.roles["name_mover"].nodes) == 3
    assert set(mine.roles) == {"name_mover"}
    assert len(smaller.roles["name_mover"].nodes) == 1
    assert mine.task.name.text == "ioi"
    assert mine.claims[0].ablation is not None


def test_a_role_that_the_file_declares_is_its_own(tmp_path: Path) -> None:
    own = MINE.replace("  keep mlps", "  role name_mover = a8.h1 @ END attends IO\n  keep mlps")
    mine = load_spec(tmp_path / "t.circuit", text=own, prompts="none").bound[0].hypothesis
    assert len(mine.roles["name_mover"].nodes) == 1


def test_a_folder_of_the_package_s_name_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "circuitspec").mkdir()
    (tmp_path / "circuitspec" / "mine.circuit").write_text("circuitspec 1\n")
    assert codes('circuitspec 1\nuse "circuitspec/mine.circuit"\n', tmp_path) == ["H033"]


@pytest.mark.parametrize("path", ["../pyproject.toml", "../hypothesis/files.py", "/etc/passwd"])
def test_the_library_leads_nowhere_else(path: str, tmp_path: Path) -> None:
    assert codes(f'circuitspec 1\nuse "{PACKAGED}{path}"\n', tmp_path) == ["H003"]


def test_a_name_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    text = MINE.replace("ioi_paper, name_mover from", "ioi_paper, name_movers from")
    found = load_spec(tmp_path / "t.circuit", text=text, prompts="none").diagnostics
    told = next(d for d in found if "name_movers" in d.message)
    assert told.hint is not None
    assert "did you mean `name_mover`" in told.hint
