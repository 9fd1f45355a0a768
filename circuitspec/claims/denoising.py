"""Denoising: how much of the behaviour comes back when clean values are put back into a bad run.

`run from D restore R` (causal tracing, Meng et al. 2022; denoising, Heimersheim & Nanda 2024). The
model reads the paired counterfactual, or the prompt with Gaussian noise on its embeddings; R's
outputs are those of the clean run, and everything else is recomputed. Metrics are the evaluation
prompt's: its answers, at its positions. Bare measures are of that run; `empty.x` is the same run
with nothing restored, so that

    recovered = (m(restored) − m(corrupted)) / (m(M) − m(corrupted))

Values correspond by token index. To feed the counterfactual's tokens is to replace the embeddings,
the only thing that carries them, by the counterfactual's at every position.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from circuitspec.claims.arms import empty_arm, numbers, owned, read_arm
from circuitspec.claims.context import EVALUATION, Context
from circuitspec.claims.measured import Measured, suffixed
from circuitspec.claims.readings import with_readings
from circuitspec.engine.restoring import restoration
from circuitspec.engine.runs import EngineError, Noised, Replace, Rows, Run
from circuitspec.hypothesis.records import Claim, Denoise, Element
from circuitspec.language.nodes import ALL_POSITIONS, INPUT


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """The model, the corrupted run, and the corrupted run with R restored."""
    stated = claim.intervention
    if not isinstance(stated, Denoise):
        raise EngineError("the claim runs from nothing")
    given = context.given(claim)
    source = context.counterfactual(stated.baseline)
    places = source.positions if isinstance(source, Noised) else (ALL_POSITIONS,)
    corrupt = Replace(frozenset(Element(INPUT, place) for place in places), source)
    clean = Rows(EVALUATION, tuple(range(len(context.task.evaluation))))
    corrupted = Run(EVALUATION, given=given, writes=(corrupt,), top=True, kl=True)
    restored = corrupted
    if stated.restored:
        restored = replace(corrupted, writes=(corrupt, Replace(stated.restored, clean)))
    return context.model_run(claim), corrupted, with_readings(restored, claim, context)


def measure(claim: Claim, context: Context) -> Measured:
    """The metric of the restored run, beside the corrupted one's and the model's."""
    asked = runs(claim, context)
    model, corrupted, restored = context.evaluate(asked)
    # What corrupts the run is no part of what is claimed: only what was put back counts, or where
    # nothing was, the corruption.
    put_back = asked[2].writes[1:]
    touched = corrupted.touched
    if put_back:
        (clean,) = put_back
        assert isinstance(clean, Replace)
        touched = restoration(context.engine, asked[1], clean)
    arm = read_arm("restored", claim, context, [restored], model, touched=touched)
    arm = owned(arm, "empty", context, [corrupted])
    figures = numbers(arm)
    for metric in context.metrics:
        lost = arm.series[f"model.{metric}"].mean - arm.series[f"empty.{metric}"].mean
        back = arm.series[metric].mean - arm.series[f"empty.{metric}"].mean
        name = suffixed("recovered", metric, context.metrics)
        figures[name] = back / lost if lost else float("nan")
    alike = {metric: np.zeros(len(context.task.evaluation)) for metric in context.metrics}
    return Measured(
        kind="denoising",
        arms=(arm,),
        empty=empty_arm(arm, context, [corrupted], model) if put_back else None,
        whole=empty_arm(arm, context, [replace(model, kl=alike)], model),
        numbers={**figures, **noise_figures(claim, context)},
    )


def noise_figures(claim: Claim, context: Context) -> Mapping[str, float]:
    """The standard deviation of the noise that a claim's baseline adds, in embeddings' units."""
    stated = claim.intervention
    name = getattr(stated, "baseline", None)
    source = None if name is None else context.counterfactual(str(name))
    return {"noise_sd": source.sd} if isinstance(source, Noised) else {}
