"""Confidence sequences: closed forms, the promise under peeking, and the driver."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from circuitspec.judge.intervals import Interval
from circuitspec.judge.rules import Ruling, Verdict, at_least, max_over_sets
from circuitspec.judge.sequential import (
    FIRST,
    asymptotic_interval,
    beta_binomial_interval,
    judge_until_decided,
    looks,
    mixture_margin,
    mixture_scale,
    sequence_intervals,
)


def test_margin_by_hand() -> None:
    # n = 100, ρ² = 1/10, α = 0.05: √(2·11/1000 · ln(√11/0.05))
    expected = math.sqrt(2 * 11 / (100**2 * 0.1) * math.log(math.sqrt(11) / 0.05))
    assert mixture_margin(100, 95.0, 0.1) == pytest.approx(expected)
    assert expected == pytest.approx(0.3037, abs=1e-4)


def test_the_margin_is_the_root_of_the_normal_mixture() -> None:
    """At the end of the interval, the N(0, ρ²) mixture of likelihood ratios is exactly 1/α."""
    n, rho2 = 300, 0.02
    mean = mixture_margin(n, 95.0, rho2)
    effects = np.linspace(-1.5, 1.5, 200_001)
    ratio = np.exp(n * effects * mean - n * effects**2 / 2)
    weight = stats.norm.pdf(effects, scale=math.sqrt(rho2))
    mixture = np.sum(ratio * weight) * (effects[1] - effects[0])
    assert mixture == pytest.approx(1 / 0.05, rel=1e-6)


def test_the_scale_makes_the_middle_look_the_narrowest() -> None:
    cap = 2048
    best = mixture_scale(95.0, cap)
    middle = round(math.sqrt(FIRST * cap))
    for factor in (0.8, 1.25):
        assert mixture_margin(middle, 95.0, best) < mixture_margin(middle, 95.0, best * factor)


@pytest.mark.parametrize(("k", "n"), [(0, 5), (5, 5), (3, 9), (950, 1000), (1000, 1000)])
def test_beta_binomial_ends_are_where_the_mixture_reaches_its_bound(k: int, n: int) -> None:
    made = beta_binomial_interval(k, n, level=95)
    mixture = 1 / ((n + 1) * math.comb(n, k))  # the uniform mixture of p^k (1-p)^(n-k)
    for end in (made.low, made.high):
        if 0 < end < 1:
            log_ratio = (
                math.log(mixture)
                - (k * math.log(end) if k else 0)
                - ((n - k) * math.log1p(-end) if n > k else 0)
            )
            assert log_ratio == pytest.approx(math.log(20), abs=1e-6)
    assert made.low <= made.estimate <= made.high
    assert (made.low == 0.0) == (k == 0)
    assert (made.high == 1.0) == (k == n)


@given(st.integers(1, 400), st.data())
@settings(max_examples=60, deadline=None)
def test_beta_binomial_mirrors_and_widens_with_the_level(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, n))
    made, mirror = (
        beta_binomial_interval(k, n, level=95),
        beta_binomial_interval(n - k, n, level=95),
    )
    assert made.low == pytest.approx(1 - mirror.high, abs=1e-9)
    wider = beta_binomial_interval(k, n, level=99)
    assert wider.low <= made.low
    assert wider.high >= made.high


def test_a_sequence_is_wider_than_a_single_look() -> None:
    x = np.random.default_rng(0).standard_normal(500)
    made = asymptotic_interval(x, level=95, cap=2000)
    half = 1.96 * x.std(ddof=1) / math.sqrt(500)
    assert 1.4 * half < made.width / 2 < 1.8 * half
    assert made.estimate == pytest.approx(x.mean())


def test_strata_count_within_only() -> None:
    label = np.arange(400) % 2
    x = np.random.default_rng(0).standard_normal(400) + 10 * label
    assert (
        asymptotic_interval(x, label, level=95, cap=400).width
        < asymptotic_interval(x, level=95, cap=400).width / 3
    )


def test_what_is_wrong_is_said() -> None:
    few = asymptotic_interval(np.arange(127.0), level=95, cap=1000)
    assert not few.trusted
    assert "127 prompts are fewer than 128" in few.note
    assert asymptotic_interval(np.arange(128.0), level=95, cap=1000).trusted
    assert asymptotic_interval([1.0, math.nan], level=95, cap=10).non_finite
    assert asymptotic_interval([], level=95, cap=10).non_finite
    assert asymptotic_interval([0.1] * 200, level=95, cap=999).zero_variance
    assert beta_binomial_interval(0, 0, level=95).non_finite


def test_a_heavy_tail_is_judged_wide_and_then_not_at_all() -> None:
    rng = np.random.default_rng(0)
    plain = asymptotic_interval(rng.standard_normal(400), level=95, cap=4000)
    exp = rng.exponential(size=200)  # skewness near 2: 0.14 of the mean
    wide = asymptotic_interval(exp, level=95, cap=4000)
    assert plain.method == "asymptotic-cs"
    assert wide.method == "wide asymptotic-cs"
    assert wide.width > 1.25 * 2 * exp.std(ddof=1) * mixture_margin(
        200, 95.0, mixture_scale(95.0, 4000)
    )
    heavy = asymptotic_interval(np.exp(1.5 * rng.standard_normal(200)), level=95, cap=4000)
    assert not heavy.trusted
    assert "heavy tail" in heavy.note


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_peeking_at_a_share_keeps_the_level(share: float) -> None:
    """Misses at any n from 1 to 600, on the boundary: at most 5% of runs, by Ville's inequality."""
    rng = np.random.default_rng(2)
    hits = (rng.random((1500, 600)) < share).cumsum(axis=1)
    n = np.arange(1, 601)
    bound = np.zeros((601, 601), bool)
    for size in n:
        k = np.arange(size + 1)
        log_mixture = -math.log(size + 1) - (
            np.array([math.lgamma(size + 1)] * (size + 1))
            - np.vectorize(math.lgamma)(k + 1)
            - np.vectorize(math.lgamma)(size - k + 1)
        )
        ratio = log_mixture - k * math.log(share) - (size - k) * math.log(1 - share)
        bound[size, : size + 1] = ratio > math.log(20)
    missed = bound[n[None, :], hits].any(axis=1).mean()
    assert 0.002 < missed < 0.05
    # The same criterion, asked of the function on a few of those paths
    for path in hits[:40]:
        for size in (7, 60, 600):
            made = beta_binomial_interval(int(path[size - 1]), size, level=95)
            assert (not made.low <= share <= made.high) == bound[size, path[size - 1]]


