"""From what a claim measured to its verdict, requirement by requirement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from circuitspec.claims.calls import call_key
from circuitspec.claims.measured import Arm, Measured, Series
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.records import Claim, Requirement
from circuitspec.judge import hypothesis_tests, many, rules, sequential, validity
from circuitspec.judge.contrast import AtLeast, Linear, Size, Statement, statement
from circuitspec.judge.facts import Facts, interval_of
from circuitspec.judge.intervals import Interval
from circuitspec.judge.records import ClaimResult, RequirementResult
from circuitspec.judge.rules import Ruling, Verdict
from circuitspec.language.syntax import Call, Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A claim's result, and whether rounding could turn it (then float64 decides)."""

    result: ClaimResult
    close: bool


def judge(claim: Claim, measured: Measured, facts: Facts) -> Judged:
    """The claim's verdict from its measures.

    Beside it, for a faithfulness claim, the tests of Shi et al. (2024): they decide nothing.
    """
    ruled = requirements(claim, measured, facts)
    if measured.kind == "faithfulness":
        numbers = {**measured.numbers, "tests": _tests(measured, facts)}
        measured = replace(measured, numbers=numbers)
    return concluded(claim, _with_warnings(claim, measured, facts, ruled), ruled)


ROUNDING = 1e-5
"""Scores nearer than this share of |m(M)| are tied."""


def _tests(measured: Measured, facts: Facts) -> dict[str, Any]:
    """Equivalence, its reverse, and independence of the complement, by metric."""
    (arm,) = measured.arms
    found: dict[str, Any] = {}
    for metric in facts.metrics:
        model = arm.series[f"model.{metric}"]
        circuit, complement = (
            arm.series[f"{o}.{metric}"].values for o in ("circuit", "complement")
        )
        tie = ROUNDING * abs(model.mean)
        results = (
            hypothesis_tests.equivalence_test(model.values, circuit, resolution=tie),
            hypothesis_tests.equivalence_shown(model.values, circuit, resolution=tie),
            hypothesis_tests.independence_test(
                model.values, complement, seed=facts.seed, strata=facts.strata
            ),
        )
        found[metric] = {
            r.name: {"null": r.null, "statistic": r.statistic, "p": r.p_value, "note": r.note}
            for r in results
        }
    return found


def _with_warnings(
    claim: Claim, measured: Measured, facts: Facts, ruled: Sequence[Ruled]
) -> Measured:
    """`measured`, warning of the requirements that are met as well with nothing claimed in it."""
    empty = measured.empty
    if empty is None:
        return measured

    def met_by(requirement: Requirement, arm: Arm) -> bool:
        judged, _ = _judge_one(claim, requirement, measured, arm, facts, {}, None)
        return judged.verdict == "holds"

    held = {each.result.text for each in ruled if each.verdict == "holds"}
    met = [
        requirement.text
        for requirement in claim.requirements
        if requirement.text in held
        and not requirement.each
        and met_by(requirement, empty)
        and (measured.whole is None or met_by(requirement, measured.whole))
    ]
    who, what = "the empty circuit meets", "this circuit"
    if measured.kind == "denoising":
        who, what = "the run with nothing restored meets", "what is restored"
    told = tuple(f"{who} `{text}` too: that it holds says nothing of {what}" for text in met)
    return replace(measured, warnings=(*told, *measured.warnings))


def judge_until_decided(
    claim: Claim,
    look: Callable[[int], tuple[Measured, Facts]],
    whole: Callable[[int], Measured],
    cap: int,
) -> Judged:
    """The claim's verdict from as many prompts as it takes, at most `cap`.

    `look(n)` measures the claim on the first n prompts; its facts have the cap. A requirement that
    a look decided keeps that verdict with its numbers. `whole(n)` is what the result prints of the
    last look: it may measure more (controls) than deciding needs.
    What a wide interval alone forbids (a model whose metric may yet be 0) is undecided.
    Raises EngineError for a claim that has other requirements at every look.
    """
    if claim.completeness is not None and claim.completeness.greedy is not None:
        raise EngineError(
            "a greedy search finds other sets on more prompts: give it a claim of its own, "
            "without `until decided`"
        )

    last: list[Facts] = []

    def ruled(n: int) -> list[Ruled]:
        measured, facts = look(n)
        last[:] = [facts]
        return requirements(claim, measured, facts)

    decided, looks = sequential.judge_until_decided(ruled, cap=cap, undecided=_undecided)
    measured = whole(looks[-1])
    measured = replace(measured, numbers={**measured.numbers, "looks": list(looks)})
    return concluded(claim, _with_warnings(claim, measured, last[0], decided), decided)


