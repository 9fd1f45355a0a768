"""Statements → a resolved task: names bound, word lists read, slots put in order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label, Severity, Span
from circuitspec.task.expressions import references
from circuitspec.task.functions import (
    ANSWER_FUNCTIONS,
    FEATURE_FUNCTIONS,
    MEASURES,
    POSITION_FUNCTIONS,
    RESERVED,
    SLOT_FUNCTIONS,
    VALUE_FUNCTIONS,
)
from circuitspec.task.promptfile import read_rows
from circuitspec.task.resolved import Group, ResolvedTask, Row
from circuitspec.task.suggestions import MOST_GUESSED, did_you_mean
from circuitspec.task.templates import TemplateText, parse_template
from circuitspec.task.words import Unreadable, built_in, built_in_names, parse_words, read_beside

RANGE_LIMIT = 1_000_000
"""Largest number of integers that a range may list."""

FUNCTION_NAMES = frozenset().union(
    VALUE_FUNCTIONS,
    SLOT_FUNCTIONS,
    ANSWER_FUNCTIONS,
    MEASURES,
    POSITION_FUNCTIONS,
    FEATURE_FUNCTIONS,
)


@dataclass(slots=True)
class _Draft:
    """What has been gathered so far."""

    task: syntax.Task
    base_dir: Path
    diagnostics: list[Diagnostic] = field(default_factory=list)
    lists: dict[str, tuple[str, ...]] = field(default_factory=dict)
    word_spans: dict[str, Mapping[str, Span]] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    linked: dict[str, str] = field(default_factory=dict)
    computed: dict[str, syntax.Expr] = field(default_factory=dict)
    constraints: dict[str, Mapping[str, Span]] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    """Word lists that there are not, and which of the diagnostics says so."""

    def again(self, number: int, span: Span) -> None:
        """Another place of a mistake that has been told."""
        told = self.diagnostics[number]
        label = Label(span=span, message="and here")
        self.diagnostics[number] = replace(told, labels=(*told.labels, label))

    def say(
        self,
        code: str,
        message: str,
        span: Span,
        hint: str,
        severity: Severity = Severity.ERROR,
    ) -> None:
        self.diagnostics.append(
            Diagnostic(code=code, message=message, span=span, hint=hint, severity=severity)
        )


def resolve(task: syntax.Task, base_dir: Path) -> tuple[ResolvedTask, tuple[Diagnostic, ...]]:
    """A task's names bound and its files read. Always gives a task, however much is wrong in it.

    `base_dir` is the spec's folder, which files beside the spec are confined to.
    """
    draft = _Draft(task, base_dir)
    statements = task.statements or ()
    templates = _templates(draft, [s for s in statements if isinstance(s, syntax.Template)])
    _distinct_names(draft, statements)
    for words in (s for s in statements if isinstance(s, syntax.Words)):
        draft.lists[words.name.text] = _words(draft, words.source, f"word list `{words.name}`")
        draft.word_spans[words.name.text] = _word_spans(words.source)
    slots = [s for s in statements if isinstance(s, syntax.Slot)]
    names = {name.text for slot in slots for name in slot.names}
    _built_in_lists(draft, statements, names)
    for slot in slots:
        _slot(draft, slot, names)
    rows = _rows(draft, statements, names)
    columns = {name for row in rows or () for name in row.values}
    baselines = {s.name.text: s for s in statements if isinstance(s, syntax.Baseline)}
    tokens = _only(draft, statements, syntax.Tokens)
    answers = _only(draft, statements, syntax.Answers)
    resolved = ResolvedTask(
        name=task.name.text,
        templates=templates,
        rotation=_rotation(templates, rows, baselines),
        groups=tuple(draft.groups),
        linked=draft.linked,
        computed=draft.computed,
        order=_order(draft, columns),
        lists=draft.lists,
        tables={
            s.name.text: {key.value: value.value for key, value in s.entries}
            for s in statements
            if isinstance(s, syntax.Table)
        },
        positions={s.name.text: s for s in statements if isinstance(s, syntax.PositionDeclaration)},
        metrics={s.name.text: s for s in statements if isinstance(s, syntax.Metric)},
        baselines=baselines,
        constraints=draft.constraints,
        spans=draft.spans,
        rows=rows,
        sample=_only(draft, statements, syntax.Sample),
        bos=_only(draft, statements, syntax.Bos),
        integers=None if tokens is None else tokens.range,
        glued=answers is not None and answers.style == "glued",
        span=task.name.span,
    )
    return resolved, tuple(draft.diagnostics)


Statement = TypeVar("Statement", bound=syntax.Located)


def _only(
    draft: _Draft, statements: tuple[syntax.TaskStatement, ...], kind: type[Statement]
) -> Statement | None:
    """The one statement of a kind; a second one is a mistake."""
    found = [s for s in statements if isinstance(s, kind)]
    for repeated in found[1:]:
        word = {"PromptsFile": "prompts"}.get(kind.__name__, kind.__name__.lower())
        draft.diagnostics.append(
            Diagnostic(
                code="T020",
                message=f"a second `{word}` statement in task `{draft.task.name}`",
                span=repeated.span,
                labels=(Label(span=found[0].span, message="the first one"),),
                hint="keep one of them",
            )
        )
    return found[0] if found else None


def _templates(draft: _Draft, statements: list[syntax.Template]) -> dict[str, TemplateText]:
    templates: dict[str, TemplateText] = {}
    for statement in statements:
        template, diagnostics = parse_template(statement.name.text, statement.text)
        draft.diagnostics += diagnostics
        templates.setdefault(statement.name.text, template)
    return templates


def _declared(statement: syntax.TaskStatement) -> Iterator[tuple[str, str, syntax.Name]]:
    """(kind in words, name space, name) of what a statement declares."""
    match statement:
        case syntax.Slot(names=names):
            for name in names:
                yield "slot", "value", name
        case syntax.Words(name=name):
            yield "word list", "value", name
        case syntax.Table(name=name):
            yield "table", "value", name
        case syntax.PositionDeclaration(name=name):
            yield "position", "value", name
        case syntax.Metric(name=name):
            yield "metric", "metric", name
        case syntax.Baseline(name=name):
            yield "baseline", "baseline", name
        case syntax.Template(name=name):
            yield "template", "template", name
        case _:
            return


def _distinct_names(draft: _Draft, statements: tuple[syntax.TaskStatement, ...]) -> None:
    seen: dict[tuple[str, str], tuple[str, Span]] = {}
    for statement in statements:
        for kind, space, name in _declared(statement):
            earlier = seen.get((space, name.text))
            if earlier is not None:
                draft.diagnostics.append(
                    Diagnostic(
                        code="T005",
                        message=f"`{name}` is declared twice",
                        span=name.span,
                        labels=(Label(span=earlier[1], message=f"a {earlier[0]} already"),),
                        hint="give one of them another name",
                    )
                )
                continue
            seen[space, name.text] = (kind, name.span)
            if space == "value":
                draft.spans[name.text] = name.span
                taken = name.text in RESERVED
                if taken or (kind == "table" and name.text in FUNCTION_NAMES):
                    meaning = "a place in every prompt" if name.text in ("END", "BOS") else "a word"
                    hint = f"`{name}` is {meaning} of the language; choose another name"
                    draft.say("T019", f"`{name}` cannot name a {kind}", name.span, hint)


def _words(draft: _Draft, source: syntax.SlotSource, what: str) -> tuple[str, ...]:
    """The words of a source other than a name; an empty tuple where there are none (said)."""
    words: tuple[str, ...] = ()
    match source:
        case syntax.WordList(words=texts):
            words = tuple(t.value for t in texts)
        case syntax.WordsFile(path=path):
            text = read_beside(draft.base_dir, path.value)
            if isinstance(text, Unreadable):
                draft.say("T017", text.reason, path.span, text.hint)
                return ()
            words = parse_words(text)
        case syntax.IntegerRange(first=first, last=last):
            if last - first >= RANGE_LIMIT:
                hint = f"list at most {RANGE_LIMIT:,} of them"
                message = f"{what} holds {last - first + 1:,} integers"
                draft.say("T021", message, source.span, hint)
                return ()
            words = tuple(str(i) for i in range(first, last + 1))
        case syntax.Ref():
            return ()
    unique = tuple(dict.fromkeys(words))
    if len(unique) < len(words):
        twice = next(w for i, w in enumerate(words) if w in words[:i])
        draft.say(
            "T040",
            f"{what} has {twice!r} twice",
            source.span,
            "a word is drawn as often as any other; leave the repetition out",
            Severity.WARNING,
        )
    if not unique or any(not w.strip() for w in unique):
        message = f"{what} has no words" if not unique else f"{what} has an empty word"
        draft.say("T015", message, source.span, 'write some: `"store", "park"`, or name a list')
    return tuple(w for w in unique if w.strip())


def _word_spans(source: syntax.SlotSource) -> Mapping[str, Span]:
    if isinstance(source, syntax.WordList):
        return {t.value: t.span for t in source.words}
    return {}


def _expressions(statement: syntax.TaskStatement) -> Iterator[syntax.Expr]:
    match statement:
        case syntax.Slot(value=value) if value is not None:
            yield value
        case syntax.PositionDeclaration(value=value) | syntax.Metric(value=value):
            yield value
        case syntax.Baseline(value=value):
            yield value
        case _:
            return


def _built_in_lists(
    draft: _Draft, statements: tuple[syntax.TaskStatement, ...], slots: set[str]
) -> None:
    """Read the built-in lists that expressions and slots name."""
    named = [ref.name for s in statements for e in _expressions(s) for ref in references(e)]
    named += [
        s.source.name
        for s in statements
        if isinstance(s, syntax.Slot) and isinstance(s.source, syntax.Ref)
    ]
    for name in named:
        words = None if name in slots or name in draft.lists else built_in(name)
        if words is not None:
            draft.lists[name] = words


def _slot(draft: _Draft, slot: syntax.Slot, slots: set[str]) -> None:
    spans = {c.text: c.span for c in slot.constraints}
    fresh = [n.text for n in slot.names if n.text not in draft.constraints]
    for name in fresh:
        draft.constraints[name] = spans
    if slot.value is not None:
        if isinstance(slot.value, syntax.Call) and slot.value.function == "draw":
            _sequence(draft, slot, slot.value, fresh, spans)
            return
        for name in fresh:
            draft.computed[name] = slot.value
        return
    source = slot.source
    assert source is not None, "the grammar gives a slot a source or a value"
    if isinstance(source, syntax.Ref):
        if source.name in slots:
            for name in fresh:
                draft.linked[name] = source.name
            return
        words, word_spans = _listed(draft, source), draft.word_spans.get(source.name, {})
    else:
        words = _words(draft, source, f"slot `{slot.names[0]}`")
        word_spans = _word_spans(source)
    if words and "distinct" in spans and len(words) < len(fresh):
        draft.say(
            "T016",
            f"{len(fresh)} distinct slots need as many words, and there are {len(words)}",
            spans["distinct"],
            "add words to the list, or drop `distinct`",
        )
    _group(draft, slot, fresh, words, spans, word_spans)


def _group(
    draft: _Draft,
    slot: syntax.Slot,
    names: list[str],
    words: tuple[str, ...],
    spans: Mapping[str, Span],
    word_spans: Mapping[str, Span],
    length: int | None = None,
) -> None:
    if names:
        draft.groups.append(
            Group(
                names=tuple(sorted(names)),
                words=words,
                distinct="distinct" in spans,
                same_tokens="same_tokens" in spans,
                one_token="one_token" in spans,
                length=length,
                span=slot.span,
                constraint_spans=spans,
                word_spans=word_spans,
            )
        )


def _listed(draft: _Draft, source: syntax.Ref) -> tuple[str, ...]:
    if source.name in draft.lists:
        return draft.lists[source.name]
    told = draft.unknown.get(source.name)
    if told is not None:
        draft.again(told, source.span)
        return ()
    draft.unknown[source.name] = len(draft.diagnostics)
    known: tuple[str, ...] = ()
    if len(draft.unknown) <= MOST_GUESSED:
        known = (*draft.lists, *built_in_names(), *draft.constraints)
    otherwise = f"built in are {', '.join(f'`{n}`' for n in built_in_names())}; or write the words"
    draft.say(
        "T009",
        f"there is no word list or slot `{source.name}`",
        source.span,
        did_you_mean(source.name, known, otherwise=otherwise),
    )
    return ()


def _sequence(
    draft: _Draft,
    slot: syntax.Slot,
    call: syntax.Call,
    names: list[str],
    spans: Mapping[str, Span],
) -> None:
    """`slot X = draw(list, n)`: a slot of several words, each drawn from the list."""
    usage = "write `draw(LIST, N)`: N words drawn from the word list LIST"
    match call.arguments:
        case (syntax.Ref() as source, syntax.Number(text=text)) if text.isdigit() and int(text):
            length = int(text)
            words = _listed(draft, source)
        case _:
            draft.say("T014", "`draw` takes a word list and how many", call.span, usage)
            length, words = 1, ()
    if words and "distinct" in spans and len(words) < length:
        draft.say(
            "T016",
            f"{length} distinct words are asked for, and there are {len(words)}",
            call.span,
            "add words to the list, or drop `distinct`",
        )
    for name in names:
        _group(draft, slot, [name], words, spans, {}, length)


def _rows(
    draft: _Draft, statements: tuple[syntax.TaskStatement, ...], slots: set[str]
) -> tuple[Row, ...] | None:
    statement = _only(draft, statements, syntax.PromptsFile)
    if statement is None:
        return None
    rows, diagnostics = read_rows(statement, draft.base_dir, slots)
    draft.diagnostics += diagnostics
    return rows


def _rotation(
    templates: Mapping[str, TemplateText],
    rows: tuple[Row, ...] | None,
    baselines: Mapping[str, syntax.Baseline],
) -> tuple[str, ...]:
    """The task's own templates: all but those that only a `template(...)` baseline names."""
    if rows and any(row.text is not None for row in rows):
        return tuple(dict.fromkeys(row.template or "file" for row in rows))
    sources: set[str] = set()
    targets: set[str] = set()
    for baseline in baselines.values():
        call = baseline.value
        if isinstance(call, syntax.Call) and call.function == "template":
            targets |= {a.name for a in call.arguments if isinstance(a, syntax.Ref)}
            targets |= {k.value.name for k in call.keywords if isinstance(k.value, syntax.Ref)}
            sources |= {k.name for k in call.keywords}
    own = tuple(name for name in templates if name not in targets or name in sources)
    return own or tuple(templates)


