"""The measures a `require` line may use, and whether each is used as it can be."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Literal

from circuitspec.hypothesis.members import PLACE_UNKNOWN, UNKNOWN, Scope
from circuitspec.hypothesis.report import Report, listing
from circuitspec.hypothesis.text import expression_text
from circuitspec.language import syntax
from circuitspec.language.nodes import Head, Mlp
from circuitspec.language.syntax import Expr

UNKNOWN_MEASURE = "H027"
BAD_ARGUMENT = "H028"
WITHOUT_ACTION = "H029"

Need = Literal["run", "scrub", "knockouts", "each", "ablation"]
Scale = Literal["share", "nonnegative", "any"]
Argument = Literal["metric", "nodes", "nodes and metric", "layer and metric", "none"]

PREFIXES = ("model", "circuit", "empty")


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """What a measure is of. `scale` says which numbers it can be compared with."""

    argument: Argument
    scale: Scale
    needs: frozenset[Need] = frozenset()


MEASURES: dict[str, Measure] = {
    "ratio": Measure(argument="metric", scale="any", needs=frozenset({"run"})),
    "gap": Measure(argument="metric", scale="nonnegative", needs=frozenset({"run"})),
    "recovered": Measure(argument="metric", scale="any", needs=frozenset({"run", "ablation"})),
    "scrub_recovered": Measure(argument="metric", scale="any", needs=frozenset({"scrub"})),
    "agreement": Measure(argument="metric", scale="share", needs=frozenset({"run"})),
    "error": Measure(argument="metric", scale="nonnegative", needs=frozenset({"run"})),
    "kl": Measure(argument="metric", scale="nonnegative", needs=frozenset({"run"})),
    "accuracy": Measure(argument="metric", scale="share"),
    "incompleteness": Measure(
        argument="metric", scale="nonnegative", needs=frozenset({"knockouts"})
    ),
    "effect": Measure(argument="nodes and metric", scale="any", needs=frozenset({"ablation"})),
    "attention": Measure(argument="nodes", scale="share"),
    "dla": Measure(argument="nodes and metric", scale="any"),
    "logit_lens": Measure(argument="layer and metric", scale="any"),
    "copying": Measure(argument="nodes", scale="share"),
    "negative_copying": Measure(argument="nodes", scale="share"),
    "previous_token": Measure(argument="nodes", scale="share"),
    "duplicate_token": Measure(argument="nodes", scale="share"),
    "induction": Measure(argument="nodes", scale="share"),
}
"""`effect` is of the elements of an `each` claim, or, with nodes named, of ablating those."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What a claim does, as far as it decides which measures make sense."""

    run: bool
    scrub: bool
    knockouts: bool
    each: bool
    ablation: bool


def scale_of(expression: Expr, metrics: Container[str] = ()) -> Scale:
    """The scale of a bare measure; `any` for metrics and for anything composed.

    Of an `effect` that names no nodes, the one of `each` claims, sizes are compared.
    """
    match expression:
        case syntax.Ref(name="effect"):
            return "nonnegative"
        case syntax.Call(function="effect", arguments=arguments):
            named = all(isinstance(a, syntax.Ref) and a.name in metrics for a in arguments)
            return "nonnegative" if named else "any"
        case syntax.Ref(name=name):
            measure = MEASURES.get(name.rpartition(".")[2])
        case syntax.Call(function=function):
            measure = MEASURES.get(function)
        case _:
            measure = None
    return "any" if measure is None else measure.scale


def check_measure(expression: Expr, doing: Doing, scope: Scope, report: Report) -> bool:
    """Whether every name in a side of a requirement is a measure used as it can be."""
    match expression:
        case syntax.Number():
            return True
        case syntax.Unary(operand=operand):
            return check_measure(operand, doing, scope, report)
        case syntax.Binary(operator="+" | "-" | "*" | "/", left=left, right=right):
            good = check_measure(left, doing, scope, report)
            if expression.operator == "/" and not _divides(expression, report):
                return False
            return check_measure(right, doing, scope, report) and good
        case syntax.Ref():
            return _bare(expression, doing, scope, report)
        case syntax.Call():
            return _call(expression, doing, scope, report)
        case _:
            report.error(
                UNKNOWN_MEASURE,
                f"`{expression_text(expression)}` is not something a claim can measure",
                expression.span,
                hint=_known(scope),
            )
            return False


