"""Drawing the values of a prompt's slots, from random streams that anyone can recompute.

A stream is `random.Random(name)` and gives `floor(random() * n)` for a choice among n, the one
method whose numbers Python promises to keep. Its name says all that it depends on:
`circuitspec:SEED:SET:TEMPLATE:K:SLOTS` for prompt K (from 0) of a template in a set, SLOTS being
the names of one `slot` statement, sorted and joined by commas. So neither the order of statements
nor a larger sample changes a prompt, and no set depends on another.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product

from circuitspec.language import syntax
from circuitspec.task.expressions import Scope, evaluate, references
from circuitspec.task.functions import ExpressionError, Value, as_text
from circuitspec.task.metrics import answers_of
from circuitspec.task.resolved import Group, ResolvedTask, Row
from circuitspec.task.templates import TemplateText

Width = Callable[[TemplateText, str, str], int]
"""(text, slot, word) → how many tokens the word has where that slot stands in the text, 0 where it
does not stand there, -1 where the word does not fall on token boundaries."""


def stream(*parts: object) -> random.Random:
    """The random stream of a name."""
    return random.Random(":".join(("circuitspec", *map(str, parts))))


def pick(rng: random.Random, n: int) -> int:
    """A number from 0 to n - 1, each as likely."""
    return int(rng.random() * n)


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A prompt before tokens: which text, and the value of every slot that matters to it."""

    template: str
    values: Mapping[str, str]
    text: TemplateText
    row: Row | None = field(default=None, repr=False)

    def render(self) -> tuple[str, dict[str, tuple[int, int]]]:
        """The text, and where each label stands in it."""
        return self.text.render(self.values)


def draw(
    task: ResolvedTask, template: str, key: Sequence[object], width: Width, row: Row | None = None
) -> Assignment:
    """One prompt of the task's distribution; `key` names its streams."""
    values: dict[str, str] = dict(row.values) if row is not None else {}
    text = text_of(task, template, row)
    for group in task.groups:
        values.update(draw_group(group, stream(*key, group.key), text, width))
    return assign(task, template, values, row)


def text_of(task: ResolvedTask, template: str, row: Row | None) -> TemplateText:
    """The text that a prompt is written in: its row's own, or the template's."""
    return task.templates[template] if row is None or row.text is None else row.text


def draw_group(
    group: Group, rng: random.Random, text: TemplateText, width: Width
) -> dict[str, str]:
    """The slots of one statement, every allowed combination as likely as any other."""
    if group.length is not None:
        return {group.names[0]: " ".join(_several(group, rng, list(group.words), group.length))}
    words = list(group.words)
    if group.same_tokens:
        words = _class(group, rng, text, width)
    return dict(zip(group.names, _several(group, rng, words, len(group.names)), strict=True))


def _several(group: Group, rng: random.Random, words: list[str], n: int) -> list[str]:
    drawn = []
    for _ in range(n):
        i = pick(rng, len(words))
        drawn.append(words.pop(i) if group.distinct else words[i])
    return drawn


def token_classes(group: Group, text: TemplateText, width: Width) -> dict[int, list[str]]:
    """A group's words by their number of tokens, those of too few words for the group left out."""
    classes: dict[int, list[str]] = {}
    for word in group.words:
        classes.setdefault(width(text, group.names[0], word), []).append(word)
    least = len(group.names) if group.distinct else 1
    return {n: words for n, words in sorted(classes.items()) if len(words) >= least}


def _class(group: Group, rng: random.Random, text: TemplateText, width: Width) -> list[str]:
    """Words of one length, a length as likely as it has combinations of words."""
    classes = token_classes(group, text, width)
    if not classes:
        raise ExpressionError(
            f"no {len(group.names)} distinct words have as many tokens as each other",
            group.constraint_spans.get("same_tokens", group.span),
            "add words, or drop `same_tokens`",
        )
    m = len(group.names)
    sizes = [math.perm(len(w), m) if group.distinct else len(w) ** m for w in classes.values()]
    at = pick(rng, sum(sizes))
    chosen = next(i for i in range(len(sizes)) if at < sum(sizes[: i + 1]))
    return list(list(classes.values())[chosen])


def assign(
    task: ResolvedTask,
    template: str,
    values: Mapping[str, str],
    row: Row | None,
    *,
    fixed: frozenset[str] = frozenset(),
) -> Assignment:
    """Linked and computed slots filled in, and what does not matter to the prompt left out.

    Linked slots among `fixed` keep the value they are given. Raises ExpressionError where a
    computed slot that the prompt needs has no value.
    """
    text = text_of(task, template, row)
    needed = needs(task, text)
    free = {n for g in task.groups for n in g.names} | set(task.linked)
    known = {n: v for n, v in values.items() if n in needed or n not in free}
    scope = slot_scope(task, text, known)
    for name in task.order:
        if name in fixed:
            continue
        if name in task.linked:
            if name in needed and task.linked[name] in known:
                known[name] = known[task.linked[name]]
            continue
        try:
            known[name] = as_text(evaluate(task.computed[name], scope))
        except ExpressionError as fault:
            if name in needed:
                raise fault
            # A slot that this template does not use may have no value in it.
            known.pop(name, None)
    return Assignment(template=template, values=known, text=text, row=row)


