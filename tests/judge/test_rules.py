"""The verdict rules: by hand, a wrong case for each, and what must hold of any interval."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.judge.intervals import Interval, clopper_pearson, enumerated, mean_interval
from circuitspec.judge.rules import (
    Ruling,
    Sides,
    Verdict,
    absolute_at_least,
    absolute_at_most,
    at_least,
    at_most,
    bonferroni,
    close_call,
    combine,
    every_effect_at_least,
    exit_code,
    expected_refuted,
    max_over_sets,
    n_to_settle,
    within_band,
)

HOLDS, REFUTED = Verdict.HOLDS, Verdict.REFUTED
INCONCLUSIVE, INVALID = Verdict.INCONCLUSIVE, Verdict.INVALID


def span(low: float, high: float, **flags: object) -> Interval:
    settings = {"level": 95.0, "method": "bca", "n": 100, "sd": 1.0} | flags
    return Interval(estimate=(low + high) / 2, low=low, high=high, **settings)  # type: ignore[arg-type]  # keyword flags


def family(estimate: float, half: float, **flags: object) -> Callable[[float], Interval]:
    """Half-width `half` at 95%, growing by `half` for each tenfold smaller tail."""

    def at(level: float) -> Interval:
        wide = half * (1 + math.log10(5.0 / (100.0 - level)))
        return span(estimate - wide, estimate + wide, level=level, **flags)

    return at


# One interval, by hand


@pytest.mark.parametrize(
    ("low", "high", "t", "strict", "verdict"),
    [
        (1.0, 2.0, 0.9, False, HOLDS),
        (1.0, 2.0, 1.0, False, HOLDS),
        (1.0, 2.0, 1.0, True, INCONCLUSIVE),
        (1.0, 2.0, 1.5, False, INCONCLUSIVE),
        (1.0, 2.0, 2.0, False, INCONCLUSIVE),
        (1.0, 2.0, 2.0, True, REFUTED),
        (1.0, 2.0, 2.1, False, REFUTED),
        (-math.inf, 2.0, 1.0, False, INCONCLUSIVE),
        (-math.inf, 2.0, 3.0, False, REFUTED),
        (1.0, math.inf, 0.5, False, HOLDS),
    ],
)
def test_at_least(low: float, high: float, t: float, strict: bool, verdict: Verdict) -> None:
    assert at_least(span(low, high), t, strict=strict).verdict is verdict
    # "at most" is the same of everything mirrored
    mirrored = span(-high, -low)
    assert at_most(mirrored, -t, strict=strict).verdict is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.1, 0.1, HOLDS),
        (-0.2, 0.2, HOLDS),
        (0.1, 0.3, INCONCLUSIVE),
        (-1.0, 1.0, INCONCLUSIVE),
        (0.2, 0.3, INCONCLUSIVE),
        (0.21, 0.3, REFUTED),
        (-0.3, -0.21, REFUTED),
    ],
)
def test_within_band(low: float, high: float, verdict: Verdict) -> None:
    assert within_band(span(low, high), -0.2, 0.2).verdict is verdict
    assert absolute_at_most(span(low, high), 0.2).verdict is verdict


def test_a_strict_band_leaves_out_its_ends() -> None:
    assert absolute_at_most(span(-0.2, 0.1), 0.2, strict=True).verdict is INCONCLUSIVE
    assert absolute_at_most(span(0.2, 0.3), 0.2, strict=True).verdict is REFUTED
    assert within_band(span(0.0, 0.0), 1.0, 0.5).verdict is INVALID
    assert absolute_at_most(span(0.0, 0.0), -1.0).verdict is INVALID
    assert within_band(enumerated([0.5]), 0.5, 0.5).verdict is HOLDS
    assert within_band(enumerated([0.5]), 0.5, 0.5, strict=True).verdict is INVALID


@pytest.mark.parametrize(
    ("low", "high", "verdict", "strictly"),
    [
        (0.3, 0.4, HOLDS, HOLDS),
        (-0.4, -0.3, HOLDS, HOLDS),
        (0.2, 0.4, HOLDS, INCONCLUSIVE),
        (-0.1, 0.1, REFUTED, REFUTED),
        (-0.2, 0.1, INCONCLUSIVE, REFUTED),
        (0.1, 0.3, INCONCLUSIVE, INCONCLUSIVE),
        (-1.0, 1.0, INCONCLUSIVE, INCONCLUSIVE),
    ],
)
def test_absolute_at_least(low: float, high: float, verdict: Verdict, strictly: Verdict) -> None:
    assert absolute_at_least(span(low, high), 0.2).verdict is verdict
    assert absolute_at_least(span(low, high), 0.2, strict=True).verdict is strictly


RULES: list[Callable[[Interval], Ruling]] = [
    lambda i: at_least(i, 0.5),
    lambda i: at_most(i, 0.5),
    lambda i: within_band(i, 0.2, 0.8),
    lambda i: absolute_at_most(i, 0.5),
    lambda i: absolute_at_least(i, 0.5),
]


@pytest.mark.parametrize("rule", RULES)
def test_flagged_intervals_are_never_a_verdict(rule: Callable[[Interval], Ruling]) -> None:
    for value in (0.0, 0.5, 1.0):
        constant = mean_interval([value] * 50)
        assert rule(constant).verdict is INCONCLUSIVE
        assert "zero variance" in rule(constant).reason
        assert rule(enumerated([value] * 50)).verdict in (HOLDS, REFUTED)
        few = mean_interval([value + 1e-3 * k for k in range(9)])
        assert rule(few).verdict is INCONCLUSIVE
        assert "too few" in rule(few).reason
    for made in (mean_interval([1.0, math.nan]), enumerated([math.inf]), clopper_pearson(0, 0)):
        assert rule(made).verdict is INVALID
        assert rule(made).reason


@pytest.mark.parametrize("t", [math.nan, math.inf, -math.inf])
def test_a_threshold_that_is_no_number_is_invalid(t: float) -> None:
    for rule in (at_least, at_most, absolute_at_most, absolute_at_least):
        assert rule(span(0, 1), t).verdict is INVALID
    assert within_band(span(0, 1), 0, t).verdict is INVALID


# What must be true of any interval

ends = st.floats(-10, 10).map(lambda v: round(v, 1))
intervals = st.tuples(ends, ends).map(lambda p: span(min(p), max(p)))


@given(intervals, ends, st.booleans())
def test_one_sided_rules_are_exact_on_points_and_monotone(
    interval: Interval, t: float, strict: bool
) -> None:
    """Holds iff every point of the interval satisfies the comparison, refuted iff none does."""
    points = [interval.low + k / 64 * interval.width for k in range(64)] + [interval.high]
    for rule, compare in (
        (at_least, lambda e: e > t if strict else e >= t),
        (at_most, lambda e: e < t if strict else e <= t),
        (absolute_at_least, lambda e: abs(e) > abs(t) if strict else abs(e) >= abs(t)),
    ):
        said = rule(interval, abs(t) if rule is absolute_at_least else t, strict=strict).verdict
        true = [compare(e) for e in points]
        if said is HOLDS:
            assert all(true)
        elif said is REFUTED:
            assert not any(true)
        elif rule is not absolute_at_least:
            assert not all(true) or not any(true)
            assert said is INCONCLUSIVE
            assert any(true) != all(true)


@given(intervals, ends, ends, st.booleans())
def test_a_band_and_its_complement_never_agree(
    interval: Interval, a: float, b: float, strict: bool
) -> None:
    said = within_band(interval, min(a, b), max(a, b), strict=strict).verdict
    above = at_least(interval, min(a, b), strict=strict).verdict
    below = at_most(interval, max(a, b), strict=strict).verdict
    if said is HOLDS:
        assert above is below is HOLDS
    elif said is REFUTED:
        assert REFUTED in (above, below)
    elif said is INCONCLUSIVE:
        assert INCONCLUSIVE in (above, below)
        assert REFUTED not in (above, below)


@given(intervals, ends, st.floats(0, 3))
def test_a_wider_interval_never_says_more(interval: Interval, t: float, more: float) -> None:
    wider = span(interval.low - more, interval.high + more)
    for rule in RULES:
        said, less = rule(interval).verdict, rule(wider).verdict
        assert less in (said, INCONCLUSIVE)


@given(intervals, ends)
def test_a_claim_and_its_negation_never_both_hold(interval: Interval, t: float) -> None:
    claim = at_least(interval, t).verdict
    negation = at_most(interval, t, strict=True).verdict
    assert negation is expected_refuted(claim)


# n to settle


def test_n_to_settle_is_the_textbook_sample_size() -> None:
    # (1.96 + 0.8416)² × 2² / 0.5² = 125.6
    interval = span(0.4, 1.6, sd=2.0, n=40)
    assert n_to_settle(interval, 0.5) == 126
    assert n_to_settle(interval, 0.5, -3.0) == 126  # the nearer threshold
    assert n_to_settle(interval, 1.0) is None  # estimate on the threshold
    assert n_to_settle(mean_interval([2.0] * 9), 1.0) is None
    assert n_to_settle(enumerated([2.0]), 1.0) is None


def test_n_to_settle_heeds_an_interval_wider_than_the_normal_one() -> None:
    wide = span(-0.6, 2.6, sd=2.0, n=40)
    assert n_to_settle(wide, 0.5) == math.ceil(
        (1 + 0.8416212 / 1.9599640) ** 2 * 40 * 1.6**2 / 0.25
    )


def test_n_to_settle_is_silent_where_an_end_that_matters_is_not_bounded() -> None:
    """How fast an infinite end comes nearer is not in the data: the normal one's n was too few."""
    plain = span(0.4, 1.6, sd=2.0, n=40)
    below, above = replace(plain, low=-math.inf), replace(plain, high=math.inf)
    assert n_to_settle(below, 0.5) is None
    assert n_to_settle(above, 0.5) == n_to_settle(plain, 0.5)  # `>= 0.5` asks nothing of it
    assert n_to_settle(above, 0.5, 3.0) is None  # a band does
    ruling = at_least(below, 0.5)
    assert (ruling.verdict, ruling.n_to_settle) == (INCONCLUSIVE, None)


