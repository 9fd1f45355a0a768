"""The tests of Shi et al. (2024), "Hypothesis testing the circuit hypothesis in LLMs".

arXiv:2410.13032: equivalence, independence and minimality, on scores that were computed elsewhere.
They ask other questions than `require` does and say less than is often read into them: a null
hypothesis that is not rejected has not been shown. No p-value here is ever 0.

Where this departs from the authors' released code, and why:

- equivalence counts *how often* the circuit beats the model. Fed the mean difference of the scores
  instead of that share, the test rejects a circuit that is the model itself; so does a count in
  which ties are losses. Here a tie is half a win for either;
- independence scales each kernel by its own variable's median distance, not both by the distance
  between the two variables, and permutes within templates when told them; p is (b + 1)/(B + 1);
- minimality corrects for testing every edge (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, floor, isfinite, nan
from sys import float_info

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One test. `statistic` is named in the test's own docstring.

    `p_value` is NaN when the test is not defined on the data, and `note` then says why; otherwise
    it is in (0, 1]. `null` is the null hypothesis in words. `n` counts prompts, or reference edges.
    """

    __test__ = False  # pytest: not a test class

    name: str
    null: str
    statistic: float
    p_value: float
    n: int
    note: str = ""

    def rejected(self, significance: float = 0.05) -> bool:
        """Whether the null hypothesis is rejected at this significance."""
        return self.p_value <= significance


def _positive(p: float) -> float:
    """A probability that has underflowed is small, not zero."""
    return min(max(p, float_info.min), 1.0)


def _scores(*arrays: ArrayLike) -> tuple[list[Floats], str]:
    """The arrays as vectors of one length, and what is wrong with them, if anything."""
    vectors = [np.asarray(a, dtype=np.float64) for a in arrays]
    if any(v.ndim != 1 or len(v) != len(vectors[0]) for v in vectors):
        raise ValueError(f"scores of shapes {[v.shape for v in vectors]} do not pair up")
    if not len(vectors[0]):
        return vectors, "there are no scores"
    bad = sum(int(np.sum(~np.isfinite(v))) for v in vectors)
    return vectors, f"{bad} scores are not finite" if bad else ""


# Equivalence


def _wins(model: Floats, circuit: Floats, resolution: float) -> tuple[float, int]:
    """How often the circuit scores higher, ties counting half, and how many ties there are."""
    difference = circuit - model
    tie = np.abs(difference) <= resolution
    return float(np.sum((difference > 0) & ~tie) + 0.5 * np.sum(tie)), int(np.sum(tie))


def equivalence_test(
    model: ArrayLike, circuit: ArrayLike, *, epsilon: float = 0.1, resolution: float = 0.0
) -> TestResult:
    """Null hypothesis: circuit and model are about equally likely to do better on a prompt.

    H₀: |π − ½| ≤ ε with π = P(circuit scores higher) + ½ P(tie). The statistic is the observed
    share of wins π̂, p the binomial probability, at the edge π = ½ + ε of H₀, of a share at least as
    far from ½ on either side. Half wins are rounded towards ½ and vary less
    than the coin flips that they are judged as, so that ties make the test cautious. Scores within
    `resolution` of each other are tied: give the rounding error of the scores.

    Not rejecting is no evidence of equivalence; `equivalence_shown` tests that.
    """
    null = f"the circuit beats the model on a share of prompts within {epsilon:g} of one half"
    (m, c), wrong = _scores(model, circuit)
    n = len(m)
    if wrong:
        return TestResult(
            name="equivalence", null=null, statistic=nan, p_value=nan, n=n, note=wrong
        )
    wins, ties = _wins(m, c, resolution)
    away = floor(abs(wins - n / 2) + n / 2)  # the larger of wins and losses, rounded towards n/2
    p = min(0.5 + epsilon, 1.0)
    upper = float(bdtrc(away - 1, n, p)) if away > 0 else 1.0
    lower = float(bdtr(n - away, n, p))
    whole = upper + lower if 2 * away > n else 1.0
    note = f"{ties} of {n} prompts are ties" if ties else ""
    return TestResult(
        name="equivalence",
        null=null,
        statistic=wins / n,
        p_value=_positive(whole),
        n=n,
        note=note,
    )


