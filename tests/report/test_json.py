"""The JSON is what the schema says, in the schema's order, unrounded and repeatable."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator

import circuitspec.report
from circuitspec.judge.records import RunResult
from circuitspec.language.diagnostics import Diagnostic, Label, Span
from circuitspec.report import json as report_json

PACKAGED = Path(circuitspec.report.__file__).parent / "result.schema.json"
DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json"


def test_the_documented_schema_is_the_packaged_one() -> None:
    assert DOCUMENTED.read_text() == PACKAGED.read_text()


@pytest.mark.parametrize("name", ["held", "every_verdict", "awkward"])
def test_valid(name: str, request: pytest.FixtureRequest) -> None:
    schema = json.loads(PACKAGED.read_text())
    Draft202012Validator.check_schema(schema)
    document = json.loads(report_json.render(request.getfixturevalue(name)))
    Draft202012Validator(schema).validate(document)


def test_the_schema_rejects_what_is_wrong(held: RunResult) -> None:
    validator = Draft202012Validator(json.loads(PACKAGED.read_text()))
    document = report_json.document(held)
    document["hypotheses"][0]["claims"][0]["requirements"][0]["verdict"] = "maybe"
    assert not validator.is_valid(document)
    del document["hypotheses"][0]["claims"]
    assert not validator.is_valid(document)


def test_keys_stand_in_the_documented_order(held: RunResult) -> None:
    document = json.loads(report_json.render(held))
    hypothesis = document["hypotheses"][0]
    claim = hypothesis["claims"][0]
    requirement = claim["requirements"][0]
    assert list(document)[:6] == ["schema", "verdict", "hypotheses", "seed", "seconds", "cost"]
    assert list(hypothesis)[:9] == [
        "name", "file", "verdict", "model", "n_nodes", "n_edges", "competence", "claims",
        "self_checks",
    ]  # fmt: skip
    assert list(hypothesis["model"]) == [
        "name", "revision", "architecture", "dtype", "processing", "transformer_lens", "torch",
        "device",
    ]  # fmt: skip
    assert list(claim)[:6] == ["name", "verdict", "reason", "measures", "draws", "requirements"]
    assert list(requirement)[:8] == [
        "text", "verdict", "reason", "estimate", "interval", "level", "threshold", "n",
    ]  # fmt: skip
    assert list(hypothesis["self_checks"][0])[:3] == ["name", "passed", "value"]


def test_numbers_are_unrounded(held: RunResult) -> None:
    claim = json.loads(report_json.render(held))["hypotheses"][0]["claims"][0]
    assert claim["measures"]["logit_diff"] == 2.8381234567890123
    assert claim["requirements"][0]["interval"] == [0.0577, 0.3482]


def test_what_is_not_finite_is_null_and_named(awkward: RunResult) -> None:
    text = report_json.render(awkward)
    assert "NaN," not in text
    claim = json.loads(text)["hypotheses"][0]["claims"][1]
    assert claim["measures"] == {"kl": None, "per_head": {"a0.h1": [1.0, None]}}
    assert claim["not_finite"] == [
        "measures.kl is NaN",
        "measures.per_head.a0.h1[1] is infinite",
    ]
    requirement = claim["requirements"][0]
    assert requirement["estimate"] is None
    assert requirement["interval"] == [None, None]
    assert requirement["not_finite"] == [
        "estimate is NaN",
        "interval[0] is -infinite",
        "interval[1] is infinite",
    ]


def test_a_null_estimate_always_has_a_reason(awkward: RunResult) -> None:
    first = awkward.hypotheses[0]
    claim = first.claims[1]
    unexplained = replace(claim.requirements[0], reason=None)
    broken = replace(
        awkward,
        hypotheses=(replace(first, claims=(replace(claim, requirements=(unexplained,)),)),),
    )
    found = report_json.document(broken)["hypotheses"][0]["claims"][0]["requirements"][0]
    assert "estimate is NaN" in found["reason"]


def test_only_seconds_differ(every_verdict: RunResult) -> None:
    again = replace(every_verdict, seconds=99.0)
    first, second = report_json.document(every_verdict), report_json.document(again)
    assert first != second
    del first["seconds"], second["seconds"]
    assert report_json.dumps(first) == report_json.dumps(second)


def test_numpy_values_become_plain() -> None:
    found = report_json.plain(
        {
            "a": np.float32(0.5),
            "b": np.array([[1, 2], [3, 4]]),
            "c": np.float64("nan"),
            ("d", 1): np.int64(3),
            "e": frozenset({"y", "x"}),
            "f": np.bool_(True),
        }
    )
    assert found == {
        "a": 0.5, "b": [[1, 2], [3, 4]], "c": None, "('d', 1)": 3, "e": ["x", "y"], "f": True,
    }  # fmt: skip
    assert found["f"] is True
    assert json.loads(report_json.dumps(found)) == found


def test_numpy_anywhere_in_a_result(held: RunResult) -> None:
    first = held.hypotheses[0]
    check = replace(first.self_checks[0], passed=np.bool_(True), value=np.float32(0.5))
    claim = replace(
        first.claims[0],
        requirements=(
            replace(
                first.claims[0].requirements[0],
                estimate=np.float64(0.5),
                interval=(np.float64(0.25), np.float64("nan")),
                n=np.int64(7),
            ),
        ),
    )
    changed = replace(held, hypotheses=(replace(first, self_checks=(check,), claims=(claim,)),))
    document = json.loads(report_json.render(changed))["hypotheses"][0]
    assert document["self_checks"][0]["passed"] is True
    requirement = document["claims"][0]["requirements"][0]
    assert (requirement["interval"], requirement["n"]) == ([0.25, None], 7)


def test_dumps_refuses_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        report_json.dumps({"a": math.nan})


def test_diagnostics() -> None:
    span = Span(file="a.circuit", start=3, end=7, line=2, column=1, end_line=2, end_column=5)
    finding = Diagnostic(
        code="unknown-role", message="no role `moover`", span=span,
        labels=(Label(span=span, message="here"),), hint="did you mean `mover`?",
    )  # fmt: skip
    nowhere = Diagnostic(code="no-file", message="x")
    document = json.loads(
        report_json.render_diagnostics([finding, nowhere], not_checked=["no tokenizer"])
    )
    assert document["schema"] == "circuitspec.diagnostics/1"
    assert document["not_checked"] == ["no tokenizer"]
    first, second = document["diagnostics"]
    assert first["code"] == "unknown-role"
    assert first["severity"] == "error"
    assert first["span"]["line"] == 2
    assert first["labels"][0]["message"] == "here"
    assert first["hint"] == "did you mean `mover`?"
    assert second["span"] is None
