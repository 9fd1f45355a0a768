"""The hooks install little: nothing that computes with tensors is among the base requirements."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .test_action import SPEC

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "transformer-lens", "transformers", "safetensors", "numpy", "scipy", "pandas"}


def closure(requirements: list[str]) -> set[str]:
    """Names of all that installing `requirements` brings, as far as it is installed here."""
    found: set[str] = set()
    open_ = list(requirements)
    while open_:
        requirement = Requirement(open_.pop())
        name = canonicalize_name(requirement.name)
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not wanted or name in found:
            continue
        found.add(name)
        try:
            open_ += requires(name) or []
        except PackageNotFoundError:
            continue
    return found


def test_base_requirements_bring_nothing_heavy() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    light = closure(project["dependencies"])
    assert {"lark", "typer", "huggingface-hub"} <= light, "requirements of requirements, too"
    assert not light & HEAVY
    assert closure(project["optional-dependencies"]["verify"]) >= {"torch", "numpy"}


@pytest.mark.parametrize(
    "hook", yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text()), ids=lambda h: h["id"]
)
def test_hooks_run_where_nothing_heavy_is_installed(hook: dict[str, str], tmp_path: Path) -> None:
    assert hook["language"] == "python"
    assert "additional_dependencies" not in hook
    (tmp_path / "good.circuit").write_text(SPEC, encoding="utf-8")
    program, *arguments = hook["entry"].split()
    assert program == "circuitspec"
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(n.replace('-', '_') for n in HEAVY)!r}))\n"
        f"sys.argv = ['circuitspec', *{arguments!r}, 'good.circuit']\n"
        "from circuitspec.cli import main\nmain()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
