"""The composite action's steps, run as the scripts they are, and the documents that name it."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
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
    assert not [value for value in filled.values() if "${{" in value]
    python = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        **filled,
        "PATH": python + os.pathsep + os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(folder / "summary.md"),
        "RUNNER_TEMP": str(folder / "temporary files"),
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
    assert "artifact" not in summary
    assert not (tmp_path / "temporary files").exists(), "no report unless one is asked for"
    assert not list(tmp_path.rglob("*.xml"))


@pytest.mark.slow
def test_reports_and_junit_are_written_for_each_spec_and_uploaded(tmp_path: Path) -> None:
    (tmp_path / "specs").mkdir()
    refuted = SPEC.replace(">= 0.8", "<= 0.2")
    write(tmp_path / "specs", holds=SPEC, refuted=refuted)
    done = step("Verify specs", tmp_path, specs="specs/*.circuit", report="circuits", junit="out")
    assert done.returncode == 1, done.stdout + done.stderr
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert summary.rstrip().endswith("this run's artifact `circuits`.")
    for name, verdict in {"holds": "holds", "refuted": "refuted"}.items():
        page = tmp_path / "temporary files/circuitspec/circuits/specs" / f"{name}.html"
        assert f"circuitspec: {'✓' if verdict == 'holds' else '✗'}" in page.read_text("utf-8")
        root = ET.parse(tmp_path / "out" / "specs" / f"{name}.xml").getroot()
        assert len(list(root.iter("testcase"))) == 1
        assert len(list(root.iter("failure"))) == (verdict == "refuted")

    upload = STEPS["Upload reports"]
    assert upload["uses"].startswith("actions/upload-artifact@v")
    inputs = {"inputs.report": "circuits", "runner.temp": str(tmp_path / "temporary files")}
    given = {
        key: re.sub(r"\$\{\{ ([\w.]+) \}\}", lambda m: inputs[m[1]], value)
        for key, value in upload["with"].items()
    }
    assert given["name"] == "circuits"
    assert sorted(p.name for p in Path(given["path"]).rglob("*.*")) == [
        "holds.html", "refuted.html"
    ]  # fmt: skip
    assert upload["if"].startswith("always() && "), "a refuted spec has ended the step before"
    assert "inputs.report != ''" in upload["if"]


def test_a_spec_from_elsewhere_writes_into_the_folder_all_the_same(tmp_path: Path) -> None:
    """`verify` is replaced by what prints its arguments: names are the script's own doing."""
    fake = tmp_path / "circuitspec"
    fake.mkdir()
    (fake / "__init__.py").touch()
    (fake / "__main__.py").write_text("import sys; print(sys.argv[1:])", encoding="utf-8")
    specs = f"../a.circuit {tmp_path}/b.circuit"
    done = step(
        "Verify specs", tmp_path, specs=specs, report="r", junit="j", arguments="--seed 3 --audit"
    )
    assert done.returncode == 0, done.stderr
    first, second = map(ast.literal_eval, done.stdout.splitlines())
    assert first[-3:] == ["--seed", "3", "--audit"]
    assert first[first.index("--report") + 1].endswith("temporary files/circuitspec/r/up/a.html")
    assert first[first.index("--junit") + 1] == "j/up/a.xml"
    assert second[second.index("--junit") + 1] == f"j{tmp_path}/b.xml"


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
