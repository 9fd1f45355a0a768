"""What claims had computed, once more through TransformerLens's hooks: a sample, or all of it.

Runs with all that was read off them, causal scrubs with their draws replayed, and head scores.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from circuitspec.engine.audit.audit import Audit
from circuitspec.engine.audit.model import HookedModel
from circuitspec.engine.audit.readings import MASS_TOLERANCE, metric_figure, top_tokens
from circuitspec.engine.audit.run import AT_ONCE, TOLERANCE
from circuitspec.engine.audit.scores import score
from circuitspec.engine.audit.scrubs import ScrubAudit, WrongDrawError
from circuitspec.engine.audit.through_hooks import SilentHookError
from circuitspec.engine.check import Check, Computed
from circuitspec.engine.identities import spread
from circuitspec.engine.repeated import OffsetScores
from circuitspec.engine.runs import (
    AttentionReading,
    Floats,
    LensReading,
    Means,
    Noised,
    Readings,
    ReplaceAllBut,
    Rows,
    Run,
)
from circuitspec.engine.scrubbing.scrub import Scrubbed, Tree
from circuitspec.engine.scrubbing.tables import count_paths
from circuitspec.model.load import LoadedModel

Extent = Literal["sample", "all"]

AUDITED_PROMPTS = 4
"""Prompts of each run that a sample audits; `all` takes every prompt of every run."""
AUDITED_A_KIND = 2
"""Runs of each kind, scrubs and scores of each kind that a sample audits."""
AUDITED_LEAKS = 1
"""Scrubs of one role of a story, or of none, that a sample audits: they differ in draws only."""
AUDITED_TREES = 1
"""Geometries of a scrub that a sample audits, two draws of each."""
MOST_STATES = 2000
"""A sample leaves out scrubs whose trees are larger, and says so: every state is a pass or two."""


def through_hooks(
    computed: Sequence[tuple[Computed, Mapping[Run, Readings]]],
    model: LoadedModel,
    scale: float,
    audit: Extent,
) -> list[Check]:
    """The checks by the slow path; of scrubs and scores where there are any."""
    checks = [_runs(computed, model, scale, audit)]
    apart = [each for one, _ in computed for each in one.apart]
    scrubs = [each for each in apart if isinstance(each, Scrubbed)]
    scores = [each for each in apart if isinstance(each, OffsetScores)]
    if scrubs:
        checks.append(_scrubs(scrubs, model, scale, audit))
    if scores:
        checks.append(_scores(scores, model, audit))
    return checks


class _Worst:
    """The largest difference so far, in shares of what may be, and where it was."""

    def __init__(self) -> None:
        self.share, self.where = 0.0, ""

    def see(self, ours: Floats, theirs: Floats, slack: Floats, where: str) -> None:
        """Compare values, each with what it may be off by."""
        off = np.abs(ours - theirs) / np.maximum(slack, 1e-12)
        off[np.isnan(off)] = np.inf
        off[(ours == theirs) | (np.isnan(ours) & np.isnan(theirs))] = 0.0
        if len(off) and off.max() > self.share:
            self.share, self.where = float(off.max()), f"; the furthest: {where}"

    def see_top(self, ours: Iterable[int], theirs: Iterable[frozenset[int]], where: str) -> None:
        """Compare top tokens with all that may be."""
        wrong = [float(token not in of) for token, of in zip(ours, theirs, strict=True)]
        value = np.array(wrong, dtype=np.float64)
        self.see(np.where(value > 0, np.inf, 0.0), np.zeros_like(value), np.ones_like(value), where)

    def check(self, name: str, of: str, tolerance: float = TOLERANCE) -> Check:
        """The check that this makes."""
        what = "difference in logits relative to their scale"
        if tolerance != TOLERANCE:
            what = "difference in attention"
        return Check(
            name=name,
            passed=self.share <= 1.0,
            value=self.share * tolerance,
            detail=f"{of}; {what}, at most {tolerance:g}{self.where}",
        )


# ── runs ─────────────────────────────────────────────────────────────────────────────────────────


def _runs(
    computed: Sequence[tuple[Computed, Mapping[Run, Readings]]],
    model: LoadedModel,
    scale: float,
    audit: Extent,
) -> Check:
    name = "interventions agree with TransformerLens's hooks"
    worst = _Worst()
    count = total = 0
    for one, done in computed:
        slow = Audit(model, one.engine.sets, one.engine.metrics)
        chosen = list(done) if audit == "all" else _sampled(done)
        count, total = count + len(chosen), total + len(done)
        for run in chosen:
            prompts = one.engine.sets[run.prompts].prompts
            rows = list(range(len(prompts)) if run.rows is None else run.rows)
            if audit == "sample":
                place = {id(prompts[row]): row for row in rows}
                few = spread([prompts[row] for row in rows], AUDITED_PROMPTS)
                rows = [place[id(prompt)] for prompt in few]
            try:
                _compare(slow, run, done[run], rows, TOLERANCE * scale, worst)
            except SilentHookError as error:
                return Check(name=name, passed=False, detail=f"{kind_of(run)}: {error}")
    of = f"{count} of {total} runs"
    if audit == "sample":
        of += f", {AUDITED_PROMPTS} prompts each"
    return worst.check(name, of)


def _compare(
    slow: Audit, run: Run, done: Readings, rows: list[int], margin: float, worst: _Worst
) -> None:
    """Everything that was read off a run, on some rows."""
    kind = kind_of(run)
    audited = slow.evaluate(run, rows, margin)
    for metric, values in audited.metrics.items():
        worst.see(done.metrics[metric][rows], values, audited.slack[metric], f"{metric}, {kind}")
    ours: dict[object, Floats] = {(metric, "kl"): of for metric, of in done.kl.items()}
    ours |= dict(done.attention.items()) | dict(done.attribution.items())
    ours |= dict(done.residual.items())
    for key, (values, slack) in audited.read.items():
        worst.see(ours[key][rows], values, slack, f"{_read(key)}, {kind}")
    for metric, tokens in audited.top.items():
        worst.see_top(done.top[metric][rows].tolist(), tokens, f"top token of {metric}, {kind}")


def _sampled(runs: Iterable[Run]) -> list[Run]:
    """The first runs of every kind that change something, or that more is read off than metrics."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        kind = kind_of(run)
        if kind != "unmodified" or run.top:
            found.setdefault(kind, []).append(run)
    return [run for of in found.values() for run in of[:AUDITED_A_KIND]]


