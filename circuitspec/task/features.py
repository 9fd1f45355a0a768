"""Features of a prompt: what a role's output may carry, and which prompts agree on it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

from circuitspec.language import syntax
from circuitspec.task.context import TaskContext
from circuitspec.task.expressions import Scope, canonical, evaluate, references
from circuitspec.task.functions import ExpressionError, Value, as_text
from circuitspec.task.positions import PlaceFinder
from circuitspec.task.records import Prompt


class FeatureError(ValueError):
    """A feature that has no value in a prompt: a label that does not stand there, and the like."""


def feature_value(
    expr: syntax.Expr, prompt: Prompt, context: TaskContext, position: int | None = None
) -> Hashable:
    """What a feature is worth in a prompt; equal values are one equivalence class.

    `position` is the token index that the feature is read at: what `here` and the columns of one
    value a position mean. `token(S1)` and `position(S1)` are tuples of ids and of token indices,
    one for each token of the label.

    Raises FeatureError where there is none.
    """
    try:
        return _hashable(evaluate(expr, _scope(prompt, context, position)))
    except ExpressionError as fault:
        text = f"`{canonical(expr)}` has no value in {prompt.text!r}: {fault.message}"
        raise FeatureError(text) from fault


def classes(
    features: Sequence[syntax.Expr],
    prompts: Iterable[Prompt],
    context: TaskContext,
    position: int | None = None,
) -> dict[tuple[Hashable, ...], tuple[int, ...]]:
    """Prompts that agree on all features: value of each feature → places in `prompts`, in order."""
    found: dict[tuple[Hashable, ...], list[int]] = {}
    for i, prompt in enumerate(prompts):
        key = tuple(feature_value(f, prompt, context, position) for f in features)
        found.setdefault(key, []).append(i)
    return {key: tuple(indices) for key, indices in found.items()}


def is_constant(
    feature: syntax.Expr,
    prompts: Sequence[Prompt],
    context: TaskContext,
    position: int | None = None,
) -> bool:
    """Whether a feature is the same in all prompts: scrubbing within its classes tests nothing.

    A feature of a position (`here`, a column of one value a token) counts as constant only if it
    is the same at every token of every prompt, unless `position` says which token is meant.
    """
    values: set[Hashable] = set()
    for prompt in prompts:
        places: Iterable[int | None] = [position]
        if position is None and of_position(feature, context):
            places = range(len(prompt.tokens))
        for place in places:
            values.add(feature_value(feature, prompt, context, place))
            if len(values) > 1:
                return False
    return True


def of_position(feature: syntax.Expr, context: TaskContext) -> bool:
    """Whether a feature has a value for each position rather than one for the prompt."""
    if isinstance(feature, syntax.Call) and feature.function == "column":
        name = _column_name(feature)
        return any(name in row.columns for row in context.task.rows or ())
    if any(r.name == "here" for r in references(feature)):
        return True
    return any(of_position(part, context) for part in _parts(feature))


def _parts(expr: syntax.Expr) -> tuple[syntax.Expr, ...]:
    match expr:
        case syntax.Call(arguments=arguments, keywords=keywords):
            return (*arguments, *(k.value for k in keywords))
        case syntax.Unary(operand=operand):
            return (operand,)
        case syntax.Binary(left=left, right=right):
            return (left, right)
        case _:
            return ()


def feature_labels(feature: syntax.Expr, context: TaskContext) -> frozenset[str]:
    """Labels whose tokens a feature depends on, through linked and computed slots.

    What some path of the circuit must bring to a role for it to carry the feature.
    """
    task = context.task
    found: set[str] = set()
    waiting = [r.name for r in references(feature)]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in task.computed:
            waiting += (r.name for r in references(task.computed[name]))
        if name in task.positions:
            waiting += (r.name for r in references(task.positions[name].value))
    return frozenset(found & ({*task.slots, *task.positions} | {"END", "BOS"}))


def _hashable(value: Value) -> Hashable:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _column_name(call: syntax.Call) -> str:
    argument = call.arguments[0]
    return argument.value if isinstance(argument, syntax.Text) else canonical(argument)


def _scope(prompt: Prompt, context: TaskContext, position: int | None) -> Scope:
    """A prompt's values, and the functions that speak of its tokens."""
    task = context.task

    def places(expr: syntax.Expr) -> tuple[int, ...]:
        if isinstance(expr, syntax.Ref) and expr.name == "here":
            if position is None:
                raise ExpressionError(
                    "`here` is the place of a role, and no place is given", expr.span
                )
            return (position,)
        finder = PlaceFinder(
            tokens=prompt.tokens,
            known=dict(prompt.positions),
            scope=scope,
            declared=task.positions,
            word_ids=context.word_ids,
        )
        return finder.find(expr)

    def token(call: syntax.Call, scope: Scope) -> Value:
        return tuple(prompt.tokens[i] for i in places(call.arguments[0]))

    def index(call: syntax.Call, scope: Scope) -> Value:
        return places(call.arguments[0])

    def order(call: syntax.Call, scope: Scope) -> Value:
        """The labels' names in the order in which they stand."""
        firsts = [(places(a)[0], canonical(a)) for a in call.arguments]
        return tuple(name for _, name in sorted(firsts))

    def equal(call: syntax.Call, scope: Scope) -> Value:
        """Whether values are equal; of positions, whether their tokens are."""
        values = []
        for argument in call.arguments:
            if isinstance(argument, syntax.Ref) and argument.name not in scope.values:
                values.append(as_text(tuple(prompt.tokens[i] for i in places(argument))))
            else:
                values.append(as_text(evaluate(argument, scope)))
        return len(set(values)) == 1

    def count(call: syntax.Call, scope: Scope) -> Value:
        """How many tokens are one of the words, in all or up to (and with) a position."""
        stop = len(prompt.tokens)
        for keyword in call.keywords:
            stop = places(keyword.value)[-1] + 1
        wanted: set[int] = set()
        for argument in call.arguments:
            value = evaluate(argument, scope)
            for word in value if isinstance(value, tuple) else (value,):
                wanted |= context.word_ids(as_text(word))
        return sum(t in wanted for t in prompt.tokens[:stop])

    def column(call: syntax.Call, scope: Scope) -> Value:
        name = _column_name(call)
        if name in prompt.slots:
            return prompt.slots[name]
        values = prompt.columns.get(name)
        if values is None:
            raise ExpressionError(f"this prompt has no column `{name}`", call.span)
        if position is None:
            return values
        if position >= len(values):
            raise ExpressionError(f"column `{name}` has {len(values)} values here", call.span)
        return values[position]

    values: dict[str, Value] = {**prompt.slots, "template": prompt.template}
    scope = Scope(
        values=values,
        lists=task.lists,
        tables=task.tables,
        special={
            "token": token,
            "position": index,
            "order": order,
            "equal": equal,
            "count": count,
            "column": column,
        },
    )
    return scope
