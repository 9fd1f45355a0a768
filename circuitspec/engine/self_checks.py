"""What a run checks about itself before it reports: each check can fail, and says by how much.

A silent no-op is the field's worst bug: an intervention that resolves, writes nothing, and reads as
"no effect". It must be impossible to report one.

Tolerances are relative to the scale of the logits: their root mean square over the vocabulary at
the places where metrics are read. Rounding in float32 grows with that scale and not with the
metric, which may be a difference of two large numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.audit import Audit
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
from circuitspec.engine.runs import EngineError, Means, Readings, ReplaceAllBut, Rows, Run
from circuitspec.engine.through_hooks import Handlers, SilentHookError, forward_through_hooks
from circuitspec.model.load import LoadedModel
from circuitspec.task.records import Prompt

TOLERANCE = {torch.float32: 2e-5, torch.float64: 1e-10}
"""Of one engine against itself, in logits, relative to their scale, by its precision."""
HOOK_TOLERANCE = 3e-5
"""Of the engine against TransformerLens, whose model is in float32, relative to the same scale."""

FORWARD_PROMPTS = 128
"""The unmodified forward is compared on all prompts of a set if they are no more than this."""
AUDITED_PROMPTS = 4
"""Prompts of each run that a sample audits; `all` takes every prompt of every run."""
AUDITED_A_KIND = 2
"""Runs of each kind that a sample audits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check: whether it passed, the figure it turned on, and what was compared."""

    name: str
    passed: bool
    value: float | None = None
    detail: str = ""


def run_self_checks(
    engine: Engine,
    model: LoadedModel,
    runs: Sequence[Run],
    audit: Literal["sample", "all"] = "sample",
) -> tuple[Check, ...]:
    """Every check of the engine on what it has computed. `runs` are those that claims asked for.

    Runs that the engine refuses (EngineError) are left out: the claims that asked are invalid
    already. `audit`: which runs are computed again through TransformerLens's hooks.
    """
    with torch.inference_mode():
        return _checks(engine, model, runs, audit)


def _checks(
    engine: Engine, model: LoadedModel, runs: Sequence[Run], audit: Literal["sample", "all"]
) -> tuple[Check, ...]:
    done = _evaluated(engine, runs)
    names = sorted({run.prompts for run in done}) or sorted(engine.sets)[:1]
    agreement, scale = _forward_agrees(engine, model, names, audit)
    checks = [agreement]
    checks += _identities(engine, names[0], scale)
    checks += [_as_planned(done), *_given_in_force(engine, done, scale)]
    checks.append(_through_hooks(engine, model, done, scale, audit))
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
    engine: Engine, model: LoadedModel, names: Sequence[str], audit: Literal["sample", "all"]
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


def _as_planned(done: dict[Run, Readings]) -> Check:
    """Every run wrote as many activations as its text asks for, counted apart."""
    wrong = [
        (run, readings.touched)
        for run, readings in done.items()
        if readings.touched.written != readings.touched.planned
    ]
    planned = sum(readings.touched.planned for readings in done.values())
    detail = f"{planned} activations in {len(done)} runs"
    if wrong:
        run, touched = wrong[0]
        detail = (
            f"{len(wrong)} of {len(done)} runs did not write what they were to: the first was to "
            f"write {touched.planned} activations and wrote {touched.written} ({_kind(run)})"
        )
    off = sum(abs(touched.written - touched.planned) for _, touched in wrong)
    return Check(
        name="every intervention wrote what it meant to",
        passed=not wrong,
        value=float(off),
        detail=detail,
    )


def _given_in_force(engine: Engine, done: dict[Run, Readings], scale: float) -> list[Check]:
    """A run under knock-outs alone is the run that writes them, and those writes are counted."""
    conditions = dict.fromkeys((run.prompts, run.given) for run in done if run.given)
    if not conditions:
        return []
    worst, off = 0.0, 0
    tolerance = TOLERANCE.get(engine.weights.dtype, HOOK_TOLERANCE)
    for prompts, given in conditions:
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


# ── through hooks ────────────────────────────────────────────────────────────────────────────────


def _through_hooks(
    engine: Engine,
    model: LoadedModel,
    done: dict[Run, Readings],
    scale: float,
    audit: Literal["sample", "all"],
) -> Check:
    """Metrics of runs, computed again by the slow path."""
    name = "interventions agree with TransformerLens's hooks"
    chosen = list(done) if audit == "all" else _sampled(done)
    slow = Audit(model, engine.sets, engine.metrics)
    worst, where = 0.0, ""
    margin = HOOK_TOLERANCE * scale
    for run in chosen:
        prompts = engine.sets[run.prompts].prompts
        rows = list(range(len(prompts)) if run.rows is None else run.rows)
        if audit == "sample":
            place = {id(prompts[row]): row for row in rows}
            few = spread([prompts[row] for row in rows], AUDITED_PROMPTS)
            rows = [place[id(prompt)] for prompt in few]
        try:
            audited = slow.evaluate(run, rows, margin)
        except SilentHookError as error:
            return Check(name=name, passed=False, detail=f"{_kind(run)}: {error}")
        for metric, values in audited.metrics.items():
            ours = done[run].metrics[metric][rows]
            off = np.abs(ours - values) / np.maximum(audited.slack[metric], 1e-12)
            off[np.isnan(off)] = np.inf
            off[(ours == values) | (np.isnan(ours) & np.isnan(values))] = 0.0
            if len(off) and off.max() > worst:
                worst, where = float(off.max()), f"; the furthest: {metric}, {_kind(run)}"
    of = f"{len(chosen)} of {len(done)} runs"
    if audit == "sample":
        of += f", {AUDITED_PROMPTS} prompts each"
    return Check(
        name=name,
        passed=worst <= 1.0,
        value=worst * HOOK_TOLERANCE,
        detail=f"{of}; difference in logits relative to their scale, at most {HOOK_TOLERANCE:g}"
        + where,
    )


def _sampled(runs: Iterable[Run]) -> list[Run]:
    """The first runs of every kind that change something."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        if run.given or run.writes or run.edges is not None or run.path is not None:
            found.setdefault(_kind(run), []).append(run)
    return [run for of in found.values() for run in of[:AUDITED_A_KIND]]


def _kind(run: Run) -> str:
    """What sort of intervention a run is, in words."""
    if run.path is not None:
        kind = "path patching, " + ("direct" if run.path.through == "direct" else "through MLPs")
    elif run.edges is not None:
        kind = "edges cut" if run.edges.all_but else "circuit by edges"
        kind += _from(run.edges.source)
    elif run.writes:
        kind = ", ".join(
            ("circuit by nodes" if isinstance(w, ReplaceAllBut) else "outputs replaced")
            + _from(w.source)
            for w in run.writes
        )
    else:
        kind = "unmodified"
    return kind + (" under knock-outs" if run.given else "")


def _from(source: object) -> str:
    if isinstance(source, Means):
        return f" by means over {source.over}"
    return f" by {source.prompts.partition(':')[0]} values" if isinstance(source, Rows) else " by 0"