def kind_of(run: Run) -> str:
    """What sort of intervention a run is and what is read off it, in words."""
    if run.path is not None:
        kind = "path patching, " + ("direct" if run.path.through == "direct" else "through MLPs")
        kind += _from(run.path.source) + (" on a path of several hops" if run.onward else "")
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
    read = [_read(key) for key in (*run.attention, *run.attribution, *run.residual)]
    kind += " under knock-outs" if run.given else ""
    return kind + (f", read for {', '.join(dict.fromkeys(read))}" if read else "")


def _read(key: object) -> str:
    """What sort of reading a figure is."""
    if isinstance(key, tuple):
        return f"KL at {key[0]}"
    if isinstance(key, AttentionReading):
        return "attention"
    if isinstance(key, LensReading):
        return "logit lens"
    return "copying" if hasattr(key, "negative") else "attribution"


def _from(source: object) -> str:
    if isinstance(source, Means):
        return f" by means over {source.over}"
    if isinstance(source, Noised):
        return " by noised values"
    return f" by {source.prompts.partition(':')[0]} values" if isinstance(source, Rows) else " by 0"


# ── scrubs ───────────────────────────────────────────────────────────────────────────────────────


def _scrubs(scrubs: Sequence[Scrubbed], model: LoadedModel, scale: float, audit: Extent) -> Check:
    """Every draw by itself, before any mean over draws is taken."""
    name = "causal scrubs agree with TransformerLens's hooks"
    hooked, worst = HookedModel(model), _Worst()
    chosen, beyond = list(scrubs), ""
    if audit == "sample":
        fit = [s for s in scrubs if count_paths(s.trees[0].roots) <= MOST_STATES]
        leaks = [scrub for scrub in fit if scrub.leak][:AUDITED_LEAKS]
        chosen = [scrub for scrub in fit if not scrub.leak][:AUDITED_A_KIND] + leaks
        if len(fit) < len(scrubs):
            beyond = (
                f"; {len(scrubs) - len(fit)} left to --audit, with more than {MOST_STATES:,} states"
            )
    compared = 0
    for scrub in chosen:
        slow = ScrubAudit(hooked, scrub.scrubbing, scrub.roles)
        for tree, picks in _picks(scrub, audit):
            compared += len(picks)
            try:
                _compare_scrub(slow, scrub, tree, picks, TOLERANCE * scale, worst)
            except (SilentHookError, WrongDrawError) as error:
                return Check(name=name, passed=False, detail=f"{_scrub_kind(scrub)}: {error}")
    of = f"{len(chosen)} of {len(scrubs)} scrubs, {compared} trees{beyond}"
    return worst.check(name, of)


