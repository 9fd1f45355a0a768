"""Plots as SVG: intervals against thresholds, the completeness scatter, minimality bars.

Each plot carries its own style sheet where it is to stand alone (`standalone`), for papers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from circuitspec.judge.records import RequirementResult
from circuitspec.report.html.style import PLOTS
from circuitspec.report.numbers import needs_outside, short, thresholds_of
from circuitspec.report.rows import relation_of, row_of

STRIP = (220.0, 30.0)
SQUARE = 360.0
MARGIN = 46.0
BAR = 18.0
BARS_WIDTH = 460.0


@dataclass(frozen=True, slots=True)
class Scale:
    """Values to pixels, linearly."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The pixel of a value, rounded to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> Iterator[float]:
        """Three to seven round numbers inside."""
        step = 10 ** math.floor(math.log10(self.high - self.low))
        while (self.high - self.low) / step < 3:
            step /= 2
        for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1):
            yield number * step


def _around(values: Iterable[float], start: float, end: float, air: float = 0.12) -> Scale:
    finite = [v for v in values if math.isfinite(v)]
    low, high = min(finite), max(finite)
    room = (high - low) * air or abs(low) * air or 1.0
    return Scale(low - room, high + room, start, end)


def standalone(svg: str) -> str:
    """A plot as a file of its own: with its style sheet, ending in a newline."""
    head, found, rest = svg.partition(">")
    return f"{head}{found}<style>{PLOTS}</style>{rest}\n"


def _svg(width: float, height: float, title: str, body: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="p-plot" role="img" width="{width:g}" '
        f'height="{height:g}" viewBox="0 0 {width:g} {height:g}">'
        f"<title>{escape(title)}</title>{''.join(body)}</svg>"
    )


# ── An interval against its threshold ────────────────────────────────────────────────────────────


def interval(requirement: RequirementResult) -> str:
    """Estimate and interval on a strip, shaded where the claim needs them; empty if not numbers."""
    limits = thresholds_of(requirement)
    known = [*limits, *(requirement.interval or ())]
    known += [] if requirement.estimate is None else [requirement.estimate]
    if requirement.estimate is None or not all(map(math.isfinite, known)):
        return ""
    row = row_of(requirement)
    title = f"{row.estimate} {row.interval} {row.level}, needs {row.threshold}"
    width, height = STRIP
    scale = _around(known, 6, width - 6, air=0.2)
    middle = height / 2
    if needs_outside(requirement):
        low, high = limits
        body = [_needed(scale, (low,), "≤", height), _needed(scale, (high,), "≥", height)]
    else:
        body = [_needed(scale, limits, relation_of(requirement), height)]
    body += [f'<path class="p-limit" d="M{scale(t)} 2V{height - 2:g}"/>' for t in limits]
    verdict = f"p-{requirement.verdict}"
    if requirement.interval is not None:
        low, high = (scale(v) for v in requirement.interval)
        ends = "".join(f"M{x} {middle - 5:g}v10" for x in (low, high))
        body.append(f'<path class="p-line {verdict}" d="M{low} {middle:g}H{high}{ends}"/>')
    x = scale(requirement.estimate)
    body.append(f'<circle class="p-dot {verdict}" cx="{x}" cy="{middle:g}" r="4"/>')
    return _svg(width, height, title, body)


def _needed(scale: Scale, limits: Sequence[float], relation: str, height: float) -> str:
    if not limits:
        return ""
    below = relation in ("≤", "<")
    start = scale(scale.low) if below and len(limits) == 1 else scale(min(limits))
    end = scale(max(limits)) if below or len(limits) > 1 else scale(scale.high)
    width = max(end - start, 1)
    return f'<rect class="p-needed" x="{start}" y="2" width="{width:g}" height="{height - 4:g}"/>'


# ── Completeness ─────────────────────────────────────────────────────────────────────────────────


