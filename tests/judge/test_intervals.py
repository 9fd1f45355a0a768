"""Intervals against closed forms, scipy's, a plain re-computation, and themselves transformed."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from circuitspec.judge.intervals import (
    RESAMPLES,
    Interval,
    bca,
    bootstrap_t,
    choose,
    clopper_pearson,
    enumerated,
    mean_interval,
    mean_intervals,
    resamples_for,
    share_interval,
)
from circuitspec.judge.resampling import quantile, sample_of

LEVELS = (80.0, 90.0, 95.0, 99.0)


def skewed(n: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).gamma(2.0, size=n)


def templates(n: int, k: int) -> NDArray[np.int64]:
    return np.arange(n) % k


# Against others


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("n", "seed"), [(40, 1), (200, 2)])
def test_bca_of_one_stratum_is_scipys_up_to_the_draws(n: int, seed: int, level: float) -> None:
    x = skewed(n, seed)
    many = 99_999
    ours = bca(x, level=level, seed=5, resamples=many)
    theirs = stats.bootstrap(
        (x,), np.mean, method="BCa", confidence_level=level / 100, n_resamples=many, batch=5000,
        rng=np.random.default_rng(7),
    ).confidence_interval  # fmt: skip
    error = x.std(ddof=1) / math.sqrt(n)
    # A tail quantile of so many draws has a Monte Carlo error near 0.02 standard errors
    assert ours.low == pytest.approx(theirs.low, abs=0.09 * error)
    assert ours.high == pytest.approx(theirs.high, abs=0.09 * error)
    half = stats.norm.ppf(0.5 + level / 200) * error
    assert ours.high > x.mean() + half  # the skew moves both ends up
    assert ours.low > x.mean() - half


def test_bca_recomputed_from_its_description() -> None:
    """What the module's docstring promises, redone in a few plain lines."""
    x = skewed(60, 3)
    label = np.array([2, 0, 1] * 20)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(11)))
    means = np.zeros(RESAMPLES)
    deviations = np.zeros(60)
    for s in (0, 1, 2):
        mine = x[label == s]
        means += mine[rng.integers(0, len(mine), size=(RESAMPLES, len(mine)))].sum(axis=1) / 60
        deviations[label == s] = mine - mine.mean()
    means.sort()
    z0 = stats.norm.ppf(np.mean(means < x.mean()))
    a = np.sum(deviations**3) / (6 * np.sum(deviations**2) ** 1.5)
    ends = []
    for alpha in (0.025, 0.975):
        z = z0 + stats.norm.ppf(alpha)
        rank = (RESAMPLES + 1) * stats.norm.cdf(z0 + z / (1 - a * z))
        k = int(rank)
        ends.append(means[k - 1] + (rank - k) * (means[k] - means[k - 1]))
    made = bca(x, label, level=95, seed=11)
    assert (made.low, made.high) == pytest.approx(tuple(ends), abs=1e-9)
    assert made.estimate == pytest.approx(x.mean())


def test_bootstrap_t_recomputed_from_its_description() -> None:
    x = skewed(30, 4)
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(1)))
    draws = x[rng.integers(0, 30, size=(RESAMPLES, 30))]
    t = np.sort((draws.mean(1) - x.mean()) / (draws.std(1, ddof=1) / math.sqrt(30)))
    se = x.std(ddof=1) / math.sqrt(30)
    made = bootstrap_t(x, level=95, seed=1)
    assert made.low == pytest.approx(x.mean() - se * t[9749])  # rank 9750 of 9,999: exactly 97.5%
    assert made.high == pytest.approx(x.mean() - se * t[249])


def test_bootstrap_t_of_normal_values_is_nearly_students() -> None:
    x = np.random.default_rng(8).standard_normal(40)
    made = bootstrap_t(x, level=95)
    half = stats.t.ppf(0.975, 39) * x.std(ddof=1) / math.sqrt(40)
    assert made.width == pytest.approx(2 * half, rel=0.08)