def slot_scope(task: ResolvedTask, text: TemplateText, values: Mapping[str, str]) -> Scope:
    """What the names in a computed slot stand for; grows as `values` does."""

    def count(call: syntax.Call, scope: Scope) -> Value:
        """How many of the named slots stand in the text, or how many words in slots are such."""
        total = 0
        for argument in call.arguments:
            if isinstance(argument, syntax.Ref) and argument.name in task.slots:
                total += argument.name in text.labels
                continue
            value = evaluate(argument, scope)
            wanted = {as_text(v) for v in (value if isinstance(value, tuple) else (value,))}
            for label in text.labels:
                total += sum(word in wanted for word in values.get(label, "").split())
        return total

    return Scope(values=values, lists=task.lists, tables=task.tables, special={"count": count})


def needs(task: ResolvedTask, text: TemplateText) -> frozenset[str]:
    """Slots that matter to a text's prompts: those in the text, in answers and positions, and
    those that these are made from."""
    found: set[str] = set()
    waiting = list(text.labels)
    for partner in task.partners(text.name):
        waiting += partner.labels
    for metric in task.metrics.values():
        waiting += (r.name for answer in answers_of(metric) for r in references(answer))
    for position in task.positions.values():
        waiting += (r.name for r in references(position.value))
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        if name in task.linked:
            waiting.append(task.linked[name])
        elif name in task.computed:
            waiting += _value_references(task, task.computed[name], text)
    return frozenset(found)


def _value_references(task: ResolvedTask, expr: syntax.Expr, text: TemplateText) -> Iterator[str]:
    """Names whose value an expression needs. `count(F1, F2)` asks only whether they stand there."""
    match expr:
        case syntax.Call(function="count", arguments=arguments):
            for argument in arguments:
                if isinstance(argument, syntax.Ref) and argument.name in task.slots:
                    continue
                yield from (r.name for r in references(argument))
                yield from (n for n in text.labels if n not in task.computed)
        case syntax.Call(arguments=arguments):
            for argument in arguments:
                yield from _value_references(task, argument, text)
        case syntax.Unary(operand=operand):
            yield from _value_references(task, operand, text)
        case syntax.Binary(left=left, right=right):
            yield from _value_references(task, left, text)
            yield from _value_references(task, right, text)
        case _:
            yield from (r.name for r in references(expr))


def population(task: ResolvedTask, width: Width) -> Iterator[Assignment]:
    """Every prompt of the task, template by template, first slots varying slowest."""
    sources: list[tuple[str, Row | None]] = []
    if task.rows is not None and any(r.text is not None for r in task.rows):
        sources += [(r.template or "file", r) for r in task.rows]
    else:
        sources += [(t, r) for t in task.rotation for r in task.rows or (None,)]
    for template, row in sources:
        text = text_of(task, template, row)
        needed = needs(task, text)
        choices = [_combinations(group, needed, text, width) for group in task.groups]
        for combination in product(*choices):
            values = dict(row.values) if row is not None else {}
            for part in combination:
                values.update(part)
            yield assign(task, template, values, row)


def _combinations(
    group: Group, needed: frozenset[str], text: TemplateText, width: Width
) -> list[dict[str, str]]:
    names = [n for n in group.names if n in needed]
    if not names:
        return [{}]
    pools: list[Sequence[str]] = [group.words]
    if group.same_tokens:
        pools = list(token_classes(group, text, width).values())
    n = len(names) if group.length is None else group.length
    found: list[dict[str, str]] = []
    for pool in pools:
        tuples = permutations(pool, n) if group.distinct else product(pool, repeat=n)
        if group.length is not None:
            found += [{names[0]: " ".join(words)} for words in tuples]
        else:
            found += [dict(zip(names, words, strict=True)) for words in tuples]
    return found


def population_size(task: ResolvedTask) -> int:
    """How many prompts `population` gives at most, without making them."""
    total = 0
    rows = task.rows or (None,)
    for template in task.rotation:
        own = [r for r in rows if r is None or r.text is None or (r.template or "file") == template]
        for row in own:
            text = text_of(task, template, row)
            needed = needs(task, text)
            size = 1
            for group in task.groups:
                used = sum(n in needed for n in group.names)
                n = used if group.length is None or not used else group.length
                w = len(group.words)
                size *= math.perm(w, n) if group.distinct else w**n
            total += size
    return total
