"""Plots: what they show is where the numbers say, and how they look is as it was before."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest
from syrupy.assertion import SnapshotAssertion

from circuitspec.report.html.plots import Scale, completeness, interval, minimality, standalone
from circuitspec.report.rows import row_of

from ..report.conftest import requirement

SVG = "{http://www.w3.org/2000/svg}"
SETS = [
    {"name": "a", "kind": "named", "model.m": 3.0, "circuit.m": 3.0},
    {"name": "b & c", "kind": "random", "model.m": 1.0, "circuit.m": -0.5},
    {"name": "d", "kind": "greedy", "model.m": 2.0, "circuit.m": 0.0},
]
EFFECTS = [
    {"name": "a", "given": "", "before.m": 4.0, "after.m": 5.0},
    {"name": "a_role_with_a_very_long_name", "given": "a", "before.m": 4.0, "after.m": 1.0},
]


def parts(svg: str, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(svg).iter(SVG + tag))


def number(element: ET.Element, key: str) -> float:
    return float(element.get(key, "nan"))


@pytest.mark.parametrize(
    ("relation", "threshold", "estimate", "low", "high"),
    [
        (">=", 0.8, 0.93, 0.885, 0.961),
        ("<=", 0.8, 0.93, 0.885, 0.961),
        ("within", (0.8, 1.2), 0.93, 0.7, 1.1),
    ],
)
def test_the_estimate_lies_on_what_is_needed_or_not(
    relation: str, threshold: float | tuple[float, float], estimate: float, low: float, high: float
) -> None:
    text = f"agreement {relation} 0.8 ci 95"
    svg = interval(requirement(text, estimate=estimate, interval=(low, high), threshold=threshold))
    (needed,) = parts(svg, "rect")
    (dot,) = parts(svg, "circle")
    start, end = number(needed, "x"), number(needed, "x") + number(needed, "width")
    assert (start <= number(dot, "cx") <= end) == (relation != "<=")
    line = next(p for p in parts(svg, "path") if "p-line" in p.get("class", ""))
    found = re.match(r"M([\d.]+) [\d.]+H([\d.]+)", line.get("d", ""))
    assert found is not None
    left, right = float(found[1]), float(found[2])
    assert 0 < left < number(dot, "cx") < right < 220


@pytest.mark.parametrize(("estimate", "met"), [(0.3, True), (-0.3, True), (0.05, False)])
def test_the_size_of_an_effect_must_leave_its_band(estimate: float, met: bool) -> None:
    """`effect >= 0.1` is judged on the signed effect: what is needed lies on both sides."""
    size = requirement(
        "effect >= 0.1 ci 95", estimate=estimate, threshold=(-0.1, 0.1),
        interval=(estimate - 0.04, estimate + 0.04),
        contrasts=({"estimate": estimate, "relation": ">=" if estimate > 0 else "<="},),
    )  # fmt: skip
    assert row_of(size).threshold == "outside (−0.1, 0.1)"
    svg = interval(size)
    (dot,) = parts(svg, "circle")
    shaded = [(number(r, "x"), number(r, "x") + number(r, "width")) for r in parts(svg, "rect")]
    assert len(shaded) == 2
    assert any(start <= number(dot, "cx") <= end for start, end in shaded) == met


def test_what_is_exact_has_no_line_and_what_is_no_number_no_plot() -> None:
    exact = interval(requirement("m >= 0.8 ci 95", interval=None, exact=True))
    assert not [p for p in parts(exact, "path") if "p-line" in p.get("class", "")]
    assert parts(exact, "circle")
    for wrong in ({"estimate": None}, {"estimate": math.nan}, {"interval": (-math.inf, 1.0)}):
        assert interval(requirement("m >= 0.8 ci 95", **wrong)) == ""
    flat = requirement("m == 1 +- 0 ci 95", estimate=1.0, interval=(1.0, 1.0), threshold=1.0)
    assert parts(interval(flat), "circle")


def test_complete_sets_lie_on_the_diagonal() -> None:
    svg = completeness(SETS, "m")
    (diagonal,) = [p for p in parts(svg, "path") if "p-diagonal" in p.get("class", "")]
    x1, y1, x2, y2 = map(float, re.findall(r"[\d.]+", diagonal.get("d", "")))
    dots = [c for c in parts(svg, "circle") if len(c)]
    assert len(dots) == 3
    below = [number(d, "cy") - (y1 + (number(d, "cx") - x1) / (x2 - x1) * (y2 - y1)) for d in dots]
    assert abs(below[0]) < 0.3
    assert below[1] > 20
    assert below[2] > 20
    assert dots[1][0].text == "K = b & c (random): m(M∖K) 1, m(C∖K) −0.5"


def test_bars_are_as_long_as_the_effects() -> None:
    first, second = parts(minimality(EFFECTS, "m"), "rect")
    assert number(second, "width") == pytest.approx(3 * number(first, "width"), abs=0.3)
    assert number(first, "x") + number(first, "width") == pytest.approx(number(second, "x"))


def test_scales_have_a_few_round_ticks() -> None:
    for low, high in ((-1.3, 7.4), (0.0, 0.031), (120.0, 980.0)):
        ticks = list(Scale(low, high, 0, 100).ticks())
        assert 3 <= len(ticks) <= 20
        assert all(low <= t <= high for t in ticks)


def test_a_plot_can_stand_alone() -> None:
    for svg in (completeness(SETS, "m"), minimality(EFFECTS, "m")):
        root = ET.fromstring(standalone(svg))
        assert root[0].tag == SVG + "style"
        assert "prefers-color-scheme: dark" in (root[0].text or "")


def test_as_drawn_before(snapshot: SnapshotAssertion) -> None:
    assert interval(requirement("agreement >= 0.8 ci 95")) == snapshot(name="interval")
    assert completeness(SETS, "m") == snapshot(name="completeness")
    assert minimality(EFFECTS, "m") == snapshot(name="minimality")