def test_n_to_settle_would_settle_it() -> None:
    """At the n it names, with the same estimate, the verdict is no longer open."""
    open_ = clopper_pearson(17, 20)
    assert at_least(open_, 0.8).verdict is INCONCLUSIVE
    n = at_least(open_, 0.8).n_to_settle
    assert n is not None
    assert at_least(clopper_pearson(round(0.85 * n), n), 0.8).verdict is HOLDS
    assert at_least(clopper_pearson(round(0.85 * 60), 60), 0.8).verdict is INCONCLUSIVE
    perfect = clopper_pearson(10, 10)  # no spread in the sample, and still a finite answer
    n = at_least(perfect, 0.9).n_to_settle
    assert n is not None
    assert at_least(clopper_pearson(n, n), 0.9).verdict is HOLDS


@given(intervals, ends)
def test_n_to_settle_is_more_than_there_were(interval: Interval, t: float) -> None:
    ruling = at_least(interval, t)
    if ruling.verdict is INCONCLUSIVE:
        assert ruling.n_to_settle is None or ruling.n_to_settle > interval.n
        assert (ruling.n_to_settle is None) == (interval.estimate == t)


def test_a_close_call_is_within_rounding_of_a_threshold() -> None:
    assert close_call(span(0.5 + 9e-6, 1.0), 0.5)
    assert not close_call(span(0.5 + 2e-5, 1.0), 0.5)
    assert close_call(span(0.0, 1.0), 7.0, 1.0)


