"""What is a sample although every prompt is there: figures that rest on random draws.

Under `sample all` means over prompts are the population's, and need no interval. Not so where each
prompt's figure depends on what was drawn for it: resampled values, noise, counterfactuals that a
baseline redraws. Another seed gives another mean, so they are judged as a sample's, the model's own
figures excepted.
"""

from __future__ import annotations

from dataclasses import replace

from circuitspec.claims.context import Context
from circuitspec.claims.measured import Measured
from circuitspec.hypothesis.records import Claim
from circuitspec.language.syntax import Baseline, Call, Ref

REDRAWN = ("resample", "shuffle", "noise")
"""Baselines that pair a prompt with something drawn, not with a function of it."""


def rests_on_draws(claim: Claim, context: Context) -> bool:
    """Whether the figures of a claim depend on the seed, all prompts being given.

    Means over a reference set are constants, as everywhere.
    """
    ablation = claim.ablation
    if ablation is not None and ablation.kind == "resample":
        return True
    paired = {getattr(claim.intervention, "baseline", None)}
    if ablation is not None and ablation.kind == "counterfactual":
        paired.add(ablation.baseline)
    return any(
        isinstance(s, Baseline) and s.name.text in paired and _function(s) in REDRAWN
        for s in context.hypothesis.task.statements or ()
    )


def _function(baseline: Baseline) -> str:
    match baseline.value:
        case Call(function=name) | Ref(name=name):
            return str(name)
        case _:
            return ""


def marked(measured: Measured) -> Measured:
    """`measured` as what was drawn: all but what is read off the unmodified model."""
    arms = tuple(
        replace(
            arm,
            series={
                name: series if name.startswith("model.") else replace(series, drawn=True)
                for name, series in arm.series.items()
            },
        )
        for arm in measured.arms
    )
    return replace(measured, arms=arms, drawn=True)
