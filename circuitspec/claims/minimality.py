"""Minimality: does every part of the circuit matter?

`each head`, `each node`, `each role`, `each edge`. The effect of v given K, signed, in the metric's
units, is (Wang et al. 2022, section 4):

    effect(v | K) = m(C\\K) − m(C\\(K ∪ {v}))

with K a set of the circuit's elements without v. The sets K for each v are the spec's (default: v's
role without v): a head with a backup shows its effect only while the backup is out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from circuitspec.claims.arms import read_arm, total_touched
from circuitspec.claims.context import Context, averaged
from circuitspec.claims.measured import EffectRow, Measured, listed, suffixed
from circuitspec.claims.readings import with_readings
from circuitspec.claims.sets import named_elements
from circuitspec.engine.runs import EngineError, Floats, Readings, Run
from circuitspec.hypothesis.records import Ablation, Claim, CutSet, Minimality


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """Everything the claim needs computed: equal runs are computed once."""
    ablation, asked = _stated(claim)
    pairs = (
        run
        for v, given in _pairs(asked)
        for cut in (given, _together(v, given))
        for run in context.circuit_runs(ablation, cut, given=context.given(claim))
    )
    whole = context.circuit_runs(ablation, given=context.given(claim))
    return (with_readings(context.model_run(claim), claim, context), *whole, *pairs)


def _stated(claim: Claim) -> tuple[Ablation, Minimality]:
    if claim.ablation is None or claim.minimality is None:
        raise EngineError("the claim does not say of what it is minimal, or what a cut becomes")
    return claim.ablation, claim.minimality


def _pairs(asked: Minimality) -> list[tuple[CutSet, CutSet]]:
    return [(v, given) for v, candidates in asked.candidates for given in candidates]


def _together(v: CutSet, given: CutSet) -> CutSet:
    return CutSet(
        name=f"{given.name} and {v.name}",
        elements=v.elements | given.elements,
        edges=v.edges | given.edges,
    )


def measure(claim: Claim, context: Context) -> Measured:
    """m_i(C\\K) and m_i(C\\(K ∪ {v})) for every v and every K it is tried with."""
    ablation, asked = _stated(claim)
    pairs = _pairs(asked)
    if not pairs:
        raise EngineError(f"the circuit has no {asked.unit} that could be taken out")
    done = context.evaluate(runs(claim, context))
    each = len(context.sources(ablation))
    model, whole = done[0], done[1 : 1 + each]
    rows = []
    for number, (v, given) in enumerate(pairs):
        start = 1 + each + 2 * each * number
        before, after = done[start : start + each], done[start + each : start + 2 * each]
        rows.append(
            EffectRow(
                name=v.name,
                given=given.name,
                elements=named_elements(context, ablation, given),
                before={m: averaged(before, m) for m in context.metrics},
                after={m: averaged(after, m) for m in context.metrics},
                inert=_inert(before, after),
            )
        )
    table: dict[str, Any] = {}
    for metric in context.metrics:
        table[f"model.{metric}"] = float(model.metrics[metric].mean())
        table[f"circuit.{metric}"] = float(averaged(whole, metric).mean())
    table["effects"] = [_entry(row, context) for row in rows]
    return Measured(
        kind="minimality",
        arms=(read_arm("model", claim, context, [model], model, touched=None),),
        effects=tuple(rows),
        numbers=table,
        draws=context.draws(ablation),
        notes=_notes(rows, context),
    )


def _notes(rows: Sequence[EffectRow], context: Context) -> tuple[str, ...]:
    """Every element's effect, the weakest first; with its K where it is tried with several."""
    tried = Counter(row.name for row in rows)
    names = [f"{r.name} given {r.given}" if tried[r.name] > 1 else r.name for r in rows]
    found = []
    for metric in context.metrics:
        means = [float(effect(row, metric).mean()) for row in rows]
        order = sorted(range(len(rows)), key=lambda number: abs(means[number]))
        title = f"{suffixed('effect', metric, context.metrics)}, the weakest first"
        found.append(listed(title, [f"{names[n]} {means[n]:+.3g}" for n in order]))
    return tuple(found)


def _inert(before: Sequence[Readings], after: Sequence[Readings]) -> bool:
    """Whether no activation is other with v ablated than without.

    Then both runs wrote over the same live values, changed as many, and give the same but for
    rounding.
    """
    first, second = total_touched(before), total_touched(after)
    return (first.changed, first.largest) == (second.changed, second.largest) and all(
        np.allclose(one.metrics[m], other.metrics[m], rtol=1e-6, atol=1e-6, equal_nan=True)
        for one, other in zip(before, after, strict=True)
        for m in one.metrics
    )


def effect(row: EffectRow, metric: str) -> Floats:
    """m_i(C\\K) − m_i(C\\(K ∪ {v})): float64 [n]."""
    difference: Floats = row.before[metric] - row.after[metric]
    return difference


def _entry(row: EffectRow, context: Context) -> dict[str, Any]:
    """A (v, K) in the result's table: `before` is of C\\K, `after` of C\\(K ∪ {v})."""
    entry: dict[str, Any] = {"name": row.name, "given": row.given, "K": list(row.elements)}
    templates = np.array([p.template for p in context.task.evaluation])
    for metric in context.metrics:
        signed = effect(row, metric)
        name = suffixed("effect", metric, context.metrics)
        entry[f"before.{metric}"] = float(row.before[metric].mean())
        entry[f"after.{metric}"] = float(row.after[metric].mean())
        entry[name] = float(signed.mean())
        entry[f"{name} by template"] = {
            str(t): float(signed[templates == t].mean()) for t in dict.fromkeys(templates)
        }
    return entry
