"""Measures that are read off a run, by name: attention, attribution, lens, copying, token scores.

    attention(R)        attention mass from R's query position to what it attends; mean over heads
    dla(R)              direct logit attribution; additive, so the sum over R's elements
    logit_lens(L)       the metric of final norm and unembedding applied after block L
    copying(R)          share of a prompt's names that R's OV circuits copy; mean over heads
    negative_copying(R) the same of their outputs' negatives: what they suppress
    previous_token(R), duplicate_token(R), induction(R)
                        mean attention at the matching offset on repeated random tokens; over heads

Every part of a mean or sum is reported, and `require each` makes a requirement of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from circuitspec.claims.calls import call_key, calls, metric_argument, roles_named
from circuitspec.claims.context import Context
from circuitspec.claims.measured import Series
from circuitspec.engine.repeated import (
    OffsetKind,
    OffsetScores,
    Repeated,
    offset_scores,
    repeated_tokens,
)
from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    CopyingReading,
    EngineError,
    Floats,
    LensReading,
    Readings,
    Run,
)
from circuitspec.hypothesis.records import Claim, Role
from circuitspec.language.nodes import Head
from circuitspec.language.syntax import Call, Number

Reading = AttentionReading | AttributionReading | LensReading | CopyingReading

OFFSETS: Mapping[str, OffsetKind] = {
    "previous_token": "previous_token",
    "duplicate_token": "duplicate_token",
    "induction": "induction",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A series, and the names of those that it is the mean (or sum) of."""

    series: Series
    parts: tuple[str, ...] = ()


def with_readings(run: Run, claim: Claim, context: Context) -> Run:
    """`run`, asked also for what the claim's requirements read off it."""
    asked = [reading for call in calls(claim) for reading in _asked(call, context)]
    return replace(
        run,
        attention=tuple(dict.fromkeys(r for r in asked if isinstance(r, AttentionReading))),
        attribution=tuple(dict.fromkeys(r for r in asked if isinstance(r, AttributionReading))),
        residual=tuple(
            dict.fromkeys(r for r in asked if isinstance(r, LensReading | CopyingReading))
        ),
    )


def read_call(
    call: Call, claim: Claim, context: Context, runs: Sequence[Readings]
) -> Mapping[str, Found]:
    """The series of a measure and of its parts, by name; none if it is read off no run."""
    if call.function in OFFSETS:
        return _repeated(call, claim, context)
    readings = _asked(call, context)
    if not readings:
        return {}
    values = {_name(reading): _mean(reading, runs) for reading in readings}
    if call.function == "logit_lens":
        return {call_key(call): Found(series=Series(values=next(iter(values.values()))))}
    together = np.sum if call.function == "dla" else np.mean
    return _combined(call_key(call), values, together)


def _combined(
    key: str,
    values: Mapping[str, Floats],
    together: Callable[..., Floats],
    *,
    drawn: bool = False,
) -> Mapping[str, Found]:
    whole = together(list(values.values()), axis=0)
    copying = "copying" in key
    return {
        **{name: Found(series=_series(each, copying, drawn)) for name, each in values.items()},
        key: Found(series=_series(whole, copying, drawn), parts=tuple(values)),
    }


def _series(values: Floats, copying: bool, drawn: bool) -> Series:
    """A share of names is one of prompts too where every prompt has all or none of them."""
    return Series(values=values, share=copying and bool(np.isin(values, (0, 1)).all()), drawn=drawn)


def _asked(call: Call, context: Context) -> list[Reading]:
    match call.function:
        case "attention":
            return [r for role in roles_named(call, context) for r in _attention(role)]
        case "dla":
            metric = metric_argument(call, context)
            return [
                AttributionReading(element, metric)
                for role in roles_named(call, context)
                for element in role.elements
            ]
        case "logit_lens":
            layer = call.arguments[0]
            if not isinstance(layer, Number):
                raise EngineError("a logit lens is looked through at a layer: `logit_lens(6)`")
            return [LensReading(int(layer.value), metric_argument(call, context))]
        case "copying" | "negative_copying":
            negative = call.function == "negative_copying"
            return [CopyingReading(head, negative) for head in _heads(call, context)]
        case _:
            return []


def _attention(role: Role) -> list[AttentionReading]:
    """Each head of a role, from each query position to what it attends there."""
    found = []
    for node in role.nodes:
        for place in role.places:
            if not isinstance(node, Head):
                raise EngineError(f"{node} is no head: it attends to nothing")
            if not place.keys:
                raise EngineError(f"role {role.name} does not say what it attends to")
            found.append(AttentionReading(node, place.query, place.keys))
    return found


def _heads(call: Call, context: Context) -> tuple[Head, ...]:
    nodes = dict.fromkeys(node for role in roles_named(call, context) for node in role.nodes)
    heads = tuple(node for node in nodes if isinstance(node, Head))
    if len(heads) < len(nodes):
        raise EngineError(f"{call_key(call)} is of heads, and not all of it are")
    return heads


def _name(reading: Reading) -> str:
    """How one part is named in the result."""
    match reading:
        case AttentionReading(head=head, query=query, keys=keys):
            return f"attention({head} @ {query} -> {', '.join(str(k) for k in keys)})"
        case AttributionReading(element=element, metric=metric):
            return f"dla({element}, {metric})"
        case LensReading(layer=layer, metric=metric):
            return f"logit_lens({layer}, {metric})"
        case CopyingReading(head=head, negative=negative):
            return f"{'negative_' if negative else ''}copying({head})"


def _mean(reading: Reading, runs: Sequence[Readings]) -> Floats:
    """A reading averaged over repetitions, by prompt."""
    match reading:
        case AttentionReading():
            each = [run.attention[reading] for run in runs]
        case AttributionReading():
            each = [run.attribution[reading] for run in runs]
        case LensReading() | CopyingReading():
            each = [run.residual[reading] for run in runs]
    values: Floats = np.mean(each, axis=0)
    return values


# Scores on repeated random tokens: of the model's heads, whatever the task's prompts are


def _repeated(call: Call, claim: Claim, context: Context) -> Mapping[str, Found]:
    if claim.intervention is not None or claim.given:
        raise EngineError(
            f"{call.function} is read on repeated random tokens, where the task's positions do not "
            "exist: it is of the unmodified model, so nothing can be ablated or patched"
        )
    engine, kind = context.engine, OFFSETS[call.function]
    prompts = repeated_prompts(context)
    scores = offset_scores(engine.weights, prompts, _heads(call, context), kind, engine.batch_size)
    context.put_down(OffsetScores(prompts=prompts, kind=kind, values=scores))
    values = {f"{call.function}({head})": each for head, each in scores.items()}
    return _combined(call_key(call), values, np.mean, drawn=True)


def repeated_prompts(context: Context) -> Repeated:
    """The repeated tokens that scores are read on: one prompt for every evaluation prompt."""
    prompts = context.task.evaluation.prompts
    bos = prompts[0].tokens[0] if context.task.bos else None
    return repeated_tokens(context.engine.weights, len(prompts), context.seed, bos)


def reads_repeated(claim: Claim) -> bool:
    """Whether a claim reads anything off repeated tokens."""
    return any(call.function in OFFSETS for call in calls(claim))
