"""Causal scrubbing: is what each role is said to carry all that matters about it?

`scrub over D draws R` (Chan et al. 2022). The declared graph is unrolled into a tree from the
logits. Every role is read on a prompt drawn from D, given agreement with its reader's prompt on the
features that it `carries` and on the number of tokens; all that its nodes read along no declared
edge comes from one unconditional draw. If the story is right, this changes nothing that matters:

    scrub_recovered = (m_scrub − m_rand) / (m(M) − m_rand)

m_rand is the model's metric on unconditional draws against the prompt's own answers (the draws that
the logits' other inputs are read from). R draws are averaged for each prompt before any interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from circuitspec.claims.arms import numbers, owned, read_arm
from circuitspec.claims.calls import calls
from circuitspec.claims.context import Context
from circuitspec.claims.measured import Arm, Measured, suffixed
from circuitspec.engine import readings
from circuitspec.engine.refusals import refuse_prompts
from circuitspec.engine.runs import EngineError, Floats, Integers, Readings, Run, Touched
from circuitspec.engine.scrubbing.draws import Chooser
from circuitspec.engine.scrubbing.scrub import MOST_PATHS, Scrubbed, Scrubbing, Tree
from circuitspec.engine.scrubbing.story import Slot, scrubbed_roles
from circuitspec.hypothesis.records import Claim, Scrub
from circuitspec.task.pools import pool_of


def runs(claim: Claim, context: Context) -> tuple[Run, ...]:
    """The unmodified model: a scrub is no run of the engine's, and is computed apart."""
    return (context.model_run(),)


def measure(claim: Claim, context: Context) -> Measured:
    """m_scrub, m_rand and m(M), and what each role's interpretation loses."""
    stated = claim.intervention
    if not isinstance(stated, Scrub):
        raise EngineError("the claim scrubs nothing")
    if claim.given:
        raise EngineError("a scrub under a knock-out (`given ablated`) is not measured")
    for call in calls(claim):
        if call.function in ("attention", "dla", "logit_lens", "copying", "negative_copying"):
            raise EngineError(
                f"{call.function} is not read off a scrub: it has no one forward pass"
            )
    roles = scrubbed_roles(context.hypothesis, stated.roles)
    scrubbing = scrubbing_of(claim, stated, context)
    model = context.evaluate([context.model_run()])[0]
    pool = scrubbing.n_paths > MOST_PATHS
    trees = scrubbing.trees(roles, pool=pool)
    scrubbed, random = read(scrubbing, trees, context)
    whole = Scrubbed(
        claim=claim.name,
        roles=roles,
        leak=False,
        scrubbing=scrubbing,
        trees=trees,
        scrubbed=tuple(scrubbed),
        random=tuple(random),
    )
    context.put_down(whole)
    deviation = _checked(scrubbing, pool=pool)
    counts = _counts(trees)
    arm = read_arm("scrubbed", claim, context, scrubbed, model, touched=_touched(counts))
    arm = owned(arm, "rand", context, random)
    if context.task.enumerated:
        # all prompts are there, and yet what they are read on was drawn
        drawn = {
            name: replace(series, drawn=not name.startswith("model."))
            for name, series in arm.series.items()
        }
        arm = replace(arm, series=drawn)
    leaks = _leaks(whole, arm, context, pool=pool)
    context.engine.forwards += scrubbing.plain_runs / len(context.task.evaluation)
    unclaimed = [r.name for r in context.hypothesis.roles.values() if r.name not in roles]
    return Measured(
        kind="scrubbing",
        arms=(arm,),
        numbers={
            **numbers(arm),
            **_recovered(arm, context),
            "draws": stated.draws,
            "pooled": pool,
            "pool": len(scrubbing.chooser.pool),
            "vacuous": {role: dict(counts[role]) for role in counts},
            "unclaimed": ["input", *unclaimed],
            "leaks": leaks,
            "self_check": deviation,
        },
        draws=_draws(scrubbing, trees, context),
        notes=_notes(counts, unclaimed, leaks, context),
        warnings=_warnings(counts),
    )


def scrubbing_of(claim: Claim, stated: Scrub, context: Context) -> Scrubbing:
    """A claim's scrub, its pool drawn, ready to be computed."""
    pool, found = pool_of(context.task, claim.name, stated.over)
    if pool is None or not len(pool):
        raise EngineError("; ".join(d.message for d in found) or "the scrub's pool has no prompts")
    refuse_prompts(pool, context.engine.weights.shape)
    assert context.task.context is not None
    chooser = Chooser(
        pool,
        context.task.evaluation,
        context.task.context,
        seed=context.seed,
        claim=claim.name,
        draws=stated.draws,
    )
    return Scrubbing(
        context.hypothesis,
        context.circuit,
        context.engine.weights,
        tuple(context.metrics.values()),
        chooser,
        context.task.evaluation,
        batch_size=context.engine.batch_size,
    )