# A maximum over sets


def test_a_maximum_holds_when_every_set_is_inside_unadjusted() -> None:
    ruling = max_over_sets({"a": family(0.1, 0.1), "b": family(-0.15, 0.05)}, 0.2, 95)
    assert ruling.verdict is HOLDS
    assert ruling.decided_by == "b"  # the one nearest to failing
    assert [row.adjusted for row in ruling.rows] == [None, None]
    # At the Bonferroni level they would not be inside: holding needs no adjustment
    assert family(-0.15, 0.05)(bonferroni(95, 2)).low < -0.2


def test_a_maximum_is_refuted_only_by_a_bonferroni_interval() -> None:
    sets = {"fine": family(0.0, 0.01), "bad": family(0.32, 0.1)}
    ruling = max_over_sets(sets, 0.2, 95)
    assert sets["bad"](95).low > 0.2
    assert sets["bad"](97.5).low < 0.2
    assert ruling.verdict is INCONCLUSIVE
    assert "but not at 97.5%" in ruling.reason
    assert ruling.n_to_settle is not None
    worse = max_over_sets(sets | {"bad": family(0.4, 0.1)}, 0.2, 95)
    assert worse.verdict is REFUTED
    assert worse.decided_by == "bad"
    assert worse.reason == "bad fails (1 of 2 do)"
    # alone it needs no adjustment
    assert max_over_sets({"bad": family(0.32, 0.1)}, 0.2, 95).verdict is REFUTED


