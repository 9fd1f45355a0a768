"""The extension's manifest names files that are there, and a command that is the server."""

from __future__ import annotations

import json
import re
from pathlib import Path

from circuitspec.cli.app import app

FOLDER = Path(__file__).parents[2] / "editors/vscode"


def manifest() -> dict:
    return json.loads((FOLDER / "package.json").read_text(encoding="utf-8"))


def test_every_path_exists() -> None:
    data = manifest()
    paths = [data["main"]]
    paths += [language["configuration"] for language in data["contributes"]["languages"]]
    paths += [grammar["path"] for grammar in data["contributes"]["grammars"]]
    assert len(paths) == 3
    for path in paths:
        assert (FOLDER / path).is_file(), path


def test_grammar_and_language_belong_together() -> None:
    contributes = manifest()["contributes"]
    (language,) = contributes["languages"]
    (grammar,) = contributes["grammars"]
    data = json.loads((FOLDER / grammar["path"]).read_text(encoding="utf-8"))
    assert grammar["language"] == language["id"]
    assert grammar["scopeName"] == data["scopeName"]
    assert [f".{kind}" for kind in data["fileTypes"]] == language["extensions"]
    configuration = json.loads((FOLDER / language["configuration"]).read_text(encoding="utf-8"))
    assert configuration["comments"]["lineComment"] == "#"
    for pattern in configuration["indentationRules"].values():
        re.compile(pattern)


def test_the_client_starts_what_there_is() -> None:
    properties = manifest()["contributes"]["configuration"]["properties"]
    program, command = properties["circuitspec.command"]["default"]
    assert program == "circuitspec"
    names = {c.callback.__name__ for c in app.registered_commands}
    assert command in names
    client = (FOLDER / "src/extension.js").read_text(encoding="utf-8")
    assert 'get("command")' in client
    (required,) = manifest()["dependencies"]
    assert f'require("{required}/node")' in client


def test_the_version_is_the_packages() -> None:
    from circuitspec import __version__

    assert manifest()["version"] == __version__