def _checked(scrubbing: Scrubbing, *, pool: bool) -> float:
    """The scrub whose every draw is the prompt itself, against the model; else EngineError."""
    with torch.inference_mode():
        deviation = scrubbing.deviation(pool=pool)
    tolerance = 1e-10 if scrubbing.weights.dtype == torch.float64 else 2e-5
    if not deviation <= tolerance:
        raise EngineError(
            f"self-check failed: with every draw the prompt itself the scrub is not the model "
            f"({deviation:.1e})"
        )
    return deviation


# ── from residuals to readings ───────────────────────────────────────────────────────────────────


def read(
    scrubbing: Scrubbing, trees: Sequence[Tree], context: Context
) -> tuple[list[Readings], list[Readings]]:
    """Readings of the scrubbed model, and of the model on unconditional draws: one a draw each."""
    n, draws = len(context.task.evaluation), scrubbing.chooser.draws
    scrubbed = [_Empty(n, context) for _ in range(draws)]
    random = [_Empty(n, context) for _ in range(draws)]
    with torch.inference_mode():
        for tree in trees:
            finals, randoms = scrubbing.finals(tree)
            model = scrubbing.model_finals(tree)
            for draw in range(draws):
                scrubbed[draw].add(scrubbing, tree, finals[:, draw], model)
                random[draw].add(scrubbing, tree, randoms[:, draw], model)
    return [e.readings() for e in scrubbed], [e.readings() for e in random]


class _Empty:
    """Readings of all evaluation prompts, filled in geometry by geometry."""

    def __init__(self, n: int, context: Context) -> None:
        self.context = context
        self.metrics: dict[str, Floats] = {m: np.full(n, np.nan) for m in context.metrics}
        self.kl: dict[str, Floats] = {m: np.full(n, np.nan) for m in context.metrics}
        self.top: dict[str, Integers] = {m: np.full(n, -1, dtype=np.int64) for m in context.metrics}

    def add(
        self, scrubbing: Scrubbing, tree: Tree, final: torch.Tensor, model: torch.Tensor
    ) -> None:
        batch, rows, weights = scrubbing.batch(tree), list(tree.rows), scrubbing.weights
        for name, metric in self.context.metrics.items():
            places = readings.places_of(batch, metric)
            kl = places.mean(readings.kl_from(weights, places.pick(model), places.pick(final)))
            values = kl if metric.kl else readings.metric_values(weights, batch, metric, final)
            self.kl[name][rows] = kl.cpu().numpy()
            self.metrics[name][rows] = values.cpu().numpy()
            self.top[name][rows] = readings.top_tokens(weights, batch, metric, final).cpu().numpy()

    def readings(self) -> Readings:
        return Readings(metrics=self.metrics, top=self.top, kl=self.kl)


# ── what the draws were ──────────────────────────────────────────────────────────────────────────


def _counts(trees: Sequence[Tree]) -> dict[str, dict[str, int]]:
    """By role: how often it is read, and how often its reader's prompt is alone in its class."""
    counts: dict[str, dict[str, int]] = {}
    for tree in trees:
        for role, single in tree.single.items():
            own = counts.setdefault(role, {"reads": 0, "single": 0})
            own["reads"] += int(single.size)
            own["single"] += int(single.sum())
    return counts


def _touched(counts: Mapping[str, Mapping[str, int]]) -> Touched:
    """Reads that were drawn, and those of them that could have been of another prompt."""
    reads = sum(c["reads"] for c in counts.values())
    single = sum(c["single"] for c in counts.values())
    return Touched(planned=reads, written=reads, changed=reads - single)


def _draws(scrubbing: Scrubbing, trees: Sequence[Tree], context: Context) -> dict[str, Any]:
    """Every draw, by geometry: the evaluation rows, and the prompts that states were read on.

    With a draw for every path, `draw` and `other` have a list of R numbers in the pool for each
    row; null where the pool has no prompt that agrees, and the reader's own is used. Pooled,
    `prompt` and `other` have a number for each entry of a table, an evaluation prompt counting from
    the size of the pool, and `entry` says which entry of the table below is read; the entries of
    the logits are the rows' draws, row by row. The logits' `other` are the draws of m_rand too.
    """
    statements: dict[int, list[str]] = {}
    for part in context.hypothesis.edges:
        channels = "".join(part.channels)
        text = f"{part.sender} -> {part.receiver}" + (f".{channels}" if channels else "")
        statements.setdefault(part.statement, []).append(text)
    found = []
    for tree in trees:
        drawn = {"paths": _paths(tree)} if tree.drawn else {"tables": _tables(tree)}
        found.append({"rows": list(tree.rows), **drawn})
    return {
        "pool": scrubbing.chooser.pool.name,
        "statements": {str(number): texts for number, texts in statements.items()},
        "trees": found,
    }


