"""The tests of Shi et al.: exact where they can be, and not their known wrong turns."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from circuitspec.judge.hypothesis_tests import (
    equivalence_shown,
    equivalence_test,
    independence_test,
    minimality_test,
)

rng = np.random.default_rng


# Equivalence


@pytest.mark.parametrize("n", [1, 7, 40, 500])
@pytest.mark.parametrize("epsilon", [0.0, 0.1])
def test_the_identical_circuit_is_not_rejected(n: int, epsilon: float) -> None:
    scores = rng(0).standard_normal(n)
    result = equivalence_test(scores, scores.copy(), epsilon=epsilon)
    assert result.p_value == 1.0
    assert result.statistic == 0.5
    assert not result.rejected()
    assert f"{n} of {n} prompts are ties" in result.note


def test_a_circuit_that_always_loses_is_rejected_by_however_little() -> None:
    scores = rng(0).standard_normal(100)
    result = equivalence_test(scores, scores - 1e-6)
    assert result.p_value < 1e-10
    assert result.statistic == 0.0
    # within the scores' resolution it is the same circuit
    assert equivalence_test(scores, scores - 1e-6, resolution=1e-5).p_value == 1.0


def test_the_equivalence_p_value_is_the_binomial_one() -> None:
    model = np.zeros(50)
    circuit = np.array([1.0] * 38 + [-1.0] * 12)
    at_half = equivalence_test(model, circuit, epsilon=0.0)
    assert at_half.p_value == pytest.approx(stats.binomtest(38, 50).pvalue)
    wide = equivalence_test(model, circuit, epsilon=0.1)
    expected = stats.binom.sf(37, 50, 0.6) + stats.binom.cdf(12, 50, 0.6)
    assert wide.p_value == pytest.approx(expected)
    mirrored = equivalence_test(circuit, model, epsilon=0.1)
    assert mirrored.p_value == pytest.approx(wide.p_value)


def test_the_size_of_the_difference_does_not_matter() -> None:
    """The wrong turn: a mean difference of 0.5 was read as a share of one half."""
    scores = rng(1).standard_normal(200)
    for gap in (0.5, 5.0):
        assert equivalence_test(scores, scores - gap).p_value < 1e-12
    noise = rng(2).standard_normal(200)
    assert equivalence_test(scores, scores + 1e3 * noise).p_value > 0.2


LAWS = [(0.0, 0.0), (0.0, 0.1), (0.3, 0.0), (0.3, 0.1), (0.8, 0.0), (0.7, 0.1)]
"""Shares of ties and ε; with more ties than 1 − 2ε no law lies on the edge."""


@pytest.mark.parametrize(("ties", "epsilon"), LAWS)
def test_the_equivalence_test_keeps_its_size_whatever_the_ties(ties: float, epsilon: float) -> None:
    """Exact size over all outcomes of n = 30 at the edge of the null hypothesis."""
    n, win = 30, (1 - ties) / 2 + epsilon
    size = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            chance = stats.multinomial.pmf(
                [wins, losses, n - wins - losses], n, [win, 1 - ties - win, ties]
            )
            if chance > 1e-12:
                circuit = np.array([1.0] * wins + [-1.0] * losses + [0.0] * (n - wins - losses))
                size += chance * equivalence_test(np.zeros(n), circuit, epsilon=epsilon).rejected()
    assert size <= 0.05


def test_a_p_value_is_never_zero() -> None:
    scores = np.arange(5000.0)
    assert equivalence_test(scores, scores - 1).p_value > 0.0
    assert independence_test(scores[:200], scores[:200], seed=0, permutations=99).p_value == 0.01
    result = minimality_test({"e": 0.0}, np.ones(5000))
    assert result.p_values["e"] > 0.0


def test_equivalence_is_shown_by_the_reverse_test_only_with_enough_prompts() -> None:
    scores = rng(0).standard_normal(200)
    assert equivalence_shown(scores, scores).p_value == pytest.approx(
        stats.binom.cdf(100, 200, 0.6)
    )
    assert equivalence_shown(scores, scores).rejected()
    assert not equivalence_shown(scores[:10], scores[:10]).rejected()  # ten prompts show nothing
    assert not equivalence_test(scores[:10], scores[:10]).rejected()
    assert equivalence_shown(scores, scores - 1).p_value == pytest.approx(1.0)
    assert math.isnan(equivalence_shown(scores, scores, epsilon=0.0).p_value)


def test_scores_that_cannot_be_tested_say_so() -> None:
    for test in (equivalence_test, equivalence_shown):
        assert math.isnan(test([], []).p_value)
        assert test([1.0, math.nan], [1.0, 2.0]).note == "1 scores are not finite"
        assert not test([1.0, math.nan], [1.0, 2.0]).rejected()
        with pytest.raises(ValueError, match="do not pair up"):
            test([1.0], [1.0, 2.0])
    assert math.isnan(independence_test([1.0, 2.0], [1.0, 2.0], seed=0).p_value)


# Independence


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """The biased HSIC as Gretton et al. print it, with the same widths."""

    def gram(v: np.ndarray) -> np.ndarray:
        d = np.abs(v[:, None] - v[None, :])
        return np.exp(-(d**2) / (2 * np.median(d[d > 0]) ** 2))

    n = len(x)
    h = np.eye(n) - 1 / n
    return float(np.trace(gram(x) @ h @ gram(y) @ h)) / (n - 1) ** 2


def test_the_statistic_is_hsic() -> None:
    x, y = rng(0).standard_normal((2, 60))
    y = y + x**2
    assert independence_test(x, y, seed=0, permutations=9).statistic == pytest.approx(
        hsic(x, y), rel=1e-8
    )


def test_dependence_without_correlation_is_found_and_independence_is_not() -> None:
    x, noise = rng(3).standard_normal((2, 150))
    assert abs(np.corrcoef(x, x**2 + 0.1 * noise)[0, 1]) < 0.2
    assert independence_test(x, x**2 + 0.1 * noise, seed=1).p_value == 0.001
    assert independence_test(x, noise, seed=1).p_value > 0.05


def test_the_permutation_test_keeps_its_size() -> None:
    g = rng(5)
    rejections = sum(
        independence_test(
            g.standard_normal(25), g.exponential(size=25), seed=k, permutations=39
        ).rejected()
        for k in range(300)
    )
    assert 3 <= rejections <= 29  # 5% of 300, within four standard deviations


def test_units_do_not_matter() -> None:
    x, y = rng(0).standard_normal((2, 50))
    first = independence_test(x, y + x, seed=2, permutations=199)
    second = independence_test(1e4 * x - 3, 1e-4 * (y + x), seed=2, permutations=199)
    assert second.p_value == first.p_value
    assert second.statistic == pytest.approx(first.statistic, rel=1e-6)


def test_a_complement_that_does_nothing_is_independent() -> None:
    x = rng(0).standard_normal(50)
    result = independence_test(x, np.zeros(50), seed=0)
    assert result.p_value == 1.0
    assert "complement's scores are constant" in result.note


def test_templates_that_differ_are_not_dependence() -> None:
    template = np.arange(120) % 2
    g = rng(4)
    x, y = g.standard_normal((2, 120)) + 4 * template
    assert independence_test(x, y, seed=0).p_value == 0.001
    assert independence_test(x, y, seed=0, strata=template).p_value > 0.05


# Minimality


def test_an_edge_is_compared_with_redundant_edges() -> None:
    reference = np.linspace(-1, 1, 101)
    result = minimality_test({"big": -5.0, "middling": 0.955, "small": 0.5}, reference)
    assert result.exceeded == {
        "big": 1.0,
        "middling": pytest.approx(95 / 101),
        "small": pytest.approx(49 / 101),
    }
    assert result.p_values["big"] == pytest.approx(1.0)
    assert result.p_values["small"] == pytest.approx(stats.binom.cdf(49, 101, 0.9))
    assert result.unneeded == ("small",)
    assert result.overall.p_value == pytest.approx(3 * result.p_values["small"])


def test_many_edges_are_corrected_for() -> None:
    """One edge of a borderline p is unneeded alone, and not among fifty."""
    reference = np.arange(100.0)
    alone = minimality_test({"e": 83.5}, reference)
    assert 0.01 < alone.p_values["e"] < 0.05
    assert alone.unneeded == ("e",)
    many = minimality_test({"e": 83.5} | {f"f{k}": 1e3 for k in range(49)}, reference)
    assert many.unneeded == ()
    assert not many.overall.rejected()


def test_an_edge_that_does_nothing_is_unneeded_even_among_references_that_do_nothing() -> None:
    result = minimality_test({"e": 0.0}, np.zeros(100))
    assert result.unneeded == ("e",)


def test_minimality_says_when_it_cannot_be_tested() -> None:
    assert minimality_test({}, [1.0]).overall.note == "there are no edges"
    assert minimality_test({"e": 1.0}, []).overall.note == "there are no reference edges"
    assert minimality_test({"e": math.nan}, [1.0]).overall.note == "1 effects are not finite"
    assert not minimality_test({"e": math.nan}, [1.0]).overall.rejected()
