"""Baseline expressions → transformations: what becomes of a prompt in a counterfactual."""

from __future__ import annotations

from collections.abc import Iterator

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Span
from circuitspec.task.expressions import canonical, references
from circuitspec.task.functions import BASELINE_FUNCTIONS, ExpressionError
from circuitspec.task.positions import as_position
from circuitspec.task.registered import BASELINES, Registered, registered
from circuitspec.task.resolved import (
    Borrowed,
    FromColumn,
    NoiseOn,
    OtherTemplate,
    Resample,
    ResolvedTask,
    SetTo,
    Shuffle,
    Swap,
    Transformation,
)
from circuitspec.task.suggestions import did_you_mean, listing

USAGES = {
    "resample": "`resample(IO, S1)`",
    "swap": "`swap(IO, S1)`",
    "set": '`set(YY = "01")`',
    "template": "`template(other)`",
    "noise": "`noise(3, SUBJ)`: the scale, and the positions whose embeddings get it",
    "shuffle": "`shuffle()`",
    "column": "`column(corrupted)`",
}


def read_baseline(
    task: ResolvedTask, baseline: syntax.Baseline
) -> tuple[Transformation | None, tuple[Diagnostic, ...]]:
    """What a baseline does to a prompt, or why it says nothing."""
    try:
        transformation = _read(task, baseline)
        _changes_something(task, baseline, transformation)
    except _BaselineError as wrong:
        return None, (
            Diagnostic(code=wrong.code, message=wrong.message, span=wrong.span, hint=wrong.hint),
        )
    return transformation, ()


class _BaselineError(ExpressionError):
    def __init__(self, code: str, message: str, span: Span, hint: str) -> None:
        super().__init__(message, span, hint, code)


def _read(task: ResolvedTask, baseline: syntax.Baseline) -> Transformation:
    expr = baseline.value
    if isinstance(expr, syntax.Ref) and expr.name == "shuffle":
        return Shuffle()
    source = borrowed(baseline)
    if source is not None:
        return _borrowed(task, source, expr)
    if not isinstance(expr, syntax.Call) or expr.function not in BASELINE_FUNCTIONS:
        written = expr.function if isinstance(expr, syntax.Call) else canonical(expr)
        known = listing(BASELINE_FUNCTIONS)
        hint = did_you_mean(written, BASELINE_FUNCTIONS, otherwise=f"baselines are {known}")
        text = f"baseline `{baseline.name}`: `{written}` is no way to change a prompt"
        raise _BaselineError("T013", text, expr.span, hint)
    signature = BASELINE_FUNCTIONS[expr.function]
    count = len(expr.arguments)
    too_many = signature.most is not None and count > signature.most
    if count < signature.least or too_many:
        usage = USAGES[expr.function]
        text = f"`{expr.function}` takes other arguments than `{canonical(expr)}`"
        raise _BaselineError("T014", text, expr.span, f"write {usage}")
    match expr.function:
        case "resample":
            return _resample(task, expr)
        case "swap":
            first, second = (_slot(task, a) for a in expr.arguments)
            if first == second:
                text = f"swapping `{first}` with itself changes nothing"
                raise _BaselineError("T012", text, expr.span, "name two slots")
            return Swap(first=first, second=second)
        case "set":
            return _set(task, expr)
        case "template":
            return _template(task, expr)
        case "noise":
            return _noise(task, expr)
        case "column":
            return FromColumn(column=_column(task, expr))
        case _:
            _no_keywords(expr)
            return Shuffle()


def borrowed(baseline: syntax.Baseline) -> Registered | None:
    """The function of another package that a baseline names; nothing of it is imported."""
    expr = baseline.value
    if not isinstance(expr, syntax.Call) or expr.function in BASELINE_FUNCTIONS:
        return None
    return registered(expr.function, BASELINES)


def borrowed_in(task: syntax.Task) -> Iterator[str]:
    """A sentence for each baseline that another package makes."""
    for statement in task.statements or ():
        if isinstance(statement, syntax.Baseline) and (source := borrowed(statement)) is not None:
            yield f"baseline {statement.name} is made by {source}"


def _borrowed(task: ResolvedTask, source: Registered, expr: syntax.Expr) -> Borrowed:
    """Its arguments: slots by name, texts and numbers as they are."""

    def value(argument: syntax.Expr) -> str | float:
        match argument:
            case syntax.Text(value=text):
                return text
            case syntax.Number(value=number):
                return int(number) if number == int(number) else number
            case syntax.Ref(name=name) if name in task.slots:
                return name
            case _:
                return _slot(task, argument)  # says what is wrong with it

    assert isinstance(expr, syntax.Call)
    return Borrowed(
        source=source,
        arguments=tuple(value(a) for a in expr.arguments),
        keywords={k.name: value(k.value) for k in expr.keywords},
    )


def _no_keywords(call: syntax.Call, allowed: tuple[str, ...] = ()) -> None:
    for keyword in call.keywords:
        if keyword.name not in allowed:
            text = f"`{call.function}` has no argument `{keyword.name}`"
            raise _BaselineError("T014", text, keyword.span, f"write {USAGES[call.function]}")


def _slot(task: ResolvedTask, expr: syntax.Expr) -> str:
    """A slot whose value can be replaced: drawn, or taken from another slot; not computed."""
    if not isinstance(expr, syntax.Ref):
        text = f"`{canonical(expr)}` is not the name of a slot"
        raise _BaselineError("T014", text, expr.span, "name the slot alone")
    if expr.name in task.computed:
        text = f"`{expr.name}` is computed, so it cannot be replaced on its own"
        sources = listing(r.name for r in references(task.computed[expr.name]))
        raise _BaselineError("T014", text, expr.span, f"change what it is computed from: {sources}")
    if expr.name not in task.slots:
        hint = did_you_mean(expr.name, task.slots, otherwise=f"slots are {listing(task.slots)}")
        raise _BaselineError("T011", f"there is no slot `{expr.name}`", expr.span, hint)
    return expr.name