def _paths(tree: Tree) -> list[dict[str, Any]]:
    found: dict[tuple[Slot, ...], dict[str, Any]] = {}
    for root in tree.drawn:
        for drawn in root.walk():
            steps = [[s.role, s.position, s.statement] for s in drawn.path]
            entry: dict[str, Any] = {"path": steps}
            if drawn.chosen is not None:
                rows = drawn.chosen.tolist()
                entry["draw"] = [[None if i < 0 else i for i in row] for row in rows]
            if drawn.other is not None:
                entry["other"] = drawn.other.tolist()
            found.setdefault(drawn.path, entry)
    return list(found.values())


def _tables(tree: Tree) -> list[dict[str, Any]]:
    return [
        {
            "role": table.state.role,
            "position": table.state.position,
            "members": [str(node) for node in table.state.members],
            "prompt": table.x.tolist(),
            "other": None if table.other is None else table.other.tolist(),
            "reads": [
                {
                    "role": slot.role,
                    "position": slot.position,
                    "statement": slot.statement,
                    "members": [str(node) for node in child.members],
                    "entry": table.reads[slot].tolist(),
                }
                for slot, child in table.state.slots
            ],
        }
        for table in tree.tables.values()
    ]


# ── where a story leaks ──────────────────────────────────────────────────────────────────────────


def _leaks(scrub: Scrubbed, whole: Arm, context: Context, *, pool: bool) -> dict[str, Any]:
    """scrub_recovered with one role scrubbed at a time, the others read exactly, and with none.

    `edges`: no role is scrubbed, only what the graph does not declare is drawn; in all others that
    is drawn too. Draws are made with the same numbers in [0, 1) throughout.
    """

    def recovered(*some: str) -> dict[str, float]:
        trees = scrub.scrubbing.trees(some, pool=pool)
        scrubbed, random = read(scrub.scrubbing, trees, context)
        context.put_down(
            replace(
                scrub,
                roles=some,
                leak=True,
                trees=trees,
                scrubbed=tuple(scrubbed),
                random=tuple(random),
            )
        )
        found = {}
        for metric in context.metrics:
            mean = float(np.mean([r.metrics[metric] for r in scrubbed]))
            floor = whole.series[f"rand.{metric}"].mean
            span = whole.series[f"model.{metric}"].mean - floor
            found[metric] = (mean - floor) / span if span else float("nan")
        return found

    table: dict[str, Any] = {"edges": recovered()}
    table.update({role: recovered(role) for role in scrub.roles})
    return table


def _recovered(arm: Arm, context: Context) -> dict[str, float]:
    found: dict[str, float] = {}
    for metric in context.metrics:
        floor = arm.series[f"rand.{metric}"].mean
        span = arm.series[f"model.{metric}"].mean - floor
        part = arm.series[metric].mean - floor
        found[suffixed("scrub_recovered", metric, context.metrics)] = (
            part / span if span else float("nan")
        )
    return found


VACUOUS = 0.5
"""A scrub with more of its reads than this from classes of a single prompt says next to nothing."""


def _warnings(counts: Mapping[str, Mapping[str, int]]) -> tuple[str, ...]:
    """That most of what was to be drawn could only be the prompt itself.

    Where all of it is, the claim is invalid already, and its reason says so.
    """
    touched = _touched(counts)
    single = touched.written - touched.changed
    if not touched.changed or single <= VACUOUS * touched.written:
        return ()
    return (
        f"vacuous for the most part: {single / touched.written:.1%} of what the roles read could "
        "only be drawn from the prompt itself, which alone has what they carry: what is kept says "
        "next to nothing of them",
    )


def _notes(
    counts: Mapping[str, Mapping[str, int]],
    unclaimed: Sequence[str],
    leaks: Mapping[str, Any],
    context: Context,
) -> tuple[str, ...]:
    found = []
    if unclaimed:
        found.append(f"read exactly, nothing being claimed of them: {', '.join(unclaimed)}")
    alone = [role for role, c in counts.items() if c["single"] == c["reads"]]
    some = [
        f"{role} {c['single'] / c['reads']:.1%}"
        for role, c in counts.items()
        if 0 < c["single"] < c["reads"]
    ]
    if alone:
        found.append(f"vacuous, every class is a single prompt: {', '.join(alone)}")
    if some:
        found.append(f"vacuous in part, classes of a single prompt: {', '.join(some)}")
    # of several metrics, the one that suffers most
    lost = {
        role: max(leaks["edges"][m] - table[m] for m in context.metrics)
        for role, table in leaks.items()
        if role != "edges"
    }
    undeclared = max(1 - value for value in leaks["edges"].values())
    parts = [f"{role} {lost[role]:.1%}" for role in sorted(lost, key=lambda r: -lost[r])]
    change = "lost" if undeclared >= 0 else "gained"
    found.append(
        f"{change} by what is not declared {abs(undeclared):.1%}; "
        "then lost by scrubbing one role alone: " + ", ".join(parts)
    )
    return tuple(found)
