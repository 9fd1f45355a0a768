"""Confidence intervals of a mean over prompts and of a share: BCa, bootstrap-t, Clopper-Pearson.

`level` is two-sided and in percent: 95 leaves 2.5% on either side. Every interval says how it was
made and what is wrong with it: there is no silent number. Which interval a verdict is read from
is decided by `mean_interval`; `docs/explanation/statistics.md` has the simulation behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import fsum, inf, isnan, nan, sqrt
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv, ndtr, ndtri

from circuitspec.judge.resampling import Replicates, Sample, quantile, resample, sample_of

RESAMPLES = 9999
_MOST_RESAMPLES = 99_999


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate and what the data leave possible at `level` percent, both ends included.

    `low` and `high` may be infinite: that side is not bounded by the data. `sd` is √n times the
    standard error. `method` is one of `bca`, `bootstrap-t`, `hull` (the wider end of either on
    each side), `wide hull` (the same with less in the tails), `clopper-pearson`,
    `asymptotic-cs`, `beta-binomial-cs`, `enumerated`.

    `zero_variance`: no prompt differs from another of its template; the interval is a point, and
    a verdict only when `exact`. `non_finite`: a value is NaN or infinite, or there is none; all
    numbers are NaN. `exact`: the whole population was enumerated, there is nothing to infer.
    `trusted`: false where the simulation says that this interval misses its level; `note` says why.
    """

    estimate: float
    low: float
    high: float
    level: float
    method: str
    n: int
    sd: float = nan
    zero_variance: bool = False
    non_finite: bool = False
    exact: bool = False
    trusted: bool = True
    note: str = ""

    @property
    def width(self) -> float:
        """From the lower end to the upper one."""
        return self.high - self.low


