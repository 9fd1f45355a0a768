"""Which module measures which claim: the one place where a new kind of claim is entered."""

from __future__ import annotations

from types import ModuleType

from circuitspec.claims import (
    completeness,
    denoising,
    drawn,
    effects,
    faithfulness,
    knockout,
    minimality,
    model_only,
    patching,
    scrubbing,
)
from circuitspec.claims.arms import by_template
from circuitspec.claims.context import Context
from circuitspec.claims.measured import Measured
from circuitspec.engine.runs import EngineError, Run
from circuitspec.hypothesis.records import (
    AblateComplement,
    AblateSet,
    ActivationPatch,
    Claim,
    Denoise,
    PathPatch,
    Scrub,
)

_BY_INTERVENTION: dict[type, ModuleType] = {
    AblateComplement: faithfulness,
    AblateSet: knockout,
    ActivationPatch: patching,
    PathPatch: patching,
    Denoise: denoising,
    Scrub: scrubbing,
}


def module_of(claim: Claim) -> ModuleType:
    """The module with the claim's definition: `runs(claim, context)`, `measure(claim, context)`."""
    if claim.completeness is not None or claim.minimality is not None:
        if claim.intervention is not None or (claim.completeness and claim.minimality):
            raise EngineError("one claim measures one thing: make this two claims")
        return completeness if claim.completeness is not None else minimality
    if claim.intervention is None:
        return model_only
    module = _BY_INTERVENTION.get(type(claim.intervention))
    if module is None:
        raise EngineError(
            f"{type(claim.intervention).__name__.lower()} is not measured by this version"
        )
    return module


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """Everything the claim needs computed that is known before anything is."""
    found: tuple[Run, ...] = module_of(claim).runs(claim, context)
    return (*found, *effects.runs(claim, context))


def measure(claim: Claim, context: Context) -> Measured:
    """The claim's measures. Raises EngineError where the claim cannot mean anything."""
    measured: Measured = module_of(claim).measure(claim, context)
    measured = by_template(effects.added(measured, claim, context), context)
    return drawn.marked(measured) if drawn.rests_on_draws(claim, context) else measured
