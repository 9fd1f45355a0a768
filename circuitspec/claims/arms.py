"""From readings to the series that requirements name: metrics, agreement, error, attention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from circuitspec.claims.context import Context, accuracy, agreement, averaged
from circuitspec.claims.measured import Arm, Series
from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    EngineError,
    Readings,
    Run,
    Touched,
)
from circuitspec.hypothesis.records import Claim, Role
from circuitspec.language.nodes import Head
from circuitspec.language.syntax import (
    At,
    Binary,
    Call,
    Expr,
    NodeLiteral,
    Ref,
    Unary,
)

ATTENTION = "attention"
ATTRIBUTION = "dla"


def calls(claim: Claim) -> Iterator[Call]:
    """Every function applied anywhere in a claim's requirements."""
    for requirement in claim.requirements:
        for side in (requirement.left, requirement.right):
            yield from _calls(side)


def names(claim: Claim) -> Iterator[str]:
    """Every name used as a value in a claim's requirements."""
    for requirement in claim.requirements:
        for side in (requirement.left, requirement.right):
            yield from _names(side)


def _calls(expr: Expr) -> Iterator[Call]:
    match expr:
        case Call(arguments=arguments):
            yield expr
            for argument in arguments:
                yield from _calls(argument)
        case Unary(operand=operand):
            yield from _calls(operand)
        case Binary(left=left, right=right):
            yield from _calls(left)
            yield from _calls(right)
        case At(value=value):
            yield from _calls(value)
        case _:
            return


def _names(expr: Expr) -> Iterator[str]:
    match expr:
        case Ref(name=name):
            yield name
        case Call(function=function, arguments=arguments):
            yield function
            for argument in arguments:
                yield from _names(argument)
        case Unary(operand=operand):
            yield from _names(operand)
        case Binary(left=left, right=right):
            yield from _names(left)
            yield from _names(right)
        case At(value=value):
            yield from _names(value)
        case _:
            return


def call_key(call: Call) -> str:
    """The name under which a call's series is kept: `attention(name_mover)`."""
    return f"{call.function}({', '.join(_argument(a) for a in call.arguments)})"


def _argument(expr: Expr) -> str:
    match expr:
        case Ref(name=name):
            return name
        case NodeLiteral(node=node):
            return str(node)
        case _:
            raise EngineError("an argument of a measure must be a role, a head or a metric")


def with_readings(run: Run, claim: Claim, context: Context) -> Run:
    """`run`, asked also for the attention and attribution that the claim's requirements name."""
    attention: list[AttentionReading] = []
    attribution: list[AttributionReading] = []
    for call in calls(claim):
        if call.function == ATTENTION:
            attention += attention_readings(call, context)
        elif call.function == ATTRIBUTION:
            attribution += attribution_readings(call, context)
    if (attention or attribution) and run.edges is not None:
        raise EngineError(
            "attention and attribution are read in runs by nodes; this claim ablates by edges"
        )
    return replace(
        run,
        attention=tuple(dict.fromkeys(attention)),
        attribution=tuple(dict.fromkeys(attribution)),
    )


def roles_named(call: Call, context: Context) -> tuple[Role, ...]:
    """The roles a measure's first argument means: a role, a group, or the role of one head."""
    first = call.arguments[0]
    roles = context.hypothesis.roles
    if isinstance(first, NodeLiteral):
        found = tuple(
            replace(role, nodes=(first.node,))
            for role in roles.values()
            if isinstance(first.node, Head) and first.node in role.nodes
        )
        if not found:
            raise EngineError(f"{first.node} has no role here, so no position to read it at")
        return found
    name = _argument(first)
    members = context.hypothesis.groups.get(name, (name,))
    return tuple(roles[member] for member in members)


def attention_readings(call: Call, context: Context) -> list[AttentionReading]:
    """`attention(R)`: each head of R, from each query position to what it attends there."""
    found = []
    for role in roles_named(call, context):
        for node in role.nodes:
            for place in role.places:
                if not isinstance(node, Head):
                    raise EngineError(f"{node} is no head: it attends to nothing")
                if not place.keys:
                    raise EngineError(f"role {role.name} does not say what it attends to")
                found.append(AttentionReading(node, place.query, place.keys))
    return found


def attribution_readings(call: Call, context: Context) -> list[AttributionReading]:
    """`dla(R)` or `dla(R, metric)`: each element of R."""
    metric = _metric_argument(call, context)
    return [
        AttributionReading(element, metric)
        for role in roles_named(call, context)
        for element in role.elements
    ]


