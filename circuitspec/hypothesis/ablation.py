"""What cutting means in a claim: at what granularity, and what takes the place of what is cut."""

from __future__ import annotations

from collections.abc import Iterable

from circuitspec.hypothesis.members import Scope
from circuitspec.hypothesis.patches import baseline_name
from circuitspec.hypothesis.protocols import Actions
from circuitspec.hypothesis.records import Ablation
from circuitspec.hypothesis.report import Report, listing
from circuitspec.language import syntax

NO_ABLATION = "H020"
PARTIAL_VALUE = "H021"


def ablation_of(
    expect: syntax.Expect,
    actions: Actions,
    protocol: syntax.Protocol | None,
    known: Iterable[str],
    scope: Scope,
    report: Report,
) -> Ablation | None:
    """What cutting means in a claim. Missing parts are an error where anything is cut.

    `known` are the protocols it could stand under. Under one that does not exist nothing is asked.
    """
    ablate = actions.ablate
    if ablate is None or ablate.by is None or ablate.value is None:
        missing = [
            what
            for what, there in (
                ("at what granularity (`by nodes` or `by edges`)", ablate and ablate.by),
                (
                    "what takes its place (`with mean from D over template`)",
                    ablate and ablate.value,
                ),
            )
            if not there
        ]
        lost = expect.under is not None and protocol is None
        if (actions.cuts() or ablate is not None) and not lost:
            add = "`ablate by nodes with mean from D over template`"
            hint = f"add {add}"
            if known and expect.under is None:
                hint = f"let it stand `under` a protocol ({listing(known)}), or {hint}"
            said = f"does not say {' nor '.join(missing)}"
            if protocol is not None:
                # One protocol, one message, whatever stands under it.
                where = protocol.name.span
                message = f"the protocol `{protocol.name}` {said}, nor does every claim under it"
            else:
                where = (ablate or expect.name).span
                message = f"`{expect.name}` cuts something and {said}"
            report.error(NO_ABLATION, message, where, hint=hint)
        return None
    return _value(ablate.by, ablate.value, scope, report)


def _value(by: str, value: syntax.AblationValue, scope: Scope, report: Report) -> Ablation | None:
    needed = {
        "zero": (),
        "mean": ("baseline", "over"),
        "resample": ("baseline", "draws"),
        "counterfactual": ("baseline",),
        "noise": ("scale",),
    }[value.kind]
    missing = [part for part in needed if getattr(value, part) is None]
    if missing:
        full = {
            "mean": "mean from D over template",
            "resample": "resample from D draws 4",
            "counterfactual": "counterfactual from D",
            "noise": "noise 3.0",
        }[value.kind]
        report.error(
            PARTIAL_VALUE,
            f"`{value.kind}` does not say its {' nor its '.join(missing)}",
            value.span,
            hint=f"write `{full}`",
        )
        return None
    baseline: str | None = None
    if value.baseline is not None:
        baseline = baseline_name(value.baseline, scope, report)
        if baseline is None:
            return None
    return Ablation(
        by="edges" if by == "edges" else "nodes",
        kind=value.kind,
        baseline=baseline,
        over=value.over,
        draws=1 if value.draws is None else value.draws,
        scale=None if value.scale is None else value.scale.value,
    )
