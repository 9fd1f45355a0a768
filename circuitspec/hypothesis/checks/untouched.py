"""H059: a claim of no effect whose counterfactuals ask for the same answers."""

from __future__ import annotations

from collections.abc import Iterator

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import parts, requirements
from circuitspec.hypothesis.records import ActivationPatch, Claim, Hypothesis, PathPatch
from circuitspec.hypothesis.report import listing
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label, Severity

NAME = "answer-untouched"
CODE = "H059"


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """A note for each requirement that a metric stays, where no answer of it was changed."""
    claims = {claim.name: claim for claim in hypothesis.claims}
    found = []
    for stated, require in requirements(hypothesis):
        claim = claims.get(stated.name.text)
        if claim is None or stated.refuted or require.operator not in ("within", "=="):
            continue
        baseline = info.baselines.get(_baseline(claim) or "")
        if baseline is None or not isinstance(require.left, syntax.Ref):
            continue
        metric = info.metrics.get(require.left.name)
        changed = set(_changed(baseline.value, info))
        if metric is None or not changed:
            continue
        asked = set(_slots(metric.value, info))
        if asked and not asked & changed:
            found.append(
                Diagnostic(
                    code=CODE,
                    message=f"`{baseline.name}` changes {listing(changed)} and nothing that "
                    f"`{metric.name}` asks for: whatever moves the answer alone passes",
                    span=require.span,
                    severity=Severity.NOTE,
                    hint=f"add a claim with a baseline that changes {listing(asked)}",
                    labels=(Label(span=baseline.span, message="counterfactuals are drawn here"),),
                )
            )
    return tuple(found)


def _baseline(claim: Claim) -> str | None:
    """Where what is put in comes from."""
    if isinstance(claim.intervention, ActivationPatch | PathPatch):
        return claim.intervention.baseline
    return None if claim.ablation is None else claim.ablation.baseline


def _changed(baseline: syntax.Expr, info: TaskInfo) -> Iterator[str]:
    """The slots that a baseline draws or sets anew, each by the slot it repeats; none if unsure."""
    match baseline:
        case syntax.Call(function="resample" | "swap", arguments=arguments):
            yield from (info.root(a.name) for a in arguments if isinstance(a, syntax.Ref))
        case syntax.Call(function="set", keywords=keywords):
            yield from (info.root(k.name) for k in keywords)
        case _:
            return


def _slots(value: syntax.Expr, info: TaskInfo, seen: frozenset[str] = frozenset()) -> Iterator[str]:
    """The drawn slots that an expression depends on, by way of computed ones too."""
    for part in parts(value):
        if not isinstance(part, syntax.Ref | syntax.Subscript):
            continue
        root = info.root(part.name if isinstance(part, syntax.Ref) else part.label.name)
        slot = info.slots.get(root)
        if slot is None or root in seen:
            continue
        if slot.value is None:
            yield root
        else:
            yield from _slots(slot.value, info, seen | {root})