def test_a_set_that_does_worse_by_sign_is_refuted_too() -> None:
    """The wrong case: comparing the signed value with the threshold would pass −3."""
    ruling = max_over_sets({"a": family(-3.0, 0.1)}, 0.2, 95)
    assert ruling.verdict is REFUTED


def test_a_wide_set_leaves_a_maximum_open_and_a_nan_makes_it_invalid() -> None:
    fine, wide = family(0.0, 0.1), family(0.0, 1.0)
    broken = mean_interval([math.nan])
    assert max_over_sets({"a": fine, "w": wide}, 0.2, 95).verdict is INCONCLUSIVE
    invalid = max_over_sets({"a": fine, "w": wide, "x": lambda level: broken}, 0.2, 95)
    assert invalid.verdict is INVALID
    assert invalid.decided_by == "x"
    both = max_over_sets({"x": lambda level: broken, "b": family(9.0, 0.1)}, 0.2, 95)
    assert both.verdict is REFUTED
    assert max_over_sets({}, 0.2, 95).verdict is INVALID
    constant = mean_interval([0.0] * 50)
    assert max_over_sets({"a": fine, "c": lambda level: constant}, 0.2, 95).verdict is INCONCLUSIVE


def test_an_enumerated_maximum_is_decided_exactly() -> None:
    def exact(v: float) -> Callable[[float], Interval]:
        return lambda level: enumerated([v])

    assert max_over_sets({"a": exact(0.2), "b": exact(-0.2)}, 0.2, 95).verdict is HOLDS
    assert max_over_sets({"a": exact(0.2)}, 0.2, 95, strict=True).verdict is REFUTED
    assert max_over_sets({"a": exact(0.1), "b": exact(-0.21)}, 0.2, 95).verdict is REFUTED


# Every effect


def one(at: Callable[[float], Interval]) -> dict[str, Callable[[float], Interval]]:
    return {"role": at}


def test_every_effect_holds_by_either_sign() -> None:
    effects = {"a9.h9": one(family(0.5, 0.1)), "a10.h7": one(family(-0.5, 0.1))}
    ruling = every_effect_at_least(effects, 0.2, 95)
    assert ruling.verdict is HOLDS
    assert ruling.decided_by in ("a9.h9", "a10.h7")
    assert [row.name for row in ruling.rows] == ["a9.h9", "a10.h7"]


def test_holding_is_adjusted_for_a_nodes_own_candidates_only() -> None:
    # at 95% outside (−0.2, 0.2); at 97.5%, two candidates, no longer
    at = family(0.32, 0.1)
    assert at(95).low > 0.2 > at(97.5).low
    alone = {"v": one(at)} | {f"o{k}": one(family(1.0, 0.1)) for k in range(9)}
    assert every_effect_at_least(alone, 0.2, 95).verdict is HOLDS
    two = {"v": {"k1": at, "k2": family(0.0, 0.1)}, "w": one(family(1.0, 0.1))}
    ruling = every_effect_at_least(two, 0.2, 95)
    assert ruling.verdict is INCONCLUSIVE
    assert ruling.decided_by == "v"
    assert [row.name for row in ruling.rows] == ["v | k1", "v | k2", "w"]
    strong = {"v": {"k1": family(0.5, 0.1), "k2": family(0.0, 0.1)}}
    assert every_effect_at_least(strong, 0.2, 95).verdict is HOLDS  # one candidate is enough


def test_refuting_is_adjusted_for_the_size_of_the_circuit() -> None:
    at = family(0.0, 0.16)  # inside (−0.2, 0.2) at 95%, not at 97.5%
    assert every_effect_at_least({"v": one(at)}, 0.2, 95).verdict is REFUTED
    ruling = every_effect_at_least({"v": one(at), "w": one(family(1.0, 0.1))}, 0.2, 95)
    assert ruling.verdict is INCONCLUSIVE
    assert "but not at 97.5%" in ruling.reason
    small = {"v": one(family(0.0, 0.05)), "w": one(family(1.0, 0.1))}
    ruling = every_effect_at_least(small, 0.2, 95)
    assert ruling.verdict is REFUTED
    assert ruling.decided_by == "v"


def test_a_node_is_refuted_only_when_all_its_candidates_are_inside() -> None:
    inside, wide, out = family(0.0, 0.05), family(0.0, 1.0), family(1.0, 0.1)
    others = {"w": one(out)}
    assert every_effect_at_least({"v": {"a": inside, "b": inside}} | others, 0.2, 95).verdict is (
        REFUTED
    )
    assert every_effect_at_least({"v": {"a": inside, "b": wide}} | others, 0.2, 95).verdict is (
        INCONCLUSIVE
    )
    assert every_effect_at_least({"v": {"a": inside, "b": out}} | others, 0.2, 95).verdict is HOLDS


