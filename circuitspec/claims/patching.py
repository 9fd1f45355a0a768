"""Patching: what of a counterfactual prompt reaches the answer, from nodes or along paths.

`patch R from D` writes R's counterfactual outputs and recomputes the rest (activation patching,
Vig et al. 2020; Meng et al. 2022). `patch A -> B.q from D` lets them reach B.q alone, in two
passes (path patching, Wang et al. 2022, appendix B; Goldowsky-Dill et al. 2023). On `patch A -> B.q
-> logits from D` B in turn reaches the logits alone: all heads but B stay frozen until the last
receivers, which are held while all else is recomputed.
"""

from __future__ import annotations

from circuitspec.claims.arms import numbers, read_arm, unreached
from circuitspec.claims.context import EVALUATION, Context
from circuitspec.claims.measured import Measured
from circuitspec.claims.readings import with_readings
from circuitspec.engine.runs import EngineError, Hop, Path, Replace, Run
from circuitspec.hypothesis.records import ActivationPatch, Claim, PatchedPair, PathPatch


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """Everything the claim needs computed."""
    return (context.model_run(claim), *(run for _, run in _patched(claim, context)))


def _patched(claim: Claim, context: Context) -> list[tuple[str, Run]]:
    """The patched runs by name: one, or one a pair for `patch each`."""
    given = context.given(claim)
    match claim.intervention:
        case ActivationPatch(cut=cut, baseline=baseline):
            write = Replace(cut.elements, context.counterfactual(baseline))
            runs = [(cut.name, Run(EVALUATION, given=given, writes=(write,), top=True, kl=True))]
        case PathPatch(pairs=pairs, baseline=baseline, through=through):
            source = context.counterfactual(baseline)
            runs = [
                (
                    pair.name,
                    Run(
                        EVALUATION,
                        given=given,
                        path=Path(
                            frozenset(pair.senders), frozenset(pair.receivers), source, through
                        ),
                        onward=_onward(pair),
                        top=True,
                        kl=True,
                    ),
                )
                for pair in pairs
            ]
        case _:
            raise EngineError("the claim patches nothing")
    return [(name, with_readings(run, claim, context)) for name, run in runs]


def _onward(pair: PatchedPair) -> tuple[Hop, ...]:
    """The further hops of a pair's path, each from what this pair's path has reached."""
    reached = {node for node, _, _ in pair.receivers}
    found = []
    for hop in pair.onward:
        senders = frozenset(e for e in hop.senders if e.node in reached)
        found.append(Hop(senders, frozenset(hop.receivers)))
        reached = {node for node, _, _ in hop.receivers}
    return tuple(found)


def measure(claim: Claim, context: Context) -> Measured:
    """The metric of every patched run, beside the model's, prompt by prompt."""
    patched = _patched(claim, context)
    model = context.evaluate([context.model_run(claim)])[0]
    readings = context.evaluate([run for _, run in patched])
    arms = tuple(
        read_arm(name, claim, context, [reading], model, touched=reading.touched)
        for (name, _), reading in zip(patched, readings, strict=True)
    )
    kind = "path_patching" if isinstance(claim.intervention, PathPatch) else "activation_patching"
    notes = unreached("what it carries", context.metrics, *arms)
    if len(arms) == 1:
        return Measured(kind=kind, arms=arms, numbers=numbers(arms[0]), notes=notes)
    table = {
        "pairs": {
            arm.name: {metric: arm.series[metric].mean for metric in context.metrics}
            for arm in arms
        },
        **{f"model.{m}": arms[0].series[f"model.{m}"].mean for m in context.metrics},
    }
    return Measured(kind=kind, arms=arms, numbers=table, notes=notes)
