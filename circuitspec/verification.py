"""`verify`: a spec in, verdicts out. Loads the models, runs the engine, judges what it measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from circuitspec.claims import kinds
from circuitspec.claims.context import CONTROLS, EVALUATION, Context
from circuitspec.claims.measured import Measured
from circuitspec.engine.borrowed import unusable
from circuitspec.engine.check import Computed
from circuitspec.engine.engine import DEFAULT_BATCH, Engine
from circuitspec.engine.runs import EngineError
from circuitspec.engine.self_checks import run_self_checks
from circuitspec.hypothesis.checks import check_all
from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.records import Circuit, Claim, Hypothesis
from circuitspec.judge import judging, rules
from circuitspec.judge.competence import backwards, competence
from circuitspec.judge.facts import Facts
from circuitspec.judge.records import (
    ClaimResult,
    HypothesisResult,
    ModelRecord,
    ReplicateResult,
    RunResult,
    SelfCheck,
)
from circuitspec.judge.rules import Verdict
from circuitspec.language.diagnostics import Diagnostic, has_errors
from circuitspec.loading import (
    Bound,
    load_spec,
    model_span,
    most_prompts,
    names_used,
    task_tokenizer,
)
from circuitspec.model.load import LoadedModel, Loader, load
from circuitspec.model.tokenizer import ModelTokenizer
from circuitspec.task.baselines import borrowed_in
from circuitspec.task.build import build
from circuitspec.task.export import prompts_hash
from circuitspec.task.metrics import borrowed
from circuitspec.task.records import PromptSet, TaskData

Progress = Callable[[float, float, str], None]
Vary = Callable[[Claim, TaskData], Iterable[Claim]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is not in the spec. Only `only`, `seed`, `n` and `dtype` can change what is decided.

    `only` picks claims or hypotheses by name (`claim`, `hypothesis`, `hypothesis.claim`).
    `batch_size` is prompts at once, `replicate` the number of further seeds, `audit` compares every
    intervention with the slow path through hooks instead of a sample. `controls`: how many random
    circuits of each kind a faithfulness claim is set against. `n`: how many evaluation prompts in
    place of each task's own; claims that sample until decided keep theirs.
    """

    only: tuple[str, ...] = ()
    device: str | None = None
    dtype: str = "float32"
    batch_size: int | None = None
    replicate: int = 0
    audit: bool = False
    seed: int | None = None
    n: int | None = None
    controls: int = CONTROLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One hypothesis with everything it is verified on."""

    hypothesis: Hypothesis
    circuit: Circuit
    task: TaskData
    model: LoadedModel
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """One hypothesis decided on one engine; `measured` by claim, but for those until decided."""

    result: HypothesisResult
    measured: Mapping[str, Measured]
    close: bool
    forwards: float
    batch_size: int


def verify(
    path: str | Path,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
    vary: Vary | None = None,
    loader: Loader = load,
) -> tuple[RunResult | None, tuple[Diagnostic, ...]]:
    """Decide every claim of a spec. `None` with the diagnostics where the spec is wrong.

    `progress(done, total, what)` is called from time to time, in claims. `vary` gives the claims
    that are decided in place of each (for sweeps). `loader` stands for `load` where models are kept
    from one call to the next (`model.kept`).
    """
    options = options or Options()
    started = time.perf_counter()
    torch.set_float32_matmul_precision("highest")
    jobs, diagnostics = prepare(Path(path), options, loader)
    if jobs is None:
        return None, diagnostics
    if vary is not None:
        jobs = tuple(
            replace(job, claims=tuple(v for c in job.claims for v in vary(c, job.task)))
            for job in jobs
        )
    results: list[HypothesisResult] = []
    cost = 0.0
    smallest = options.batch_size or DEFAULT_BATCH
    rounds = 1 + options.replicate
    total = sum(len(job.claims) for job in jobs) * rounds
    done = 0
    for job in jobs:

        def step(what: str, before: int = done) -> None:
            if progress is not None:
                progress(before, total, what)

        step(job.hypothesis.name)
        decided = decide(job, options)
        cost += decided.forwards
        smallest = min(smallest, decided.batch_size)
        done += len(job.claims)
        again = []
        for seed in _seeds(job, options):
            step(f"{job.hypothesis.name}, seed {seed}", done)
            fresh, found = _reseeded(job, path, seed)
            if fresh is None:
                return None, (*diagnostics, *found)
            replica = _decide(fresh, options, options.dtype)
            cost += replica.forwards
            done += len(job.claims)
            again.append(
                ReplicateResult(
                    seed=seed,
                    verdict=replica.result.verdict,
                    claims={c.name: c.verdict for c in replica.result.claims},
                )
            )
        results.append(replace(decided.result, replicates=tuple(again)))
    verdict = rules.combine(
        Verdict(v)
        for result in results
        for v in (result.verdict, *(r.verdict for r in result.replicates))
    )
    run = RunResult(
        verdict=verdict.value,
        hypotheses=tuple(results),
        seed=jobs[0].task.seed,
        seconds=time.perf_counter() - started,
        cost={"plain_forwards": cost},
        batch_size=smallest,
    )
    return run, diagnostics


def prepare(
    path: Path, options: Options, loader: Loader = load
) -> tuple[tuple[Job, ...] | None, tuple[Diagnostic, ...]]:
    """Every hypothesis bound to its model, loaded; None where anything keeps them from it."""
    loaded = load_spec(path, seed=options.seed, n=options.n)
    found = list(loaded.diagnostics)
    if not loaded.ok:
        return None, tuple(found)
    chosen = tuple(_chosen(loaded.bound, options.only))
    if not chosen:
        what = (
            f"nothing in {path} is named {', '.join(options.only)}"
            if options.only
            else (f"{path} has no hypothesis with a claim to verify")
        )
        hint = "names: " + ", ".join(
            f"{b.hypothesis.name}.{c.name}" for b in loaded.bound for c in b.hypothesis.claims
        )
        return None, (*found, Diagnostic(code="V001", message=what, hint=hint))
    device, refusal = choose_device(options.device)
    if refusal is not None:
        return None, (*found, refusal)
    models: dict[tuple[str, str | None], LoadedModel | None] = {}
    jobs = []
    for bound, claims in chosen:
        hypothesis = bound.hypothesis
        key = (hypothesis.model, hypothesis.revision)
        if key not in models:
            model, about = loader(*key, base_dir=path.parent, span=model_span(hypothesis))
            found += about
            if model is not None:
                model = replace(model, weights=model.weights.to(device=device))
            models[key] = model
        model = models[key]
        if model is None:
            continue
        job, about = _bind(bound, claims, model, path, options)
        found += about
        if job is not None:
            jobs.append(job)
    diagnostics = tuple(dict.fromkeys(found))
    return (None if has_errors(diagnostics) else tuple(jobs)), diagnostics


def _chosen(
    bound: tuple[Bound, ...], only: tuple[str, ...]
) -> Iterator[tuple[Bound, tuple[Claim, ...]]]:
    """Hypotheses with the claims that `only` leaves."""
    for one in bound:
        names = {one.hypothesis.name, one.hypothesis.base}
        claims = tuple(
            claim
            for claim in one.hypothesis.claims
            if not only or {*names, claim.name, *(f"{n}.{claim.name}" for n in names)} & set(only)
        )
        if claims:
            yield one, claims


def choose_device(name: str | None) -> tuple[torch.device, Diagnostic | None]:
    """The torch device that a flag names, the CPU where it names none; V002 where there is none."""
    cpu = torch.device("cpu")
    try:
        device = torch.device(name or "cpu")
    except RuntimeError:
        message = f"{name!r} is not a device"
        return cpu, Diagnostic(code="V002", message=message, hint="write cpu, cuda or cuda:1")
    if device.type == "cuda" and not torch.cuda.is_available():
        message = "there is no CUDA device on this machine"
        return cpu, Diagnostic(code="V002", message=message, hint="leave --device away: cpu")
    return device, None


def _bind(
    bound: Bound, claims: tuple[Claim, ...], model: LoadedModel, path: Path, options: Options
) -> tuple[Job | None, tuple[Diagnostic, ...]]:
    """A job, from what `check` could not know without the model."""
    hypothesis = bound.hypothesis
    found: tuple[Diagnostic, ...] = ()
    if bound.shape != model.shape:
        shapes = {hypothesis.name: model.shape}
        found = check_all((hypothesis,), shapes=shapes, base_dir=path.parent)
    task = bound.task
    if task is None:
        task, mistakes = _task(hypothesis, model, path, options.seed)
        found = (*found, *mistakes)
    if task is not None:
        problems = unusable(task.metrics.values(), model.shape.d_vocab_out)
        found = (*found, *(Diagnostic(code="V001", message=text) for text in problems))
    if task is None or has_errors(found):
        return None, found
    circuit = circuit_of(hypothesis, model.shape)
    job = Job(hypothesis=hypothesis, circuit=circuit, task=task, model=model, claims=claims)
    return job, found


def _task(
    hypothesis: Hypothesis, model: LoadedModel, path: Path, seed: int | None
) -> tuple[TaskData | None, tuple[Diagnostic, ...]]:
    tokenizer = None
    if model.tokenizer is not None:
        tokenizer = task_tokenizer(ModelTokenizer(tokenizer=model.tokenizer, bos_id=model.bos_id))
    used = tuple(names_used(hypothesis))
    return build(
        hypothesis.task,
        tokenizer,
        base_dir=path.parent,
        seed=seed,
        evaluation=most_prompts((hypothesis,)),
        used=used,
        foreign=True,
    )


def _seeds(job: Job, options: Options) -> range:
    """The further seeds of `--replicate`: those that follow the run's own."""
    return range(job.task.seed + 1, job.task.seed + 1 + options.replicate)


