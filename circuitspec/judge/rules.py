"""From an interval to a verdict: the rules of `require`, and how verdicts combine.

Pure functions on an interval; a rule never sees the data. All verdicts come with a reason in words
when they are not plain, and an inconclusive one with the n that would likely settle it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from math import ceil, inf, isfinite, isnan
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitspec.judge.intervals import Interval


class Verdict(StrEnum):
    """What a run can say of a requirement, a claim, a hypothesis."""

    HOLDS = "holds"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    INVALID = "invalid"


IntervalAt = Callable[[float], "Interval"]
"""From a level in percent to the interval at that level (`intervals.mean_intervals`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """A signed e against a band that is itself measured, |e| against b + t with b = p · model.x.

    `below` is the interval of e + b (to be compared with −t), `above` that of e − b (with t): both
    are contrasts of paired means, so that what e and b share cancels. For b = 0 they are the same.
    """

    below: IntervalAt
    above: IntervalAt


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One set K, or one (v, K), of a rule over many, as it was judged.

    `interval` is at the claim's level for a maximum and at v's Bonferroni level for effects;
    `adjusted` at the level that a refutation needs, `None` where it was not consulted. Of `Sides`
    it is the one nearer to (or further past) the band's end. `excess` is how far |e| lies beyond
    the band by the estimate, negative inside.
    """

    name: str
    interval: Interval
    adjusted: Interval | None
    verdict: Verdict
    excess: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A verdict and why.

    `reason` is empty where the comparison speaks for itself. `n_to_settle` is for inconclusive
    verdicts that more prompts would likely settle, `None` otherwise. `decided_by` names the set
    or node that a rule over many turned on; `rows` lists all of them in the order given.
    """

    verdict: Verdict
    reason: str = ""
    n_to_settle: int | None = None
    decided_by: str = ""
    rows: tuple[Row, ...] = ()


# One interval


def at_least(interval: Interval, threshold: float, *, strict: bool = False) -> Ruling:
    """`e >= t`: holds if low ≥ t, refuted if high < t. Strict (`e > t`): low > t, high ≤ t."""
    return _one_sided(interval, threshold, interval.low, interval.high, 1.0, strict)


def at_most(interval: Interval, threshold: float, *, strict: bool = False) -> Ruling:
    """`e <= t`: holds if high ≤ t, refuted if low > t. Strict (`e < t`): high < t, low ≥ t."""
    return _one_sided(interval, threshold, interval.high, interval.low, -1.0, strict)


def _one_sided(
    interval: Interval, t: float, worst: float, best: float, sign: float, strict: bool
) -> Ruling:
    stopped = _unjudgeable(interval, (t,))
    if stopped is not None:
        return stopped
    margin, hope = sign * (worst - t), sign * (best - t)
    if margin > 0 or (margin == 0 and not strict):
        return Ruling(verdict=Verdict.HOLDS)
    if hope < 0 or (hope == 0 and strict):
        return Ruling(verdict=Verdict.REFUTED)
    return _undecided(interval, (t,))


def within_band(interval: Interval, low: float, high: float, *, strict: bool = False) -> Ruling:
    """`within p% of x`, `== v +- d`: holds inside the band, refuted if disjoint from it.

    The band includes its ends unless `strict`.
    """
    stopped = _unjudgeable(interval, (low, high))
    if stopped is not None:
        return stopped
    if low > high or (strict and low == high):
        return Ruling(verdict=Verdict.INVALID, reason=f"the band from {low:g} to {high:g} is empty")
    if _inside(interval, low, high, strict):
        return Ruling(verdict=Verdict.HOLDS)
    if _outside(interval, low, high, not strict):
        return Ruling(verdict=Verdict.REFUTED)
    return _undecided(interval, (low, high))


def absolute_at_most(interval: Interval, threshold: float, *, strict: bool = False) -> Ruling:
    """`|e| <= t` from the interval of the signed e: holds inside [−t, t], refuted if disjoint."""
    return within_band(interval, -threshold, threshold, strict=strict)


def absolute_at_least(interval: Interval, threshold: float, *, strict: bool = False) -> Ruling:
    """`|e| >= t` from the interval of the signed e: outside (−t, t), refuted if inside.

    An interval that reaches past both ends of the band decides nothing, wide as it is.
    """
    stopped = _unjudgeable(interval, (threshold,))
    if stopped is not None:
        return stopped
    if _outside(interval, -threshold, threshold, strict):
        return Ruling(verdict=Verdict.HOLDS)
    if _inside(interval, -threshold, threshold, not strict):
        return Ruling(verdict=Verdict.REFUTED)
    return _undecided(interval, (-threshold, threshold))


def _inside(interval: Interval, low: float, high: float, open_band: bool) -> bool:
    if open_band:
        return low < interval.low and interval.high < high
    return low <= interval.low and interval.high <= high


def _outside(interval: Interval, low: float, high: float, closed_band: bool) -> bool:
    """Whether the interval misses the band, whose ends belong to it if `closed_band`."""
    if closed_band:
        return interval.low > high or interval.high < low
    return interval.low >= high or interval.high <= low


def _unjudgeable(interval: Interval, thresholds: tuple[float, ...]) -> Ruling | None:
    """The ruling on an interval that no rule may read, or `None`."""
    if interval.non_finite or isnan(interval.low) or isnan(interval.high):
        note = interval.note or "the estimate is not a number"
        return Ruling(verdict=Verdict.INVALID, reason=note)
    if any(isnan(t) or t in (inf, -inf) for t in thresholds):
        return Ruling(verdict=Verdict.INVALID, reason="the threshold is not a finite number")
    if interval.exact:
        return None
    if interval.zero_variance:
        return Ruling(
            verdict=Verdict.INCONCLUSIVE,
            reason=f"zero variance: {interval.note}; a verdict needs the whole population",
        )
    if not interval.trusted:
        return Ruling(
            verdict=Verdict.INCONCLUSIVE,
            reason=interval.note,
            n_to_settle=n_to_settle(interval, *thresholds),
        )
    return None


def _undecided(interval: Interval, thresholds: tuple[float, ...]) -> Ruling:
    reach = " and ".join(f"{t + 0.0:g}" for t in thresholds if interval.low <= t <= interval.high)
    return Ruling(
        verdict=Verdict.INCONCLUSIVE,
        reason=f"the interval reaches across {reach}",
        n_to_settle=n_to_settle(interval, *thresholds),
    )


def n_to_settle(interval: Interval, *thresholds: float, power: float = 0.8) -> int | None:
    """The number of prompts at which this would be settled with probability `power`.

    ((z_α + z_power) sd / d)², d the estimate's distance to the nearest threshold; where the
    interval reaches further than the normal one of that sd, its own reach is scaled by √n instead.
    Taken as true are the estimate, the spread, and that more prompts look like these. `None`
    where the estimate sits on the threshold, where the spread is unknown or zero, and where the
    data do not bound an end that has to clear a threshold: how fast it would come nearer is not
    known. Never less than n + 1.
    """
    distance = min((abs(interval.estimate - t) for t in thresholds), default=0.0)
    if interval.exact or interval.zero_variance or not isfinite(distance) or distance == 0.0:
        return None
    normal = NormalDist()
    z = normal.inv_cdf(0.5 + interval.level / 200.0)
    more = 1.0 + normal.inv_cdf(power) / z
    nearest = min(thresholds, key=lambda t: abs(interval.estimate - t))
    end = interval.high if nearest > interval.estimate else interval.low
    ends = (interval.low, interval.high) if len(set(thresholds)) > 1 else (end,)
    if not all(map(isfinite, ends)):
        return None
    reach = abs(end - interval.estimate) * interval.n**0.5
    spread = max((s for s in (z * interval.sd, reach) if isfinite(s)), default=0.0)
    if spread == 0.0:
        return None
    return max(ceil((more * spread / distance) ** 2), interval.n + 1)


def close_call(interval: Interval, *thresholds: float, tolerance: float = 1e-5) -> bool:
    """Whether an end of the interval is so near a threshold that rounding could turn the verdict.

    Such a verdict is computed again in float64. `tolerance` is in the metric's own units.
    """
    ends = (interval.low, interval.high)
    return any(abs(end - t) <= tolerance for end in ends for t in thresholds)


# Many intervals


def bonferroni(level: float, tests: int) -> float:
    """The level of each of `tests` intervals that are to be right together at `level` percent."""
    return 100.0 - (100.0 - level) / max(tests, 1)


def _nearer(at: IntervalAt | Sides, level: float, t: float) -> tuple[Interval, float]:
    """The interval at the band's nearer end, and how far the estimate lies beyond it."""
    if not isinstance(at, Sides):
        interval = at(level)
        return interval, abs(interval.estimate) - t
    below, above = at.below(level), at.above(level)
    under, over = -t - below.estimate, above.estimate - t
    return (below, under) if under > over else (above, over)


def _size_at_most(at: IntervalAt | Sides, level: float, t: float, strict: bool) -> Ruling:
    if not isinstance(at, Sides):
        return absolute_at_most(at(level), t, strict=strict)
    return _most_telling(
        [at_most(at.above(level), t, strict=strict), at_least(at.below(level), -t, strict=strict)],
        _PRECEDENCE,
    )


def _size_at_least(at: IntervalAt | Sides, level: float, t: float, strict: bool) -> Ruling:
    if not isinstance(at, Sides):
        return absolute_at_least(at(level), t, strict=strict)
    return _most_telling(
        [at_least(at.above(level), t, strict=strict), at_most(at.below(level), -t, strict=strict)],
        _ANY_IS_ENOUGH,
    )


def _most_telling(rulings: list[Ruling], order: tuple[Verdict, ...]) -> Ruling:
    """The ruling whose verdict comes first in `order`; of several, the one settled soonest."""
    first = next(v for v in order if any(r.verdict is v for r in rulings))
    return min(
        (r for r in rulings if r.verdict is first), key=lambda r: r.n_to_settle or float("inf")
    )


def max_over_sets(
    sets: Mapping[str, IntervalAt | Sides], threshold: float, level: float, *, strict: bool = False
) -> Ruling:
    """`incompleteness <= t` over sets K: whether |e_K| ≤ t for every K.

    Holds iff every K's interval at `level` lies in [−t, t]: an intersection-union test (Berger
    1982), whose level needs no adjustment. Refuted iff some K's interval at the Bonferroni level
    100 − (100 − level)/|K| lies outside. A refutation stands whatever the other sets are; short
    of one, a set that cannot be judged makes all invalid. For `t + p% * model.x`, give `Sides`.
    """
    if not sets:
        return Ruling(verdict=Verdict.INVALID, reason="there is no set to judge")
    rows = []
    undecided: dict[str, Ruling] = {}
    stricter = bonferroni(level, len(sets))
    for name, at in sets.items():
        plain, excess = _nearer(at, level, threshold)
        ruling = _size_at_most(at, level, threshold, strict)
        adjusted = None
        if ruling.verdict is Verdict.REFUTED:
            adjusted = _nearer(at, stricter, threshold)[0]
            again = _size_at_most(at, stricter, threshold, strict)
            if again.verdict is not Verdict.REFUTED:
                reason = f"beyond the threshold at {level:g}%, but not at {stricter:.6g}%"
                ruling = Ruling(
                    verdict=Verdict.INCONCLUSIVE, reason=reason, n_to_settle=again.n_to_settle
                )
        if ruling.verdict in (Verdict.INCONCLUSIVE, Verdict.INVALID):
            undecided[name] = ruling
        rows.append(
            Row(
                name=name,
                interval=plain,
                adjusted=adjusted,
                verdict=ruling.verdict,
                excess=excess,
            )
        )
    return _over_many(rows, undecided, worst=lambda row: row.excess)


def every_effect_at_least(
    effects: Mapping[str, Mapping[str, IntervalAt | Sides]],
    threshold: float,
    level: float,
    *,
    strict: bool = False,
) -> Ruling:
    """ "Every v has |effect| ≥ t", v's effect being taken at one of its candidate sets K.

    `effects[v][K]` is the interval of v's signed effect given K. Holds iff each v has a K whose
    interval lies outside (−t, t), at a level adjusted (Bonferroni) for v's own number of
    candidates only. Refuted iff some v's intervals lie inside for all its K, at a level adjusted
    for the number of v's. In `rows`, v's with one candidate are named v, others `v | K`. For
    `t + p% * model.x`, give `Sides`.
    """
    if not effects or not all(effects.values()):
        empty = next((v for v, ks in effects.items() if not ks), None)
        reason = f"{empty} has no candidate set" if empty else "there is no effect to judge"
        return Ruling(verdict=Verdict.INVALID, reason=reason)
    rows: list[Row] = []
    summary: list[Row] = []
    undecided: dict[str, Ruling] = {}
    stricter = bonferroni(level, len(effects))
    for v, candidates in effects.items():
        own = bonferroni(level, len(candidates))
        judged = {k: _effect(at, threshold, own, stricter, strict) for k, at in candidates.items()}
        mine = [
            Row(
                name=v if len(candidates) == 1 else f"{v} | {k}",
                interval=interval,
                adjusted=adjusted,
                verdict=ruling.verdict,
                excess=excess,
            )
            for k, (interval, adjusted, ruling, excess) in judged.items()
        ]
        rows += mine
        telling = _most_telling([r for _, _, r, _ in judged.values()], _ANY_IS_ENOUGH)
        if telling.verdict in (Verdict.INCONCLUSIVE, Verdict.INVALID):
            undecided[v] = telling
        best = max(mine, key=lambda row: -inf if isnan(row.excess) else row.excess)
        summary.append(replace(best, name=v, verdict=telling.verdict))
    ruling = _over_many(summary, undecided, worst=lambda row: -row.excess)
    return replace(ruling, rows=tuple(rows))


def _effect(
    at: IntervalAt | Sides, threshold: float, own: float, stricter: float, strict: bool
) -> tuple[Interval, Interval | None, Ruling, float]:
    """One (v, K): its interval at v's own level, the one a refutation needs, and the ruling."""
    plain, excess = _nearer(at, own, threshold)
    ruling = _size_at_least(at, own, threshold, strict)
    if ruling.verdict in (Verdict.HOLDS, Verdict.INVALID):
        return plain, None, ruling, excess
    adjusted = _nearer(at, stricter, threshold)[0]
    again = _size_at_least(at, stricter, threshold, strict)
    if again.verdict is Verdict.REFUTED:
        return plain, adjusted, Ruling(verdict=Verdict.REFUTED), excess
    if ruling.verdict is Verdict.REFUTED:
        reason = f"below the threshold at {own:.6g}%, but not at {stricter:.6g}%"
        ruling = Ruling(verdict=Verdict.INCONCLUSIVE, reason=reason, n_to_settle=again.n_to_settle)
    return plain, adjusted, ruling, excess


def _over_many(
    rows: list[Row], undecided: Mapping[str, Ruling], worst: Callable[[Row], float]
) -> Ruling:
    """One ruling from rows that must all hold, naming the row it turns on."""
    verdict = combine(row.verdict for row in rows)
    turning = [row for row in rows if row.verdict is verdict]
    decided_by = max(turning, key=lambda row: (not isnan(worst(row)), worst(row))).name
    reason, n = "", None
    if verdict is Verdict.REFUTED:
        reason = f"{decided_by} fails ({len(turning)} of {len(rows)} do)"
    elif verdict is not Verdict.HOLDS:
        count = f" ({len(turning)} of {len(rows)} are {verdict})" if len(rows) > 1 else ""
        reason = f"{decided_by}: {undecided[decided_by].reason}{count}"
    if verdict is Verdict.INCONCLUSIVE:
        wanted = [undecided[row.name].n_to_settle for row in turning]
        known = [m for m in wanted if m is not None]
        n = max(known) if len(known) == len(wanted) else None
    return Ruling(
        verdict=verdict, reason=reason, n_to_settle=n, decided_by=decided_by, rows=tuple(rows)
    )


# Many verdicts

_PRECEDENCE = (Verdict.REFUTED, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.HOLDS)
_ANY_IS_ENOUGH = (Verdict.HOLDS, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.REFUTED)


def combine(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict on a conjunction: refuted > invalid > inconclusive > holds.

    One requirement that is false makes the claim false, whatever could not be judged beside it;
    short of that, one that could not be judged says so before one that needs more prompts. Of
    nothing, invalid: a claim that requires nothing has not been tested.
    """
    found = set(verdicts)
    return next((v for v in _PRECEDENCE if v in found), Verdict.INVALID)


def expected_refuted(verdict: Verdict) -> Verdict:
    """`expect refuted NAME`: holds when the claim is refuted, and the other way round."""
    swapped = {Verdict.HOLDS: Verdict.REFUTED, Verdict.REFUTED: Verdict.HOLDS}
    return swapped.get(verdict, verdict)


def exit_code(verdicts: Iterable[Verdict]) -> int:
    """Of `verify` and `compare`: 0 all hold; 1 something is refuted; 3 neither."""
    verdict = combine(verdicts)
    return {Verdict.HOLDS: 0, Verdict.REFUTED: 1}.get(verdict, 3)
