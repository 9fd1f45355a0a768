"""H049 on drawn prompts: a feature that has one value in all of them."""

from __future__ import annotations

from collections.abc import Iterable

from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.syntax import Expr
from circuitspec.task.expressions import canonical
from circuitspec.task.features import FeatureError, is_constant
from circuitspec.task.records import TaskData

CODE = "H049"


def constant_features(features: Iterable[Expr], task: TaskData) -> tuple[Diagnostic, ...]:
    """A warning for each feature that scrubbing could not change: all its prompts agree on it.

    A feature that has no value in some prompt is another finding, and is passed over here.
    """
    prompts, context = task.evaluation.prompts, task.context
    if context is None or len(prompts) < 2:
        return ()
    found = []
    for feature in features:
        try:
            same = is_constant(feature, prompts, context)
        except FeatureError:
            continue
        if same:
            found.append(
                Diagnostic(
                    code=CODE,
                    message=f"`{canonical(feature)}` is the same in all {len(prompts)} prompts: "
                    "that a role carries it cannot fail",
                    span=feature.span,
                    severity=Severity.WARNING,
                    hint="carry what differs between prompts, or leave it out",
                )
            )
    return tuple(found)
