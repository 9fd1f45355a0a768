"""What a claim measured: paired series over prompts, and tables of them, before any judgement."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from circuitspec.engine.runs import Floats, Touched


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One number a prompt, float64 [n], in the order of the evaluation prompts.

    `share`: every value is 0 or 1, and the mean is a proportion. `drawn`: it is read on prompts of
    its own, drawn at random, so that it is a sample even where the task's prompts are enumerated.
    """

    values: Floats
    share: bool = False
    drawn: bool = False

    @property
    def mean(self) -> float:
        """The estimate: the mean over prompts."""
        return float(self.values.mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One intervened run of a claim. Most claims have one; `patch each` has one a pair.

    `series` are named as a requirement names them: `logit_diff`, `model.logit_diff`, `agreement`,
    `attention(name_mover)`. `parts` says of what a series is the mean (or sum): `each` makes one
    requirement of every part. `touched` is what the intervention wrote.
    """

    name: str
    series: Mapping[str, Series]
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    touched: Touched | None = None


SetKind = Literal["named", "random", "greedy"]
"""How a set K was found: a role, a group or a list of nodes; drawn; searched for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRow:
    """A set K of a completeness claim: m_i(C\\K) and m_i(M\\K) by metric, float64 [n] each.

    `kind` is how K was found. `rows` are the evaluation prompts that it is judged on, in order:
    all of them, but for a greedy K the half that it was not searched on. `inert`: K is not empty,
    and ablating it changed no activation of the model.
    """

    name: str
    kind: SetKind
    elements: tuple[str, ...]
    circuit: Mapping[str, Floats]
    model: Mapping[str, Floats]
    rows: tuple[int, ...]
    inert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """Element v given K, of a minimality claim: m_i(C\\K) and m_i(C\\(K ∪ {v})) by metric.

    Float64 [n] each, on all evaluation prompts. `inert`: no activation is other with v ablated than
    without.
    """

    name: str
    given: str
    elements: tuple[str, ...]
    before: Mapping[str, Floats]
    after: Mapping[str, Floats]
    inert: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Everything a claim's requirements can name.

    `kind` is the claim's: faithfulness, knockout, activation_patching, path_patching, scrubbing,
    completeness, minimality, model. `numbers` are the plain figures for the result, unrounded;
    `draws` what was drawn to get them. `drawn`: sets and effects rest on such draws, so that they
    are a sample even where the task's prompts are enumerated. `empty` is what the empty circuit
    gives in place of a faithfulness claim's arm, or a denoising run with nothing restored: a
    requirement that it meets too says little. Where such a requirement may be that little comes
    back, `whole` is what everything restored gives: met by both, it could hardly have failed.
    `warnings` are what the run itself found that leaves a verdict saying nothing; they change none,
    and are told wherever it is. `notes` are the rest.
    """

    kind: str
    arms: tuple[Arm, ...]
    empty: Arm | None = None
    whole: Arm | None = None
    sets: tuple[SetRow, ...] = ()
    effects: tuple[EffectRow, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    draws: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    drawn: bool = False


def suffixed(measure: str, metric: str, metrics: Collection[str]) -> str:
    """How a measure of a metric is named: bare where the task has one metric, else `x(metric)`."""
    return measure if len(metrics) == 1 else f"{measure}({metric})"


LISTED = 12
"""How many elements or sets a claim's note lists; the result's measures have all of them."""


def listed(title: str, items: Sequence[str]) -> str:
    """`title: a, b, and 4 more`: the first of what a table has."""
    rest = len(items) - LISTED
    return f"{title}: {', '.join(items[:LISTED])}" + (f", and {rest} more" if rest > 0 else "")
