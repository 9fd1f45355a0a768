"""Findings as SARIF 2.1.0, the form in which code hosts and editors take static analysis.

Only what `check` finds: a verdict is a measurement, and its place is a test report.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from urllib.parse import quote

from circuitspec import __version__
from circuitspec.language.diagnostics import Diagnostic, Span
from circuitspec.language.explain import explain
from circuitspec.report.json import Json, dumps

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_diagnostics(diagnostics: Sequence[Diagnostic]) -> str:
    """A SARIF log of one run; each code that was found comes with its page as help."""
    codes = tuple(dict.fromkeys(d.code for d in diagnostics))
    driver = {
        "name": "circuitspec",
        "semanticVersion": __version__,
        "rules": [_rule(code) for code in codes],
    }
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(d, codes.index(d.code)) for d in diagnostics],
    }
    return dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]})


def _rule(code: str) -> Json:
    page = explain(code)
    if page is None:
        return {"id": code}
    title = page.partition("\n")[0].partition(": ")[2]
    return {
        "id": code,
        "shortDescription": {"text": title},
        "help": {"text": page, "markdown": page},
    }


def _result(diagnostic: Diagnostic, rule: int) -> Json:
    hint = f"\n{diagnostic.hint}" if diagnostic.hint else ""
    found: Json = {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity.value,
        "message": {"text": diagnostic.message + hint},
    }
    if diagnostic.span.file:
        found["locations"] = [_location(diagnostic.span)]
    labels = [label for label in diagnostic.labels if label.span.file]
    if labels:
        found["relatedLocations"] = [
            {**_location(label.span), "message": {"text": label.message}} for label in labels
        ]
    return found


def _location(span: Span) -> Json:
    place: Json = {"artifactLocation": {"uri": _uri(span.file)}}
    if span.line:
        place["region"] = {
            "startLine": span.line,
            "startColumn": span.column,
            "endLine": span.end_line,
            "endColumn": span.end_column,
        }
    return {"physicalLocation": place}


def _uri(file: str) -> str:
    path = PurePath(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
