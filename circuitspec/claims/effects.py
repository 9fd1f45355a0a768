"""`effect(R)`: what the model loses without R, so that effects can be compared and signed.

    effect(R) = m(M) − m(M\\R)

in the metric's units, R ablated where its roles live, as the claim's ablation says; both under the
claim's `given`. Negative for what works against the answer. Any claim may name it:
`require effect(name_mover) >= 2 * effect(backup_mover) ci 95`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from circuitspec.claims.arms import total_touched
from circuitspec.claims.calls import call_key, calls, metric_argument, roles_named
from circuitspec.claims.context import Context, averaged
from circuitspec.claims.measured import Arm, Measured, Series
from circuitspec.engine.runs import EngineError, Run
from circuitspec.hypothesis.records import Ablation, Claim, CutSet, Element
from circuitspec.language.syntax import Call, Ref


def is_named_effect(call: Call, arms: Sequence[Arm]) -> bool:
    """Whether a call is the effect of what it names, and not of a claim's every element."""
    if call.function != "effect" or not call.arguments:
        return False
    first = call.arguments[0]
    return not (isinstance(first, Ref) and any(first.name in arm.series for arm in arms))


def _named(claim: Claim, context: Context) -> dict[str, tuple[Call, CutSet]]:
    found = {}
    for call in calls(claim):
        first = call.arguments[0] if call.arguments else None
        if call.function != "effect" or first is None:
            continue
        if isinstance(first, Ref) and first.name in context.metrics:
            continue
        elements: frozenset[Element] = frozenset(
            element for role in roles_named(call, context) for element in role.elements
        )
        found[call_key(call)] = (call, CutSet(name=call_key(call), elements=elements))
    return found


def _ablation(claim: Claim) -> Ablation:
    if claim.ablation is None:
        raise EngineError("`effect` depends on what an ablated output becomes: name a protocol")
    return claim.ablation


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """The knock-outs whose effects the claim names."""
    return tuple(
        run
        for _, cut in _named(claim, context).values()
        for run in context.knockout_runs(_ablation(claim), cut, given=context.given(claim))
    )


def added(measured: Measured, claim: Claim, context: Context) -> Measured:
    """`measured` with a series for each effect that the claim names, in every arm."""
    named = _named(claim, context)
    if not named:
        return measured
    model = context.evaluate([context.model_run(claim)])[0]
    series: dict[str, Series] = {}
    least = None
    for key, (call, cut) in named.items():
        without = context.evaluate(
            context.knockout_runs(_ablation(claim), cut, given=context.given(claim))
        )
        metric = metric_argument(call, context)
        series[key] = Series(values=model.metrics[metric] - averaged(without, metric))
        touched = total_touched(without)
        if least is None or touched.changed < least.changed:
            least = touched
    figures: Mapping[str, Any] = {key: each.mean for key, each in series.items()}
    return replace(
        measured,
        # A claim that does nothing else is as inert as the knock-out that changes least.
        arms=tuple(
            replace(
                arm,
                series={**arm.series, **series},
                touched=least if arm.touched is None else arm.touched,
            )
            for arm in measured.arms
        ),
        numbers={**measured.numbers, **figures},
        draws={**measured.draws, **context.draws(claim.ablation)},
    )
