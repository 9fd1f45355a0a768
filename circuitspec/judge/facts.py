"""What judging needs beside the measures, and the interval of a contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from circuitspec.claims.measured import Series
from circuitspec.engine.runs import Floats
from circuitspec.judge.contrast import Linear
from circuitspec.judge.intervals import Interval, enumerated, mean_intervals, share_interval

IntervalAt = Callable[[float], Interval]
"""From a level in percent to the interval at that level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What judging needs beside the measures: the sample's design and the model's competence.

    `strata` numbers each evaluation prompt's template; `exact`: the prompts are the whole
    population. `competent` says, per metric, whether the model's mean is clearly not 0.
    """

    strata: tuple[int, ...]
    metrics: tuple[str, ...]
    exact: bool
    seed: int
    competent: Mapping[str, bool]

    @property
    def n(self) -> int:
        """The number of evaluation prompts."""
        return len(self.strata)

    def intervals(self, values: Floats, rows: tuple[int, ...] | None = None) -> IntervalAt:
        """Intervals of the mean of `values` at any level, resampled within template."""
        strata = np.array(self.strata if rows is None else [self.strata[r] for r in rows])
        return mean_intervals(values, strata, seed=self.seed, population=self.exact)


def interval_of(contrast: Linear, series: Mapping[str, Series], facts: Facts) -> IntervalAt:
    """Clopper–Pearson where the contrast is one share, else the interval of a mean."""
    values = contrast.values(series, facts.n)
    exact = facts.exact and not any(series[name].drawn for name in contrast.terms)
    if len(contrast.terms) == 1 and contrast.constant == 0.0:
        ((name, coefficient),) = contrast.terms.items()
        if series[name].share and coefficient == 1.0 and np.isfinite(values).all():
            return lambda level: share_interval(values, level, population=exact)
    if exact:
        whole = enumerated(values)
        return lambda level: whole
    return replace(facts, exact=False).intervals(values)