def _order(draft: _Draft, columns: set[str]) -> tuple[str, ...]:
    """Linked and computed slots, each after what it is made from; a cycle is said once."""
    made = {name: [source] for name, source in draft.linked.items()}
    for name, expr in draft.computed.items():
        made[name] = [r.name for r in references(expr) if r.name not in columns]
    order: list[str] = []
    done: set[str] = set()
    for start in made:
        # A stack of its own: a chain of ten thousand slots is no reason to run out of Python's.
        path: list[tuple[str, Iterator[str]]] = []
        waiting = {start: iter(made[start])} if start not in done else {}
        path += waiting.items()
        while path:
            name, sources = path[-1]
            source = next((s for s in sources if s in made and s not in done), None)
            if source is None:
                path.pop()
                done.add(name)
                order.append(name)
            elif source in waiting and any(source == n for n, _ in path):
                _cycle(draft, [n for n, _ in path][[n for n, _ in path].index(source) :])
            else:
                waiting[source] = iter(made[source])
                path.append((source, waiting[source]))
    return tuple(order)


def _cycle(draft: _Draft, cycle: list[str]) -> None:
    hops = (*cycle, cycle[0])
    labels = [
        Label(span=draft.spans[name], message=f"made from `{hops[i + 1]}`")
        for i, name in enumerate(cycle)
        if name in draft.spans
    ]
    draft.diagnostics.append(
        Diagnostic(
            code="T010",
            message=f"slots made from each other: {' → '.join(hops)}",
            span=labels[0].span if labels else draft.task.name.span,
            labels=tuple(labels[1:]),
            hint="draw one of them from a word list",
        )
    )
