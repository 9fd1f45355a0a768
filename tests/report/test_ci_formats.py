"""JUnit, GitHub annotations and Markdown: golden, well formed, never green when a run is not."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from syrupy.assertion import SnapshotAssertion

from circuitspec.judge.records import RunResult
from circuitspec.language.diagnostics import Diagnostic, Severity, Span
from circuitspec.report import github, junit, markdown

SPAN = Span(file="a.circuit", start=3, end=7, line=2, column=1, end_line=2, end_column=5)


@pytest.mark.parametrize("name", ["every_verdict", "awkward"])
@pytest.mark.parametrize("renderer", [junit, github, markdown], ids=lambda m: m.__name__[19:])
def test_golden(
    name: str, renderer: object, request: pytest.FixtureRequest, snapshot: SnapshotAssertion
) -> None:
    assert renderer.render(request.getfixturevalue(name)) == snapshot


def test_junit_counts_what_does_not_hold(every_verdict: RunResult) -> None:
    root = ET.fromstring(junit.render(every_verdict))
    assert root.tag == "testsuites"
    first, second = root.findall("testsuite")
    assert (first.get("tests"), first.get("failures"), first.get("errors")) == ("6", "3", "1")
    assert (second.get("tests"), second.get("errors")) == ("2", "1")  # the failed self-check
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("8", "3", "2")
    kinds = [f.get("type") for f in root.iter("failure")]
    assert kinds == ["refuted", "inconclusive", "refuted"]
    values = {p.get("name"): p.get("value") for p in first.find("testcase").iter("property")}
    assert values["require_1_estimate"] == "0.1964"
    assert values["require_1_interval"] == "[0.0577, 0.3482]"


def test_junit_without_findings_has_none(held: RunResult) -> None:
    root = ET.fromstring(junit.render(held))
    assert not list(root.iter("failure"))
    assert not list(root.iter("error"))


def test_junit_drops_what_xml_forbids(held: RunResult) -> None:
    first = held.hypotheses[0]
    claim = replace(first.claims[0], verdict="invalid", reason="bell \x07 & <tag> \ud800")
    text = junit.render(replace(held, hypotheses=(replace(first, claims=(claim,)),)))
    text.encode()
    assert "bell \ufffd & <tag> \ufffd" in ET.fromstring(text).find(".//error").get("message")


def test_junit_of_a_spec_with_mistakes() -> None:
    warning = Diagnostic(code="unused", message="w", span=SPAN, severity=Severity.WARNING)
    error = Diagnostic(code="unknown-role", message="no role", span=SPAN, hint="did you mean x?")
    root = ET.fromstring(junit.render_diagnostics([warning, error]))
    assert root.get("errors") == "1"
    assert root.find(".//error").get("type") == "unknown-role"
    assert root.find(".//error").text == "did you mean x?"


def test_annotations_escape_and_point(awkward: RunResult) -> None:
    key = (awkward.hypotheses[0].name, "no_requirements")
    text = github.render(awkward, places={key: SPAN})
    commands = text.splitlines()
    assert all(re.match(r"::(error|warning|notice) [^:]*::", c) for c in commands), commands
    assert "file=specs/with%2C comma%3A and 100%25.circuit" in text
    pointed = next(c for c in commands if "no_requirements" in c)
    assert "line=2,endLine=2,col=1,endColumn=5" in pointed


def test_only_refuted_claims_are_error_annotations(every_verdict: RunResult) -> None:
    commands = github.render(every_verdict).splitlines()
    assert [c.partition(" ")[0] for c in commands] == [
        "::error",  # refuted
        "::warning",  # inconclusive
        "::warning",  # invalid
        "::error",  # refuted
        "::error",  # self-check
        "::notice",
    ]


def test_annotations_of_diagnostics() -> None:
    note = Diagnostic(code="open", message="50% open", severity=Severity.NOTE)
    error = Diagnostic(code="unknown-role", message="no role", span=SPAN, hint="did you mean x?")
    assert github.render_diagnostics([error, note]) == (
        "::error file=a.circuit,line=2,endLine=2,col=1,endColumn=5,"
        "title=circuitspec unknown-role::no role%0Adid you mean x?\n"
        "::notice title=circuitspec open::50%25 open\n"
    )


def test_markdown_tables_have_seven_cells_a_row(awkward: RunResult) -> None:
    rows = [r for r in markdown.render(awkward).splitlines() if r.startswith("|")]
    assert rows
    for row in rows:
        assert len(re.findall(r"(?<!\\)\|", row)) == 8, row
