"""When a requirement cannot be judged, whatever its numbers say: blind, inert, incompetent.

A false "holds" is the worst thing this program can do; each objection here is one way to get one.
"""

from __future__ import annotations

from circuitspec.claims.measured import Arm, Measured
from circuitspec.hypothesis.records import Claim, Requirement
from circuitspec.judge.contrast import Statement
from circuitspec.judge.facts import Facts, interval_of
from circuitspec.judge.rules import Ruling, Verdict

BLIND_AGREEMENT = 0.5
BLIND_ERROR = 0.5

WITH_MORE_PROMPTS = ("competence", "degenerate")
"""How the objections begin that a narrower interval may take away."""


def objection(
    claim: Claim,
    requirement: Requirement,
    stated: Statement,
    measured: Measured,
    arm: Arm,
    facts: Facts,
    ruling: Ruling,
) -> str | None:
    """Why a ruling must not stand, in one sentence; None where nothing speaks against it."""
    if ruling.verdict is Verdict.INVALID:
        return None
    return (
        inert(requirement, stated, measured, arm)
        or competence(stated, facts)
        or degenerate(requirement, stated, arm, facts)
        or blind(claim, stated, measured, arm, facts, ruling)
    )


def inert(requirement: Requirement, stated: Statement, measured: Measured, arm: Arm) -> str | None:
    """No cut activation differs from what it replaced, so nothing was tested.

    Allowed only where the claim is that there is no effect: a two-sided comparison with the model.
    """
    if arm.touched is None or arm.touched.changed > 0:
        return None
    if measured.kind == "scrubbing":
        return (
            "vacuous: no other prompt agrees with any of the prompts read in what the roles carry, "
            "so nothing was tested"
        )
    two_sided = requirement.operator in ("within", "==")
    if measured.kind != "faithfulness" and two_sided and stated.relative and arm.touched.written:
        return None
    if arm.touched.written == 0:
        return "inert: the intervention cuts nothing"
    return (
        f"inert: none of the {arm.touched.written} activations cut differs from what replaced it, "
        "so nothing was tested"
    )


def competence(stated: Statement, facts: Facts) -> str | None:
    """Where the model's own metric may be 0, nothing can be measured against it."""
    if not stated.relative:
        return None
    names = {n for part in stated.parts for n in part.contrast.terms}
    for metric in facts.metrics:
        if f"model.{metric}" in names and not facts.competent[metric]:
            return f"competence: the interval of model.{metric} contains 0"
    return None


def degenerate(requirement: Requirement, stated: Statement, arm: Arm, facts: Facts) -> str | None:
    """A ratio whose lower part may be 0."""
    for under in stated.denominators:
        interval = interval_of(under, arm.series, facts)(requirement.level)
        if interval.non_finite:
            return "degenerate: the denominator is not a number"
        if interval.low <= 0.0 <= interval.high:
            return (
                f"degenerate: the denominator {interval.estimate:.3g} may be 0 "
                f"[{interval.low:.3g}, {interval.high:.3g}]"
            )
    return None


def blind(
    claim: Claim, stated: Statement, measured: Measured, arm: Arm, facts: Facts, ruling: Ruling
) -> str | None:
    """A mean of differences cannot see what moves both answers together.

    A faithfulness requirement that passes while agreement is below one half, or the mean error
    exceeds half of |m(M)|, does not hold: it is blind, unless the author accepts that.
    """
    if measured.kind != "faithfulness" or ruling.verdict is not Verdict.HOLDS or claim.accept_blind:
        return None
    names = {n for part in stated.parts for n in part.contrast.terms}
    for metric in facts.metrics:
        if not names & {metric, f"circuit.{metric}"}:
            continue
        agreement = arm.series[f"agreement({metric})"].mean
        error = arm.series[f"error({metric})"].mean
        whole = abs(arm.series[f"model.{metric}"].mean)
        if agreement < BLIND_AGREEMENT:
            return (
                f"blind: the mean {metric} passes, but the circuit's top token is the model's in "
                f"only {agreement:.1%} of prompts"
            )
        if error > BLIND_ERROR * whole:
            return (
                f"blind: the mean {metric} passes, but the circuit misses it by {error:.3g} a "
                f"prompt, more than half of the model's {whole:.3g}"
            )
    return None
