"""`compare`: rival hypotheses in, what tells them apart out. One engine a model and its prompts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from circuitspec.claims import kinds
from circuitspec.claims.context import Context
from circuitspec.comparing.asking import posed, runs_for
from circuitspec.comparing.pairs import obstacle, pair_of
from circuitspec.comparing.questions import ablations_of
from circuitspec.comparing.records import Comparison, Pair, Rival
from circuitspec.comparing.scores import runs_of_scores, scores
from circuitspec.comparing.sides import Side, Terms, compute_together, same_model
from circuitspec.engine.check import Computed
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import EngineError, Run
from circuitspec.engine.self_checks import run_self_checks
from circuitspec.hypothesis.records import Ablation
from circuitspec.judge.competence import competence
from circuitspec.judge.records import SelfCheck
from circuitspec.language.diagnostics import Diagnostic
from circuitspec.model.kept import KeptModels
from circuitspec.verification import (
    Job,
    Options,
    Progress,
    context_of,
    decide,
    prepare,
    prompt_sets,
)

SEPARATOR = "::"


def compare(
    specs: Sequence[str | Path],
    *,
    options: Options | None = None,
    terms: Terms | None = None,
    progress: Progress | None = None,
) -> tuple[Comparison | None, tuple[Diagnostic, ...]]:
    """The first hypothesis against each of the others; None with the diagnostics where that fails.

    `specs` are files, all of whose hypotheses take part, or `FILE::HYPOTHESIS`. Rivals over one
    model and the same prompts share an engine. `progress(done, total, what)` counts hypotheses and
    pairs.
    """
    started = time.perf_counter()
    options, terms = replace(options or Options(), controls=0, replicate=0), terms or Terms()
    jobs, found = _jobs(specs, options)
    if jobs is None:
        return None, found
    total = 2 * len(jobs) - 1

    def step(done: int, what: str) -> None:
        if progress is not None:
            progress(done, total, what)

    ablations = ablations_of(claim for _, job in jobs for claim in job.claims)
    sides: list[Side] = []
    rivals = []
    begun = [
        Side(name=name, job=job, context=context, facts=competence(context)[1], measured={})
        for name, job, context in _on_engines(jobs, options)
    ]
    compute_together(_known(begun, ablations))
    for number, side in enumerate(begun):
        step(number, side.name)
        decided = decide(side.job, options, side.context)
        sides.append(replace(side, measured=decided.measured))
        rivals.append(
            Rival(
                name=side.name,
                n_elements=len(side.context.circuit.members),
                result=decided.result,
                scores=tuple(scores(side, ablations, terms)),
            )
        )
    pairs: list[Pair] = []
    asked: list[tuple[Side, tuple[Run, ...]]] = []
    for number, other in enumerate(sides[1:]):
        step(len(sides) + number, f"{sides[0].name} and {other.name}")
        pair, runs = pair_of(sides[0], other, ablations, terms)
        pairs.append(pair)
        asked += zip((sides[0], other), runs, strict=True)
    checks = _checks(asked)
    failed = ", ".join(check.name for check in checks if not check.passed)
    if failed:
        told = (f"invalid: self-check failed: {failed}",)
        pairs = [replace(pair, outcome="invalid", reading=told) for pair in pairs]
    engines = {id(side.context.engine): side.context.engine for side in sides}.values()
    comparison = Comparison(
        rivals=tuple(rivals),
        pairs=tuple(pairs),
        ablations=ablations,
        reading=tuple(pair.reading[0] for pair in pairs),
        level=terms.level,
        margin=terms.margin,
        n=sides[0].facts.n,
        seed=sides[0].context.seed,
        seconds=time.perf_counter() - started,
        cost={"plain_forwards": sum(engine.forwards for engine in engines)},
        batch_size=min(engine.batch_size for engine in engines),
        self_checks=checks,
    )
    return comparison, found


def _known(
    sides: Sequence[Side], ablations: Sequence[Ablation]
) -> Iterator[tuple[Context, Sequence[Run]]]:
    """All that is known to be needed before anything is computed: one plan an engine.

    The rivals' claims, their scores and what every pair is asked, but for greedy searches and
    claims that take as many prompts as they need.
    """
    for side in sides:
        yield side.context, tuple(runs_of_scores(side.context, ablations))
        for claim in side.job.claims:
            if claim.at_most is None or side.facts.exact:
                with suppress(EngineError):  # an invalid claim, which says so when it is decided
                    yield side.context, kinds.runs(claim, side.context)
    first = sides[0]
    for other in sides[1:]:
        if not obstacle(first, other, ablations):
            asked = posed((first, other), ablations).questions
            runs = runs_for((first, other), asked)
            yield from zip((first.context, other.context), runs, strict=True)


def _checks(asked: Sequence[tuple[Side, tuple[Run, ...]]]) -> tuple[SelfCheck, ...]:
    """The engine's self-checks on all that the pairs asked for, once an engine."""
    by_engine: dict[int, tuple[Side, dict[Run, None]]] = {}
    for side, runs in asked:
        _, listed = by_engine.setdefault(id(side.context.engine), (side, {}))
        listed |= dict.fromkeys(runs)
    return tuple(
        SelfCheck(name=c.name, passed=bool(c.passed), value=c.value, detail=c.detail)
        for side, listed in by_engine.values()
        if listed
        for c in run_self_checks(
            Computed(engine=side.context.engine, runs=tuple(listed)), side.job.model
        )
    )


# ── Rivals ───────────────────────────────────────────────────────────────────────────────────────


def _jobs(
    specs: Sequence[str | Path], options: Options
) -> tuple[list[tuple[str, Job]] | None, tuple[Diagnostic, ...]]:
    """Every hypothesis named, with its name here: the file's added where two have the same."""
    loader = KeptModels()
    jobs: list[tuple[str, Job]] = []
    found: list[Diagnostic] = []
    for spec in specs:
        file, _, name = str(spec).partition(SEPARATOR)
        chosen = replace(options, only=(name,) if name else ())
        made, about = prepare(Path(file), chosen, loader)
        found += about
        if made is None:
            return None, tuple(dict.fromkeys(found))
        jobs += [(file, job) for job in made]
    counts = Counter(job.hypothesis.name for _, job in jobs)
    named = [
        (h if counts[h] == 1 else f"{Path(file).stem}{SEPARATOR}{h}", job)
        for file, job in jobs
        for h in [job.hypothesis.name]
    ]
    if len(named) < 2:
        message = "there is nothing to compare: one hypothesis has no rival"
        hint = "name another file, or FILE::HYPOTHESIS"
        return None, (*found, Diagnostic(code="V001", message=message, hint=hint))
    return named, tuple(dict.fromkeys(found))


def _on_engines(
    jobs: Sequence[tuple[str, Job]], options: Options
) -> Iterator[tuple[str, Job, Context]]:
    """Rivals on engines, one for all that are about the same model and the same prompts."""
    engines: list[tuple[Job, Engine]] = []
    for name, job in jobs:
        task = job.task.first(job.task.stated)
        sets, metrics = prompt_sets(task), dict(task.metrics)
        engine = next(
            (
                e
                for j, e in engines
                if same_model(j, job) and e.sets == sets and e.metrics == metrics
            ),
            None,
        )
        context = context_of(job, task, options, options.dtype, engine)
        if engine is None:
            engines.append((job, context.engine))
        yield name, job, context
