"""What judging needs beside the measures, and the interval of a contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from circuitspec.claims.measured import Series
from circuitspec.engine.runs import Floats
from circuitspec.judge.contrast import Linear
from circuitspec.judge.intervals import Interval, enumerated, mean_intervals, share_interval
from circuitspec.judge.sequential import sequence_intervals

IntervalAt = Callable[[float], Interval]
"""From a level in percent to the interval at that level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What judging needs beside the measures: the sample's design and the model's competence.

    `strata` numbers each evaluation prompt's template; `exact`: the prompts are the whole
    population. `competent` says, per metric, whether the model's mean is clearly not 0. `cap`: the
    prompts are the first of at most so many, and intervals must hold however often they are looked
    at (`until decided`).
    """

    strata: tuple[int, ...]
    metrics: tuple[str, ...]
    exact: bool
    seed: int
    competent: Mapping[str, bool]
    cap: int | None = None

    @property
    def n(self) -> int:
        """The number of evaluation prompts."""
        return len(self.strata)

    def constant(self, values: Floats) -> bool:
        """Whether `values` are the same all over every template."""
        strata = np.array(self.strata)
        return all(np.ptp(values[strata == each]) == 0.0 for each in set(self.strata))

    def intervals(self, values: Floats, rows: tuple[int, ...] | None = None) -> IntervalAt:
        """Intervals of the mean of `values` at any level, resampled within template."""
        strata = np.array(self.strata if rows is None else [self.strata[r] for r in rows])
        if self.cap is not None:
            return sequence_intervals(values, strata, cap=self.cap)
        return mean_intervals(values, strata, seed=self.seed, population=self.exact)

    def share(self, values: Floats, exact: bool) -> IntervalAt:
        """Intervals of a share at any level; `exact` where it is the whole population's."""
        if self.cap is not None and not exact:
            return sequence_intervals(values, cap=self.cap, share=True)
        return lambda level: share_interval(values, level, population=exact)


def interval_of(contrast: Linear, series: Mapping[str, Series], facts: Facts) -> IntervalAt:
    """Clopper–Pearson where the contrast is one share, else the interval of a mean.

    Where all prompts are there, and what was drawn for them leaves them alike all over a template,
    nothing is left to be uncertain about.
    """
    values = contrast.values(series, facts.n)
    exact = facts.exact and (
        not any(series[name].drawn for name in contrast.terms) or facts.constant(values)
    )
    if len(contrast.terms) == 1 and contrast.constant == 0.0:
        ((name, coefficient),) = contrast.terms.items()
        if series[name].share and coefficient == 1.0 and np.isfinite(values).all():
            return facts.share(values, exact)
    if exact:
        whole = enumerated(values)
        return lambda level: whole
    return replace(facts, exact=False).intervals(values)
