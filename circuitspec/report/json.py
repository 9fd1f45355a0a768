"""Results as JSON: `circuitspec.result/1`, every number unrounded, the same bytes for the same run.

Keys may be added to the schema, never renamed. NaN and infinities, which JSON cannot hold, become
`null`, and are named in `not_finite` beside them and in the requirement's `reason`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from numbers import Integral, Real
from typing import Any, Protocol, runtime_checkable

from circuitspec.judge.records import (
    ClaimResult,
    HypothesisResult,
    RequirementResult,
    RunResult,
    SelfCheck,
)
from circuitspec.language.diagnostics import Diagnostic, Span

DIAGNOSTICS_SCHEMA = "circuitspec.diagnostics/1"

Json = dict[str, Any]


@runtime_checkable
class _Array(Protocol):
    """What numpy and torch have in common: values that turn into lists."""

    def tolist(self) -> Any:
        """The values as plain numbers, nested as the array is."""


def render(result: RunResult) -> str:
    """The run as indented JSON with a final newline."""
    return dumps(document(result))


def dumps(value: Json) -> str:
    """Indented JSON with a final newline; a ValueError on NaN, which `plain` never leaves."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def document(result: RunResult) -> Json:
    """The run as plain values, keys in the schema's order."""
    found: Json = plain(
        {
            "schema": result.schema,
            "verdict": result.verdict,
            "hypotheses": [hypothesis_document(h) for h in result.hypotheses],
            "seed": result.seed,
            "seconds": result.seconds,
            "cost": result.cost,
            "batch_size": result.batch_size,
        }
    )
    return found


def hypothesis_document(hypothesis: HypothesisResult) -> Json:
    """One hypothesis of a run, its values as they are: `plain` makes them what JSON can hold."""
    return {
        "name": hypothesis.name,
        "file": hypothesis.file,
        "verdict": hypothesis.verdict,
        "model": asdict(hypothesis.model),
        "n_nodes": hypothesis.n_nodes,
        "n_edges": hypothesis.n_edges,
        "competence": hypothesis.competence,
        "claims": [_claim(c) for c in hypothesis.claims],
        "self_checks": [self_check_document(c) for c in hypothesis.self_checks],
        "prompts": hypothesis.prompts,
        "doc": hypothesis.doc,
        "notes": list(hypothesis.notes),
        "open_nodes": list(hypothesis.open_nodes),
        "replicates": [
            {"seed": r.seed, "verdict": r.verdict, "claims": dict(r.claims)}
            for r in hypothesis.replicates
        ],
    }


def _claim(claim: ClaimResult) -> Json:
    return {
        "name": claim.name,
        "verdict": claim.verdict,
        "reason": claim.reason,
        "measures": claim.measures,
        "draws": claim.draws,
        "requirements": [_requirement(r) for r in claim.requirements],
        "kind": claim.kind,
        "expected_refuted": claim.expected_refuted,
        "doc": claim.doc,
        "notes": list(claim.notes),
        "warnings": list(claim.warnings),
        "not_finite": [
            *_not_finite(claim.measures, "measures"),
            *_not_finite(claim.draws, "draws"),
        ],
    }


def _requirement(requirement: RequirementResult) -> Json:
    numbers = {
        "estimate": requirement.estimate,
        "interval": requirement.interval,
        "threshold": requirement.threshold,
    }
    bad = [text for name, value in numbers.items() for text in _not_finite(value, name)]
    return {
        "text": requirement.text,
        "verdict": requirement.verdict,
        "reason": requirement.reason or ("; ".join(bad) or None),
        "estimate": requirement.estimate,
        "interval": requirement.interval,
        "level": requirement.level,
        "threshold": requirement.threshold,
        "n": requirement.n,
        "exact": requirement.exact,
        "method": requirement.method,
        "shown": requirement.shown,
        "n_to_settle": requirement.n_to_settle,
        "arm": requirement.arm,
        "contrasts": requirement.contrasts,
        "not_finite": bad,
    }


def self_check_document(check: SelfCheck) -> Json:
    """A self-check as plain values."""
    return {
        "name": check.name,
        "passed": check.passed,
        "value": check.value,
        "detail": check.detail,
    }


def plain(value: Any) -> Any:
    """Any measure as what JSON can hold: numpy numbers and arrays too; `null` for NaN and ±inf."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=str)
    if isinstance(value, Sequence):
        return [plain(item) for item in value]
    if isinstance(value, _Array):
        return plain(value.tolist())
    return str(value)


def _not_finite(value: Any, path: str) -> list[str]:
    """`measures.logit_diff is NaN` for each number in `value` that JSON cannot hold."""
    if isinstance(value, Mapping):
        return [t for k, item in value.items() for t in _not_finite(item, f"{path}.{k}")]
    if value is None or isinstance(value, str | bool | Integral):
        return []
    if isinstance(value, Real):
        number = float(value)
        if math.isnan(number):
            return [f"{path} is NaN"]
        return [f"{path} is {'' if number > 0 else '-'}infinite"] if math.isinf(number) else []
    if isinstance(value, Sequence):
        return [t for i, item in enumerate(value) for t in _not_finite(item, f"{path}[{i}]")]
    return _not_finite(value.tolist(), path) if isinstance(value, _Array) else []


# ── Diagnostics ──────────────────────────────────────────────────────────────────────────────────


def render_diagnostics(
    diagnostics: Sequence[Diagnostic], *, not_checked: Sequence[str] = ()
) -> str:
    """Findings as JSON (`circuitspec.diagnostics/1`), and what could not be looked into."""
    return dumps(
        {
            "schema": DIAGNOSTICS_SCHEMA,
            "diagnostics": [_diagnostic(d) for d in diagnostics],
            "not_checked": list(not_checked),
        }
    )


def _diagnostic(diagnostic: Diagnostic) -> Json:
    return {
        "code": diagnostic.code,
        "severity": diagnostic.severity.value,
        "message": diagnostic.message,
        "span": _span(diagnostic.span),
        "labels": [{"span": _span(x.span), "message": x.message} for x in diagnostic.labels],
        "hint": diagnostic.hint,
    }


def _span(span: Span) -> Json | None:
    return asdict(span) if span.file or span.line else None
