"""The README's spec is a good one, and what it names exists."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def first(tmp_path: Path) -> Path:
    found = re.search(r"<!-- spec: (\S+) -->\n```\n(.*?)```", TEXT, re.S)
    assert found is not None
    path = tmp_path / found[1]
    path.write_text(found[2], encoding="utf-8")
    return path


def test_the_first_spec_is_clean_and_laid_out(run, first: Path) -> None:
    done = run("check", first)
    assert (done.code, done.out) == (0, "")
    assert run("fmt", "--check", first).code == 0


@pytest.mark.slow
def test_the_first_spec_holds(run, first: Path) -> None:
    done = run("verify", first)
    assert done.code == 0, done.out + done.err
    assert "✓ readers_are_needed" in done.out


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


def test_there_are_two_commands_and_their_extras_exist() -> None:
    commands = re.findall(r"<!-- command: (\w+) -->\n```sh\n(.*?)\n```", TEXT, re.S)
    assert [name for name, _ in commands] == ["verify", "test"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for _, command in commands:
        extra = re.search(r"'\.\[(\w+)\]'", command)
        assert extra is not None
        assert extra[1] in project["optional-dependencies"]
        assert "\n" not in command
