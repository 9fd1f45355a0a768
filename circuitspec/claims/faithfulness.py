"""Faithfulness: does the circuit alone do what the model does?

`ablate complement`. With m(C) the metric when everything outside C is ablated, m(M) the model's,
m(∅) the empty circuit's (Wang et al. 2022, section 4; Mueller et al. 2025, MIB):

    ratio      m(C) / m(M)
    gap        |m(M) − m(C)|
    recovered  (m(C) − m(∅)) / (m(M) − m(∅))
    agreement  share of prompts where the circuit's top token is the model's
    error      mean |m_i(C) − m_i(M)|
    kl         mean KL(model ‖ circuit), in nats

`complement.x` is m(M \\ C), the model without the circuit, for the tests of Shi et al. (2024).
"""

from __future__ import annotations

from typing import Any

from circuitspec.claims import controls
from circuitspec.claims.arms import (
    empty_arm,
    numbers,
    owned,
    read_arm,
    total_touched,
    unreached,
)
from circuitspec.claims.calls import metrics_named
from circuitspec.claims.context import Context
from circuitspec.claims.measured import Arm, Measured
from circuitspec.claims.readings import with_readings
from circuitspec.engine.runs import EngineError, Run
from circuitspec.hypothesis.records import Claim


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """Everything the claim needs computed."""
    model, *others = _runs(claim, context)
    return (*model, *(run for runs_of in others for run in runs_of))


def _runs(claim: Claim, context: Context) -> tuple[tuple[Run, ...], ...]:
    """The model; the circuit, the empty circuit and the model without the circuit."""
    ablation = claim.ablation
    if ablation is None:
        raise EngineError("the claim does not say what a cut output becomes")
    given = context.given(claim)
    circuit = tuple(
        with_readings(run, claim, context)
        for run in context.circuit_runs(ablation, given=given, detail=True)
    )
    empty = context.circuit_runs(ablation, given=given, empty=True, detail=True)
    without = context.complement_runs(ablation, given=given)
    return (context.model_run(claim),), circuit, empty, without


def measure(claim: Claim, context: Context) -> Measured:
    """m(C), m(M), m(∅) and how closely the circuit follows the model, prompt by prompt."""
    (model,), circuit, empty, without = (context.evaluate(asked) for asked in _runs(claim, context))
    arm = read_arm("circuit", claim, context, circuit, model, touched=total_touched(circuit))
    arm = owned(owned(arm, "circuit", context, circuit), "empty", context, empty)
    arm = owned(arm, "complement", context, without)
    figures: dict[str, Any] = {**numbers(arm), **_ratios(arm, context)}
    named = metrics_named(claim, context.metrics)
    if context.controls and claim.ablation is not None:
        figures["controls"] = controls.measure(claim, context, claim.ablation, arm)
    return Measured(
        kind="faithfulness",
        arms=(arm,),
        empty=empty_arm(arm, context, empty, model),
        numbers=figures,
        draws=context.draws(claim.ablation),
        notes=controls.note(figures.get("controls", {}), named),
        warnings=unreached("that its parts matter", named, arm),
    )


def _ratios(arm: Arm, context: Context) -> dict[str, float]:
    """ratio, gap and recovered of the means; named by metric where there are several."""
    found: dict[str, float] = {}
    for metric in context.metrics:
        suffix = "" if len(context.metrics) == 1 else f"({metric})"
        whole = arm.series[f"model.{metric}"].mean
        part = arm.series[f"circuit.{metric}"].mean
        none = arm.series[f"empty.{metric}"].mean
        found[f"gap{suffix}"] = abs(whole - part)
        found[f"ratio{suffix}"] = part / whole if whole else float("nan")
        span = whole - none
        found[f"recovered{suffix}"] = (part - none) / span if span else float("nan")
    return found
