"""Requirements over many sets: `incompleteness` over every K, `effect` over every v.

Both are absolute values of signed quantities, compared with a threshold that may itself be measured
(`20% * model.logit_diff`): e and the threshold are then judged as contrasts of paired means, as
everywhere (`contrast`).

    incompleteness <= t    every K's                    rules.max_over_sets
    incompleteness >= t    some K's                     the negation of `< t`
    effect >= t            every v's, for a K of v's    rules.every_effect_at_least
    effect <= t            every v's, for all of its K  rules.max_over_sets
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from circuitspec.claims.completeness import incompleteness
from circuitspec.claims.effects import is_named_effect
from circuitspec.claims.measured import Measured, Series
from circuitspec.claims.minimality import effect
from circuitspec.engine.runs import EngineError, Floats
from circuitspec.hypothesis.records import Requirement
from circuitspec.judge import rules, validity
from circuitspec.judge.contrast import OVER_MANY, Size, Statement, statement
from circuitspec.judge.facts import Facts, IntervalAt, interval_of
from circuitspec.judge.intervals import Interval
from circuitspec.judge.records import RequirementResult
from circuitspec.judge.rules import Row, Ruling, Sides, Verdict
from circuitspec.language.syntax import Call, Expr, Ref

_TURNED = str.maketrans("<>", "><")
INERT = "inert: ablating it changes no activation, so nothing was tested"


@dataclass(frozen=True, slots=True, kw_only=True)
class _One:
    """One set, or one (v, K): its signed quantity by metric, on the prompts `rows`."""

    name: str
    given: str
    signed: Mapping[str, Floats]
    rows: tuple[int, ...]
    inert: bool


def is_over_many(requirement: Requirement, measured: Measured) -> bool:
    """Whether a requirement is about every set or every element of a claim over many.

    `effect(R)`, of roles or nodes named, is one number, whatever the claim is.
    """
    name = _name(requirement.left)
    if isinstance(requirement.left, Call) and is_named_effect(requirement.left, measured.arms):
        return False
    return (name == "incompleteness" and measured.kind == "completeness") or (
        name == "effect" and measured.kind == "minimality"
    )


def _name(expr: Expr) -> str:
    match expr:
        case Ref(name=name) | Call(function=name):
            return str(name)
        case _:
            return ""


def judge_many(
    requirement: Requirement, measured: Measured, facts: Facts
) -> tuple[RequirementResult, bool]:
    """The requirement's result, and whether rounding could turn it.

    `arm` names the set or element that it turns on, whose contrast is the result's; `contrasts` has
    a row for every one. Raises EngineError, with a sentence for the author, where the comparison
    means nothing here.
    """
    if requirement.each:
        raise EngineError("`each` says nothing here: the claim is on every one of them as it is")
    upward = requirement.operator in (">=", ">")
    ones = _ones(measured, facts, upward)
    stated = [_stated(requirement, one, measured, facts) for one in ones]
    sides = [
        _sides(s, series, one, facts, upward) for one, (s, series) in zip(ones, stated, strict=True)
    ]
    threshold = _threshold(stated[0][0], upward)
    ruling = _rule(requirement, measured, ones, sides, threshold)
    bound = stated[0][0].right.mean(stated[0][1])
    reason = validity.competence(stated[0][0], facts)
    if reason is None and bound < 0.0:
        reason = f"the threshold {bound:.4g} is negative: no absolute value is below it"
    if reason is not None:
        ruling = replace(ruling, verdict=Verdict.INVALID, reason=reason, n_to_settle=None)
    return _result(requirement, stated, ones, ruling, threshold)


def _ones(measured: Measured, facts: Facts, upward: bool) -> list[_One]:
    every = tuple(range(facts.n))
    sets = [
        _One(
            name=row.name,
            given="",
            signed={metric: incompleteness(row, metric) for metric in facts.metrics},
            rows=row.rows,
            inert=row.inert,
        )
        for row in measured.sets
    ]
    effects = [
        _One(
            name=row.name,
            given=row.given,
            signed={metric: effect(row, metric) for metric in facts.metrics},
            rows=every,
            inert=row.inert and upward,  # that nothing changes is what `effect <= t` claims
        )
        for row in measured.effects
    ]
    return [*sets, *effects]


def _stated(
    requirement: Requirement, one: _One, measured: Measured, facts: Facts
) -> tuple[Statement, dict[str, Series]]:
    """What the requirement states of one set, and the series that it states it of."""
    chosen = list(one.rows)
    series = {
        name: replace(values, values=values.values[chosen])
        for arm in measured.arms
        for name, values in arm.series.items()
    }
    for metric, signed in one.signed.items():
        own = Series(values=signed, drawn=measured.drawn)
        series.update({f"{name}({metric})": own for name in OVER_MANY})
    stated = statement(requirement, series, facts.metrics)
    if not isinstance(stated.left, Size):
        raise EngineError("`incompleteness` and `effect` stand alone on the left of a comparison")
    return stated, series


def _sides(
    stated: Statement, series: Mapping[str, Series], one: _One, facts: Facts, upward: bool
) -> IntervalAt | Sides:
    """The intervals of one set's contrasts: one where the threshold is a number, else two."""
    mine = facts
    if len(one.rows) != facts.n:
        mine = replace(facts, strata=tuple(facts.strata[row] for row in one.rows))
    above, below = (
        _flagged(interval_of(part.contrast, series, mine), one.inert)
        for part in (stated.parts if upward else reversed(stated.parts))
    )
    return above if stated.right.is_constant else Sides(below=below, above=above)


