"""Completeness: is anything missing from the circuit that only shows when parts of it are out?

`knockouts ...`. The incompleteness of a set K of the circuit's elements, signed, in the metric's
units, is (Wang et al. 2022, section 4):

    incompleteness(K) = m(C\\K) − m(M\\K)

By nodes K is not kept in C\\K, so ablated at every position, and ablated in M\\K where its roles
live (the paper's convention). By edges both cut exactly K's edges. The sets K are those the spec
names, random ones (`sets.random_sets`) and those a greedy search finds (`greedy`). A K never holds
what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuitspec.claims.arms import read_arm, total_touched
from circuitspec.claims.context import Context, averaged
from circuitspec.claims.greedy import Search, search, searched_metric
from circuitspec.claims.measured import Measured, SetKind, SetRow, listed, suffixed
from circuitspec.claims.readings import with_readings
from circuitspec.claims.sets import halves, named_elements, parts_of, random_sets
from circuitspec.engine.runs import EngineError, Floats, Run
from circuitspec.hypothesis.records import Ablation, Claim, Completeness, CutSet


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """Everything that is known to be needed before a greedy search has begun."""
    ablation, asked = _stated(claim)
    given = context.given(claim)
    whole = context.circuit_runs(ablation, given=given)
    pairs = (
        run
        for _, cut in _sets(asked, claim, context)
        for run in (
            *context.circuit_runs(ablation, cut, given=given),
            *context.knockout_runs(ablation, cut, given=given),
        )
    )
    return (context.model_run(claim), *whole, *pairs)


def _stated(claim: Claim) -> tuple[Ablation, Completeness]:
    if claim.ablation is None or claim.completeness is None:
        raise EngineError("the claim does not say what is knocked out, or what it becomes")
    return claim.ablation, claim.completeness


def _sets(asked: Completeness, claim: Claim, context: Context) -> list[tuple[SetKind, CutSet]]:
    ablation, _ = _stated(claim)
    named: list[tuple[SetKind, CutSet]] = [("named", cut) for cut in asked.named]
    drawn = random_sets(parts_of(context.circuit, ablation), context.seed, asked.random)
    return [*named, *(("random", cut) for cut in drawn)]


def measure(claim: Claim, context: Context) -> Measured:
    """m_i(C\\K) and m_i(M\\K) for every K, prompt by prompt."""
    ablation, asked = _stated(claim)
    every = tuple(range(len(context.task.evaluation)))
    found: list[tuple[SetKind, CutSet, tuple[int, ...]]] = [
        (kind, cut, every) for kind, cut in _sets(asked, claim, context)
    ]
    if asked.greedy is not None:
        searched, judged = halves(context)
        wanted = Search(
            ablation=ablation,
            metric=searched_metric(claim, context),
            size=asked.greedy,
            parts=parts_of(context.circuit, ablation),
            prompts=searched,
            given=context.given(claim),
        )
        found += [("greedy", cut, judged) for cut in search(wanted, context)]
    if not found:
        raise EngineError("there is no set K: the circuit has nothing that can be knocked out")
    rows = _rows(claim, context, ablation, found)
    model = context.evaluate([with_readings(context.model_run(claim), claim, context)])[0]
    whole = context.evaluate(context.circuit_runs(ablation, given=context.given(claim)))
    table: dict[str, Any] = {}
    for metric in context.metrics:
        table[f"model.{metric}"] = float(model.metrics[metric].mean())
        table[f"circuit.{metric}"] = float(averaged(whole, metric).mean())
    entries = [_entry(row, context) for row in rows]
    table["sets"] = entries
    table["worst"] = {metric: _worst(entries, metric, context) for metric in context.metrics}
    return Measured(
        kind="completeness",
        arms=(read_arm("model", claim, context, [model], model, touched=None),),
        sets=tuple(rows),
        numbers=table,
        draws=context.draws(ablation),
        notes=_notes(rows, context),
    )


def _notes(rows: Sequence[SetRow], context: Context) -> tuple[str, ...]:
    """Every set's incompleteness, the worst first, and what is in that one."""
    found = []
    for metric in context.metrics:
        means = [float(incompleteness(row, metric).mean()) for row in rows]
        order = sorted(range(len(rows)), key=lambda number: -abs(means[number]))
        title = f"{suffixed('incompleteness', metric, context.metrics)}, the worst first"
        found.append(listed(title, [f"{rows[n].name} {means[n]:+.3g}" for n in order]))
        worst = rows[order[0]]
        if worst.kind != "named":
            found.append(listed(worst.name, worst.elements or ("nothing",)))
    return tuple(found)


def _rows(
    claim: Claim,
    context: Context,
    ablation: Ablation,
    found: Sequence[tuple[SetKind, CutSet, tuple[int, ...]]],
) -> list[SetRow]:
    given = context.given(claim)
    asked = [
        run
        for _, cut, _ in found
        for run in (
            *context.circuit_runs(ablation, cut, given=given),
            *context.knockout_runs(ablation, cut, given=given),
        )
    ]
    done = context.evaluate(asked)
    each = len(done) // len(found)
    rows = []
    for number, (kind, cut, prompts) in enumerate(found):
        pair = done[number * each : (number + 1) * each]
        circuit, model = pair[: each // 2], pair[each // 2 :]
        touched = total_touched(model)
        rows.append(
            SetRow(
                name=cut.name,
                kind=kind,
                elements=named_elements(context, ablation, cut),
                circuit={m: averaged(circuit, m)[list(prompts)] for m in context.metrics},
                model={m: averaged(model, m)[list(prompts)] for m in context.metrics},
                rows=prompts,
                inert=touched.planned > 0 and touched.changed == 0,
            )
        )
    return rows


def incompleteness(row: SetRow, metric: str) -> Floats:
    """m_i(C\\K) − m_i(M\\K) on the prompts K is judged on: float64 [n]."""
    difference: Floats = row.circuit[metric] - row.model[metric]
    return difference


def _entry(row: SetRow, context: Context) -> dict[str, Any]:
    """A set in the result's table: its means over the prompts it is judged on, all and by template.

    `circuit.x` is m(C\\K) here, and `model.x` m(M\\K).
    """
    entry: dict[str, Any] = {
        "name": row.name,
        "kind": row.kind,
        "elements": list(row.elements),
        "n": len(row.rows),
    }
    if len(row.rows) < len(context.task.evaluation):
        entry["prompts"] = list(row.rows)
    templates = np.array([context.task.evaluation.prompts[r].template for r in row.rows])
    for metric in context.metrics:
        signed = incompleteness(row, metric)
        name = suffixed("incompleteness", metric, context.metrics)
        entry[f"circuit.{metric}"] = float(row.circuit[metric].mean())
        entry[f"model.{metric}"] = float(row.model[metric].mean())
        entry[name] = float(signed.mean())
        entry[f"{name} by template"] = {
            str(t): float(signed[templates == t].mean()) for t in dict.fromkeys(templates)
        }
    return entry


def _worst(
    entries: Sequence[Mapping[str, Any]], metric: str, context: Context
) -> Mapping[str, Any]:
    """The set with the largest |incompleteness|, the first of equals."""
    name = suffixed("incompleteness", metric, context.metrics)
    worst = max(entries, key=lambda entry: abs(entry[name]))
    return {"name": worst["name"], "incompleteness": worst[name]}
