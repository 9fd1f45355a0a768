"""SARIF: what code hosts require of a log, and every finding where `check` found it."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

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