@pytest.mark.parametrize(("k", "n"), [(0, 7), (7, 7), (3, 10), (190, 200)])
@pytest.mark.parametrize("level", LEVELS)
def test_clopper_pearson_inverts_the_binomial_tails(k: int, n: int, level: float) -> None:
    made = clopper_pearson(k, n, level)
    alpha = (100 - level) / 200
    if k > 0:
        assert stats.binom.sf(k - 1, n, made.low) == pytest.approx(alpha)
    else:
        assert made.low == 0.0
    if k < n:
        assert stats.binom.cdf(k, n, made.high) == pytest.approx(alpha)
    else:
        assert made.high == 1.0


def test_share_interval_counts_hits() -> None:
    made = share_interval([True] * 19 + [False], 95)
    assert (made.low, made.high) == pytest.approx((0.7513, 0.9987), abs=1e-4)
    assert share_interval([True, False], population=True).exact


def test_strata_take_out_what_lies_between_templates() -> None:
    x = skewed(80) + 100.0 * templates(80, 4)
    within = bca(x, templates(80, 4))
    ignoring = bca(x)
    apart = (
        skewed(80)
        - np.array([skewed(80)[templates(80, 4) == s].mean() for s in range(4)])[templates(80, 4)]
    )
    error = math.sqrt(np.sum(apart**2) / 76 / 80)
    assert within.width == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert ignoring.width > 20 * within.width


# Against themselves

values_of = st.lists(
    st.floats(-1e3, 1e3, allow_nan=False).map(lambda v: round(v, 3)), min_size=3, max_size=24
)
makers = st.sampled_from([bca, bootstrap_t, mean_interval])


@given(values_of, makers, st.sampled_from([0.25, 3.0, 1024.0]), st.sampled_from([-50.0, 0.125]))
@settings(max_examples=40, deadline=None)
def test_shift_and_scale_move_the_interval_with_them(
    values: list[float], make, scale: float, shift: float
) -> None:
    x = np.array(values)
    label = templates(len(x), 2)
    before = make(x, label, resamples=999)
    after = make(x * scale + shift, label, resamples=999)
    slack = 1e-8 * (1 + abs(shift) + scale * np.abs(x).max())
    for end in ("estimate", "low", "high"):
        assert getattr(after, end) == pytest.approx(getattr(before, end) * scale + shift, abs=slack)
    assert after.zero_variance == before.zero_variance
    assert after.method == before.method


@given(values_of, makers)
@settings(max_examples=40, deadline=None)
def test_a_higher_level_never_gives_a_narrower_interval(values: list[float], make) -> None:
    made = [make(values, level=level, resamples=999) for level in LEVELS]
    for inner, outer in itertools.pairwise(made):
        assert outer.low <= inner.low + 1e-12
        assert outer.high >= inner.high - 1e-12


@given(values_of, makers)
@settings(max_examples=40, deadline=None)
def test_mirrored_values_give_the_mirrored_interval_up_to_the_draws(values, make) -> None:
    x = np.array(values)
    made, mirrored = make(x, resamples=9999), make(-x, resamples=9999)
    assert mirrored.estimate == pytest.approx(-made.estimate, abs=1e-9)
    if made.zero_variance:
        assert mirrored.zero_variance
    # the same seed draws the same prompts, so the replicates are mirrored exactly
    assert mirrored.low == pytest.approx(-made.high, abs=1e-6 * (1 + np.abs(x).max()))


def test_labels_only_name_strata_and_seeds_repeat() -> None:
    x = skewed(50)
    first = bca(x, templates(50, 5), seed=3)
    assert bca(x, templates(50, 5) * 10 + 7, seed=3) == first
    assert bca(x, templates(50, 5), seed=4).low != first.low
    assert abs(bca(x, templates(50, 5), seed=4).low - first.low) < 0.05


def test_chunks_of_draws_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    x = skewed(70)
    whole = mean_interval(x, templates(70, 3), seed=2)
    monkeypatch.setattr("circuitspec.judge.resampling._CHUNK", 1000)
    assert mean_interval(x, templates(70, 3), seed=2) == whole


# What is wrong with the data is said