def _undecided(ruled: Ruled) -> bool:
    result = ruled.result
    return result.verdict == "inconclusive" or (
        result.verdict == "invalid" and (result.reason or "").startswith(validity.WITH_MORE_PROMPTS)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruled:
    """A requirement's result, and whether rounding could turn it."""

    result: RequirementResult
    close: bool

    @property
    def verdict(self) -> str:
        """The result's."""
        return self.result.verdict


def requirements(claim: Claim, measured: Measured, facts: Facts) -> list[Ruled]:
    """Every requirement judged, in a fixed order."""
    found: list[tuple[RequirementResult, bool]] = []
    for requirement in claim.requirements:
        if many.is_over_many(requirement, measured):
            found.append(_judge_many(requirement, measured, facts))
            continue
        for arm in measured.arms:
            found += _judge_arm(claim, requirement, measured, arm, facts)
    return [Ruled(result=result, close=close) for result, close in found]


def concluded(claim: Claim, measured: Measured, ruled: Sequence[Ruled]) -> Judged:
    """The claim's result from its requirements'."""
    results = [each.result for each in ruled]
    verdict = rules.combine(Verdict(r.verdict) for r in results)
    reason = next((r.reason for r in results if r.verdict == verdict and r.reason), None)
    if claim.refuted:
        verdict = rules.expected_refuted(verdict)
    return Judged(
        result=ClaimResult(
            name=claim.name,
            verdict=verdict.value,
            reason=reason if verdict is not Verdict.HOLDS else None,
            measures=measured.numbers,
            draws=measured.draws,
            requirements=tuple(results),
            expected_refuted=claim.refuted,
            doc=claim.doc,
            kind=measured.kind,
            notes=measured.notes,
            warnings=measured.warnings,
        ),
        close=any(each.close for each in ruled),
    )


def invalid(claim: Claim, reason: str) -> ClaimResult:
    """A claim that could not be measured at all, with the reason."""
    return ClaimResult(
        name=claim.name,
        verdict="invalid",
        reason=reason,
        measures={},
        draws={},
        requirements=tuple(
            RequirementResult(
                text=r.text,
                verdict="invalid",
                reason=reason,
                estimate=None,
                interval=None,
                level=r.level,
                threshold=None,
                n=0,
            )
            for r in claim.requirements
        ),
        expected_refuted=claim.refuted,
        doc=claim.doc,
    )


def withdrawn(result: ClaimResult, reason: str) -> ClaimResult:
    """A result that must not stand, whatever it says: the run that made it failed a self-check."""
    return replace(
        result,
        verdict="invalid",
        reason=reason,
        requirements=tuple(
            replace(r, verdict="invalid", reason=reason) for r in result.requirements
        ),
    )


def _judge_many(
    requirement: Requirement, measured: Measured, facts: Facts
) -> tuple[RequirementResult, bool]:
    try:
        return many.judge_many(requirement, measured, facts)
    except EngineError as error:
        return _refuse(requirement, facts, str(error))


def _judge_arm(
    claim: Claim, requirement: Requirement, measured: Measured, arm: Arm, facts: Facts
) -> list[tuple[RequirementResult, bool]]:
    """One requirement on one arm; with `each`, on every part of the series it names."""
    several = len(measured.arms) > 1
    if not requirement.each:
        name = arm.name if several else None
        return [_judge_one(claim, requirement, measured, arm, facts, {}, name)]
    key = _each_of(requirement, arm)
    if key is None:
        return [_refuse(requirement, facts, "`each` needs a measure that several heads share")]
    return [
        _judge_one(
            claim,
            requirement,
            measured,
            arm,
            facts,
            {key: part},
            f"{arm.name}: {part}" if several else part,
        )
        for part in arm.parts[key]
    ]


def _each_of(requirement: Requirement, arm: Arm) -> str | None:
    def walk(expr: Expr) -> str | None:
        if isinstance(expr, Call) and call_key(expr) in arm.parts:
            return call_key(expr)
        for name in ("left", "right", "operand"):
            inner = getattr(expr, name, None)
            if inner is not None and (found := walk(inner)) is not None:
                return found
        return None

    return walk(requirement.left) or walk(requirement.right)


def _judge_one(
    claim: Claim,
    requirement: Requirement,
    measured: Measured,
    arm: Arm,
    facts: Facts,
    substitute: Mapping[str, str],
    name: str | None,
) -> tuple[RequirementResult, bool]:
    try:
        stated = statement(requirement, arm.series, facts.metrics, substitute)
    except EngineError as error:
        return _refuse(requirement, facts, str(error))
    level = requirement.level
    judged = [_one_sided(part, arm.series, facts, level) for part in stated.parts]
    ruling = _join(stated, [r for _, r in judged])
    reason = validity.objection(claim, requirement, stated, measured, arm, facts, ruling)
    if reason is not None:
        ruling = Ruling(verdict=Verdict.INVALID, reason=reason)
    nearest = _nearest(stated, judged)
    part, (interval, _) = stated.parts[nearest], judged[nearest]
    close = any(
        rules.close_call(i, p.threshold) for p, (i, _) in zip(stated.parts, judged, strict=True)
    )
    result = RequirementResult(
        text=requirement.text,
        verdict=ruling.verdict.value,
        reason=ruling.reason or None,
        estimate=interval.estimate,
        interval=None if interval.exact else (interval.low, interval.high),
        level=level,
        threshold=_threshold(stated, part),
        n=interval.n,
        exact=interval.exact,
        method=interval.method,
        shown=_shown(stated, arm.series),
        n_to_settle=ruling.n_to_settle,
        arm=name,
        contrasts=tuple(_contrast(p, i) for p, (i, _) in zip(stated.parts, judged, strict=True)),
    )
    return result, close


def _one_sided(
    part: AtLeast, series: Mapping[str, Series], facts: Facts, level: float
) -> tuple[Interval, Ruling]:
    interval = interval_of(part.contrast, series, facts)(level)
    rule = rules.at_least if part.sign > 0 else rules.at_most
    return interval, rule(interval, part.threshold, strict=part.strict)


def _join(stated: Statement, rulings: list[Ruling]) -> Ruling:
    """`and`: all must hold, one refuted refutes. `or`: one that holds is enough."""
    if len(rulings) == 1:
        return rulings[0]
    verdicts = [r.verdict for r in rulings]
    if Verdict.INVALID in verdicts:
        return rulings[verdicts.index(Verdict.INVALID)]
    decisive, other = (
        (Verdict.REFUTED, Verdict.HOLDS)
        if stated.join == "and"
        else (Verdict.HOLDS, Verdict.REFUTED)
    )
    if decisive in verdicts:
        return rulings[verdicts.index(decisive)]
    if all(v is other for v in verdicts):
        return rulings[0]
    open_ = [r for r in rulings if r.verdict is Verdict.INCONCLUSIVE]
    wanted = [r.n_to_settle for r in open_]
    known = [n for n in wanted if n is not None]
    return Ruling(
        verdict=Verdict.INCONCLUSIVE,
        reason=open_[0].reason,
        n_to_settle=max(known) if len(known) == len(wanted) else None,
    )


def _nearest(stated: Statement, judged: list[tuple[Interval, Ruling]]) -> int:
    """The one-sided statement with the least room (or the most missing) on its worst side."""

    def room(index: int) -> float:
        part, (interval, _) = stated.parts[index], judged[index]
        return part.sign * (interval.estimate - part.threshold)

    pick = min if stated.join == "and" else max
    return pick(range(len(judged)), key=room)


def _threshold(stated: Statement, part: AtLeast) -> float | tuple[float, float]:
    """One threshold, or both ends of a band around a constant."""
    if len(stated.parts) == 2:
        first, second = stated.parts
        if first.contrast.terms == second.contrast.terms and stated.join == "and":
            return (first.threshold, second.threshold)
    return part.threshold


def _contrast(part: AtLeast, interval: Interval) -> dict[str, Any]:
    return {
        "contrast": dict(part.contrast.terms),
        "relation": (">" if part.sign > 0 else "<") + ("" if part.strict else "="),
        "threshold": part.threshold,
        "estimate": interval.estimate,
        "interval": None if interval.exact else [interval.low, interval.high],
        "method": interval.method,
    }


def _shown(stated: Statement, series: Mapping[str, Series]) -> str | None:
    """The comparison as the author wrote it, with the measured numbers."""
    left, right = stated.left, stated.right
    if isinstance(left, Linear):
        value = left.mean(series)
        if right.is_constant:
            return None
        bound = right.mean(series)
        scale = 1.0
        if len(right.terms) == 1 and right.constant == 0.0:
            ((_, scale),) = right.terms.items()
        whole = bound / scale
        share = f" ({value / whole:.1%} of it)" if whole else ""
        return f"{value:.4g} against {whole:.4g}{share}"
    if isinstance(left, Size):
        return f"|{left.of.mean(series):.4g}|"
    under = left.under.mean(series)
    return (
        f"{left.over.mean(series):.4g} / {under:.4g} = {left.over.mean(series) / under:.4g}"
        if under
        else None
    )


def _refuse(requirement: Requirement, facts: Facts, reason: str) -> tuple[RequirementResult, bool]:
    result = RequirementResult(
        text=requirement.text,
        verdict="invalid",
        reason=reason,
        estimate=None,
        interval=None,
        level=requirement.level,
        threshold=None,
        n=facts.n,
    )
    return result, False
