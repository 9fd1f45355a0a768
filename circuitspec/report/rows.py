"""What every renderer says of a result: verdict signs, one row a requirement, and the totals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from circuitspec.judge.records import (
    ClaimResult,
    HypothesisResult,
    ModelRecord,
    RequirementResult,
    RunResult,
    VerdictName,
)
from circuitspec.report.numbers import (
    decimals_for,
    fixed,
    level_text,
    limit,
    needs_outside,
    operator_sign,
    relation_sign,
    short,
    thresholds_of,
)

SIGNS: Mapping[VerdictName, str] = {
    "holds": "✓",
    "refuted": "✗",
    "inconclusive": "?",
    "invalid": "!",
}
"""Verdicts by sign, so that they are told apart without colour."""

PLURALS: Mapping[VerdictName, str] = {
    "holds": "hold",
    "refuted": "refuted",
    "inconclusive": "inconclusive",
    "invalid": "invalid",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A requirement as text: each number rounded for people, empty where there is none."""

    sign: str
    text: str
    arm: str
    shown: str
    estimate: str
    interval: str
    level: str
    threshold: str
    n: str
    reason: str
    exact: bool


def row_of(requirement: RequirementResult) -> Row:
    """The requirement's numbers, rounded together so that they compare as they were judged."""
    limits = thresholds_of(requirement)
    decimals = decimals_for(requirement.estimate, requirement.interval, limits)
    if requirement.exact:
        interval = "exact"
    elif requirement.interval is None:
        interval = "–"
    else:
        low, high = requirement.interval
        interval = f"[{fixed(low, decimals)}, {fixed(high, decimals)}]"
    return Row(
        sign=SIGNS[requirement.verdict],
        text=_without_level(requirement.text),
        arm=requirement.arm or "",
        shown=requirement.shown or "",
        estimate=fixed(requirement.estimate, decimals),
        interval=interval,
        level=level_text(requirement.level),
        threshold=_threshold(requirement, limits, decimals),
        n=str(requirement.n),
        reason=reason_of(requirement),
        exact=requirement.exact,
    )


def labelled(row: Row) -> str:
    """The requirement's text with the head or pair that it was judged on."""
    return f"{row.text} ({row.arm})" if row.arm else row.text


def numbers_of(row: Row) -> str:
    """`0.19 [0.06, 0.35] 95%, needs ≥ 0, n 200`: a row's numbers in one line."""
    return f"{row.estimate} {row.interval} {row.level}, needs {row.threshold}, n {row.n}"


def reason_for(claim: ClaimResult) -> str:
    """Why a claim does not hold, in a line: what is said of it, or else its first bad numbers."""
    failing = [row_of(r) for r in claim.requirements if r.verdict != "holds"]
    said = [claim.reason, *(row.reason for row in failing)]
    said += [f"{labelled(row)}: {numbers_of(row)}" for row in failing]
    return next((text for text in said if text), claim.verdict)


def _threshold(requirement: RequirementResult, limits: tuple[float, ...], decimals: int) -> str:
    if not limits:
        return "–"
    if len(limits) > 1:
        ends = ", ".join(limit(t, decimals) for t in limits)
        return f"outside ({ends})" if needs_outside(requirement) else f"in [{ends}]"
    return f"{relation_of(requirement)} {limit(limits[0], decimals)}".strip()


def relation_of(requirement: RequirementResult) -> str:
    """How the estimate must stand to the threshold: of a band's ends, the one that was nearer."""
    for contrast in requirement.contrasts:
        if contrast.get("estimate") == requirement.estimate:
            return relation_sign(str(contrast.get("relation", "")))
    return operator_sign(requirement.text)


def _without_level(text: str) -> str:
    """`x >= 1 ci 95` without its `ci 95`, which has a column of its own."""
    head, found, tail = text.rpartition(" ci ")
    return head if found and tail.strip().replace(".", "", 1).isdigit() else text


def reason_of(requirement: RequirementResult) -> str:
    """Why a requirement does not hold, and how many prompts would likely settle it."""
    reason = requirement.reason or ""
    needed = requirement.n_to_settle
    if needed is None or str(needed) in reason:
        return reason
    advice = f"about {needed} prompts would likely settle it"
    return f"{reason}; {advice}" if reason else advice


def levels_of(result: RunResult) -> set[float]:
    """Every confidence used in a run, so that a common one is printed once."""
    return {
        requirement.level
        for hypothesis in result.hypotheses
        for claim in hypothesis.claims
        for requirement in claim.requirements
    }


