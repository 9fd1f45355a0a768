"""The composite action's steps, run as the scripts they are, and the documents that name it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
GUIDE = (ROOT / "docs/how-to/ci.md").read_text(encoding="utf-8")
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}

SPEC = """\
circuitspec 1

hypothesis small {
  model "ioi-mini"
  task ioi {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    slot IO, S1 from names.english    distinct one_token
    slot S2     from S1
    slot place  from nouns.ioi_places one_token
    slot thing  from nouns.ioi_things one_token
    metric logit_diff = logit(IO) - logit(S1)
    sample evaluation 80, seed 0
    bos no
  }
  expect able { require accuracy >= 0.8 ci 95 }
}
"""


def step(name: str, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """A step as the runner of GitHub does it: its environment filled in, its script to bash."""
    given = {key: str(value.get("default", "")) for key, value in ACTION["inputs"].items()} | inputs
    filled = {
        key: re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda m: given[m[1]], value)
        for key, value in STEPS[name]["env"].items()
    }
    python = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        **filled,
        "PATH": python + os.pathsep + os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[name]["run"]]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def write(folder: Path, **specs: str) -> None:
    for name, text in specs.items():
        (folder / f"{name}.circuit").write_text(text, encoding="utf-8")


def test_checking_annotates_the_mistakes_of_all_files(tmp_path: Path) -> None:
    write(tmp_path, good=SPEC, wrong=SPEC.replace("logit(S1)", "logit(S3)"))
    done = step("Check specs", tmp_path, specs="*.circuit")
    assert done.returncode == 1
    assert done.stdout.startswith("::error file=wrong.circuit,line=11,")
    assert step("Check specs", tmp_path, specs="good.circuit").returncode == 0


@pytest.mark.slow
def test_verifying_goes_on_after_a_refuted_spec_and_fails_with_the_worst(tmp_path: Path) -> None:
    refuted, wrong = SPEC.replace(">= 0.8", "<= 0.2"), SPEC.replace("logit(S1)", "logit(S3)")
    write(tmp_path, a_refuted=refuted, b_wrong=wrong, c_not_asked_for=wrong)
    done = step("Verify specs", tmp_path, specs="[ab]*.circuit", arguments="--batch-size 40")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "::error file=a_refuted.circuit,line=15," in done.stdout
    assert "::error file=b_wrong.circuit,line=11," in done.stdout
    assert "c_not_asked_for" not in done.stdout
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "✗ small: refuted" in summary
    assert "batch 40" in summary
    assert "```mermaid\nflowchart BT" in summary


def test_what_is_installed_depends_on_what_is_asked() -> None:
    install = STEPS["Install circuitspec"]
    assert install["env"]["EXTRAS"] == "${{ inputs.verify == 'true' && '[verify]' || '' }}"
    assert install["run"].endswith('"${{ github.action_path }}$EXTRAS"')


def blocks(language: str) -> list[Any]:
    found = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.S)
    return [yaml.safe_load(block) for block in found]


def test_the_guide_uses_inputs_and_hooks_that_exist() -> None:
    hooks_file, workflow, _ = blocks("yaml")
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    named = {hook["id"] for repo in hooks_file["repos"] for hook in repo["hooks"]}
    assert named == {hook["id"] for hook in hooks}
    steps = workflow["jobs"]["verify"]["steps"]
    (ours,) = (s for s in steps if "OWNER/circuitspec" in s["uses"])
    assert set(ours["with"]) <= set(ACTION["inputs"])
    assert all(name in ours["with"] for name, i in ACTION["inputs"].items() if i.get("required"))


def test_versions_in_the_guide_are_this_one() -> None:
    from circuitspec import __version__

    assert set(re.findall(r"\bv(\d+\.\d+\.\d+)\b", GUIDE)) == {__version__}