def _resample(task: ResolvedTask, call: syntax.Call) -> Resample:
    _no_keywords(call, ("changing", "keeping"))
    slots = tuple(dict.fromkeys(_slot(task, a) for a in call.arguments))
    watched: dict[str, str] = {}
    for keyword in call.keywords:
        if not isinstance(keyword.value, syntax.Ref) or keyword.value.name not in task.slots:
            text = f"`{keyword.name}` takes a slot"
            hint = did_you_mean(
                canonical(keyword.value), task.slots, otherwise=f"slots are {listing(task.slots)}"
            )
            raise _BaselineError("T011", text, keyword.value.span, hint)
        watched[keyword.name] = keyword.value.name
    return Resample(slots=slots, changing=watched.get("changing"), keeping=watched.get("keeping"))


def _set(task: ResolvedTask, call: syntax.Call) -> SetTo:
    values: dict[str, str] = {}
    for keyword in call.keywords:
        slot = _slot(task, syntax.Ref(name=keyword.name, span=keyword.span))
        match keyword.value:
            case syntax.Text(value=value):
                values[slot] = value
            case syntax.Number(text=text, percent=False):
                values[slot] = text
            case _:
                text = f"`{canonical(keyword.value)}` is not a word or a number"
                raise _BaselineError("T014", text, keyword.value.span, f"write {USAGES['set']}")
    if not values:
        raise _BaselineError("T012", "`set` sets no slot", call.span, f"write {USAGES['set']}")
    return SetTo(values=values)


def _template(task: ResolvedTask, call: syntax.Call) -> OtherTemplate:
    def named(expr: syntax.Expr) -> str:
        if not isinstance(expr, syntax.Ref) or expr.name not in task.templates:
            text = f"there is no template `{canonical(expr)}`"
            known = listing(task.templates)
            hint = did_you_mean(canonical(expr), task.templates, otherwise=f"templates are {known}")
            raise _BaselineError("T011", text, expr.span, hint)
        return expr.name

    templates: dict[str, str] = {}
    if call.arguments:
        templates = dict.fromkeys(task.rotation, named(call.arguments[0]))
    for keyword in call.keywords:
        source = named(syntax.Ref(name=keyword.name, span=keyword.span))
        templates[source] = named(keyword.value)
    missing = [t for t in task.rotation if t not in templates]
    if missing:
        text = f"template(...) says no partner for {listing(missing)}"
        raise _BaselineError("T014", text, call.span, f"write `template({missing[0]} = OTHER)`")
    same = [t for t in task.rotation if templates[t] == t]
    if same:
        text = f"the counterfactual of template `{same[0]}` is itself"
        raise _BaselineError("T012", text, call.span, "name another template")
    return OtherTemplate(templates=templates)


def _noise(task: ResolvedTask, call: syntax.Call) -> NoiseOn:
    _no_keywords(call)
    scale, *positions = call.arguments
    if not isinstance(scale, syntax.Number) or scale.value <= 0:
        text = "`noise` takes a scale above 0, in standard deviations of the embeddings"
        raise _BaselineError("T014", text, scale.span, f"write {USAGES['noise']}")
    if not positions:
        text = "`noise` does not say at which positions"
        raise _BaselineError("T014", text, call.span, f"write {USAGES['noise']}")
    for position in positions:
        if as_position(position) is None:
            text = f"`{canonical(position)}` is not a position"
            hint = "write `S1`, `S1[*]` or `S1 + 1`, or declare it: `position P = ...`"
            raise _BaselineError("T014", text, position.span, hint)
    return NoiseOn(scale=scale.value, positions=tuple(positions))


def _column(task: ResolvedTask, call: syntax.Call) -> str:
    (argument,) = call.arguments
    name = argument.value if isinstance(argument, syntax.Text) else canonical(argument)
    if name not in task.columns:
        known = listing(task.columns) or "none: the task has no prompts file"
        hint = did_you_mean(name, task.columns, otherwise=f"its columns are {known}")
        raise _BaselineError(
            "T011", f"the prompts file has no column `{name}`", argument.span, hint
        )
    return name


def _changes_something(
    task: ResolvedTask, baseline: syntax.Baseline, transformation: Transformation
) -> None:
    """A baseline that leaves a template's prompts as they are makes every claim on it empty."""
    match transformation:
        case Resample(slots=slots):
            named = set(slots)
        case Swap(first=first, second=second):
            named = {first, second}
        case SetTo(values=values):
            named = set(values)
        case _:
            return
    moved = moved_by(task, named)
    for template in task.rotation:
        if not moved & set(task.labels(template)):
            names = listing(sorted(named))
            raise _BaselineError(
                "T012",
                f"baseline `{baseline.name}` leaves template `{template}` as it is: "
                f"no {names} stands in it",
                baseline.value.span,
                f"name slots that do: {listing(task.labels(template)) or 'it has none'}",
            )


def moved_by(task: ResolvedTask, named: set[str]) -> set[str]:
    """Slots whose value may change when the named ones are replaced: they, and what follows."""
    moved = set(named)
    for name in task.order:
        if name in task.linked and task.linked[name] in moved:
            moved.add(name)
        expr = task.computed.get(name)
        if expr is not None and any(r.name in moved for r in references(expr)):
            moved.add(name)
    return moved
