"""Results as JUnit XML: one suite a hypothesis, one test a claim, measured values as properties.

Refuted and inconclusive claims are failures (of those types), invalid ones errors, so that a run
which does not exit 0 is never shown as all green.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from circuitspec.judge.records import ClaimResult, HypothesisResult, RunResult, SelfCheck
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.report.rows import (
    competence_notes,
    labelled,
    numbers_of,
    reason_for,
    row_of,
    warnings_of,
)

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KIND = {"refuted": "failure", "inconclusive": "failure", "invalid": "error"}


def render(result: RunResult) -> str:
    """The run as a JUnit document, UTF-8, with a final newline."""
    suites = ET.Element("testsuites", {"name": "circuitspec"})
    for hypothesis in result.hypotheses:
        _suite(suites, hypothesis, result)
    _totals(suites)
    suites.set("time", f"{result.seconds:.3f}")
    return _text(suites)


def render_diagnostics(diagnostics: Sequence[Diagnostic]) -> str:
    """A run that never began: one errored test for each error in the spec."""
    suites = ET.Element("testsuites", {"name": "circuitspec"})
    suite = ET.SubElement(suites, "testsuite", {"name": "spec"})
    for diagnostic in diagnostics:
        if diagnostic.severity is not Severity.ERROR:
            continue
        span = diagnostic.span
        case = _case(suite, span.file or "command", f"{diagnostic.code} line {span.line}")
        _outcome(case, "error", diagnostic.code, diagnostic.message, diagnostic.hint or "")
    _count(suite)
    _totals(suites)
    return _text(suites)


def _suite(suites: ET.Element, hypothesis: HypothesisResult, result: RunResult) -> None:
    suite = ET.SubElement(suites, "testsuite", {"name": _clean(hypothesis.name)})
    model, notes = hypothesis.model, competence_notes(hypothesis.competence)
    _properties(
        suite,
        {
            "file": hypothesis.file,
            "verdict": hypothesis.verdict,
            "model": model.name,
            "revision": model.revision or "",
            "dtype": model.dtype,
            "device": model.device,
            "seed": str(result.seed),
            "n_nodes": str(hypothesis.n_nodes),
            "n_edges": str(hypothesis.n_edges),
            **({"competence": "; ".join(notes)} if notes else {}),
        },
    )
    for claim in hypothesis.claims:
        _claim(suite, hypothesis, claim)
    for check in hypothesis.self_checks:
        if not check.passed:
            _failed_check(suite, hypothesis, check)
    _count(suite)


def _claim(suite: ET.Element, hypothesis: HypothesisResult, claim: ClaimResult) -> None:
    case = _case(suite, hypothesis.name, claim.name)
    _properties(case, properties_of(claim))
    if claim.verdict in _KIND:
        _outcome(case, _KIND[claim.verdict], claim.verdict, reason_for(claim), _details(claim))
    if claim.warnings:  # JUnit has no warnings: this is what readers show of a test that passes
        ET.SubElement(case, "system-err").text = _clean("\n".join(warnings_of(claim)))


def properties_of(claim: ClaimResult) -> dict[str, str]:
    """What was measured, unrounded, as the properties of a test: `require_1_estimate`, ..."""
    values: dict[str, str] = {"verdict": claim.verdict}
    for i, text in enumerate(claim.warnings, start=1):
        values[f"warning_{i}"] = text
    for i, requirement in enumerate(claim.requirements, start=1):
        values[f"require_{i}"] = requirement.text
        if requirement.arm is not None:
            values[f"require_{i}_arm"] = requirement.arm
        values[f"require_{i}_verdict"] = requirement.verdict
        if requirement.estimate is not None:
            values[f"require_{i}_estimate"] = repr(requirement.estimate)
        if requirement.interval is not None:
            low, high = requirement.interval
            values[f"require_{i}_interval"] = f"[{low!r}, {high!r}]"
        values[f"require_{i}_n"] = str(requirement.n)
    return values


def _details(claim: ClaimResult) -> str:
    out = []
    for requirement in claim.requirements:
        row = row_of(requirement)
        out.append(f"{row.sign} {labelled(row)}")
        out.append(f"    {numbers_of(row)}")
        out += [f"    {text}" for text in (row.shown, row.reason) if text]
    return "\n".join(out)


def _failed_check(suite: ET.Element, hypothesis: HypothesisResult, check: SelfCheck) -> None:
    case = _case(suite, hypothesis.name, f"self-check {check.name}")
    text = check.detail or "a check the run made on itself failed"
    _outcome(case, "error", "self-check", text, "" if check.value is None else repr(check.value))


def _case(suite: ET.Element, classname: str, name: str) -> ET.Element:
    return ET.SubElement(
        suite, "testcase", {"classname": _clean(classname), "name": _clean(name), "time": "0"}
    )


def _outcome(case: ET.Element, tag: str, kind: str, message: str, details: str) -> None:
    outcome = ET.SubElement(case, tag, {"type": kind, "message": _clean(message)})
    outcome.text = _clean(details)


def _properties(parent: ET.Element, values: dict[str, str]) -> None:
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(suite.findall("testcase/failure"))))
    suite.set("errors", str(len(suite.findall("testcase/error"))))
    suite.set("skipped", "0")


def _totals(suites: ET.Element) -> None:
    found = suites.findall("testsuite")
    for key in ("tests", "failures", "errors"):
        suites.set(key, str(sum(int(s.get(key, "0")) for s in found)))


def _text(root: ET.Element) -> str:
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    """Text without the control characters that XML forbids."""
    return _NOT_XML.sub("\ufffd", text)
