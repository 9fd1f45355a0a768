"""Claims about the unmodified model: what its heads attend to, how well it does the task."""

from __future__ import annotations

from circuitspec.claims.arms import numbers, read_arm
from circuitspec.claims.context import Context
from circuitspec.claims.measured import Measured
from circuitspec.claims.readings import reads_repeated, repeated_prompts, with_readings
from circuitspec.engine.runs import Run
from circuitspec.hypothesis.records import Claim


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """The model's own run, with what the requirements read off it."""
    return (with_readings(context.model_run(claim), claim, context),)


def measure(claim: Claim, context: Context) -> Measured:
    """The model's measures, prompt by prompt."""
    (asked,) = runs(claim, context)
    model = context.evaluate([asked])[0]
    arm = read_arm("model", claim, context, [model], model, touched=None)
    draws = {}
    if reads_repeated(claim):
        draws["repeated"] = [list(tokens) for tokens in repeated_prompts(context).tokens]
    return Measured(kind="model", arms=(arm,), numbers=numbers(arm), draws=draws)