def test_effects_that_cannot_be_judged() -> None:
    broken = mean_interval([math.nan])
    out = family(1.0, 0.1)
    assert every_effect_at_least({"v": one(lambda level: broken)}, 0.2, 95).verdict is INVALID
    mixed = {"v": one(lambda level: broken), "w": one(family(0.0, 0.01))}
    assert every_effect_at_least(mixed, 0.2, 95).verdict is REFUTED
    assert every_effect_at_least({"v": {}, "w": one(out)}, 0.2, 95).reason == (
        "v has no candidate set"
    )
    assert every_effect_at_least({}, 0.2, 95).verdict is INVALID


# A band that is measured itself


def around(e: float, band: float, half: float) -> Sides:
    """|e| against a band of half-width `band`, both contrasts of half-width `half` at 95%."""
    return Sides(below=family(e + band, half), above=family(e - band, half))


@pytest.mark.parametrize(
    ("e", "most", "least"),
    [
        (0.0, HOLDS, REFUTED),
        (0.5, HOLDS, REFUTED),
        (0.95, INCONCLUSIVE, INCONCLUSIVE),
        (1.05, INCONCLUSIVE, INCONCLUSIVE),
        (1.2, REFUTED, HOLDS),
        (-0.5, HOLDS, REFUTED),
        (-1.05, INCONCLUSIVE, INCONCLUSIVE),
        (-1.2, REFUTED, HOLDS),
    ],
)
def test_a_relative_threshold_is_judged_on_both_contrasts(
    e: float, most: Verdict, least: Verdict
) -> None:
    sides = around(e, 1.0, 0.1)
    ruling = max_over_sets({"k": sides}, 0.0, 95)
    assert ruling.verdict is most
    assert ruling.rows[0].excess == pytest.approx(abs(e) - 1.0)
    assert every_effect_at_least({"v": {"k": sides}}, 0.0, 95).verdict is least
    # a constant band of the same width is the same thing
    shifted = Sides(below=family(e, 0.1), above=family(e, 0.1))
    assert max_over_sets({"k": shifted}, 1.0, 95).verdict is most
    assert every_effect_at_least({"v": {"k": shifted}}, 1.0, 95).verdict is least


def test_sides_are_adjusted_like_intervals() -> None:
    beyond = around(1.12, 1.0, 0.1)  # out at 95%, not at 97.5%
    assert max_over_sets({"k": beyond}, 0.0, 95).verdict is REFUTED
    ruling = max_over_sets({"k": beyond, "l": around(0.0, 1.0, 0.1)}, 0.0, 95)
    assert ruling.verdict is INCONCLUSIVE
    assert ruling.decided_by == "k"
    assert ruling.n_to_settle is not None
    broken = mean_interval([math.nan])
    half_broken = Sides(below=lambda level: broken, above=family(-1.0, 0.1))
    assert max_over_sets({"k": half_broken}, 0.0, 95).verdict is INVALID
    assert every_effect_at_least({"v": {"k": half_broken}}, 0.0, 95).verdict is INVALID


# Many verdicts


@pytest.mark.parametrize(
    ("verdicts", "verdict", "code"),
    [
        ([HOLDS, HOLDS], HOLDS, 0),
        ([HOLDS, INCONCLUSIVE], INCONCLUSIVE, 3),
        ([HOLDS, INVALID, INCONCLUSIVE], INVALID, 3),
        ([INVALID, REFUTED, INCONCLUSIVE], REFUTED, 1),
        ([], INVALID, 3),
    ],
)
def test_precedence_and_exit_codes(verdicts: list[Verdict], verdict: Verdict, code: int) -> None:
    assert combine(verdicts) is verdict
    assert combine(reversed(verdicts)) is verdict
    assert exit_code(verdicts) == code


def test_expected_refutation_turns_only_what_was_decided() -> None:
    assert [expected_refuted(v) for v in (HOLDS, REFUTED, INCONCLUSIVE, INVALID)] == [
        REFUTED,
        HOLDS,
        INCONCLUSIVE,
        INVALID,
    ]


def test_rules_need_no_numpy() -> None:
    """Reports and exit codes read verdicts; they must not pay for numerics."""
    code = "import sys, circuitspec.judge.rules; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
