"""What a run checks about itself before it reports: each check can fail, and says by how much.

A silent no-op is the field's worst bug: an intervention that resolves, writes nothing, and reads as
"no effect". It must be impossible to report one.

Tolerances are relative to the scale of the logits: their root mean square over the vocabulary at
the places where metrics are read. Rounding in float32 grows with that scale and not with the
metric, which may be a difference of two large numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from circuitspec.engine.audit.checks import Extent, kind_of, through_hooks
from circuitspec.engine.audit.run import TOLERANCE as HOOK_TOLERANCE
from circuitspec.engine.audit.through_hooks import Handlers, forward_through_hooks
from circuitspec.engine.check import Check, Computed
from circuitspec.engine.engine import Engine
from circuitspec.engine.identities import (
    IDENTITY_PROMPTS,
    PROBES,
    Probes,
    distance,
    identities,
    places,
    spread,
)
from circuitspec.engine.runs import EngineError, Readings, Run
from circuitspec.model.load import LoadedModel
from circuitspec.task.records import Prompt

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10}
"""Of one engine against itself, in logits, relative to their scale, by its precision."""

FORWARD_PROMPTS = 128
"""The unmodified forward is compared on all prompts of a set if they are no more than this."""


def run_self_checks(
    computed: Computed,
    model: LoadedModel,
    audit: Extent = "sample",
    further: Sequence[Computed] = (),
) -> tuple[Check, ...]:
    """Every check of the engine on what claims had computed on it.

    Runs that the engine refuses (EngineError) are left out: the claims that asked are invalid
    already. `audit`: how much is computed again through TransformerLens's hooks. `further`: what
    was computed on the same model's engines over other prompts (by claims until decided).
    """
    with torch.inference_mode():
        return _checks(computed, model, audit, further)


def _checks(
    computed: Computed, model: LoadedModel, audit: Extent, further: Sequence[Computed]
) -> tuple[Check, ...]:
    engine = computed.engine
    each = [(one, _evaluated(one.engine, one.runs)) for one in (computed, *further)]
    done = each[0][1]
    names = sorted({run.prompts for run in done}) or sorted(engine.sets)[:1]
    agreement, scale = _forward_agrees(engine, model, names, audit)
    checks = [agreement]
    checks += _identities(engine, names[0], scale)
    checks.append(_as_planned([readings for _, readings in each]))
    checks += _given_in_force([(one.engine, readings) for one, readings in each], scale)
    checks += through_hooks(each, model, scale, audit)
    return tuple(checks)


def _evaluated(engine: Engine, runs: Sequence[Run]) -> dict[Run, Readings]:
    done = {}
    for run in dict.fromkeys(runs):
        try:
            (done[run],) = engine.evaluate([run])
        except EngineError:
            continue
    return done


# ── the unmodified forward ───────────────────────────────────────────────────────────────────────


def _forward_agrees(
    engine: Engine, model: LoadedModel, names: Sequence[str], audit: Extent
) -> tuple[Check, float]:
    """Logits of the engine and of TransformerLens where metrics are read; and the logits' scale.

    The engine is asked for logits through its own readings, of tokens spread over the vocabulary
    and of each prompt's likeliest, so that what is checked is what claims use.
    """
    worst, squares, count, n = 0.0, 0.0, 0, 0
    for name in names:
        prompts = engine.sets[name].prompts
        if audit == "sample" and len(prompts) > FORWARD_PROMPTS:
            prompts = spread(prompts, FORWARD_PROMPTS)
        n += len(prompts)
        logits = _plain_logits(model, prompts)
        at = places(engine)
        want = {
            (i, place): logits[i][list(prompt.at(place))].double().mean(0)
            for i, prompt in enumerate(prompts)
            for place in at
        }
        for row in want.values():
            squares, count = squares + float(row.square().sum()), count + row.numel()
        probes = Probes(engine, prompts, [want[i, at[0]] for i in range(len(prompts))])
        (got,) = probes.engine.evaluate([Run("prompts")])
        for (i, place), row in want.items():
            for probe in range(PROBES):
                ours = float(got.metrics[probes.metric(probe, place)][i])
                theirs = float(row[probes.tokens[i][probe]])
                worst = max(worst, distance(ours, theirs))
    scale = max((squares / max(count, 1)) ** 0.5, 1e-30)
    check = Check(
        name="unmodified forward agrees with TransformerLens",
        passed=worst <= HOOK_TOLERANCE * scale,
        value=worst / scale,
        detail=f"largest difference of a logit over {n} prompts, relative to the logits' scale "
        f"{scale:.4g}; at most {HOOK_TOLERANCE:g}",
    )
    return check, scale


def _plain_logits(model: LoadedModel, prompts: Sequence[Prompt]) -> list[Tensor]:
    """TransformerLens's logits [T, V] of each prompt."""
    found: dict[int, Tensor] = {}
    by_length: dict[int, list[int]] = {}
    for i, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt.tokens), []).append(i)
    for members in by_length.values():
        for start in range(0, len(members), 16):
            part = members[start : start + 16]
            tokens = torch.tensor([prompts[i].tokens for i in part])
            logits = forward_through_hooks(model.bridge, model.shape, tokens, Handlers())
            found.update(zip(part, logits, strict=True))
    return [found[i] for i in range(len(prompts))]