def bca(
    values: ArrayLike,
    strata: ArrayLike | None = None,
    level: float = 95.0,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """The bias-corrected and accelerated bootstrap interval of the mean of `values[n]`.

    Efron (1987); for strata, Davison & Hinkley (1997), §5.3. With z_α the normal quantile
    of each tail, the interval's ends are the bootstrap quantiles at

        Φ(z₀ + (z₀ + z_α) / (1 − a (z₀ + z_α)))

    z₀ = Φ⁻¹(share of replicates below the estimate, ties counting half), and the jackknife within
    stratum gives a = Σ d³ / (6 (Σ d²)^{3/2}), d the deviation from the stratum's mean.
    """
    return _of(values, strata, level, seed, resamples, "bca", _bca_ends)


def bootstrap_t(
    values: ArrayLike,
    strata: ArrayLike | None = None,
    level: float = 95.0,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Interval:
    """The studentised bootstrap interval of the mean of `values[n]` (Efron 1982).

    θ̂ − t*_{1−α} se and θ̂ − t*_α se, t* = (θ* − θ̂)/se*, both standard errors from the variances
    within strata: se² = Σ_s m_s s_s² / n². It draws the same resamples as `bca` of the same seed.
    """
    return _of(values, strata, level, seed, resamples, "bootstrap-t", _bootstrap_t_ends)


_Ends = Callable[[Sample, Replicates, float], tuple[float, float]]


def _of(
    values: ArrayLike,
    strata: ArrayLike | None,
    level: float,
    seed: int,
    resamples: int,
    method: str,
    ends: _Ends,
) -> Interval:
    tail(level)
    flawed = _flawed(values, strata, level, method)
    if flawed is not None:
        return flawed
    sample = sample_of(values, strata)
    replicates = resample(
        sample, seed=seed, resamples=resamples, studentise=method == "bootstrap-t"
    )
    return _interval(sample, level, method, ends(sample, replicates, level))


def tail(level: float) -> float:
    """The share left out on either side, (100 − level)/200. `ValueError` outside (0, 100)."""
    if not 0.0 < level < 100.0:
        raise ValueError(f"a confidence level is a percentage between 0 and 100, not {level!r}")
    return (100.0 - level) / 200.0


def _bca_ends(sample: Sample, replicates: Replicates, level: float) -> tuple[float, float]:
    if not 0.0 < replicates.below < 1.0:
        return -inf, inf  # the estimate lies outside its own bootstrap distribution
    z0 = float(ndtri(replicates.below))
    cubes = sum(float(np.sum(d**3)) for d in sample.groups)
    squares = sum(float(np.sum(d**2)) for d in sample.groups)
    acceleration = cubes / (6.0 * squares**1.5)
    ends = []
    for alpha in (tail(level), 1.0 - tail(level)):
        z = z0 + float(ndtri(alpha))
        if 1.0 - acceleration * z <= 0.0:
            ends.append(-inf if alpha < 0.5 else inf)  # past the pole of the transformation
            continue
        p = float(ndtr(z0 + z / (1.0 - acceleration * z)))
        ends.append(sample.mean + quantile(replicates.shift, p))
    return ends[0], ends[1]


def _bootstrap_t_ends(sample: Sample, replicates: Replicates, level: float) -> tuple[float, float]:
    assert replicates.studentised is not None
    error = sample.sd / sqrt(sample.n)
    alpha = tail(level)
    return (
        sample.mean - error * quantile(replicates.studentised, 1.0 - alpha),
        sample.mean - error * quantile(replicates.studentised, alpha),
    )


def _flawed(
    values: ArrayLike, strata: ArrayLike | None, level: float, method: str
) -> Interval | None:
    """The flagged interval of values that have no distribution to resample, or `None`."""
    x = np.asarray(values, dtype=np.float64)
    bad = int(np.sum(~np.isfinite(x)))
    if bad or not x.size:
        note = f"{bad} of {x.size} values are not finite" if x.size else "there are no values"
        return Interval(
            estimate=nan, low=nan, high=nan, level=level, method=method, n=x.size,
            non_finite=True, note=note,
        )  # fmt: skip
    sample = sample_of(x, strata)
    if sample.constant:
        return Interval(
            estimate=sample.mean, low=sample.mean, high=sample.mean, level=level, method=method,
            n=sample.n, sd=0.0, zero_variance=True, note=_constant_note(sample),
        )  # fmt: skip
    return None


def _constant_note(sample: Sample) -> str:
    if sample.n == 1:
        return "a single prompt has no spread"
    return f"all {sample.n} prompts give the same value within their template"


def _interval(
    sample: Sample, level: float, method: str, ends: tuple[float, float], note: str = ""
) -> Interval:
    return Interval(
        estimate=sample.mean, low=ends[0], high=ends[1], level=level, method=method,
        n=sample.n, sd=sample.sd, note=note,
    )  # fmt: skip


def clopper_pearson(successes: int, n: int, level: float = 95.0) -> Interval:
    """The exact interval of a share (Clopper & Pearson 1934), from quantiles of the beta law."""
    alpha = tail(level)
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes in {n} trials")
    if n == 0:
        return Interval(
            estimate=nan, low=nan, high=nan, level=level, method="clopper-pearson", n=0,
            non_finite=True, note="there are no values",
        )  # fmt: skip
    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, alpha))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1.0 - alpha))
    share = successes / n
    return Interval(
        estimate=share, low=low, high=high, level=level, method="clopper-pearson", n=n,
        sd=sqrt(share * (1.0 - share)),
    )  # fmt: skip


def enumerated(values: ArrayLike) -> Interval:
    """The mean of a whole population: exact, so both ends are the value itself and level is 100."""
    x = np.asarray(values, dtype=np.float64)
    flawed = None if np.all(np.isfinite(x)) and x.size else _flawed(x, None, 100.0, "enumerated")
    if flawed is not None:
        return replace(flawed, exact=True)
    mean = fsum(x.tolist()) / x.size
    sd = float(np.std(x, ddof=1)) if x.size > 1 else 0.0
    return Interval(
        estimate=mean, low=mean, high=mean, level=100.0, method="enumerated", n=x.size,
        sd=sd, zero_variance=sd == 0.0, exact=True,
    )  # fmt: skip


# The choice of method. Each limit is read off the simulation in docs/explanation/statistics.md.

FEWEST = 16
"""Below this many prompts no interval here keeps its level on skewed values."""

Choice = Literal["bca", "hull", "wide hull", "none"]