def tally(verdicts: Iterable[VerdictName]) -> str:
    """`3 hold, 1 refuted` or `1 holds`: how often each verdict fell, in the order of `SIGNS`."""
    counts = Counter(verdicts)
    parts = [f"{counts[v]} {v if counts[v] == 1 else PLURALS[v]}" for v in SIGNS if counts[v]]
    return ", ".join(parts) or "none"


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 claim`, `2 claims`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def competence_parts(competence: Mapping[str, Any]) -> list[str]:
    """`logit_diff 3.30 [3.10, 3.51], accuracy 0.99 [0.96, 1.00]` for each metric of the model."""
    parts = []
    for name, entry in competence.get("metrics", {}).items():
        text = f"{name} {_measured(entry)}"
        if "accuracy" in entry:
            text += f", accuracy {_measured(entry['accuracy'])}"
        parts.append(text)
    return parts


def competence_notes(competence: Mapping[str, Any]) -> list[str]:
    """What must be known of how the model does its task, to be said wherever a verdict is."""
    return [f"{SIGNS['invalid']} {note}" for note in competence.get("notes", ())]


def warnings_of(claim: ClaimResult) -> list[str]:
    """What leaves a claim's verdict saying nothing, to be said wherever the verdict is."""
    return [f"{SIGNS['invalid']} {text}" for text in claim.warnings]


def _measured(value: Mapping[str, Any]) -> str:
    interval = value["interval"]
    bounds = (float(interval[0]), float(interval[1])) if interval is not None else None
    number = float(value["mean"])
    decimals = decimals_for(number, bounds)
    text = fixed(number, decimals)
    if bounds is not None:
        text += f" [{fixed(bounds[0], decimals)}, {fixed(bounds[1], decimals)}]"
    return text


def circuit_parts(hypothesis: HypothesisResult) -> str:
    """`26 nodes, 963 edges; open: a7.h1 @ S2`."""
    nodes = count(hypothesis.n_nodes, "node")
    text = f"{nodes}, {count(hypothesis.n_edges, 'edge')}"
    if hypothesis.open_nodes:
        text += f"; open: {', '.join(hypothesis.open_nodes)}"
    return text


def replicate_line(hypothesis: HypothesisResult) -> str:
    """`5 further seeds: 4 hold, 1 inconclusive (seed 3: faithful inconclusive)`."""
    replicates = hypothesis.replicates
    odd = [
        f"seed {r.seed}: " + (", ".join(changed) or r.verdict)
        for r in replicates
        if r.verdict != hypothesis.verdict
        for changed in [[f"{n} {v}" for n, v in r.claims.items() if v != _first(hypothesis, n)]]
    ]
    text = f"{count(len(replicates), 'further seed')}: {tally(r.verdict for r in replicates)}"
    return f"{text} ({'; '.join(odd)})" if odd else text


def _first(hypothesis: HypothesisResult, name: str) -> VerdictName | None:
    return next((c.verdict for c in hypothesis.claims if c.name == name), None)


def claim_tag(claim: ClaimResult) -> str:
    """What is unusual about a claim: that it is expected to fail."""
    return "expected refuted" if claim.expected_refuted else ""


def headline(result: RunResult) -> str:
    """`2 hypotheses, 5 claims: 3 hold, 2 refuted`."""
    claims = [c.verdict for h in result.hypotheses for c in h.claims]
    if not claims:
        return "no claims"
    text = f"{count(len(claims), 'claim')}: {tally(claims)}"
    warned = sum(bool(c.warnings) for h in result.hypotheses for c in h.claims)
    if warned:
        text += f"; {count(warned, 'verdict')} warned of"
    if len(result.hypotheses) > 1:
        text = f"{count(len(result.hypotheses), 'hypothesis', 'hypotheses')}, {text}"
    return text


def model_line(model: ModelRecord) -> str:
    """`gpt2 at 607a30d (gpt2), float32, raw weights`: what was explained."""
    revision = f" at {model.revision}" if model.revision else ""
    architecture = f" ({model.architecture})" if model.architecture != model.name else ""
    weights = "raw weights" if model.processing == "none" else model.processing
    return f"{model.name}{revision}{architecture}, {model.dtype}, {weights}"


def run_line(result: RunResult) -> str:
    """Where and how the run was made: device, seed, batch size, time, cost and versions."""
    models = {(h.model.device, h.model.torch, h.model.transformer_lens) for h in result.hypotheses}
    parts = [f"seed {result.seed}", f"batch {result.batch_size}", f"{result.seconds:.1f} s"]
    forwards = result.cost.get("plain_forwards")
    if forwards is not None:
        parts.append(f"cost {short(float(forwards), 3)}× a plain forward pass")
    for device, torch, lens in sorted(models):
        parts.append(f"{device}, torch {torch}, transformer_lens {lens}")
    return "; ".join(parts)


def summary(result: RunResult) -> str:
    """One line for a log: `refuted: 5 claims: 3 hold, 2 refuted`."""
    checks = sum(not c.passed for h in result.hypotheses for c in h.self_checks)
    failed = f"; {count(checks, 'self-check')} failed" if checks else ""
    return f"{result.verdict}: {headline(result)}{failed}"
