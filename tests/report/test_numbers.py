"""Numbers are rounded to what the interval justifies, and never so that the verdict looks wrong."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.report.numbers import (
    decimals_for,
    fixed,
    limit,
    operator_sign,
    short,
)


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (-0.4641, 2, "−0.46"),
        (-0.0004, 2, "0.00"),
        (math.nan, 2, "NaN"),
        (-math.inf, 2, "−∞"),
        (None, 2, "–"),
        (1234.5, 0, "1234"),
    ],
)
def test_fixed(value: float | None, decimals: int, text: str) -> None:
    assert fixed(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (1e-300, 2, "1e−300"),
        (-1e-300, 2, "−1e−300"),
        (0.0004, 2, "0.0004"),
        (-0.0, 2, "0"),
        (0.0, 2, "0"),
        (0.8, 2, "0.8"),
        (0.123456, 2, "0.12"),
        (1e300, 0, "1e+300"),
    ],
)
def test_a_threshold_is_never_shown_as_zero_unless_it_is(
    value: float, decimals: int, text: str
) -> None:
    assert limit(value, decimals) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(27.14, "27.14"), (3.1e-6, "0.000003"), (0.0, "0"), (1e-9, "1.0e−09"), (-1.5, "−1.5")],
)
def test_short(value: float, text: str) -> None:
    assert short(value) == text


def test_one_or_two_digits_of_the_half_width() -> None:
    assert decimals_for(-0.4641, (-0.6023, -0.3127)) == 2  # 0.14
    assert decimals_for(0.93, (0.885, 0.961)) == 2  # 0.04
    assert decimals_for(0.93, (0.90, 0.96)) == 3  # 0.030
    assert decimals_for(812.3, (700.0, 900.0)) == 0


def test_a_bound_just_below_its_threshold_is_not_rounded_onto_it() -> None:
    decimals = decimals_for(0.85, (0.79996, 0.9), (0.8,))
    assert fixed(0.79996, decimals) == "0.79996"


def test_threshold_as_written() -> None:
    assert limit(0.8, 3) == "0.8"
    assert limit(0.0, 3) == "0"
    assert limit(-0.66038, 2) == "−0.66"


finite = st.floats(min_value=-100, max_value=100).map(lambda x: round(x, 5))


@given(finite, finite, finite)
def test_what_is_printed_compares_as_what_was_judged(a: float, b: float, t: float) -> None:
    low, high = sorted((a, b))
    decimals = decimals_for((low + high) / 2, (low, high), (t,))
    for value in (low, high):
        printed = float(fixed(value, decimals).replace("−", "-"))
        against = float(limit(t, decimals).replace("−", "-"))
        assert (printed > against) - (printed < against) == (value > t) - (value < t)


@pytest.mark.parametrize(
    ("text", "sign"),
    [
        ("logit_diff >= 80% * model.logit_diff", "≥"),
        ("incompleteness <= 20% * model.logit_diff", "≤"),
        ("logit_diff within 20% of model.logit_diff", "within"),
        ("agreement == 1 +- 0.1", "="),
        ("rank < 3", "<"),
        ("holds", ""),
    ],
)
def test_operator_sign(text: str, sign: str) -> None:
    assert operator_sign(text) == sign
