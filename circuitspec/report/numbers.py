"""How numbers are printed for people: as many digits as the interval justifies, and no fewer."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from circuitspec.judge.records import RequirementResult

MOST_DECIMALS = 6
MOST_WRITTEN_OUT = 1e15
"""A threshold as large as this is written with its power of ten."""
CRUDE = 3.5
"""First digits of a half-width up to which a second one is printed (the Particle Data Group's)."""

_OPERATOR = re.compile(r">=|<=|==|>|<|\bwithin\b")
_SIGNS = {">=": "≥", "<=": "≤", ">": ">", "<": "<", "==": "=", "within": "within"}


def fixed(value: float | None, decimals: int) -> str:
    """`value` with so many decimals, a true minus sign, and words for what is not a number."""
    if value is None:
        return "–"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", "−")


def short(value: float | None, digits: int = 4) -> str:
    """`value` with about so many significant digits, never in scientific notation above 1e-6."""
    if value is None or not math.isfinite(value):
        return fixed(value, 0)
    if value == 0:
        return "0"
    magnitude = math.floor(math.log10(abs(value)))
    if magnitude < -MOST_DECIMALS:
        return f"{value:.1e}".replace("-", "−")
    decimals = min(max(digits - 1 - magnitude, 0), MOST_DECIMALS)
    text = fixed(value, decimals)
    return text.rstrip("0").rstrip(".") if "." in text else text


def decimals_for(
    estimate: float | None,
    interval: tuple[float, float] | None,
    thresholds: Iterable[float] = (),
) -> int:
    """Decimals that show one or two digits of the interval's half-width, and never hide a verdict.

    Two where they are at most 35, as a third of the first would be lost in rounding; one above.

    Rounding must not make a bound look as if it lay on the other side of a threshold (0.7996
    against 0.8 is not printed as 0.80), so digits are added until every comparison reads true.
    """
    width = (interval[1] - interval[0]) / 2 if interval is not None else 0.0
    if math.isfinite(width) and width > 0:
        decimals = -math.floor(math.log10(width / CRUDE))
    elif estimate is not None and math.isfinite(estimate) and estimate != 0:
        decimals = 3 - math.floor(math.log10(abs(estimate)))
    else:
        decimals = 3
    decimals = min(max(decimals, 0), MOST_DECIMALS)
    values = [v for v in (estimate, *(interval or ())) if v is not None and math.isfinite(v)]
    limits = [t for t in thresholds if math.isfinite(t)]
    while decimals < MOST_DECIMALS and not _reads_true(values, limits, decimals):
        decimals += 1
    return decimals


def _reads_true(values: list[float], limits: list[float], decimals: int) -> bool:
    def side(value: float, limit: float) -> int:
        return (value > limit) - (value < limit)

    return all(
        side(v, t) == side(round(v, decimals), float(_limit_digits(t, decimals)))
        for v in values
        for t in limits
    )


def _limit_digits(value: float, decimals: int) -> str:
    """A threshold as its author wrote it where that is short, otherwise rounded like the rest.

    One that is not 0 is never rounded to it.
    """
    written = repr(value + 0.0)  # of -0.0 the plain one
    if "e" not in written and len(written.partition(".")[2]) <= decimals:
        return written.removesuffix(".0")
    rounded = f"{value:.{decimals}f}"
    far = abs(value) >= MOST_WRITTEN_OUT or (value != 0 and float(rounded) == 0)
    return f"{value:.3g}" if far else rounded


def limit(value: float, decimals: int) -> str:
    """A threshold, with no more decimals than the numbers it stands beside."""
    if not math.isfinite(value):
        return fixed(value, 0)
    return _limit_digits(value, decimals).replace("-", "−")


def operator_sign(text: str) -> str:
    """The relation of a requirement, read off its text: `≥`, `≤`, `within`; empty if none."""
    found = _OPERATOR.search(text)
    return _SIGNS[found.group()] if found else ""


def relation_sign(relation: str) -> str:
    """`>=` as it is printed: `≥`."""
    return _SIGNS.get(relation, relation)


def thresholds_of(requirement: RequirementResult) -> tuple[float, ...]:
    """The one or two numbers a requirement was judged against."""
    match requirement.threshold:
        case None:
            return ()
        case tuple() as band:
            return band
        case value:
            return (value,)


def needs_outside(requirement: RequirementResult) -> bool:
    """Whether the estimate must leave the band: `effect >= 0.1` is of the effect's size."""
    return len(thresholds_of(requirement)) > 1 and operator_sign(requirement.text) in ("≥", ">")


def level_text(level: float) -> str:
    """A confidence in percent: 95 and not 95.0, 99.9 as it is."""
    return f"{level:g}%"
