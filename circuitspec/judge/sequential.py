"""Sampling until decided: intervals that stay right however often they are looked at.

An ordinary 95% interval, looked at after every batch, misses sooner or later far more often than
5% of the time. The intervals here are *confidence sequences*: the chance that any of them, at any
n ≥ `FIRST`, misses the truth is at most 100 − `level` percent. So a run may stop at the first look
that decides, and the verdict keeps its level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf, isnan, log, nan, sqrt
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import betaln, lambertw

from circuitspec.judge.intervals import Interval
from circuitspec.judge.resampling import sample_of
from circuitspec.judge.rules import IntervalAt, Verdict

FIRST = 128
"""The first look. The asymptotic sequence is not to be trusted on fewer prompts."""

GAMMA = (0.1, 0.15)
"""Up to the first γ = |skewness|/√n, the estimated skewness of the mean, a look decides plainly; up
to the second on a hundredth of each tail; beyond it not at all. Read off the simulation in
docs/explanation/statistics.md."""


def _alpha(level: float) -> float:
    if not 0.0 < level < 100.0:
        raise ValueError(f"a confidence level is a percentage between 0 and 100, not {level!r}")
    return (100.0 - level) / 100.0


def mixture_scale(level: float, cap: int, first: int = FIRST) -> float:
    """ρ² of the normal mixture that is narrowest at n = √(first · cap), in the middle of the looks.

    With α the level's complement, the margin at n is smallest (its derivative in ρ² zero) where
    n ρ² = −W₋₁(−α²/e) − 1, W₋₁ the lower branch of Lambert's function.
    """
    alpha = _alpha(level)
    middle = sqrt(first * max(cap, first))
    return float(-np.real(lambertw(-(alpha**2) / np.e, -1)) - 1.0) / middle


def mixture_margin(n: int, level: float, rho2: float) -> float:
    """Half-width of Robbins' normal mixture after n prompts, in standard deviations.

    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), "Time-uniform central limit theory and
    asymptotic confidence sequences": √(2 (nρ² + 1)/(n²ρ²) · log(√(nρ² + 1)/α)).
    """
    scaled = n * rho2 + 1.0
    return sqrt(2.0 * scaled / (n * n * rho2) * log(sqrt(scaled) / _alpha(level)))


def asymptotic_interval(
    values: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    level: float,
    cap: int,
    first: int = FIRST,
) -> Interval:
    """The asymptotic confidence sequence of a mean, at n = len(values) of at most `cap` prompts.

    mean ± sd · `mixture_margin`, the sd from within strata. Skewed values, which make it miss, are
    judged on a hundredth of the tails or not at all (see `GAMMA`; method `wide asymptotic-cs`,
    `trusted` false); neither is it trusted before n = `first`.
    """
    _alpha(level)
    x = np.asarray(values, dtype=np.float64)
    bad = int(np.sum(~np.isfinite(x)))
    if bad or not x.size:
        note = f"{bad} of {x.size} values are not finite" if x.size else "there are no values"
        return Interval(
            estimate=nan,
            low=nan,
            high=nan,
            level=level,
            method="asymptotic-cs",
            n=x.size,
            non_finite=True,
            note=note,
        )
    sample = sample_of(x, strata)
    gamma = abs(sample.skewness) / sqrt(sample.n)
    wide = GAMMA[0] < gamma <= GAMMA[1]
    used = 100.0 - (100.0 - level) / 100.0 if wide else level
    margin = sample.sd * mixture_margin(sample.n, used, mixture_scale(used, cap, first))
    made = Interval(
        estimate=sample.mean,
        low=sample.mean - margin,
        high=sample.mean + margin,
        level=level,
        method="wide asymptotic-cs" if wide else "asymptotic-cs",
        n=sample.n,
        sd=sample.sd,
        note=f"heavy tail: skewness {sample.skewness:.1f} at n={sample.n}" if wide else "",
    )
    if sample.constant:
        note = f"all {sample.n} prompts give the same value within their template"
        return replace(made, low=made.estimate, high=made.estimate, zero_variance=True, note=note)
    if sample.n < first:
        return replace(made, trusted=False, note=f"{sample.n} prompts are fewer than {first}")
    if isnan(gamma):
        note = "most templates have fewer than 3 prompts: their skewness cannot be seen"
        return replace(made, trusted=False, note=note)
    if gamma > GAMMA[1]:
        note = f"heavy tail: skewness {sample.skewness:.1f} at n={sample.n}"
        return replace(made, trusted=False, note=note)
    return made


def beta_binomial_interval(
    successes: int, n: int, *, level: float, prior: tuple[float, float] = (1.0, 1.0)
) -> Interval:
    """The exact confidence sequence of a share after `successes` in n, valid from n = 1.

    Robbins (1970): by Ville's inequality the mixture likelihood ratio
    B(a + s, b + n − s) / (B(a, b) pˢ (1 − p)ⁿ⁻ˢ) of the true share p ever reaches 1/α with
    probability at most α. The interval holds every p that it has not reached. (a, b) is the beta
    law mixed over, uniform unless told.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return Interval(
            estimate=nan,
            low=nan,
            high=nan,
            level=level,
            method="beta-binomial-cs",
            n=0,
            non_finite=True,
            note="there are no values",
        )
    a, b = prior
    failures = n - successes
    reach = float(betaln(a + successes, b + failures) - betaln(a, b)) + log(_alpha(level))

    def below_reach(p: float) -> float:
        """Log-likelihood of p less what it must have to be still possible; ≥ 0 is possible."""
        value = -reach
        if successes:
            value += successes * log(p) if p > 0.0 else -inf
        if failures:
            value += failures * log(1.0 - p) if p < 1.0 else -inf
        return value

    share = successes / n
    tiny = 1e-300
    low = 0.0 if not successes else float(brentq(below_reach, tiny, share, xtol=1e-12))
    high = 1.0 if not failures else float(brentq(below_reach, share, 1.0 - 1e-16, xtol=1e-12))
    return Interval(
        estimate=share,
        low=low,
        high=high,
        level=level,
        method="beta-binomial-cs",
        n=n,
        sd=sqrt(share * (1.0 - share)),
    )


