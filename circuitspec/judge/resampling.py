"""The stratified bootstrap of a mean: what is drawn, in which order, and the shape of a sample.

Everything here is deterministic given the seed, and written down so that others can redo it:

- Strata (templates) are taken in ascending order of their label, prompts within one in the order
  given. A stratum of one prompt cannot be resampled: all such strata are pooled into one
  ("collapsed strata", Cochran 1977, which errs towards wide), and a single one joins
  the smallest other stratum, the one with the lowest label among equals.
- One generator, `numpy.random.Generator(PCG64(SeedSequence(seed)))`. For each stratum of size m in
  that order: `integers(0, m, size=(resamples, m))`, int64, row by row.
- Sums are over deviations from the stratum's mean: `θ*_b − θ̂ = Σ_s Σ_j d*_sbj / n`. It is the same
  number as the difference of means, without the cancellation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Rounding of a sum of at most a few thousand deviations; two means closer than this are a tie.
ROUNDING = 1e-12
# Indices drawn at once: 16 MB of them, and as much again for what they gather.
_CHUNK = 2**21


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A stratified sample of one finite number a prompt.

    `groups` holds, for each stratum in the order of resampling, its deviations from the stratum's
    mean. `sd` is √n times the standard error of the mean, from the strata's own variances (divisor
    m − 1): the standard deviation a single-stratum sample of equal precision would have.
    `skewness` is that of one value about its stratum's mean, `excess` its excess kurtosis.
    """

    n: int
    mean: float
    groups: tuple[Floats, ...]
    collapsed: int
    sd: float
    skewness: float
    excess: float
    scale: float

    @property
    def constant(self) -> bool:
        """Whether no stratum varies, so that every resample gives the same mean."""
        return self.sd <= ROUNDING * self.scale


def collapse(labels: Ints) -> tuple[list[Ints], int]:
    """The positions of each stratum, strata of one prompt pooled; and how many were pooled."""
    names, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    stratum = np.asarray(names[inverse], dtype=np.int64)
    single = names[counts == 1]
    if len(single) and len(names) > 1:
        pooled = set(single.tolist())
        if len(single) == 1:
            rest = [(int(c), int(s)) for s, c in zip(names, counts, strict=True) if c > 1]
            pooled.add(min(rest)[1])
        stratum[np.isin(stratum, list(pooled))] = min(pooled)
    return [np.flatnonzero(stratum == s) for s in np.unique(stratum)], len(single)


def sample_of(values: ArrayLike, strata: ArrayLike | None = None) -> Sample:
    """Split finite `values[n]` by `strata[n]` (one stratum when omitted) and measure their shape.

    Skewness is the ratio of pooled unbiased cumulants, k₃/k₂^{3/2} (Fisher 1930), so that it does
    not shrink when the strata are small; NaN where strata of at least three prompts hold less than
    half of them. Excess kurtosis is the plain moment ratio of the pooled deviations, less 3.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not len(x):
        raise ValueError(f"values must be a non-empty vector, not of shape {x.shape}")
    labels = np.zeros(len(x), np.int64) if strata is None else np.asarray(strata, np.int64)
    if labels.shape != x.shape:
        raise ValueError(f"{len(x)} values but strata of shape {labels.shape}")
    positions, collapsed = collapse(labels)
    origin = float(x[0])  # means are taken near zero, where a constant sample is exactly constant
    groups = []
    for at in positions:
        d = x[at] - origin
        groups.append(d - d.mean())
    n = len(x)
    variance = sum(len(d) * _k2(d) for d in groups if len(d) > 1) / n
    m2 = sum(float(np.sum(d**2)) for d in groups) / n
    m4 = sum(float(np.sum(d**4)) for d in groups) / n
    scale = float(np.max(np.abs(x)))
    flat = variance <= (ROUNDING * scale) ** 2
    return Sample(
        n=n,
        mean=origin + float(np.mean(x - origin)),
        groups=tuple(groups),
        collapsed=collapsed,
        sd=0.0 if n == 1 else float(np.sqrt(variance)),
        skewness=float("nan") if flat else _skewness(groups, n),
        excess=float("nan") if flat else m4 / m2**2 - 3.0,
        scale=scale,
    )


def _k2(d: Floats) -> float:
    return float(np.sum(d**2)) / (len(d) - 1)


def _skewness(groups: list[Floats], n: int) -> float:
    thick = [d for d in groups if len(d) >= 3]
    held = sum(len(d) for d in thick)
    k2 = sum(len(d) * _k2(d) for d in thick)
    if 2 * held < n or k2 <= 0.0:
        return float("nan")
    k3 = 0.0
    for d in thick:
        m = len(d)
        k3 += m * m * float(np.sum(d**3)) / ((m - 1) * (m - 2))
    return float((k3 / held) / (k2 / held) ** 1.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicates:
    """Sorted bootstrap replicates of a sample's mean.

    `shift[B]` is θ*_b − θ̂; `studentised[B]` is that over the replicate's own standard error
    (±inf where a replicate does not vary), `None` unless asked for. `below` is the share of
    replicates under the estimate, ties counting half.
    """

    shift: Floats
    studentised: Floats | None
    below: float


def resample(sample: Sample, *, seed: int, resamples: int, studentise: bool) -> Replicates:
    """Draw `resamples` means, within stratum, as the module's first lines say.

    Memory is bounded: indices are drawn a few million at a time, which changes no number.
    """
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    total = np.zeros(resamples)
    variance = np.zeros(resamples)
    for d in sample.groups:
        m = len(d)
        rows = max(1, _CHUNK // m)
        for start in range(0, resamples, rows):
            size = (min(rows, resamples - start), m)
            drawn = d[rng.integers(0, m, size=size)]
            part = drawn.sum(axis=1)
            here = slice(start, start + size[0])
            total[here] += part
            if studentise and m > 1:
                drawn -= (part / m)[:, None]  # a difference of squares would lose half the digits
                variance[here] += m / (m - 1) * np.einsum("ij,ij->i", drawn, drawn)
    shift = total / sample.n
    widest = max(float(np.max(np.abs(d))) for d in sample.groups)
    tie = np.abs(shift) <= ROUNDING * widest
    below = float(np.sum((shift < 0) & ~tie) + 0.5 * np.sum(tie)) / resamples
    studentised = None
    if studentise:
        error = np.sqrt(variance) / sample.n
        moving = error > ROUNDING * widest
        still = np.where(tie, 0.0, np.copysign(np.inf, shift))
        studentised = np.sort(np.divide(shift, error, out=still, where=moving))
    return Replicates(shift=np.sort(shift), studentised=studentised, below=below)


def quantile(ordered: Floats, p: float) -> float:
    """The p-quantile of sorted replicates: the order statistic of rank (B + 1)p, 1 ≤ rank ≤ B.

    Between two ranks it is linear (Hyndman & Fan 1996, type 6; Davison & Hinkley 1997). A
    rank outside gives ∓inf: so few replicates know nothing about so far a tail. Where a neighbour
    is infinite, so is the answer, on the side away from the middle.
    """
    rank = round((len(ordered) + 1) * p, 9)
    if rank < 1:
        return float("-inf")
    if rank > len(ordered):
        return float("inf")
    k = int(rank)
    low = float(ordered[k - 1])
    if rank == k:
        return low
    high = float(ordered[k])
    if np.isinf(low) or np.isinf(high):
        return low if p < 0.5 else high
    return low + (rank - k) * (high - low)
