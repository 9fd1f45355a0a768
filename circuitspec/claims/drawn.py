"""What is a sample although every prompt is there: figures that rest on random draws.

Under `sample all` means over prompts are the population's, and need no interval. Not so where each
prompt's figure depends on what was drawn for it, resampled values or noise: another seed gives
another mean, so they are judged as a sample's, the model's own figures excepted. Means are of a
reference set, and a prompt's counterfactual is its own: both belong to the task, and are constants.
"""

from __future__ import annotations

from dataclasses import replace

from circuitspec.claims.context import Context
from circuitspec.claims.measured import Measured
from circuitspec.hypothesis.records import Claim


def rests_on_draws(claim: Claim, context: Context) -> bool:
    """Whether the figures of a claim depend on the seed, all prompts and pairs being given."""
    ablation = claim.ablation
    if ablation is not None and ablation.kind == "resample":
        return True
    used = {getattr(claim.intervention, "baseline", None), getattr(ablation, "baseline", None)}
    return not used.isdisjoint(context.task.noise)


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
