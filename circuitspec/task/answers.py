"""What a metric's answers are in a prompt: words, and the token each would begin with there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from circuitspec.language import syntax
from circuitspec.task.context import TaskContext
from circuitspec.task.expressions import Scope, Special, canonical, evaluate
from circuitspec.task.functions import ExpressionError, Value, as_number, as_text

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
}


def last_word(text: str) -> str:
    """What stands after the last space of a text."""
    return "" if not text or text[-1].isspace() else text.rsplit(None, 1)[-1]


def answer_words(expr: syntax.Expr, context: TaskContext, values: Mapping[str, str]) -> list[str]:
    """The words that an answer names in a prompt. Raises ExpressionError where there are none."""
    task = context.task
    special = {name: _comparison(context) for name in COMPARISONS}
    scope = Scope(
        values=values,
        lists=task.lists,
        tables=task.tables,
        special={**special, "others": _others(context)},
    )
    value = evaluate(expr, scope)
    words = [as_text(v) for v in value] if isinstance(value, tuple) else [as_text(value)]
    if not words:
        given = ", ".join(f"{r} is {values[r]!r}" for r in sorted(values) if r in canonical(expr))
        text = f"`{canonical(expr)}` names no word where {given or 'it stands'}"
        raise ExpressionError(text, expr.span, "leave out the words that have none")
    return list(dict.fromkeys(words))


def _comparison(context: TaskContext) -> Special:
    def compare(call: syntax.Call, scope: Scope) -> Value:
        """`greater(YY)`: the words of YY's own list above YY; `greater(YY, list)`: of that list."""
        holds = COMPARISONS[call.function]
        value = as_number(evaluate(call.arguments[0], scope))
        if len(call.arguments) == 2:
            words = evaluate(call.arguments[1], scope)
        else:
            words = _domain(context, call)
        if not isinstance(words, tuple):
            text = f"`{call.function}` compares with the words of a list"
            raise ExpressionError(text, call.span, f"write `{call.function}(YY, LIST)`")
        return tuple(w for w in words if holds(as_number(w), value))

    return compare


def _others(context: TaskContext) -> Special:
    def others(call: syntax.Call, scope: Scope) -> Value:
        """`others(IO, S1)`: the words of IO's list other than IO and S1."""
        named = {as_text(evaluate(a, scope)) for a in call.arguments}
        return tuple(w for w in _domain(context, call) if w not in named)

    return others


def _domain(context: TaskContext, call: syntax.Call) -> tuple[str, ...]:
    first = call.arguments[0]
    words = context.task.domain(first.name) if isinstance(first, syntax.Ref) else None
    if words is None:
        text = f"`{canonical(first)}` is not drawn from a word list, so it has no others"
        raise ExpressionError(
            text, first.span, f"write `{call.function}(X, LIST)`, or name a drawn slot"
        )
    return words


@dataclass(slots=True)
class Continuations:
    """The tokens that words would begin with after a prompt; remembered by the prompt's last word.

    A tokenizer splits at spaces before anything else, so what stands before the last word of a
    prompt does not change how the next one is written.
    """

    context: TaskContext
    _known: dict[tuple[str, str], tuple[int, ...]] = field(default_factory=dict)

    def after(self, text: str, ids: tuple[int, ...], word: str) -> tuple[int, ...]:
        """The token ids of `word` after `text` (`ids`: its tokens without BOS).

        Raises ExpressionError where the word would change the prompt's own tokens, or is unknown.
        """
        key = (last_word(text), word)
        if key not in self._known:
            self._known[key] = self._find(text, ids, word)
        return self._known[key]

    def _find(self, text: str, ids: tuple[int, ...], word: str) -> tuple[int, ...]:
        tokenizer = self.context.tokenizer
        join = "" if self.context.task.glued else " "
        whole = text + join + word
        encoded = tokenizer.encode(whole)
        added = encoded.ids[len(ids) :]
        if encoded.ids[: len(ids)] != ids or not added:
            # `1733` may be one token where `17` is fed: the model goes on from what it was fed.
            added = tokenizer.encode(join + word).ids
            if not added or tokenizer.decode((*ids, *added)) != tokenizer.decode(encoded.ids):
                text = f"{word!r} would change the tokens of the prompt that it follows"
                raise ExpressionError(text, code="T035")
        if tokenizer.unk_id is not None and added[0] == tokenizer.unk_id:
            raise ExpressionError(f"{word!r} is not in the vocabulary", code="T031")
        while len(added) > 1 and not tokenizer.decode(added[:1]).strip():
            # A tokenizer that writes the space as a token of its own: the word comes after it.
            added = added[1:]
        return added