def _picks(scrub: Scrubbed, audit: Extent) -> Iterator[tuple[Tree, list[tuple[int, int]]]]:
    """Which draws of which rows of each tree are compared, some at a time: (row's place, draw)."""
    last = len(scrub.scrubbed) - 1
    if audit == "sample":
        for tree in scrub.trees[:AUDITED_TREES]:
            yield tree, list(dict.fromkeys([(0, 0), (len(tree.rows) - 1, last)]))
        return
    for tree in scrub.trees:
        every = [(i, r) for i in range(len(tree.rows)) for r in range(last + 1)]
        for start in range(0, len(every), AT_ONCE):
            yield tree, every[start : start + AT_ONCE]


def _compare_scrub(
    slow: ScrubAudit,
    scrub: Scrubbed,
    tree: Tree,
    picks: list[tuple[int, int]],
    margin: float,
    worst: _Worst,
) -> None:
    scrubbed, random, model = slow.logits(tree, picks)
    arms = ((scrubbed, scrub.scrubbed, _scrub_kind(scrub)), (random, scrub.random, "m_rand"))
    for logits, readings, kind in arms:
        for k, (i, draw) in enumerate(picks):
            row = tree.rows[i]
            prompt, ours = scrub.scrubbing.evaluation.prompts[row], readings[draw]
            for metric in scrub.scrubbing.metrics:
                where = f"{metric.name}, {kind}"
                as_kl = replace(metric, kl=True)
                for one, of in ((metric, ours.metrics), (as_kl, ours.kl)):
                    value, slack = metric_figure(one, prompt, logits[k], model[k], margin)
                    mine = of[metric.name][row : row + 1]
                    worst.see(mine, np.array([value]), np.array([slack]), where)
                tokens = top_tokens(metric, prompt, logits[k], margin)
                worst.see_top([int(ours.top[metric.name][row])], [tokens], f"top token of {where}")


def _scrub_kind(scrub: Scrubbed) -> str:
    if scrub.leak:
        return f"the scrub of {', '.join(scrub.roles) or 'no role'} alone in {scrub.claim}"
    return f"the scrub of {scrub.claim}"


# ── head scores ──────────────────────────────────────────────────────────────────────────────────


def _scores(scores: Sequence[OffsetScores], model: LoadedModel, audit: Extent) -> Check:
    name = "head scores agree with TransformerLens's patterns"
    hooked, worst = HookedModel(model), _Worst()
    prompts = 0
    for each in scores:
        rows = range(len(each.prompts.tokens) if audit == "all" else AUDITED_PROMPTS)
        rows = range(min(len(rows), len(each.prompts.tokens)))
        prompts += len(rows)
        for head, values in each.values.items():
            theirs = score(hooked, each.prompts, each.kind, head, rows)
            slack = np.full(len(rows), MASS_TOLERANCE)
            worst.see(values[list(rows)], theirs, slack, f"{each.kind} of {head}")
    return worst.check(name, f"{len(scores)} scores, {prompts} prompts", MASS_TOLERANCE)
