"""`scan`: a model and a task in, a first look at every node out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from circuitspec.claims.scan import ScanResult
from circuitspec.claims.scan import scan as scan_engine
from circuitspec.engine.engine import DEFAULT_BATCH, Engine
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.resolve import resolve
from circuitspec.language.diagnostics import Diagnostic, has_errors
from circuitspec.language.parser import parse_file
from circuitspec.language.syntax import SpecFile, Task
from circuitspec.loading import task_tokenizer
from circuitspec.model.load import LoadedModel, load
from circuitspec.model.tokenizer import ModelTokenizer
from circuitspec.task.build import build
from circuitspec.task.records import TaskData
from circuitspec.verification import Progress, choose_device, prompt_sets


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanOptions:
    """What to scan with: names in the task, and the seed of the prompts.

    `task` picks one of the file's tasks; `metric` and `baseline` default to the task's first.
    """

    task: str | None = None
    metric: str | None = None
    baseline: str | None = None
    seed: int | None = None
    device: str | None = None
    batch_size: int | None = None


def scan(
    model: str,
    spec: str | Path,
    *,
    options: ScanOptions | None = None,
    progress: Progress | None = None,
) -> tuple[ScanResult | None, tuple[Diagnostic, ...]]:
    """Scan `model` (packaged name, directory, Hub name) on a task that `spec` states.

    None with the diagnostics where the spec is wrong, the model cannot be had, or a name is none
    of the task's. `progress(done, total, what)` counts interventions.
    """
    chosen = options or ScanOptions()
    tree, mistakes = parse_file(spec)
    if has_errors(mistakes):
        return None, mistakes
    task, found = _task(tree, Path(spec), chosen.task)
    device, refusal = choose_device(chosen.device)
    found += (refusal,) if refusal is not None else ()
    if task is None or has_errors(found):
        return None, (*mistakes, *found)
    loaded, about = load(model)
    found += about
    if loaded is None:
        return None, (*mistakes, *found)
    data, wrong = _prompts(task, loaded, Path(spec).parent, chosen.seed)
    found += wrong
    if data is None or has_errors(found):
        return None, (*mistakes, *found)
    metric, no_metric = _named("metric", chosen.metric, data.metrics, data.name)
    baseline, no_baseline = _named("baseline", chosen.baseline, data.references, data.name)
    found += (*no_metric, *no_baseline)
    if metric is None or baseline is None:
        return None, (*mistakes, *found)
    torch.set_float32_matmul_precision("highest")
    engine = Engine(
        loaded.weights.to(device=device),
        prompt_sets(data),
        data.metrics,
        batch_size=chosen.batch_size or DEFAULT_BATCH,
    )

    def step(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, f"scanning {model}")

    try:
        result = scan_engine(
            engine, data, model=model, metric=metric, baseline=baseline, progress=step
        )
    except EngineError as error:
        return None, (*mistakes, *found, Diagnostic(code="V003", message=str(error)))
    return result, (*mistakes, *found)


def _task(
    tree: SpecFile, file: Path, name: str | None
) -> tuple[Task | None, tuple[Diagnostic, ...]]:
    """The task named, or the only one: of the file's hypotheses, or standing by itself."""
    hypotheses, found = resolve(tree, base_dir=file.parent)
    tasks = {h.task.name.text: h.task for h in hypotheses if h.task.statements}
    for alone in (s for s in tree.statements if isinstance(s, Task) and s.statements):
        tasks.setdefault(alone.name.text, alone)
    if name is None and len(tasks) == 1:
        return next(iter(tasks.values())), found
    if name is not None and name in tasks:
        return tasks[name], found
    known = ", ".join(tasks) or "none"
    said = f"no task is named {name!r}" if name is not None else "which task is not said"
    hint = f"--task NAME; there are: {known}" if tasks else "add `task NAME { ... }`"
    return None, (*found, Diagnostic(code="V001", message=f"{said} in {file}", hint=hint))


def _prompts(
    task: Task, model: LoadedModel, base_dir: Path, seed: int | None
) -> tuple[TaskData | None, tuple[Diagnostic, ...]]:
    tokenizer = None
    if model.tokenizer is not None:
        tokenizer = task_tokenizer(ModelTokenizer(tokenizer=model.tokenizer, bos_id=model.bos_id))
    return build(task, tokenizer, base_dir=base_dir, seed=seed, foreign=True)


def _named(
    kind: str, name: str | None, known: Iterable[str], task: str
) -> tuple[str | None, tuple[Diagnostic, ...]]:
    """The name asked for if it exists, the first where none was asked for."""
    names = tuple(known)
    if name is None and names:
        return names[0], ()
    if name in names:
        return name, ()
    message = f"task `{task}` has no {kind}" + (f" `{name}`" if name is not None else "")
    return None, (Diagnostic(code="V001", message=message, hint=f"it has: {', '.join(names)}"),)