def test_peeking_at_a_mean_keeps_the_level_where_a_plain_interval_does_not() -> None:
    rng = np.random.default_rng(3)
    sizes = looks(2048)
    x = rng.standard_normal((800, 2048))
    missed = plain = 0
    for path in x:
        ends = [asymptotic_interval(path[:n], level=95, cap=2048) for n in sizes]
        missed += any(not i.low <= 0 <= i.high for i in ends)
        plain += any(abs(i.estimate) > 1.96 * i.sd / math.sqrt(i.n) for i in ends)
    assert missed / 800 < 0.05
    assert plain / 800 > 0.12


# The driver


class Decision(NamedTuple):
    """Where a sequential run stopped, after which looks."""

    ruling: Ruling
    interval: Interval
    looks: tuple[int, ...]

    @property
    def n(self) -> int:
        return self.looks[-1]


def decide(
    x: NDArray[np.float64], rule: Callable[[Interval], Ruling], *, share: bool = False
) -> Decision:
    """One requirement judged on the values as they come, at most all of them."""
    held: list[Interval] = []

    def judge(n: int) -> list[Ruling]:
        at = sequence_intervals(x[:n], np.arange(n) % 2, cap=len(x), share=share)
        held.append(at(95.0))
        return [rule(held[-1])]

    (ruling,), seen = judge_until_decided(judge, cap=len(x))
    return Decision(ruling, held[-1], seen)


