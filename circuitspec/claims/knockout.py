"""Knock-out: what is left of the behaviour when some nodes are ablated in the whole model.

`ablate R`. M\\R: R's outputs are the ablation value where its roles live, everything else is
recomputed (Wang et al. 2022, section 2.2).
"""

from __future__ import annotations

from circuitspec.claims.arms import numbers, owned, read_arm, total_touched, unreached
from circuitspec.claims.calls import names
from circuitspec.claims.context import Context
from circuitspec.claims.measured import Measured
from circuitspec.claims.readings import with_readings
from circuitspec.engine.runs import EngineError, Run
from circuitspec.hypothesis.records import AblateSet, Claim


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """Everything the claim needs computed."""
    return (context.model_run(claim), *_cut_runs(claim, context), *_circuit_runs(claim, context))


def _cut_runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    if claim.ablation is None or not isinstance(claim.intervention, AblateSet):
        raise EngineError("the claim does not say what a cut output becomes")
    cut = context.knockout_runs(
        claim.ablation, claim.intervention.cut, given=context.given(claim), detail=True
    )
    return tuple(with_readings(run, claim, context) for run in cut)


def _circuit_runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """C itself and ∅, where a requirement compares with one of them."""
    others = ("circuit.", "empty.", "recovered")
    if claim.ablation is None or not any(n.startswith(others) for n in names(claim)):
        return ()
    given = context.given(claim)
    return (
        *context.circuit_runs(claim.ablation, given=given),
        *context.circuit_runs(claim.ablation, given=given, empty=True),
    )


def measure(claim: Claim, context: Context) -> Measured:
    """The metric with R out, beside the model's, prompt by prompt."""
    model = context.evaluate([context.model_run(claim)])[0]
    cut = context.evaluate(_cut_runs(claim, context))
    arm = read_arm("knockout", claim, context, cut, model, touched=total_touched(cut))
    others = context.evaluate(_circuit_runs(claim, context))
    if others:
        half = len(others) // 2
        arm = owned(arm, "circuit", context, others[:half])
        arm = owned(arm, "empty", context, others[half:])
    return Measured(
        kind="knockout",
        arms=(arm,),
        numbers=numbers(arm),
        draws=context.draws(claim.ablation),
        notes=unreached("what it does", context.metrics, arm),
    )