def _metric_argument(call: Call, context: Context) -> str:
    if len(call.arguments) > 1:
        return _argument(call.arguments[1])
    if len(context.metrics) != 1:
        raise EngineError(f"{call.function} needs a metric: this task has several")
    return next(iter(context.metrics))


def reading_name(reading: AttentionReading | AttributionReading) -> str:
    """How one head's reading is named in the result."""
    if isinstance(reading, AttentionReading):
        keys = ", ".join(str(k) for k in reading.keys)
        return f"attention({reading.head} @ {reading.query} -> {keys})"
    return f"dla({reading.element}, {reading.metric})"


def read_arm(
    name: str,
    claim: Claim,
    context: Context,
    runs: Sequence[Readings],
    model: Readings,
    *,
    touched: Touched | None,
) -> Arm:
    """The series of an intervened run (repetitions averaged), beside the model's own.

    Bare names are of the intervened run. `error` is |m_i(run) − m_i(M)| a prompt, of the task's
    metric (`error(metric)` where it has several).
    """
    series: dict[str, Series] = {}
    parts: dict[str, tuple[str, ...]] = {}
    for metric in context.metrics:
        own = averaged(runs, metric)
        reference = model.metrics[metric]
        series[metric] = Series(values=own)
        series[f"model.{metric}"] = Series(values=reference)
        series[f"error({metric})"] = Series(
            values=np.mean([np.abs(r.metrics[metric] - reference) for r in runs], axis=0)
        )
        if all(r.top for r in runs):
            series[f"agreement({metric})"] = agreement(runs, model, metric)
            series[f"accuracy({metric})"] = _accuracy(context, runs, metric)
            series[f"model.accuracy({metric})"] = accuracy(context, model, context.metrics[metric])
        if all(r.kl for r in runs):
            series[f"kl({metric})"] = Series(values=np.mean([r.kl[metric] for r in runs], axis=0))
    for call in calls(claim):
        if call.function == ATTENTION:
            _read_attention(call, context, runs, series, parts)
        elif call.function == ATTRIBUTION:
            _read_attribution(call, context, runs, series, parts)
    return Arm(name=name, series=series, parts=parts, touched=touched)


def _accuracy(context: Context, runs: Sequence[Readings], metric: str) -> Series:
    each = [accuracy(context, r, context.metrics[metric]).values for r in runs]
    return Series(values=np.mean(each, axis=0), share=len(runs) == 1)


def _read_attention(
    call: Call,
    context: Context,
    runs: Sequence[Readings],
    series: dict[str, Series],
    parts: dict[str, tuple[str, ...]],
) -> None:
    """Attention mass: the claim is on the mean over heads, each head reported."""
    readings = attention_readings(call, context)
    for reading in readings:
        mass = np.mean([r.attention[reading] for r in runs], axis=0)
        series[reading_name(reading)] = Series(values=mass)
    keys = tuple(reading_name(reading) for reading in readings)
    series[call_key(call)] = Series(values=np.mean([series[k].values for k in keys], axis=0))
    parts[call_key(call)] = keys


def _read_attribution(
    call: Call,
    context: Context,
    runs: Sequence[Readings],
    series: dict[str, Series],
    parts: dict[str, tuple[str, ...]],
) -> None:
    """Direct logit attribution: additive, so the claim is on the sum over elements."""
    readings = attribution_readings(call, context)
    for reading in readings:
        share = np.mean([r.attribution[reading] for r in runs], axis=0)
        series[reading_name(reading)] = Series(values=share)
    keys = tuple(reading_name(reading) for reading in readings)
    series[call_key(call)] = Series(values=np.sum([series[k].values for k in keys], axis=0))
    parts[call_key(call)] = keys


def owned(arm: Arm, owner: str, context: Context, runs: Sequence[Readings]) -> Arm:
    """`arm` with another run's metrics under `owner` (`circuit`, `empty`)."""
    extra: Mapping[str, Series] = {
        f"{owner}.{metric}": Series(values=averaged(runs, metric)) for metric in context.metrics
    }
    return replace(arm, series={**arm.series, **extra})


def total_touched(runs: Sequence[Readings]) -> Touched:
    """What all repetitions of an intervention wrote."""
    total = Touched()
    for reading in runs:
        total += reading.touched
    return total


def numbers(arm: Arm) -> dict[str, float]:
    """The mean of every series of an arm."""
    return {name: series.mean for name, series in arm.series.items()}
