"""The `require` lines of a claim: measures that exist, thresholds with a confidence."""

from __future__ import annotations

from circuitspec.hypothesis.measures import Doing, check_measure
from circuitspec.hypothesis.members import Scope
from circuitspec.hypothesis.protocols import Actions
from circuitspec.hypothesis.records import Requirement
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.text import requirement_text
from circuitspec.language import syntax

NO_REQUIREMENT = "H024"
NO_LEVEL = "H025"
NO_TOLERANCE = "H032"


def requirements_of(
    expect: syntax.Expect, actions: Actions, scope: Scope, report: Report, ablation: bool
) -> tuple[Requirement, ...]:
    """The requirements that hold together; empty if there is none, or if one is wrong."""
    if not expect.requirements:
        report.error(
            NO_REQUIREMENT,
            f"`{expect.name}` claims nothing",
            expect.name.span,
            hint="add a `require` line with a measure, a threshold and a confidence",
        )
        return ()
    doing = Doing(
        run=bool(actions.interventions() or actions.given or actions.knockouts or actions.each),
        scrub=actions.scrub is not None,
        knockouts=actions.knockouts is not None,
        each=actions.each is not None,
        # What is missing has been said once, about the claim: measures need not repeat it.
        # `run from D` has a floor of its own: D with nothing restored.
        ablation=(
            ablation
            or actions.ablate is not None
            or actions.knockouts is not None
            or actions.run is not None
        ),
    )
    exact = scope.info.sample is not None and scope.info.sample.evaluation == "all"
    found: list[Requirement] = []
    good = True
    for stated in expect.requirements:
        sides = (stated.left, stated.right)
        for side in sides:
            good = check_measure(side, doing, scope, report) and good
        if stated.level is None and not exact:
            report.error(
                NO_LEVEL,
                f"`{requirement_text(stated)}` does not say with what confidence",
                stated.span,
                hint="add `ci 95`",
            )
            good = False
        if stated.operator in ("within", "==") and stated.tolerance is None:
            report.error(
                NO_TOLERANCE,
                f"`{requirement_text(stated)}` does not say how near is near enough",
                stated.span,
                hint="write `== VALUE +- TOLERANCE`",
            )
            good = False
        found.append(
            Requirement(
                text=requirement_text(stated),
                left=stated.left,
                operator=stated.operator,
                right=stated.right,
                tolerance=None if stated.tolerance is None else stated.tolerance.value,
                # The whole population has no interval: the level is never read.
                level=95.0 if stated.level is None else float(stated.level.text),
                each=stated.each,
                span=stated.span,
            )
        )
    return tuple(found) if good else ()