def equivalence_shown(
    model: ArrayLike, circuit: ArrayLike, *, epsilon: float = 0.1, resolution: float = 0.0
) -> TestResult:
    """Null hypothesis: circuit and model are *not* about equally likely to do better.

    H₀: |π − ½| ≥ ε, the reverse of `equivalence_test`, by two one-sided binomial tests (Schuirmann
    1987): p is the larger of P(W ≥ w | π = ½ − ε) and P(W ≤ w | π = ½ + ε). Rejecting it is
    evidence of equivalence. Half wins are rounded away from ½. The statistic is the share of wins.
    """
    null = f"the circuit beats the model on a share of prompts at least {epsilon:g} from one half"
    (m, c), wrong = _scores(model, circuit)
    n = len(m)
    if wrong or not 0.0 < epsilon <= 0.5:
        note = wrong or f"no share of wins is within {epsilon:g} of one half"
        return TestResult(
            name="equivalence shown", null=null, statistic=nan, p_value=nan, n=n, note=note
        )
    wins, ties = _wins(m, c, resolution)
    away = min(n, ceil(abs(wins - n / 2) + n / 2))
    p = float(bdtr(away, n, 0.5 + epsilon))  # the nearer of the two; they mirror each other
    return TestResult(
        name="equivalence shown",
        null=null,
        statistic=wins / n,
        p_value=_positive(p),
        n=n,
        note=f"{ties} of {n} prompts are ties" if ties else "",
    )


# Independence


def independence_test(
    model: ArrayLike,
    complement: ArrayLike,
    *,
    seed: int,
    strata: ArrayLike | None = None,
    permutations: int = 999,
) -> TestResult:
    """Null hypothesis: the model's scores and those of the circuit's complement are independent.

    If the circuit does all the work, what is left when it is knocked out knows nothing of which
    prompts the model finds easy. The statistic is the biased HSIC, tr(K H L H)/(n − 1)²
    (Gretton et al. 2007), with Gaussian kernels whose width is the median distance between distinct
    values of that variable; p = (b + 1)/(B + 1), b of B permutations reaching it. `strata` permutes
    within templates: without it, templates that differ in difficulty look like dependence.

    Draws: `Generator(PCG64(SeedSequence(seed)))`, for each permutation and each stratum in
    ascending order of label one `permutation(size)` of its prompts.
    """
    null = "the complement's scores are independent of the model's"
    (m, c), wrong = _scores(model, complement)
    n = len(m)
    if not wrong and n < 4:
        wrong = f"{n} prompts are too few to permute"
    if wrong:
        return TestResult(
            name="independence", null=null, statistic=nan, p_value=nan, n=n, note=wrong
        )
    constant = [name for name, v in (("model", m), ("complement", c)) if np.ptp(v) == 0.0]
    if constant:
        note = f"the {constant[0]}'s scores are constant, which is independent of anything"
        return TestResult(
            name="independence", null=null, statistic=0.0, p_value=1.0, n=n, note=note
        )
    left, right = _features(m), _features(c)
    labels = np.zeros(n, np.int64) if strata is None else np.asarray(strata, np.int64)
    groups = [np.flatnonzero(labels == s) for s in np.unique(labels)]
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    observed = _hsic(left, right)
    reached = 0
    for _ in range(permutations):
        order = np.arange(n)
        for at in groups:
            order[at] = at[rng.permutation(len(at))]
        reached += _hsic(left, right[order]) >= observed * (1.0 - 1e-9)
    return TestResult(
        name="independence",
        null=null,
        statistic=observed / (n - 1) ** 2,
        p_value=(reached + 1) / (permutations + 1),
        n=n,
    )


