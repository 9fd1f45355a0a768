"""The tutorial, done: its files written down, its commands run one after the other."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

# Verification at the top: what pytester imports first, it forgets again.
from circuitspec import cli, verification  # noqa: F401

pytest_plugins = ["pytester"]

Do = Callable[[str], tuple[int, int, str]]
ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/tutorial/first-circuit.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"<!-- file: (\S+) -->\n```\n(.*?)```", TEXT, re.S))
COMMANDS = [
    line for block in re.findall(r"```sh\n(.*?)```", TEXT, re.S) for line in block.splitlines()
]
PLUGIN = any(e.value == "circuitspec.pytest_plugin" for e in entry_points(group="pytest11"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the reader works."""
    made = tmp_path_factory.mktemp("tutorial")
    for name, text in FILES.items():
        (made / name).write_text(text, encoding="utf-8")
    return made


@pytest.fixture
def do(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Do:
    """A command of `circuitspec`: its exit code, the one the page states, and what it printed."""

    def call(line: str) -> tuple[int, int, str]:
        command, _, comment = line.partition("#")
        stated = re.search(r"exits with (\d)", comment)
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), int(stated[1]) if stated else 0, out + err

    return call


def light(line: str) -> bool:
    """Whether a command loads no model."""
    return shlex.split(line, comments=True)[1:2] in (
        [["check"], ["expand"], ["prompts"], ["render"], ["fmt"]]
    )


def test_its_files_are_laid_out_and_its_commands_are_known() -> None:
    assert set(FILES) == {"ioi.circuit", "suppressor.circuit", "rival.circuit", "pytest.ini"}
    assert {shlex.split(c, comments=True)[0] for c in COMMANDS} == {"circuitspec", "pytest"}
    assert sum(map(light, COMMANDS)) == 6
    assert len(COMMANDS) == 12


@pytest.mark.parametrize("line", [line for line in COMMANDS if light(line)])
def test_light_commands_do_what_it_says(line: str, do: Do) -> None:
    code, stated, said = do(line)
    assert code == stated, said


HEAVY = [line for line in COMMANDS if line != "pytest" and not light(line)]


@pytest.mark.slow
@pytest.mark.parametrize("line", HEAVY)
def test_heavy_commands_do_what_it_says(line: str, do: Do) -> None:
    code, stated, said = do(line)
    assert code == stated, said
    if "scan" in line:
        for head in ("a2.h0", "a3.h2", "a3.h5"):
            assert head in said
    if "rival" in line:
        assert "✗ suppressor_attends" in said
        assert "✓ suppressor_decides" in said


def test_pytest_verifies_it(pytester: pytest.Pytester) -> None:
    assert "pytest" in COMMANDS
    for name, text in FILES.items():
        (pytester.path / name).write_text(text, encoding="utf-8")
    plugin = () if PLUGIN else ("-p", "circuitspec.pytest_plugin")
    pytester.runpytest_inprocess(*plugin).assert_outcomes(passed=2)


def test_files_are_laid_out_in_the_one_style(do: Do) -> None:
    specs = " ".join(name for name in FILES if name.endswith(".circuit"))
    code, _, said = do(f"circuitspec fmt --check {specs}")
    assert code == 0, said
