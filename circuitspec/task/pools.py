"""Pools that causal scrubbing and resampling draw from: a distribution, drawn apart and printed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, has_errors
from circuitspec.task.build import Builder, start
from circuitspec.task.encoding import Encoder
from circuitspec.task.records import PromptSet, TaskData
from circuitspec.task.tokenizer import TaskTokenizer


def draw_pool(
    task: syntax.Task,
    name: str,
    n: int | None,
    *,
    tokenizer: TaskTokenizer | None,
    base_dir: Path,
    over: str | None = None,
    seed: int | None = None,
    used: Sequence[str] = (),
) -> tuple[PromptSet | None, tuple[Diagnostic, ...]]:
    """The pool `pool:<name>` of a claim: `n` prompts of the task, or of the baseline `over`.

    `over` may also be the task's own name. Without `n` it is what `sample pool` says, and where
    that says nothing the whole population (`sample all`). The templates take turns. A pool of a
    prompts file has each row once.
    """
    builder, diagnostics = start(task, tokenizer, base_dir=base_dir, seed=seed, used=used)
    if builder is None:
        return None, diagnostics
    prompts, found = _drawn(builder, name, n, over)
    return prompts, (*diagnostics, *found)


def _drawn(
    builder: Builder, name: str, n: int | None, over: str | None
) -> tuple[PromptSet | None, tuple[Diagnostic, ...]]:
    baseline = None if over in (None, builder.task.name) else over
    if baseline is not None and baseline not in builder.task.baselines:
        unknown = Diagnostic(
            code="T011",
            message=f"task `{builder.task.name}` has no baseline `{baseline}`",
            span=builder.task.span,
            hint=f"scrub over `{builder.task.name}`, or declare the baseline",
        )
        return None, (unknown,)
    count = syntax.Count(number=n) if n is not None else _stated(builder.task.sample)
    if count is None:
        missing = Diagnostic(
            code="T006",
            message=f"task `{builder.task.name}` does not say how many prompts a pool has",
            span=builder.task.span,
            hint="write `pool 1000` in its `sample` statement",
        )
        return None, (missing,)
    prompts = builder.distribution(f"pool:{name}", count, baseline)
    found = builder.encoder.findings.diagnostics()
    if prompts is None or has_errors(found):
        return None, found
    return PromptSet(name=f"pool:{name}", prompts=prompts), found


def _stated(sample: syntax.Sample | None) -> syntax.Count | str | None:
    if sample is None:
        return None
    if sample.pool is None and sample.evaluation == "all":
        return "all"
    return sample.pool


def pool_of(
    task: TaskData, name: str, over: str
) -> tuple[PromptSet | None, tuple[Diagnostic, ...]]:
    """The pool `pool:<name>` of a claim that scrubs over `over`, of a task that has its prompts.

    The same as `draw_pool` of its statement, with the tokenizer and the seed that the task has.
    """
    assert task.context is not None, "a task that was built has its context"
    builder = Builder(task.context.task, Encoder(task.context), task.seed, [])
    return _drawn(builder, name, None, over)