def _reseeded(job: Job, path: str | Path, seed: int) -> tuple[Job | None, tuple[Diagnostic, ...]]:
    task, found = _task(job.hypothesis, job.model, Path(path), seed)
    return (None if task is None else replace(job, task=task)), found


def prompt_sets(task: TaskData) -> dict[str, PromptSet]:
    """Every prompt set of a task by its name."""
    return {
        EVALUATION: task.evaluation,
        **{f"reference:{name}": prompts for name, prompts in task.references.items()},
        **{f"counterfactual:{name}": prompts for name, prompts in task.counterfactuals.items()},
    }


def decide(job: Job, options: Options, context: Context | None = None) -> Decided:
    """One hypothesis decided; again in float64 where rounding could turn a verdict.

    `context` is what to decide it with where others measure on the same engine.
    """
    decided = _decide(job, options, options.dtype, context)
    if decided.close and options.dtype == "float32":
        again = _decide(job, options, "float64")
        notes = (*again.result.notes, "in float64: a verdict was within 1e-5 of its threshold")
        return replace(again, result=replace(again.result, notes=notes))
    return decided


def _decide(job: Job, options: Options, dtype: str, context: Context | None = None) -> Decided:
    """Measure and judge every claim of one hypothesis, and check the run itself."""
    if context is None:
        context = context_of(job, job.task.first(job.task.stated), options, dtype)
    engine = context.engine
    competent, facts = competence(context)
    claims: list[ClaimResult] = []
    further: list[Computed] = []
    measured: dict[str, Measured] = {}
    close = False
    forwards = 0.0
    for claim in job.claims:
        try:
            if claim.at_most is not None and not facts.exact:
                judged, spent, last = _until_decided(claim, claim.at_most, job, options, dtype)
                forwards += spent
                further.append(last)
            else:
                measured[claim.name] = kinds.measure(claim, context)
                judged = judging.judge(claim, measured[claim.name], facts)
        except EngineError as error:
            claims.append(judging.invalid(claim, str(error)))
            continue
        claims.append(judged.result)
        close = close or judged.close
    checks = run_self_checks(
        context.computed, job.model, "all" if options.audit else "sample", further
    )
    failed = [check.name for check in checks if not check.passed]
    if failed:
        reason = f"self-check failed: {', '.join(failed)}"
        claims = [judging.withdrawn(c, reason) for c in claims]
    verdict = rules.combine(Verdict(c.verdict) for c in claims)
    provenance = job.model.provenance
    result = HypothesisResult(
        name=job.hypothesis.name,
        file=job.hypothesis.file,
        verdict=verdict.value,
        model=ModelRecord(
            name=job.model.name,
            revision=job.model.revision,
            architecture=job.model.shape.architecture,
            dtype=dtype,
            processing=provenance.processing,
            transformer_lens=provenance.transformer_lens,
            torch=provenance.torch,
            device=str(engine.weights.device),
        ),
        n_nodes=len({element.node for element in job.circuit.members}),
        n_edges=len(job.circuit.edges),
        competence=competent,
        claims=tuple(claims),
        self_checks=tuple(
            SelfCheck(name=c.name, passed=bool(c.passed), value=c.value, detail=c.detail)
            for c in checks
        ),
        prompts=prompts_hash(context.task),
        doc=job.hypothesis.doc,
        notes=(
            *(f"dropped: {name}" for name in job.hypothesis.dropped),
            *backwards(context.task, competent),
            *borrowed(context.task.metrics.values()),
            *borrowed_in(job.hypothesis.task),
        ),
        open_nodes=tuple(f"{element}: {why}" for element, why in job.hypothesis.open_nodes),
    )
    return Decided(
        result=result,
        measured=measured,
        close=close,
        forwards=engine.forwards + forwards,
        batch_size=engine.batch_size,
    )