@pytest.mark.parametrize("make", [bca, bootstrap_t, mean_interval])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_non_finite_values_are_flagged_and_give_no_number(make, bad: float) -> None:
    made = make([1.0, bad, 2.0])
    assert made.non_finite
    assert math.isnan(made.estimate)
    assert math.isnan(made.low)
    assert made.note == "1 of 3 values are not finite"
    assert enumerated([bad]).non_finite


@pytest.mark.parametrize("make", [bca, bootstrap_t, mean_interval])
def test_nothing_at_all_is_flagged(make) -> None:
    made = make([])
    assert made.non_finite
    assert made.note == "there are no values"
    assert clopper_pearson(0, 0).non_finite


@pytest.mark.parametrize("make", [bca, bootstrap_t, mean_interval])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 1e-300])
def test_a_constant_sample_is_a_flagged_point(make, value: float) -> None:
    made = make([value] * 30)
    assert made.zero_variance
    assert (made.low, made.high, made.estimate) == (value, value, value)


def test_zero_variance_is_within_strata() -> None:
    x = np.array([1.0, 2.0] * 20)
    assert mean_interval(x, templates(40, 2)).zero_variance
    assert not mean_interval(x).zero_variance


def test_one_value_has_no_spread() -> None:
    assert mean_interval([3.0]).zero_variance
    assert mean_interval([3.0]).note == "a single prompt has no spread"


def test_strata_of_one_prompt_are_pooled_and_not_held_fixed() -> None:
    x = skewed(20)
    apart = bca(x, np.arange(20))
    assert not apart.zero_variance
    assert apart.low == bca(x).low  # all pooled into one stratum
    one = np.array([0] * 9 + [1] * 10 + [5])
    assert [len(g) for g in sample_of(x, one).groups] == [10, 10]  # joined the smaller stratum
    assert sample_of(x, one).collapsed == 1


def test_ties_count_half() -> None:
    """Two values, equally often: replicates equal to the estimate must not tilt the interval."""
    made = bca([0.0] * 10 + [0.1] * 10, seed=0)
    assert made.low + made.high == pytest.approx(0.1, abs=0.006)
    assert made.low == pytest.approx(0.03, abs=0.0051)


def test_a_level_out_of_range_is_an_error() -> None:
    for level in (0.0, 100.0, 0.95 - 1):
        with pytest.raises(ValueError, match="percentage"):
            bca([1.0, 2.0], level=level)
    with pytest.raises(ValueError, match="strata"):
        bca([1.0, 2.0], [0])


def test_a_tail_beyond_the_replicates_is_unbounded() -> None:
    ordered = np.arange(1.0, 100.0)  # 99 replicates
    assert quantile(ordered, 0.25) == 25.0
    assert quantile(ordered, 0.255) == pytest.approx(25.5)
    assert quantile(ordered, 0.009) == -math.inf
    assert quantile(ordered, 0.991) == math.inf
    made = bca(skewed(40), level=99.99, resamples=999)
    assert (made.low, made.high) == (-math.inf, math.inf)


def test_enough_resamples_for_the_level() -> None:
    assert resamples_for(95) == RESAMPLES
    assert resamples_for(99.8) == RESAMPLES
    assert resamples_for(100 - 5 / 100) == 39_999
    assert resamples_for(100 - 5e-6) == 99_999
    assert resamples_for(95, resamples=199_999) == 199_999


def test_enumerated_is_exact() -> None:
    made = enumerated([0.1] * 10)
    assert made.exact
    assert made.zero_variance
    assert not enumerated([0.1, 0.2]).zero_variance
    assert (made.low, made.high) == (made.estimate, made.estimate)
    assert made.estimate == pytest.approx(0.1, abs=1e-17)
    assert mean_interval([1.0, 2.0, 6.0], population=True).estimate == 3.0


# Which interval


