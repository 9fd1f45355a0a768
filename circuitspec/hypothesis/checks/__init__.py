"""The static checks, one rule a module: what is wrong before any weight is loaded.

A rule has `NAME` (as `explain` lists it), `CODE`, and `check`, which never repeats what another
rule or the resolution has said: a broken statement counts as what its author meant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from circuitspec.hypothesis.checks import (
    attends,
    beyond_model,
    causal,
    constant_feature,
    empty_scrub,
    empty_sweep,
    in_no_edge,
    never_fed,
    never_heard,
    no_path,
    no_pool,
    no_reference,
    numbers,
    one_sided,
    role_and_keep,
    thresholds,
    two_roles,
    unknown_position,
    untouched,
    unused,
    weak,
)
from circuitspec.hypothesis.checks.rule import Rule
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.language.diagnostics import Diagnostic, Label

RULES: tuple[Rule, ...] = (
    beyond_model,
    causal,
    never_heard,
    never_fed,
    in_no_edge,
    two_roles,
    role_and_keep,
    unknown_position,
    no_path,
    constant_feature,
    one_sided,
    thresholds,
    weak,
    numbers,
    attends,
    no_reference,
    no_pool,
    empty_scrub,
    empty_sweep,
    untouched,
)


def check_hypothesis(
    hypothesis: Hypothesis, shape: ModelShape | None = None
) -> tuple[Diagnostic, ...]:
    """Every finding about one hypothesis; with a shape also what does not fit the model."""
    info = task_info(hypothesis.task)
    return tuple(d for rule in RULES for d in rule.check(hypothesis, info, shape))


def check_all(
    hypotheses: Iterable[Hypothesis],
    *,
    shapes: Mapping[str, ModelShape] | None = None,
    base_dir: Path | str | None = None,
) -> tuple[Diagnostic, ...]:
    """Every finding about the hypotheses of a file, in the order of the text, each once.

    `shapes` is by hypothesis name. With `base_dir`, the spec's folder, features (`carries`) are
    checked against the task too, word lists and columns of its files included.
    """
    hypotheses = tuple(hypotheses)
    found: dict[tuple[object, ...], Diagnostic] = {}
    for hypothesis in hypotheses:
        shape = (shapes or {}).get(hypothesis.name)
        findings = check_hypothesis(hypothesis, shape)
        if base_dir is not None:
            findings += _features(hypothesis, Path(base_dir))
        for d in findings:
            # A refinement inherits what is wrong with its parent; once is enough.
            key = (d.code, d.span.file, d.span.start, d.span.end)
            if key not in found:
                found[key] = _placed(d, hypothesis)
    for d in unused.check_all(hypotheses):
        found[(d.code, d.span.file, d.span.start, d.span.end)] = d
    return tuple(sorted(found.values(), key=lambda d: (d.span.file, d.span.start, d.code)))


def _placed(found: Diagnostic, hypothesis: Hypothesis) -> Diagnostic:
    """A finding at an inherited statement, with a label that says whose mistake it is."""
    at, own = found.span, hypothesis.span
    if hypothesis.refines is None or (own.file == at.file and own.start <= at.start < own.end):
        return found
    message = f"as `{hypothesis.name}` has it, which refines `{hypothesis.refines}`"
    return replace(found, labels=(*found.labels, Label(span=hypothesis.name_span, message=message)))


def _features(hypothesis: Hypothesis, base_dir: Path) -> tuple[Diagnostic, ...]:
    if not hypothesis.task.statements or not any(r.carries for r in hypothesis.roles.values()):
        return ()
    from circuitspec.task.checks import check_feature
    from circuitspec.task.resolve import resolve

    task, _ = resolve(hypothesis.task, base_dir)
    carried = (feature for role in hypothesis.roles.values() for feature in role.carries)
    return tuple(d for feature in carried for d in check_feature(task, feature))


__all__ = ["RULES", "Rule", "TaskInfo", "check_all", "check_hypothesis"]