def context_of(
    job: Job, task: TaskData, options: Options, dtype: str, engine: Engine | None = None
) -> Context:
    """What every claim of a hypothesis works with, on the prompts of `task`.

    `engine` is one over the same model and prompts, where hypotheses share one.
    """
    engine = engine or Engine(
        job.model.weights.to(dtype=getattr(torch, dtype)),
        prompt_sets(task),
        task.metrics,
        batch_size=options.batch_size or DEFAULT_BATCH,
    )
    return Context(
        hypothesis=job.hypothesis,
        circuit=job.circuit,
        task=task,
        engine=engine,
        seed=task.seed,
        controls=options.controls,
    )


def _until_decided(
    claim: Claim, cap: int, job: Job, options: Options, dtype: str
) -> tuple[judging.Judged, float, Computed]:
    """A claim judged on as many prompts as it takes; what that cost, in plain forwards of the
    prompts that the spec states; and what the last look, at all of them, had computed."""
    stated = job.task.stated or len(job.task.evaluation)
    contexts = {}

    def look(n: int) -> tuple[Measured, Facts]:
        context = replace(context_of(job, job.task.first(n), options, dtype), controls=0)
        contexts[n] = context
        _, facts = competence(context, cap)
        return kinds.measure(claim, context), facts

    def whole(n: int) -> Measured:
        return kinds.measure(claim, replace(contexts[n], controls=options.controls))

    judged = judging.judge_until_decided(claim, look, whole, cap)
    spent = sum(c.engine.forwards * n / stated for n, c in contexts.items())
    return judged, spent, contexts[max(contexts)].computed