def _known(scope: Scope) -> str:
    metrics = listing(scope.info.metrics) or "no metric is declared"
    return f"metrics of the task: {metrics}; measures: {', '.join(sorted(MEASURES))}"


def _bare(measure: syntax.Ref, doing: Doing, scope: Scope, report: Report) -> bool:
    prefix, _, name = measure.name.rpartition(".")
    if prefix and prefix not in PREFIXES:
        meant = report.unknown(UNKNOWN, "run", prefix, measure.span, PREFIXES)
        if meant is None:
            return False
    if name in scope.info.metrics:
        if prefix in ("circuit", "empty") and not doing.ablation:
            _needs_ablation(measure, f"`{measure.name}`", report)
            return False
        return True
    if not scope.info.known:
        return True
    if name not in MEASURES:
        options = (*scope.info.metrics, *MEASURES)
        meant = report.unknown(UNKNOWN_MEASURE, "metric or measure", name, measure.span, options)
        return meant in scope.info.metrics
    if prefix and name not in ("accuracy", "agreement", "kl", "error"):
        report.error(
            BAD_ARGUMENT,
            f"`{name}` already compares runs: `{prefix}.` says nothing here",
            measure.span,
            hint=f"write `{name}`",
        )
        return False
    kind = MEASURES[name].argument
    if kind in ("nodes", "layer and metric"):
        what = "a layer" if kind == "layer and metric" else "a role, a group or a node"
        report.error(
            BAD_ARGUMENT,
            f"`{name}` has to be told of what: {what}",
            measure.span,
            hint=f"write `{name}({'6' if 'layer' in kind else next(iter(scope.roles), 'a9.h9')})`",
        )
        return False
    if kind == "nodes and metric" and not doing.each:
        if name == "effect":
            report.error(
                WITHOUT_ACTION,
                "`effect` needs an `each` line that says of what",
                measure.span,
                hint="write `each head`, or name a role: `effect(ROLE)`",
            )
        else:
            report.error(
                BAD_ARGUMENT,
                f"`{name}` has to be told of what: a role, a group or a node",
                measure.span,
                hint=f"write `{name}({next(iter(scope.roles), 'a9.h9')})`",
            )
        return False
    good = _one_metric(name, measure, scope, report) if "metric" in kind else True
    return _supplied(name, measure, doing, report, implied=bool(prefix)) and good


def _call(call: syntax.Call, doing: Doing, scope: Scope, report: Report) -> bool:
    name = call.function
    if name not in MEASURES:
        if name in scope.info.metrics:
            report.error(
                BAD_ARGUMENT,
                f"the metric `{name}` takes no argument",
                call.span,
                hint=f"write `{name}`, or `model.{name}`, `circuit.{name}`, `empty.{name}`",
            )
            return False
        meant = report.unknown(UNKNOWN_MEASURE, "measure", name, call.span, MEASURES)
        if meant is None:
            return False
        name = meant
    measure = MEASURES[name]
    if call.keywords or (measure.argument == "none" and call.arguments):
        report.error(
            BAD_ARGUMENT, f"`{name}` takes no such argument", call.span, hint=f"write `{name}`"
        )
        return False
    metrics, nodes, layers = 0, 0, 0
    for argument in call.arguments:
        match _argument_kind(argument, scope):
            case "metric":
                metrics += 1
            case "nodes":
                nodes += 1
            case "layer":
                layers += 1
            case _:
                return _bad_argument(name, argument, scope, report)
    allowed = {
        "metric": (1, 0, 0),
        "nodes": (0, 1, 0),
        "nodes and metric": (1, 1, 0),
        "layer and metric": (1, 0, 1),
        "none": (0, 0, 0),
    }[measure.argument]
    required_nodes = measure.argument == "nodes" or (
        measure.argument == "nodes and metric" and not doing.each
    )
    enough = nodes >= required_nodes and layers >= allowed[2]
    if not enough or (metrics > allowed[0] or nodes > allowed[1] or layers > allowed[2]):
        return _bad_argument(name, call, scope, report)
    placed = [_has_place(argument, scope, report) for argument in call.arguments]
    good = all(placed)
    if "metric" in measure.argument and not metrics:
        good = _one_metric(name, call, scope, report) and good
    return _supplied(name, call, doing, report) and good


