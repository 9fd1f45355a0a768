"""The habits of the house, held by the tools that know them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def _run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    _run("ruff", "check", ".")


def test_ruff_would_format_nothing() -> None:
    _run("ruff", "format", "--check", ".")


@pytest.mark.slow
def test_mypy_strict_finds_nothing() -> None:
    _run("mypy", "--strict", "circuitspec")


def test_folders_import_only_from_those_above_them() -> None:
    order = ["language", "task", "hypothesis", "model", "engine", "claims", "judge", "report"]
    wrong = []
    for place, folder in enumerate(order):
        for file in sorted((ROOT / "circuitspec" / folder).rglob("*.py")):
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
                words = line.split()
                if len(words) < 2 or words[0] not in ("from", "import"):
                    continue
                parts = words[1].split(".")
                if parts[0] != "circuitspec" or len(parts) < 2 or parts[1] not in order:
                    continue
                if order.index(parts[1]) > place:
                    wrong.append(f"{file.relative_to(ROOT)}:{number}: {line.strip()}")
    assert wrong == []