def _flagged(at: IntervalAt, inert: bool) -> IntervalAt:
    """The interval, or one that no rule may read: nothing was tested."""
    return (lambda level: replace(at(level), non_finite=True, note=INERT)) if inert else at


def _threshold(stated: Statement, upward: bool) -> float:
    """The number that |e| is compared with, beside what is measured."""
    return (stated.parts[0] if upward else stated.parts[1]).threshold


def _rule(
    requirement: Requirement,
    measured: Measured,
    ones: list[_One],
    sides: list[IntervalAt | Sides],
    threshold: float,
) -> Ruling:
    level = requirement.level
    strict = requirement.operator in (">", "<")
    upward = requirement.operator in (">=", ">")
    if measured.kind == "completeness":
        sets = {one.name: at for one, at in zip(ones, sides, strict=True)}
        if not upward:
            return rules.max_over_sets(sets, threshold, level, strict=strict)
        # |e_K| ≥ t for some K is what |e_K| < t for every K denies
        return _denied(rules.max_over_sets(sets, threshold, level, strict=not strict))
    effects: dict[str, dict[str, IntervalAt | Sides]] = {}
    for one, at in zip(ones, sides, strict=True):
        effects.setdefault(one.name, {})[one.given] = at
    if upward:
        return rules.every_effect_at_least(effects, threshold, level, strict=strict)
    flat = {_row_name(v, k, ks): at for v, ks in effects.items() for k, at in ks.items()}
    return rules.max_over_sets(flat, threshold, level, strict=strict)


def _denied(ruling: Ruling) -> Ruling:
    """The ruling on the opposite statement. Its rows stay those of what was judged."""
    verdict = rules.expected_refuted(ruling.verdict)
    reason = ruling.reason
    if verdict is Verdict.HOLDS:
        reason = ""
    elif verdict is Verdict.REFUTED:
        reason = f"no set reaches the threshold; {ruling.decided_by} comes nearest"
    return replace(ruling, verdict=verdict, reason=reason)


def _row_name(v: str, k: str, candidates: Mapping[str, Any]) -> str:
    """As `rules` names a row: v's with one candidate by v alone."""
    return v if len(candidates) == 1 else f"{v} | {k}"


def _result(
    requirement: Requirement,
    stated: list[tuple[Statement, dict[str, Series]]],
    ones: list[_One],
    ruling: Ruling,
    threshold: float,
) -> tuple[RequirementResult, bool]:
    constant = stated[0][0].right.is_constant
    tried: dict[str, int] = {}
    for one in ones:
        tried[one.name] = tried.get(one.name, 0) + 1
    names = [one.name if tried[one.name] == 1 else f"{one.name} | {one.given}" for one in ones]
    row = _turning(ruling, ruling.decided_by)
    at = names.index(row.name)
    limits: float | tuple[float, float] = (
        (0.0 - threshold, threshold) if constant else _end(row, threshold)
    )
    close = any(rules.close_call(r.interval, threshold, -threshold) for r in ruling.rows)
    result = RequirementResult(
        text=requirement.text,
        verdict=ruling.verdict.value,
        reason=ruling.reason or None,
        estimate=row.interval.estimate,
        interval=_ends(row.interval),
        level=requirement.level,
        threshold=limits,
        n=row.interval.n,
        exact=row.interval.exact,
        method=row.interval.method,
        shown=_shown(*stated[at]),
        n_to_settle=ruling.n_to_settle,
        arm=row.name,
        contrasts=tuple(_contrast(r, threshold, requirement) for r in ruling.rows),
    )
    return result, close


def _turning(ruling: Ruling, name: str) -> Row:
    """The row that a ruling turns on; of an element's several K the one with the largest effect."""
    mine = [r for r in ruling.rows if r.name == name or r.name.startswith(f"{name} | ")]
    return max(mine, key=lambda r: (not np.isnan(r.excess), r.excess))


def _end(row: Row, threshold: float) -> float:
    """The end of the band that a row's contrast was compared with."""
    return 0.0 - threshold if _at_lower(row, threshold) else threshold


def _at_lower(row: Row, threshold: float) -> bool:
    above = abs(row.interval.estimate - threshold - row.excess)
    below = abs(-threshold - row.interval.estimate - row.excess)
    return above > below


def _ends(interval: Interval) -> tuple[float, float] | None:
    return None if interval.exact else (interval.low, interval.high)


def _contrast(row: Row, threshold: float, requirement: Requirement) -> dict[str, Any]:
    adjusted = None if row.adjusted is None else _ends(row.adjusted)
    operator: str = requirement.operator
    if _at_lower(row, threshold):
        operator = operator.translate(_TURNED)
    return {
        "set": row.name,
        "verdict": row.verdict.value,
        "relation": operator,
        "threshold": _end(row, threshold),
        "estimate": row.interval.estimate,
        "interval": None if row.interval.exact else [row.interval.low, row.interval.high],
        "level": row.interval.level,
        "adjusted": None if adjusted is None else list(adjusted),
        "method": row.interval.method,
    }


def _shown(stated: Statement, series: Mapping[str, Series]) -> str:
    """`|-0.92| against 3.302 (27.9% of it)`."""
    assert isinstance(stated.left, Size)
    value = stated.left.of.mean(series)
    text = f"|{value:.4g}|"
    if stated.right.is_constant:
        return text
    scale = 1.0
    if len(stated.right.terms) == 1 and stated.right.constant == 0.0:
        ((_, scale),) = stated.right.terms.items()
    whole = stated.right.mean(series) / scale
    share = f" ({abs(value) / whole:.1%} of it)" if whole else ""
    return f"{text} against {whole:.4g}{share}"
