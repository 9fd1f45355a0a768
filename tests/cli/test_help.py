"""Help and the reference page name every command and option; examples in the help are real."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from circuitspec import __version__
from circuitspec.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "command-line.md"
COMMANDS = typer.main.get_command(app).commands
UNLISTED = {"--help"}


def options(command: str) -> set[str]:
    return {
        option
        for parameter in COMMANDS[command].params
        for option in (*parameter.opts, *parameter.secondary_opts)
        if option.startswith("--")
    } - UNLISTED


def test_version(run) -> None:
    assert run("--version").out == f"circuitspec {__version__}\n"


def test_without_a_command_the_help_is_shown(run) -> None:
    done = run()
    for command in COMMANDS:
        assert f"\n  {command} " in done.out + done.err


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_every_option_and_gives_examples(run, command: str) -> None:
    done = run(command, "--help")
    assert done.code == 0
    for option in options(command):
        assert option in done.out
    assert f"circuitspec {command} " in done.out


@pytest.mark.parametrize("command", COMMANDS)
def test_the_reference_page_has_every_option(command: str) -> None:
    text = PAGE.read_text()
    section = re.search(rf"^## {command}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert section is not None
    named = set(re.findall(r"(?<!-)--[a-z][a-z-]*", section.group()))
    off = {"--prompts"}  # the default, said by what switches it off
    assert options(command) - off <= named
    assert named <= options(command) | {"--replicate", "--seed"}


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_in_the_help_have_options_that_exist(run, command: str) -> None:
    page = run(command, "--help").out
    examples = [line for line in page.splitlines() if f"circuitspec {command} " in line]
    examples = [line for line in examples if not line.startswith("Usage")]
    assert examples
    for example in examples:
        used = {w for w in shlex.split(example.split("|")[0]) if w.startswith("--")}
        assert used <= options(command), example
