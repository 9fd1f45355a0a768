"""How often the intervals of `circuitspec.judge` miss, by simulation: prints markdown tables.

    python bench/calibration.py                     # everything, a few minutes on one core
    python bench/calibration.py --reps 1000         # coarser
    python bench/calibration.py --only fixed --level 99.9 --sizes 128 --reps 40000

The truth stands exactly on the threshold, where a wrong verdict is likeliest: `e >= t` is then
called *holds* wrongly when the lower end lies above t, *refuted* wrongly when the upper end lies
below. Each should happen in 2.5% of runs at 95%; the verdict rule must keep both under 3.5%.

A run of the bootstrap here is one column of a matrix product: within a chunk of simulated samples
all use the same resamples (drawn exactly as the package draws them, with a fresh seed a chunk), so
that sums over resamples become `counts @ values`. `tests/judge/test_calibration.py` holds these
numbers to the package's own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, ndtri
from scipy.stats import binom

from circuitspec.judge.intervals import (
    bca,
    choose,
    clopper_pearson,
    mean_interval,
    tail,
    wide_level,
)
from circuitspec.judge.sequential import (
    FIRST,
    GAMMA,
    beta_binomial_interval,
    looks,
    mixture_margin,
    mixture_scale,
)

Floats = NDArray[np.float64]

CHUNK = 500
LIMIT = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """A law of one prompt's value, and its mean."""

    name: str
    mean: float
    draw: Callable[[np.random.Generator, tuple[int, int]], Floats]


LAWS = (
    Law(name="normal", mean=0.0, draw=lambda g, s: g.standard_normal(s)),
    Law(name="skewed: exponential", mean=1.0, draw=lambda g, s: g.exponential(size=s)),
    Law(name="skewed: gamma(½)", mean=0.5, draw=lambda g, s: g.gamma(0.5, size=s)),
    Law(name="heavy: t₃", mean=0.0, draw=lambda g, s: g.standard_t(3, size=s)),
    Law(
        name="heavy: lognormal(0, 1)",
        mean=float(np.exp(0.5)),
        draw=lambda g, s: np.exp(g.standard_normal(s)),
    ),
    Law(name="heavier: Pareto(2.5)", mean=2.5 / 1.5, draw=lambda g, s: 1 + g.pareto(2.5, size=s)),
)


# Fixed n


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """Ends of the intervals of `reps` samples, and which one a verdict would be read from."""

    bca: tuple[Floats, Floats]
    student: tuple[Floats, Floats]
    judged: tuple[Floats, Floats]
    method: NDArray[np.str_]