def completeness(sets: Sequence[Mapping[str, Any]], metric: str) -> str:
    """m(C∖K) against m(M∖K) for every K (Wang et al. 2022, figure 5): complete is on the line."""
    x_of, y_of = f"model.{metric}", f"circuit.{metric}"
    values = [float(entry[key]) for entry in sets for key in (x_of, y_of)]
    across = _around(values, MARGIN, SQUARE - 10)
    up = Scale(across.low, across.high, SQUARE - MARGIN, 10)
    corners = (across(across.low), up(across.low), across(across.high), up(across.high))
    body = [*_axes(across, up, f"m(M∖K), {metric}", f"m(C∖K), {metric}")]
    body.append('<path class="p-diagonal" d="M{} {}L{} {}"/>'.format(*corners))
    for entry in sets:
        x, y = float(entry[x_of]), float(entry[y_of])
        said = f"K = {entry['name']} ({entry['kind']}): m(M∖K) {short(x)}, m(C∖K) {short(y)}"
        body.append(
            f'<circle class="p-set p-{entry["kind"]}" cx="{across(x)}" cy="{up(y)}" r="4.5">'
            f"<title>{escape(said)}</title></circle>"
        )
    kinds = dict.fromkeys(str(entry["kind"]) for entry in sets)
    for number, kind in enumerate(kinds):
        y = 20 + 16 * number
        body.append(f'<circle class="p-set p-{kind}" cx="{MARGIN + 14:g}" cy="{y}" r="4.5"/>')
        body.append(f'<text class="p-tick" x="{MARGIN + 24:g}" y="{y + 4}">K {kind}</text>')
    return _svg(SQUARE, SQUARE, f"Completeness: m(C∖K) against m(M∖K) of {metric}", body)


def _axes(across: Scale, up: Scale, x_label: str, y_label: str) -> Iterator[str]:
    bottom, left = up.start, across.start
    yield f'<path class="p-axis" d="M{left:g} {up.end:g}V{bottom:g}H{across.end:g}"/>'
    for tick in across.ticks():
        yield (
            f'<text class="p-tick" text-anchor="middle" x="{across(tick)}" '
            f'y="{bottom + 14:g}">{short(tick, 3)}</text>'
        )
    for tick in up.ticks():
        yield (
            f'<text class="p-tick" text-anchor="end" x="{left - 5:g}" '
            f'y="{up(tick) + 3.5:g}">{short(tick, 3)}</text>'
        )
    middle = (across.start + across.end) / 2
    height = (up.start + up.end) / 2
    yield (
        f'<text class="p-label" text-anchor="middle" x="{middle:g}" '
        f'y="{bottom + 32:g}">{escape(x_label)}</text>'
        f'<text class="p-label" text-anchor="middle" transform="translate(12 {height:g}) '
        f'rotate(-90)">{escape(y_label)}</text>'
    )


# ── Minimality ───────────────────────────────────────────────────────────────────────────────────


def minimality(effects: Sequence[Mapping[str, Any]], metric: str) -> str:
    """A bar for every v: what the circuit loses without it, m(C∖K) − m(C∖(K∪{v}))."""
    lost = [float(e[f"before.{metric}"]) - float(e[f"after.{metric}"]) for e in effects]
    label = 150.0
    scale = _around([0.0, *lost], label, BARS_WIDTH - 46, air=0.02)
    height = BAR * len(lost) + 24
    zero = scale(0.0)
    body = [f'<path class="p-limit" d="M{zero} 0V{height - 22:g}"/>']
    for number, (entry, value) in enumerate(zip(effects, lost, strict=True)):
        y = number * BAR + 2
        start, end = sorted((zero, scale(value)))
        given = f" with {entry['given']} out" if entry.get("given") else ""
        said = f"{entry['name']}{given}: {short(value)} of {metric} lost"
        body.append(
            f"<g><title>{escape(said)}</title>"
            f'<text class="p-tick" text-anchor="end" x="{label - 6:g}" y="{y + 11:g}">'
            f"{escape(_cut(str(entry['name'])))}</text>"
            f'<rect class="p-bar" x="{start}" y="{y:g}" width="{max(end - start, 0.5):g}" '
            f'height="{BAR - 5:g}"/>'
            f'<text class="p-tick" x="{end + 4:g}" y="{y + 11:g}">{short(value, 3)}</text></g>'
        )
    said = f"{metric} that the circuit loses without it"
    body.append(f'<text class="p-label" x="{label:g}" y="{height - 6:g}">{escape(said)}</text>')
    return _svg(BARS_WIDTH, height, f"Minimality: {said}", body)


def _cut(text: str, most: int = 24) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