@pytest.mark.parametrize(
    ("n", "strata", "skewness", "excess", "method"),
    [
        (128, 8, 0.0, 0.0, "bca"),
        (127, 1, 0.0, 0.0, "hull"),
        (128, 9, 0.0, 0.0, "hull"),
        (200, 2, 1.42, 0.0, "hull"),
        (200, 2, -1.42, 0.0, "hull"),
        (200, 2, 0.0, 4.1, "hull"),
        (200, 2, -2.83, 0.0, "wide hull"),
        (512, 2, 3.40, 0.0, "wide hull"),
        (64, 1, 1.61, 0.0, "wide hull"),
        (32, 1, 1.14, 0.0, "wide hull"),
        (31, 1, 0.9, 0.0, "none"),
        (32, 1, 0.9, 0.0, "hull"),
        (15, 1, 0.0, 0.0, "none"),
        (16, 1, 0.0, 0.0, "hull"),
        (64, 32, math.nan, 0.0, "none"),
    ],
)
def test_the_choice_of_method(
    n: int, strata: int, skewness: float, excess: float, method: str
) -> None:
    chosen, why = choose(n, strata, skewness, excess)
    assert chosen == method
    assert bool(why) == (method != "bca")


def test_higher_levels_are_choosier() -> None:
    """At 99.5% the normal quantile is 2.807: skewness and kurtosis count (2.807/1.96)² = 2.05."""
    assert choose(200, 2, 0.7, 0.0)[0] == choose(200, 2, 0.68, 0.0, 99.5)[0] == "bca"
    assert choose(200, 2, 0.7, 0.0, 99.5)[0] == choose(200, 2, 0.0, 2.0, 99.5)[0] == "hull"
    assert choose(200, 2, 1.39, 0.0, 99.5)[0] == "wide hull"
    assert choose(200, 2, 1.41, 0.0, 90.0)[0] == "bca"  # and never less choosy than at 95%


def test_the_hull_is_the_wider_end_on_each_side() -> None:
    x = skewed(64)
    made = mean_interval(x, level=95, seed=1)
    first, second = bca(x, level=95, seed=1), bootstrap_t(x, level=95, seed=1)
    assert made.method == "hull"
    assert made.low == min(first.low, second.low)
    assert made.high == max(first.high, second.high)
    assert first.low != second.low


def test_a_heavy_tail_is_judged_on_thinner_tails_or_not_at_all() -> None:
    x = np.concatenate([np.random.default_rng(0).standard_normal(199), [60.0]])
    made = mean_interval(x, level=95, seed=1)
    assert made.method == "wide hull"
    assert made.trusted
    assert made.low == min(bca(x, level=99.5, seed=1).low, bootstrap_t(x, level=99.5, seed=1).low)
    fewer = mean_interval(x[-40:], level=95, seed=1)
    assert fewer.method == "wide hull"
    assert fewer.low == min(
        made(x[-40:], level=99.95, seed=1, resamples=39_999).low for made in (bca, bootstrap_t)
    )
    few = mean_interval(x[-31:], level=95, seed=1)
    assert not few.trusted
    assert "heavy tail" in few.note


def test_a_well_behaved_sample_is_judged_by_plain_bca() -> None:
    x = np.random.default_rng(5).standard_normal(200)
    made = mean_interval(x, templates(200, 2), level=95, seed=9)
    assert made == bca(x, templates(200, 2), level=95, seed=9)


def test_a_family_of_levels_agrees_with_single_calls() -> None:
    x = skewed(40)
    at = mean_intervals(x, seed=4)
    for level in (90.0, 95.0, 99.9):
        single: Interval = mean_interval(x, level=level, seed=4)
        assert at(level) == single


def test_skewness_does_not_shrink_with_the_strata() -> None:
    """Unbiased cumulants: means over many samples agree for strata of 40 and of 4."""
    rng = np.random.default_rng(1)
    k3 = {4: [], 40: []}
    for _ in range(400):
        x = rng.exponential(size=40)
        for size, found in k3.items():
            s = sample_of(x, np.arange(40) // size)
            found.append(s.skewness * s.sd**3)
    assert np.mean(k3[4]) == pytest.approx(2.0, abs=0.5)
    assert np.mean(k3[40]) == pytest.approx(2.0, abs=0.5)


def test_speed_is_bounded() -> None:
    """A thousand prompts in well under a second; generous, since machines are shared."""
    import time

    x = skewed(1000)
    start = time.process_time()
    mean_interval(x, templates(1000, 8))
    assert time.process_time() - start < 15.0