def counts(n: int, strata: int, resamples: int, seed: int) -> list[Floats]:
    """How often each prompt of each stratum is drawn, [resamples, size], as the package draws."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    made = []
    for s in range(strata):
        m = len(range(s, n, strata))
        drawn = rng.integers(0, m, size=(resamples, m)) + np.arange(resamples)[:, None] * m
        flat = np.bincount(drawn.ravel(), minlength=resamples * m)
        made.append(flat.reshape(resamples, m).astype(np.float64))
    return made


def quantiles(ordered: Floats, p: Floats) -> Floats:
    """`resampling.quantile` of each column of `ordered[B, reps]` at its own p[reps]."""
    size = len(ordered)
    rank = np.round((size + 1) * p, 9)
    k = np.clip(np.floor(rank), 1, size).astype(int)
    column = np.arange(ordered.shape[1])
    low, high = ordered[k - 1, column], ordered[np.minimum(k, size - 1), column]
    with np.errstate(invalid="ignore"):
        found = low + (rank - k) * (high - low)
    found = np.where(rank == k, low, found)
    endless = (rank != k) & (np.isinf(low) | np.isinf(high))
    found = np.where(endless, np.where(p < 0.5, low, high), found)
    return np.where(rank < 1, -np.inf, np.where(rank > size, np.inf, found))


def simulate(x: Floats, *, strata: int, level: float, resamples: int, seed: int) -> Simulated:
    """All intervals of the samples x[n, reps]; prompt i is of template i mod `strata`."""
    n, reps = x.shape
    mean = x.mean(axis=0)
    shift, squares = np.zeros((resamples, reps)), np.zeros((resamples, reps))
    variance, k2, k3, m4, cubes, total = (np.zeros(reps) for _ in range(6))
    for s, drawn in enumerate(counts(n, strata, resamples, seed)):
        d = x[s::strata] - x[s::strata].mean(axis=0)
        m = len(d)
        part = drawn @ d
        shift += part
        squares += m / (m - 1) * np.maximum(drawn @ d**2 - part**2 / m, 0.0)
        second, third = (d**2).sum(axis=0), (d**3).sum(axis=0)
        variance += m / (m - 1) * second
        k2 += m / (m - 1) * second
        k3 += m * m / ((m - 1) * (m - 2)) * third
        m4 += (d**4).sum(axis=0)
        cubes += third
        total += second
    shift /= n
    error = np.sqrt(variance) / n
    below = ((shift < 0).sum(axis=0) + 0.5 * (shift == 0).sum(axis=0)) / resamples
    with np.errstate(divide="ignore", invalid="ignore"):
        student = shift * n / np.sqrt(squares)
    flat = squares <= 1e-12 * variance
    student[flat] = np.copysign(np.inf, shift[flat])
    shift.sort(axis=0)
    student.sort(axis=0)
    z0, a = ndtri(below), cubes / (6 * total**1.5)

    def bca_ends(level: float) -> tuple[Floats, Floats]:
        ends = []
        for alpha in (tail(level), 1 - tail(level)):
            z = z0 + ndtri(alpha)
            bend = 1 - a * z
            with np.errstate(divide="ignore"):
                p = np.where(bend > 0, ndtr(z0 + z / bend), 0.0 if alpha < 0.5 else 1.0)
            ends.append(mean + quantiles(shift, p))
        return ends[0], ends[1]

    def student_ends(level: float) -> tuple[Floats, Floats]:
        alpha = np.full(reps, tail(level))
        return mean - error * quantiles(student, 1 - alpha), mean - error * quantiles(
            student, alpha
        )

    plain, studentised = bca_ends(level), student_ends(level)
    tighter = wide_level(level, n)
    wide_bca, wide_student = bca_ends(tighter), student_ends(tighter)
    skewness, excess = k3 / n / (k2 / n) ** 1.5, m4 / n / (total / n) ** 2 - 3
    pairs = zip(skewness, excess, strict=True)
    method = np.array([choose(n, strata, float(g), float(k), level)[0] for g, k in pairs])
    low = np.minimum(plain[0], studentised[0])
    high = np.maximum(plain[1], studentised[1])
    wide = method == "wide hull"
    low = np.where(wide, np.minimum(wide_bca[0], wide_student[0]), low)
    high = np.where(wide, np.maximum(wide_bca[1], wide_student[1]), high)
    low = np.where(method == "bca", plain[0], np.where(method == "none", -np.inf, low))
    high = np.where(method == "bca", plain[1], np.where(method == "none", np.inf, high))
    return Simulated(bca=plain, student=studentised, judged=(low, high), method=method)


def missed(ends: tuple[Floats, Floats], mean: float) -> tuple[float, float]:
    """Percent of lower ends above and upper ends below the truth."""
    return 100 * float(np.mean(ends[0] > mean)), 100 * float(np.mean(ends[1] < mean))


def percent(*values: float) -> str:
    return " / ".join(f"**{v:.1f}**" if v > LIMIT else f"{v:.1f}" for v in values)


def fixed(
    sizes: tuple[int, ...],
    laws: tuple[Law, ...],
    *,
    reps: int,
    level: float,
    resamples: int,
    templates: int,
) -> Iterator[str]:
    """One row a law and n: what each method misses, and what the verdict rule makes of it."""
    yield (
        "| values | n | BCa | coverage | bootstrap-t | coverage | as judged | "
        "BCa / hull / wide / none | width |"
    )
    yield "|---|---:|---|---:|---|---:|---|---|---:|"
    for law in laws:
        for n in sizes:
            made = []
            for chunk in range(0, reps, CHUNK):
                rng = np.random.default_rng([7, n, chunk])
                x = law.draw(rng, (n, min(CHUNK, reps - chunk)))
                x += 10.0 * (np.arange(n) % templates)[:, None]  # templates differ
                made.append(
                    simulate(x, strata=templates, level=level, resamples=resamples, seed=chunk + n)
                )
            shift = 10.0 * float(np.mean(np.arange(n) % templates))
            mean = law.mean + shift

            def ends(name: str, made: list[Simulated] = made) -> tuple[Floats, Floats]:
                pairs = [getattr(m, name) for m in made]
                return np.concatenate([p[0] for p in pairs]), np.concatenate([p[1] for p in pairs])

            method = np.concatenate([m.method for m in made])
            plain, student, judged = ends("bca"), ends("student"), ends("judged")
            shares = [np.mean(method == m) for m in ("bca", "hull", "wide hull", "none")]
            endless = np.isinf(judged[1] - judged[0])
            with np.errstate(invalid="ignore"):
                ratio = (judged[1] - judged[0]) / (plain[1] - plain[0])
            width = np.median(np.where(endless, np.inf, ratio))
            b, t, j = missed(plain, mean), missed(student, mean), missed(judged, mean)
            yield (
                f"| {law.name} | {n} | {percent(*b)} | {100 - sum(b):.1f} | {percent(*t)} | "
                f"{100 - sum(t):.1f} | {percent(*j)} | "
                f"{' / '.join(f'{100 * s:.0f}' for s in shares)} | "
                f"{'∞' if np.isinf(width) else f'{width:.2f}'} |"
            )


# Shares


def shares(sizes: tuple[int, ...], level: float) -> Iterator[str]:
    """Exact, not simulated: every possible count, weighted by its probability."""
    yield "| share | n | BCa | as judged, if taken for a mean | Clopper-Pearson | width |"
    yield "|---:|---:|---|---|---|---:|"
    for n in sizes:
        hits = np.arange(n + 1)
        exact = [clopper_pearson(int(k), n, level) for k in hits]
        resampled = [
            bca(np.arange(n) < k, level=level, seed=int(k), resamples=1999) for k in hits
        ]  # all hits, or none: a point, which a careless reading would take for certainty
        ruled = [
            mean_interval((np.arange(n) < k).astype(float), None, level, int(k), 1999) for k in hits
        ]
        for share in (0.5, 0.8, 0.95, 0.99):
            weight = binom.pmf(hits, n, share)
            row = []
            for made in (resampled, ruled, exact):
                silent = [made is ruled and (i.zero_variance or not i.trusted) for i in made]
                low = np.where(silent, -np.inf, [i.low for i in made])
                high = np.where(silent, np.inf, [i.high for i in made])
                above, under = weight[low > share].sum(), weight[high < share].sum()
                row.append(percent(100 * float(above), 100 * float(under)))
            width = float(np.sum(weight * [i.width for i in exact]))
            yield f"| {share} | {n} | {' | '.join(row)} | {width:.3f} |"


# Until decided


def sequential(
    laws: tuple[Law, ...], reps: int, level: float, cap: int, step: int | None
) -> Iterator[str]:
    """Misses at any look, for paths that are looked at from `FIRST` to `cap`."""
    yield "| values | 95% at every look | confidence sequence | as judged | decides at n |"
    yield "|---|---|---|---|---:|"
    sizes = np.array(looks(cap) if step is None else range(FIRST, cap + 1, step))
    hundredth = 100 - (100 - level) / 100
    scale, wide_scale = mixture_scale(level, cap), mixture_scale(hundredth, cap)
    margin = np.array([mixture_margin(int(n), level, scale) for n in sizes])
    wide = np.array([mixture_margin(int(n), hundredth, wide_scale) for n in sizes])
    for law in laws:
        tally = np.zeros(6)
        settled: list[Floats] = []
        for chunk in range(0, reps, CHUNK):
            rng = np.random.default_rng([11, chunk])
            x = law.draw(rng, (min(CHUNK, reps - chunk), cap)) - law.mean
            mean, sd, gamma = running(x, sizes)
            z = float(-ndtri(tail(level))) / np.sqrt(sizes)
            used = np.where(gamma <= GAMMA[0], margin, np.where(gamma <= GAMMA[1], wide, np.inf))
            for i, m in enumerate((z, margin, used)):
                with np.errstate(invalid="ignore"):
                    low, high = mean - sd * m, mean + sd * m
                tally[2 * i] += np.any(low > 0, axis=1).sum()
                tally[2 * i + 1] += np.any(high < 0, axis=1).sum()
            clear = mean - sd * used > -0.25 * np.std(x)  # a threshold a quarter sd below the truth
            first = np.where(clear.any(axis=1), sizes[clear.argmax(axis=1)], np.inf)
            settled.append(first)
        p = 100 * tally / reps
        n = np.median(np.concatenate(settled))
        yield (
            f"| {law.name} | {percent(p[0], p[1])} | {percent(p[2], p[3])} | "
            f"{percent(p[4], p[5])} | {n:.0f} |"
        )


def running(x: Floats, sizes: NDArray[np.int64]) -> tuple[Floats, Floats, Floats]:
    """Mean, sd and |skewness|/√n of the first `sizes` values of each row, one template."""
    s1, s2, s3 = ((x**k).cumsum(axis=1)[:, sizes - 1] for k in (1, 2, 3))
    n = sizes.astype(float)
    mean = s1 / n
    second = s2 / n - mean**2
    third = s3 / n - 3 * mean * s2 / n + 2 * mean**3
    k2, k3 = second * n / (n - 1), third * n * n / ((n - 1) * (n - 2))
    return mean, np.sqrt(k2), np.abs(k3) / k2**1.5 / np.sqrt(n)


def sequential_shares(level: float, cap: int) -> Iterator[str]:
    """Exact: the law of the running count, losing at each n the paths that have been wrong."""
    yield "| share | 95% Clopper-Pearson at every n | beta-binomial sequence |"
    yield "|---:|---|---|"
    for share in (0.5, 0.8, 0.95, 0.99):
        row = []
        for kind in ("pearson", "mixture"):
            chance = binom.pmf(np.arange(cap + 1), FIRST, share)
            above = under = 0.0
            for n in range(FIRST, cap + 1):
                if n > FIRST:
                    moved = np.zeros_like(chance)
                    moved[1:] = chance[:-1] * share
                    chance = chance * (1 - share) + moved
                k = np.arange(n + 1)
                if kind == "pearson":
                    low = binom.sf(k - 1, n, share) < tail(level)
                    high = binom.cdf(k, n, share) < tail(level)
                else:
                    ratio = gammaln(k + 1) + gammaln(n - k + 1) - gammaln(n + 2)
                    ratio -= k * np.log(share) + (n - k) * np.log1p(-share)
                    out = ratio >= -np.log((100 - level) / 100)
                    low, high = out & (k > n * share), out & (k < n * share)
                above += chance[: n + 1][low].sum()
                under += chance[: n + 1][high].sum()
                chance[: n + 1][low | high] = 0.0
            row.append(percent(100 * above, 100 * under))
        yield f"| {share} | {row[0]} | {row[1]} |"


def widths(level: float) -> str:
    """What being allowed to look costs: the sequences' widths in those of a single look."""
    cap = 4096
    scale = mixture_scale(level, cap)
    parts = []
    for n in (128, 512, 2048, 4096):
        mean = mixture_margin(n, level, scale) * sqrt(n) / float(-ndtri(tail(level)))
        hits = round(0.9 * n)
        share = beta_binomial_interval(hits, n, level=level).width
        parts.append(f"{n}: {mean:.2f} / {share / clopper_pearson(hits, n, level).width:.2f}")
    return "; ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--reps", type=int, default=10_000, help="simulated samples a row")
    parser.add_argument("--resamples", type=int, default=1999)
    parser.add_argument("--level", type=float, default=95.0)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 128, 512])
    parser.add_argument("--templates", type=int, default=4)
    parser.add_argument("--cap", type=int, default=4096)
    parser.add_argument("--only", choices=["fixed", "shares", "sequential"], default=None)
    options = parser.parse_args()
    started = time.process_time()
    sizes, level, reps = tuple(options.sizes), options.level, options.reps
    wanted = [options.only] if options.only else ["fixed", "shares", "sequential"]

    def show(title: str, lines: Iterator[str]) -> None:
        print(f"\n### {title}\n", flush=True)
        for line in lines:
            print(line, flush=True)

    if "fixed" in wanted:
        show(
            f"A fixed number of prompts "
            f"({reps:,} samples a row, {options.templates} templates, {level:g}%)",
            fixed(
                sizes,
                LAWS,
                reps=reps,
                level=level,
                resamples=options.resamples,
                templates=options.templates,
            ),
        )
    if "shares" in wanted:
        show("Shares (exact)", shares(sizes, level))
    if "sequential" in wanted:
        paths = max(CHUNK, reps // 2)
        show(
            f"Until decided, at most {options.cap:,}, looked at as the package does "
            f"({paths:,} paths)",
            sequential(LAWS, paths, level, options.cap, None),
        )
        show(
            f"The same, looked at after every 32 prompts ({paths:,} paths)",
            sequential(LAWS, paths, level, options.cap, 32),
        )
        show(
            f"Shares until decided, looked at after every prompt from {FIRST} to {options.cap:,} "
            "(exact)",
            sequential_shares(level, options.cap),
        )
        print(f"\nWidth over that of a single look, means / shares of 0.9, at n = {widths(level)}.")
    print(f"\n{time.process_time() - started:.0f} s of one core.")


if __name__ == "__main__":
    main()