def test_looks_grow_to_the_cap() -> None:
    assert looks(1000) == (128, 256, 512, 1000)
    assert looks(300, growth=1.25) == (128, 160, 200, 250, 300)
    assert looks(128) == (128,)
    assert looks(50) == (50,)
    with pytest.raises(ValueError, match="growth"):
        looks(100, growth=1.0)


def test_a_clear_case_costs_one_look() -> None:
    x = np.random.default_rng(0).standard_normal(4000) + 1
    made = decide(x, lambda i: at_least(i, 0.0))
    assert made.ruling.verdict is Verdict.HOLDS
    assert made.looks == (128,)
    assert decide(x, lambda i: at_least(i, 2.0)).ruling.verdict is Verdict.REFUTED


def test_a_close_case_goes_on_and_is_not_called_at_the_cap() -> None:
    made = decide(np.random.default_rng(0).standard_normal(1000), lambda i: at_least(i, 0.0))
    assert made.ruling.verdict is Verdict.INCONCLUSIVE
    assert made.looks == looks(1000)
    assert made.interval.n == 1000


def test_a_middling_case_stops_in_between() -> None:
    x = np.random.default_rng(1).standard_normal(5000) + 0.15
    made = decide(x, lambda i: at_least(i, 0.0))
    assert made.ruling.verdict is Verdict.HOLDS
    assert 128 < made.n < 2500


def test_shares_are_judged_exactly() -> None:
    x = (np.random.default_rng(1).random(3000) < 0.95).astype(float)
    made = decide(x, lambda i: at_least(i, 0.8), share=True)
    assert made.interval.method == "beta-binomial-cs"
    assert made.ruling.verdict is Verdict.HOLDS
    all_hit = decide(np.ones(3000), lambda i: at_least(i, 0.99), share=True)
    assert all_hit.ruling.verdict is Verdict.HOLDS  # no zero variance for a share
    assert all_hit.n > 500


def test_values_that_are_not_numbers_stop_it() -> None:
    x = np.ones(500)
    x[100] = math.nan
    for share in (False, True):
        made = decide(x, lambda i: at_least(i, 0.0), share=share)
        assert made.ruling.verdict is Verdict.INVALID
        assert made.n == 128


def test_zero_variance_is_not_decided_by_sampling_on() -> None:
    made = decide(np.ones(500), lambda i: at_least(i, 0.0))
    assert made.ruling.verdict is Verdict.INCONCLUSIVE
    assert made.n == 500


def test_several_requirements_stop_when_all_are_decided_or_one_is_lost() -> None:
    open_, held = Ruling(verdict=Verdict.INCONCLUSIVE), Ruling(verdict=Verdict.HOLDS)
    lost = Ruling(verdict=Verdict.REFUTED)
    script = {128: [held, open_], 256: [open_, open_], 512: [lost, held], 1000: [held, held]}
    rulings, seen = judge_until_decided(lambda n: script[n], cap=1000)
    assert seen == (128, 256, 512)
    assert rulings == (held, held)  # what was reached at 128 is kept
    rulings, seen = judge_until_decided(lambda n: [lost, open_], cap=1000)
    assert (rulings, seen) == ((lost, open_), (128,))


def test_rules_over_many_sets_can_be_judged_at_a_look() -> None:
    x = np.random.default_rng(0).standard_normal((3, 400)) * 0.1
    sets = {f"k{i}": sequence_intervals(row, cap=400) for i, row in enumerate(x)}
    assert max_over_sets(sets, 0.1, 95).verdict is Verdict.HOLDS
    sets["bad"] = sequence_intervals(x[0] + 1, cap=400)
    ruling = max_over_sets(sets, 0.1, 95)
    assert ruling.verdict is Verdict.REFUTED
    bad: Interval | None = ruling.rows[3].adjusted
    assert bad is not None
    assert bad.level == pytest.approx(98.75)