def _features(x: Floats) -> Floats:
    """Centred features Φ[n, r] with ΦΦᵀ = H K H, K the Gaussian kernel of x, to 1e-12 of its trace.

    In one dimension the kernel's spectrum falls so fast that r is a few dozen, which makes each
    permutation cost n·r² and not n².
    """
    distance = np.abs(x[:, None] - x[None, :])
    width = float(np.median(distance[distance > 0.0]))
    kernel = np.exp(-((distance / width) ** 2) / 2.0)
    kernel -= kernel.mean(axis=0)
    kernel -= kernel.mean(axis=1)[:, None]
    size, direction = np.linalg.eigh(kernel)
    kept = size > 1e-12 * size[-1]
    return np.asarray(direction[:, kept] * np.sqrt(size[kept]), dtype=np.float64)


def _hsic(left: Floats, right: Floats) -> float:
    """tr(K H L H) from centred features."""
    return float(np.sum((left.T @ right) ** 2))


# Minimality


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimalityResult:
    """The minimality test of every edge, and of all together.

    `p_values` are each edge's own, unadjusted; `exceeded` the share of reference edges that it
    beats. `overall` is the test that all edges are needed: p = min(1, #edges · smallest p).
    `unneeded` lists the edges rejected at `significance` after Bonferroni, smallest p first.
    """

    p_values: Mapping[str, float]
    exceeded: Mapping[str, float]
    overall: TestResult
    unneeded: tuple[str, ...]
    significance: float


def minimality_test(
    effects: Mapping[str, float],
    reference: ArrayLike,
    *,
    quantile: float = 0.9,
    significance: float = 0.05,
) -> MinimalityResult:
    """Null hypothesis, for each edge: it matters more than a share `quantile` of redundant edges.

    `effects[e]` is how much knocking e out of the circuit changes its scores; `reference[r]` the
    same for a random edge of a random path that was added to the circuit, knocked out of the
    inflated circuit again. An edge exceeds k of the R references, a tie not being one;
    p = P(Binomial(R, quantile) ≤ k). Sizes are compared, so signs do not matter. The p-values are
    given these prompts: they speak of other redundant edges, not of other prompts.
    """
    null = f"every edge matters more than {quantile:.0%} of redundant edges do"
    sizes = np.abs(np.asarray(reference, dtype=np.float64))
    if sizes.ndim != 1:
        raise ValueError(f"reference effects of shape {sizes.shape}, not a vector")
    count = len(sizes)
    bad = int(np.sum(~np.isfinite(sizes))) + sum(not isfinite(e) for e in effects.values())
    wrong = ""
    if not effects or not count:
        wrong = "there are no edges" if not effects else "there are no reference edges"
    elif bad:
        wrong = f"{bad} effects are not finite"
    if wrong:
        overall = TestResult(
            name="minimality", null=null, statistic=nan, p_value=nan, n=count, note=wrong
        )
        return MinimalityResult(
            p_values={}, exceeded={}, overall=overall, unneeded=(), significance=significance
        )
    beaten = {edge: int(np.sum(abs(effect) > sizes)) for edge, effect in effects.items()}
    p_values = {e: _positive(float(bdtr(k, count, quantile))) for e, k in beaten.items()}
    smallest = min(p_values.values())
    overall = TestResult(
        name="minimality",
        null=null,
        statistic=min(beaten.values()) / count,
        p_value=min(1.0, len(effects) * smallest),
        n=count,
    )
    rejected = [e for e, p in p_values.items() if len(effects) * p <= significance]
    return MinimalityResult(
        p_values=p_values,
        exceeded={e: k / count for e, k in beaten.items()},
        overall=overall,
        unneeded=tuple(sorted(rejected, key=lambda e: p_values[e])),
        significance=significance,
    )
