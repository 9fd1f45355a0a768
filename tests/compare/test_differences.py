"""The statistics of a comparison, on series whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from circuitspec.claims.measured import Series
from circuitspec.comparing.differences import called, change, linearised, nearer, own, size_bounds
from circuitspec.judge.facts import Facts
from circuitspec.judge.intervals import Interval

N = 120
FACTS = Facts(strata=(0,) * N, metrics=("m",), exact=False, seed=1, competent={"m": True})


def series(mean: float, sd: float, seed: int) -> Series:
    """N values of exactly that mean."""
    values = np.random.default_rng(seed).normal(0.0, sd, N)
    return Series(values=values - values.mean() + mean)


@pytest.mark.parametrize(("a", "b"), list(product((-2.0, -0.1, 0.1, 2.0), repeat=2)))
def test_a_miss_is_compared_by_its_size(a: float, b: float) -> None:
    first, second = series(a, 1.0, 1), series(b, 1.0, 2)
    interval = nearer(first, second, "miss", FACTS)(95.0)
    assert interval.estimate == pytest.approx(abs(b) - abs(a), abs=1e-9)
    assert interval.low <= interval.estimate <= interval.high
    swapped = nearer(second, first, "miss", FACTS)(95.0)
    assert swapped.estimate == pytest.approx(-interval.estimate, abs=1e-9)


def test_the_box_holds_every_pair_of_means_that_the_intervals_leave() -> None:
    """Its ends are reached, and no point of the box lies outside."""
    first, second = series(-0.3, 1.0, 3), series(0.5, 1.0, 4)
    interval = nearer(first, second, "miss", FACTS)(95.0)
    u = change(second, first, FACTS)(95.0)
    v = change(second, replace(first, values=-first.values), FACTS)(95.0)
    grid = [
        abs((s + d) / 2) - abs((s - d) / 2)
        for d in np.linspace(u.low, u.high, 41)
        for s in np.linspace(v.low, v.high, 41)
    ]
    assert min(grid) == pytest.approx(interval.low, abs=1e-9)
    assert max(grid) == pytest.approx(interval.high, abs=1e-9)


def test_what_both_share_cancels() -> None:
    """Prompts differ widely, the rivals' misses by little: pairing sees it."""
    common = series(0.0, 10.0, 5).values
    first = Series(values=common + series(1.0, 0.1, 6).values)
    second = Series(values=common + series(1.5, 0.1, 7).values)
    assert nearer(first, second, "error", FACTS)(95.0).low > 0.4
    assert own(second, FACTS)(95.0).low < 1.0


def test_more_agreement_is_nearer() -> None:
    most, least = np.ones(N), np.zeros(N)
    least[:40] = 1.0
    first, second = Series(values=most, share=True), Series(values=least, share=True)
    interval = nearer(first, second, "agreement", FACTS)(95.0)
    assert interval.estimate == pytest.approx(80 / N)
    assert 0.5 < interval.low < 80 / N < interval.high <= 1.0 + 0.05
    assert nearer(second, first, "agreement", FACTS)(95.0).estimate == pytest.approx(-80 / N)


def test_shares_on_which_rivals_disagree_only_count() -> None:
    """Equal shares on other prompts: nothing to call, and the interval says how little is known."""
    first, second = np.zeros(N), np.zeros(N)
    first[:30], second[30:60] = 1.0, 1.0
    interval = change(Series(values=first, share=True), Series(values=second, share=True), FACTS)(
        95.0
    )
    assert interval.estimate == 0.0
    assert interval.low == pytest.approx(-interval.high)
    assert interval.high > 0.1


def test_a_linearised_ratio_has_the_ratio_as_its_mean() -> None:
    over, under = series(2.0, 1.0, 8).values, series(4.0, 1.0, 9).values
    assert linearised(over, under).mean() == pytest.approx(0.5)
    assert linearised(under, under).std() == pytest.approx(0.0, abs=1e-12)


INTERVAL = Interval(estimate=0.5, low=0.2, high=0.8, level=95.0, method="bca", n=N)


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.2, 0.8, 0.1, "first"),
        (0.2, 0.8, 0.2, "undecided"),
        (-0.8, -0.2, 0.1, "second"),
        (-0.1, 0.1, 0.1, "same"),
        (-0.1, 0.2, 0.1, "undecided"),
    ],
)
def test_calls(low: float, high: float, margin: float, expected: str) -> None:
    assert called(replace(INTERVAL, low=low, high=high), margin) == expected


@pytest.mark.parametrize(
    "flaw", [{"non_finite": True}, {"trusted": False}, {"zero_variance": True}]
)
def test_nothing_is_called_on_what_cannot_be_trusted(flaw: dict[str, bool]) -> None:
    assert called(replace(INTERVAL, **flaw), 0.1) == "undecided"


def test_a_population_without_spread_is_called() -> None:
    assert called(replace(INTERVAL, zero_variance=True, exact=True), 0.1) == "first"


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.2, 0.8, (0.2, 0.8)), (-0.8, -0.2, (0.2, 0.8)), (-0.3, 0.1, (0, 0.3))],
)
def test_how_large_a_signed_value_may_be(
    low: float, high: float, expected: tuple[float, float]
) -> None:
    assert size_bounds(replace(INTERVAL, low=low, high=high)) == expected