def _has_place(argument: Expr, scope: Scope, report: Report) -> bool:
    """Whether it is known where a node that is written out would be read."""
    match argument:
        case syntax.NodeLiteral(node=Head() | Mlp() as node) if not scope.placed(node):
            report.error(
                PLACE_UNKNOWN,
                f"`{node}` is in no role, so no position is known for it",
                argument.span,
                hint=f"give it a role (`role NAME = {node} @ POSITION`) or `keep {node} @ *`",
            )
            return False
        case _:
            return True


def _divides(division: syntax.Binary, report: Report) -> bool:
    """Whether what is divided by is other than a 0 that is written there."""
    under = division.right
    if not isinstance(under, syntax.Number) or under.value != 0:
        return True
    report.error(
        BAD_ARGUMENT,
        f"`{expression_text(division)}` divides by 0: it has no value",
        under.span,
        hint="divide by a measure of another run, `model.METRIC`, or compare without dividing",
    )
    return False


def _argument_kind(argument: Expr, scope: Scope) -> str | None:
    match argument:
        case syntax.Ref(name=name):
            if name in scope.info.metrics:
                return "metric"
            return "nodes" if name in scope.named else None
        case syntax.NodeLiteral(node=Head() | Mlp()):
            return "nodes"
        case syntax.Number(text=text, percent=False) if text.isdigit():
            return "layer"
        case _:
            return None


def _bad_argument(name: str, argument: Expr, scope: Scope, report: Report) -> bool:
    """Report an argument; an unknown name is reported as that, and the measure stands."""
    kind = MEASURES[name].argument
    if isinstance(argument, syntax.Ref):
        options: tuple[str, ...] = ()
        options += tuple(scope.info.metrics) if "metric" in kind else ()
        options += scope.named if "nodes" in kind else ()
        if argument.name not in (*scope.info.metrics, *scope.named):
            what = {"metric": "metric", "nodes": "role or group"}.get(kind, "role, group or metric")
            report.unknown(UNKNOWN, what, argument.name, argument.span, options)
            return False
    takes = {
        "metric": "a metric, or nothing where the task has one",
        "nodes": "one role, group or node",
        "nodes and metric": "a role, a group or a node, and a metric where the task has several",
        "layer and metric": "a layer, and a metric where the task has several",
        "none": "no argument",
    }[kind]
    report.error(
        BAD_ARGUMENT,
        f"`{expression_text(argument)}` does not fit: `{name}` takes {takes}",
        argument.span,
        hint=_known(scope) if "metric" in kind else f"roles and groups: {listing(scope.named)}",
    )
    return False


def _one_metric(name: str, measure: Expr, scope: Scope, report: Report) -> bool:
    metrics = scope.info.metrics
    if len(metrics) == 1 or not scope.info.known:
        return True
    if not metrics:
        report.error(
            BAD_ARGUMENT,
            f"`{name}` is of a metric, and the task has none",
            measure.span,
            hint="add one to the task: `metric logit_diff = logit(A) - logit(B)`",
        )
        return False
    report.error(
        BAD_ARGUMENT,
        f"`{name}` could be of any of {len(metrics)} metrics",
        measure.span,
        hint="name one: " + ", ".join(f"`{name}({m})`" for m in sorted(metrics)),
    )
    return False


def _needs_ablation(measure: Expr, what: str, report: Report) -> None:
    report.error(
        WITHOUT_ACTION,
        f"{what} depends on what is cut and on what it becomes, and the claim does not say",
        measure.span,
        hint="stand `under` a protocol, or add `ablate by nodes with mean from D over template`",
    )


def _supplied(
    name: str, measure: Expr, doing: Doing, report: Report, *, implied: bool = False
) -> bool:
    """Whether the claim does what the measure is of."""
    needs = MEASURES[name].needs
    if "scrub" in needs and not doing.scrub:
        missing, hint = "no `scrub` line", "add `scrub over TASK draws 4`"
    elif "knockouts" in needs and not doing.knockouts:
        missing, hint = "no `knockouts` line", "add `knockouts roles`"
    elif "run" in needs and not doing.run and not implied:
        missing = "nothing is changed in the model"
        hint = "add what is done: `ablate complement`, `patch ...`, `scrub ...`"
    elif "ablation" in needs and not doing.ablation:
        _needs_ablation(measure, f"`{name}`", report)
        return False
    else:
        return True
    report.error(WITHOUT_ACTION, f"`{name}` is of nothing here: {missing}", measure.span, hint=hint)
    return False