def _identities(engine: Engine, name: str, scale: float) -> list[Check]:
    """Interventions whose result is known beforehand, on a sample of prompts."""
    probes = Probes(engine, spread(engine.sets[name].prompts, IDENTITY_PROMPTS))
    tolerance = TOLERANCE.get(engine.weights.dtype, HOOK_TOLERANCE)
    checks = []
    for identity in identities(engine.weights.shape, probes):
        worst = max(probes.apart(one, two) for one, two in identity.pairs)
        checks.append(
            Check(
                name=identity.name,
                passed=worst <= tolerance * scale,
                value=worst / scale,
                detail=f"{identity.scope}, {len(probes.partner)} prompts; largest difference of a "
                f"logit, relative to the logits' scale; at most {tolerance:g}",
            )
        )
    return checks


# ── counts ───────────────────────────────────────────────────────────────────────────────────────


def _as_planned(done: Sequence[dict[Run, Readings]]) -> Check:
    """Every run wrote as many activations as its text asks for, counted apart."""
    every = [(run, readings.touched) for of in done for run, readings in of.items()]
    wrong = [(run, touched) for run, touched in every if touched.written != touched.planned]
    planned = sum(touched.planned for _, touched in every)
    detail = f"{planned} activations in {len(every)} runs"
    if wrong:
        run, touched = wrong[0]
        detail = (
            f"{len(wrong)} of {len(every)} runs did not write what they were to: the first was to "
            f"write {touched.planned} activations and wrote {touched.written} ({kind_of(run)})"
        )
    off = sum(abs(touched.written - touched.planned) for _, touched in wrong)
    return Check(
        name="every intervention wrote what it meant to",
        passed=not wrong,
        value=float(off),
        detail=detail,
    )


def _given_in_force(
    computed: Sequence[tuple[Engine, Mapping[Run, Readings]]], scale: float
) -> list[Check]:
    """A run under knock-outs alone is the run that writes them, and those writes are counted."""
    conditions = [
        (engine, *condition)
        for engine, done in computed
        for condition in dict.fromkeys((run.prompts, run.given) for run in done if run.given)
    ]
    if not conditions:
        return []
    worst, off = 0.0, 0
    tolerance = TOLERANCE.get(computed[0][0].weights.dtype, HOOK_TOLERANCE)
    for engine, prompts, given in conditions:
        under, written = engine.evaluate([Run(prompts, given=given), Run(prompts, writes=given)])
        off += abs(written.touched.written - written.touched.planned)
        for metric in engine.metrics.values():
            if any(term.quantity == "rank" for term in metric.terms):
                continue
            weight = sum(abs(term.coefficient) for term in metric.terms) or 1.0
            for a, b in zip(under.metrics[metric.name], written.metrics[metric.name], strict=True):
                worst = max(worst, distance(float(a), float(b)) / weight)
    return [
        Check(
            name="knock-outs that claims are given are in force",
            passed=worst <= 2 * tolerance * scale and not off,
            value=worst / scale,
            detail=f"{len(conditions)} conditions, against runs that write them; {off} writes "
            "missing or too many",
        )
    ]