def choose(
    n: int, strata: int, skewness: float, excess: float, level: float = 95.0
) -> tuple[Choice, str]:
    """Which interval of a mean a verdict may be read from, and why when it is not plain BCa.

    What decides is the estimated skewness of the *mean*, γ = |skewness|/√n (the leading term of
    its departure from the normal law, Hall 1992), its kurtosis term κ = excess/n, and how
    thin the strata are. Both count (z/1.96)² times at a level above 95% whose normal quantile is z:
    the further out the tail, the more they bend it.

    - `bca`: n ≥ 128, γ ≤ 0.1, κ ≤ 0.02, and 16 prompts a stratum or more on average;
    - `hull`, the more conservative of BCa and bootstrap-t: γ ≤ 0.2 (0.15 for n < 32 and n ≥ 512);
    - `wide hull`, the same with much less in the tails (`wide_level`): beyond that, for n ≥ 32;
    - `none`, so inconclusive: otherwise, and for n < 16 or where most strata are too thin to show
      their skewness.
    """
    if n < FEWEST:
        return "none", f"{n} prompts are too few for an interval of a mean (fewer than {FEWEST})"
    if isnan(skewness):
        return "none", "most templates have fewer than 3 prompts: their skewness cannot be seen"
    further = max(1.0, (float(ndtri(tail(level))) / float(ndtri(0.025))) ** 2)
    gamma = further * abs(skewness) / sqrt(n)
    if gamma > (0.15 if n < 32 or n >= 512 else 0.2):
        why = f"heavy tail: skewness {skewness:.1f} at n={n}"
        return ("wide hull", why) if n >= 32 else ("none", why)
    if n < 128:
        return "hull", f"n={n} is below 128"
    if n < 16 * strata:
        return "hull", f"fewer than 16 prompts a template ({n} in {strata})"
    if gamma > 0.1 or further * excess / n > 0.02:
        return "hull", f"skewness {skewness:.1f}, excess kurtosis {excess:.1f} at n={n}"
    return "bca", ""


def wide_level(level: float, n: int) -> float:
    """The level of a wide hull: a tenth of each tail, and below n = 64 a hundredth."""
    return 100.0 - (100.0 - level) / (10.0 if n >= 64 else 100.0)


def resamples_for(level: float, resamples: int = RESAMPLES) -> int:
    """Enough resamples for ten of them to fall beyond each end, at most 99,999.

    9,999 do up to 99.8%; a Bonferroni level over many sets needs more.
    """
    needed = resamples
    while needed < _MOST_RESAMPLES and (needed + 1) * tail(level) < 10.0 - 1e-9:
        needed += 10_000
    return min(needed, max(resamples, _MOST_RESAMPLES))


def mean_intervals(
    values: ArrayLike,
    strata: ArrayLike | None = None,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    population: bool = False,
) -> Callable[[float], Interval]:
    """A function from a level to the interval a verdict may be read from, resampling only once.

    `population` says that `values` are all there are (`sample all`): every level gives the exact
    value. The method is chosen by `choose`.
    """
    if population:
        exact = enumerated(values)
        return lambda level: exact
    x = np.asarray(values, dtype=np.float64)
    kept: dict[int, Replicates] = {}
    sample = sample_of(x, strata) if x.size and np.all(np.isfinite(x)) else None

    def ends(level: float, ends_of: _Ends) -> tuple[float, float]:
        assert sample is not None
        size = resamples_for(level, resamples)
        if size not in kept:
            kept[size] = resample(sample, seed=seed, resamples=size, studentise=True)
        return ends_of(sample, kept[size], level)

    def at(level: float) -> Interval:
        tail(level)
        flawed = _flawed(x, strata, level, "bca")
        if flawed is not None or sample is None:
            assert flawed is not None
            return flawed
        method, note = choose(sample.n, len(sample.groups), sample.skewness, sample.excess, level)
        if method == "bca":
            return _interval(sample, level, "bca", ends(level, _bca_ends))
        used = wide_level(level, sample.n) if method == "wide hull" else level
        first, second = ends(used, _bca_ends), ends(used, _bootstrap_t_ends)
        hull = min(first[0], second[0]), max(first[1], second[1])
        made = _interval(sample, level, "hull" if method == "none" else method, hull, note)
        return made if method != "none" else replace(made, trusted=False)

    return at


def mean_interval(
    values: ArrayLike,
    strata: ArrayLike | None = None,
    level: float = 95.0,
    seed: int = 0,
    resamples: int = RESAMPLES,
    *,
    population: bool = False,
) -> Interval:
    """The interval of the mean of `values[n]` that a verdict may be read from (see `choose`)."""
    return mean_intervals(values, strata, seed=seed, resamples=resamples, population=population)(
        level
    )


def share_interval(hits: ArrayLike, level: float = 95.0, *, population: bool = False) -> Interval:
    """The interval of the share of true `hits[n]`: Clopper-Pearson, or exact for a population."""
    x = np.asarray(hits)
    if population:
        return enumerated(x.astype(np.float64))
    return clopper_pearson(int(np.sum(x.astype(bool))), x.size, level)