def looks(cap: int, first: int = FIRST, growth: float = 2.0) -> tuple[int, ...]:
    """The sample sizes to look at: `first`, then twice as many each time, and `cap` last.

    Any schedule is as valid. Each look measures all its prompts anew, which by doubling costs no
    more than twice the last look; a finer one would stop a little earlier and cost more.
    """
    if cap < 1 or first < 1 or growth <= 1.0:
        raise ValueError("the looks need a positive cap and first, and a growth above 1")
    sizes = [min(first, cap)]
    while sizes[-1] < cap:
        sizes.append(min(cap, max(sizes[-1] + 1, round(sizes[-1] * growth))))
    return tuple(sizes)


def sequence_intervals(
    values: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    cap: int,
    share: bool = False,
    first: int = FIRST,
) -> IntervalAt:
    """From a level to the interval of the values so far that a look may be judged by.

    The sequential counterpart of `intervals.mean_intervals`, for the rules over many sets. With
    `share`, values are hits (anything but zero).
    """
    x = np.asarray(values, dtype=np.float64)
    if share and bool(np.all(np.isfinite(x))):
        hits = int(np.sum(x != 0.0))
        return lambda level: beta_binomial_interval(hits, x.size, level=level)
    return lambda level: asymptotic_interval(x, strata, level=level, cap=cap, first=first)


class Ruled(Protocol):
    """Anything with a verdict."""

    @property
    def verdict(self) -> str:
        """One of `Verdict`'s."""
        ...


R = TypeVar("R", bound=Ruled)


def _inconclusive(ruled: Ruled) -> bool:
    return ruled.verdict == Verdict.INCONCLUSIVE


def judge_until_decided(
    judge: Callable[[int], Sequence[R]],
    *,
    cap: int,
    first: int = FIRST,
    growth: float = 2.0,
    undecided: Callable[[R], bool] = _inconclusive,
) -> tuple[tuple[R, ...], tuple[int, ...]]:
    """Call `judge(n)` at each look until nothing it returns is `undecided`, or something is lost.

    `judge(n)` rules on the first n prompts, always the same requirements in the same order, by
    intervals of a confidence sequence. A ruling that was reached is kept, whatever later looks
    say. It stops when all are decided, when one is refuted or invalid (no more prompts can save
    the claim), or at the cap. Returns the rulings and the looks taken.
    """
    ruled: list[R] = []
    seen: list[int] = []
    for n in looks(cap, first, growth):
        seen.append(n)
        now = list(judge(n))
        ruled = [new if undecided(old) else old for old, new in zip(ruled or now, now, strict=True)]
        decided = {r.verdict for r in ruled if not undecided(r)}
        if decided & {Verdict.REFUTED, Verdict.INVALID} or not any(map(undecided, ruled)):
            break
    return tuple(ruled), tuple(seen)
