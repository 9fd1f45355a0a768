"""Paired differences between rivals: whose shortfall is larger, by how much, and who is nearer.

A miss is signed and compared by its size. With a and b the misses of the two rivals, u = b − a and
v = b + a are contrasts of paired means, and

    |b| − |a| = sign(uv) · min(|u|, |v|)

grows or falls monotonically along either axis, so its range over the two intervals is found at
their corners. |a| = |b| means that u or v is 0, and the interval of that one misses 0 no oftener
than its level says: looking at both needs no adjustment (intersection–union, Berger 1982).

Of two shares only prompts on which just one of the two agrees tell: with p and q the shares of
these, the difference is p − q, from the exact interval of either at half the error.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import copysign

import numpy as np

from circuitspec.claims.measured import Series
from circuitspec.comparing.records import Called, Measure
from circuitspec.engine.runs import Floats
from circuitspec.judge.contrast import Linear
from circuitspec.judge.facts import Facts, IntervalAt, interval_of
from circuitspec.judge.intervals import Interval


def linearised(over: Floats, under: Floats) -> Floats:
    """Values [n] whose mean is mean(over) / mean(under), and whose spread is the ratio's.

    The ratio's influence on each prompt (delta method): r + (over_i − r · under_i) / mean(under).
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # 0 / 0 is judged as what it is
        ratio = over.mean() / under.mean()
        values: Floats = ratio + (over - ratio * under) / under.mean()
    return values


def own(series: Series, facts: Facts) -> IntervalAt:
    """Intervals of one rival's own mean."""
    return interval_of(Linear(terms={"own": 1.0}), {"own": series}, facts)


def change(after: Series, before: Series, facts: Facts) -> IntervalAt:
    """Intervals of the mean of `after` less that of `before`, paired by prompt."""
    if after.share and before.share:
        return _of_shares(after, before, facts)
    return _combined(after, before, -1.0, facts)


def _of_shares(after: Series, before: Series, facts: Facts) -> IntervalAt:
    gained, lost = (
        own(replace(one, values=one.values * (1.0 - other.values)), facts)
        for one, other in ((after, before), (before, after))
    )

    def at(level: float) -> Interval:
        half = 50.0 + level / 2.0
        more, less = gained(half), lost(half)
        return replace(
            more,
            estimate=more.estimate - less.estimate,
            low=more.low - less.high,
            high=more.high - less.low,
            level=level,
            zero_variance=more.zero_variance and less.zero_variance,
        )

    return at


def nearer(first: Series, second: Series, measure: Measure, facts: Facts) -> IntervalAt:
    """Intervals of how much nearer the first rival is to its model than the second."""
    if measure == "agreement":
        return change(first, second, facts)
    if measure == "error":
        return change(second, first, facts)
    apart, together = change(second, first, facts), _combined(second, first, 1.0, facts)
    return lambda level: _difference_of_sizes(apart(level), together(level))


def _combined(left: Series, right: Series, sign: float, facts: Facts) -> IntervalAt:
    contrast = Linear(terms={"left": 1.0, "right": sign})
    return interval_of(contrast, {"left": left, "right": right}, facts)


def _difference_of_sizes(apart: Interval, together: Interval) -> Interval:
    """|b| − |a| from the intervals of b − a and b + a."""
    corners = [
        _signed_min(u, v)
        for u, v in product((apart.low, apart.high), (together.low, together.high))
    ]
    wider = max(apart, together, key=lambda interval: interval.sd)
    return replace(
        wider,
        estimate=_signed_min(apart.estimate, together.estimate),
        low=min(corners),
        high=max(corners),
        trusted=apart.trusted and together.trusted,
        non_finite=apart.non_finite or together.non_finite,
        zero_variance=apart.zero_variance or together.zero_variance,
        exact=apart.exact and together.exact,
    )


def _signed_min(u: float, v: float) -> float:
    return min(abs(u), abs(v)) * copysign(1.0, u) * copysign(1.0, v)


def called(interval: Interval, margin: float) -> Called:
    """Who is nearer by more than the margin; nobody where the interval cannot say.

    Prompts that all give one value show nothing of the prompts that were not drawn.
    """
    flat = interval.zero_variance and not interval.exact
    if interval.non_finite or not interval.trusted or flat:
        return "undecided"
    if interval.low > margin:
        return "first"
    if interval.high < -margin:
        return "second"
    return "same" if -margin <= interval.low and interval.high <= margin else "undecided"


def size_bounds(interval: Interval) -> tuple[float, float]:
    """What the size is at least and at most, where the signed value lies in the interval."""
    if interval.non_finite or not interval.trusted:
        return 0.0, float("inf")
    ends = abs(interval.low), abs(interval.high)
    return (0.0 if interval.low <= 0.0 <= interval.high else min(ends)), max(ends)
