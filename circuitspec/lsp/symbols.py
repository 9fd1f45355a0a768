"""Every name of a file with what it stands for: where it is declared, and where it is used.

Names resolve as they do in `hypothesis`: roles and groups in their hypothesis and those it refines,
slots and positions in the task, tasks, word lists and protocols in the file. A refinement's role
of the same name is the same symbol: it replaces the parent's, so both are renamed together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Literal

from circuitspec.language import syntax as s
from circuitspec.language.diagnostics import Span

Kind = Literal[
    "hypothesis", "task", "words", "protocol", "role", "label", "metric", "baseline", "table",
    "template", "claim",
]  # fmt: skip
"""Roles and groups share their names, and so do slots and positions (`label`)."""

_PIECE = re.compile(r"\{\{|\}\}|\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}")
"""What stands in a template's text: braces of the prompt, written twice, and gaps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """What a name stands for. `scope` is the hypothesis or task that it belongs to, or empty."""

    kind: Kind
    name: str
    scope: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """A place where a symbol's name stands; `span` covers the name and nothing else."""

    symbol: Symbol
    span: Span
    declares: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What holds at a place: the hypothesis and the task around it, as names of their families.

    `of_values`: names stand for what a prompt has (labels, tables) before they stand for roles.
    """

    hypothesis: str = ""
    task: str = ""
    of_values: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unresolved:
    """A use of a name that the file does not declare: perhaps one that `use` brings in."""

    name: str
    span: Span
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """All names of a file, in the order of the text."""

    occurrences: tuple[Occurrence, ...] = ()
    unresolved: tuple[Unresolved, ...] = ()

    def at(self, offset: int) -> Occurrence | None:
        """The occurrence that an offset touches."""
        return next((o for o in self.occurrences if _touches(o.span, offset)), None)

    def unresolved_at(self, offset: int) -> Unresolved | None:
        """The unresolved use that an offset touches."""
        return next((u for u in self.unresolved if _touches(u.span, offset)), None)

    def of(self, symbol: Symbol) -> tuple[Occurrence, ...]:
        """Everywhere that a symbol is named."""
        return tuple(o for o in self.occurrences if o.symbol == symbol)

    def declarations(self, symbol: Symbol) -> tuple[Occurrence, ...]:
        """Where a symbol is declared: several times where refinements replace it."""
        return tuple(o for o in self.of(symbol) if o.declares)


def _touches(span: Span, offset: int) -> bool:
    return span.start <= offset <= span.end


def index(spec: s.SpecFile, text: str) -> Index:
    """The names of a file, from its tree and its text."""
    finder = _Finder(spec, text)
    for statement in spec.statements:
        finder.statement(statement, Scope())
    return finder.resolved()


class _Finder:
    """Walks the tree; declarations first make symbols, and uses are looked up among them."""

    def __init__(self, spec: s.SpecFile, text: str) -> None:
        self.text = text
        self.parents = {h.name.text: h.refines.text for h in spec.hypotheses if h.refines}
        self.tasks = {
            h.name.text: t for h in spec.hypotheses for t in h.statements if isinstance(t, s.Task)
        }
        self.declared: list[tuple[Symbol, Span]] = []
        self.used: list[tuple[str, Span, tuple[Symbol, ...]]] = []

    def resolved(self) -> Index:
        """Declarations, and the uses of what they declare."""
        known = {symbol for symbol, _ in self.declared}
        found = {
            (span.start, symbol): Occurrence(symbol=symbol, span=span, declares=True)
            for symbol, span in self.declared
        }
        unresolved = []
        for name, span, candidates in self.used:
            symbol = next((c for c in candidates if c in known), None)
            if symbol is not None:
                found.setdefault(
                    (span.start, symbol), Occurrence(symbol=symbol, span=span, declares=False)
                )
            else:
                kinds = tuple(dict.fromkeys(c.kind for c in candidates))
                unresolved.append(Unresolved(name=name, span=span, kinds=kinds))
        ordered = sorted(found, key=lambda key: (key[0], key[1].kind))
        return Index(occurrences=tuple(found[key] for key in ordered), unresolved=tuple(unresolved))

    # ── scopes ───────────────────────────────────────────────────────────────────────────────

    def family(self, hypothesis: str) -> str:
        """The hypothesis at the root of a chain of refinements."""
        seen: set[str] = set()
        while hypothesis in self.parents and hypothesis not in seen:
            seen.add(hypothesis)
            hypothesis = self.parents[hypothesis]
        return hypothesis

    def task_of(self, hypothesis: str) -> str:
        """The scope of the task of a hypothesis: its own, its parent's, or one of the file."""
        seen: set[str] = set()
        while (
            hypothesis not in self.tasks and hypothesis in self.parents and hypothesis not in seen
        ):
            seen.add(hypothesis)
            hypothesis = self.parents[hypothesis]
        task = self.tasks.get(hypothesis)
        if task is None:
            return ""
        return task_scope(task, self.family(hypothesis))

    # ── marks ────────────────────────────────────────────────────────────────────────────────

    def declare(self, kind: Kind, name: s.Name, scope: str = "") -> None:
        """A name as the declaration of a symbol."""
        self.declared.append((Symbol(kind=kind, name=name.text, scope=scope), name.span))

    def use(self, name: str, span: Span, *symbols: tuple[Kind, str]) -> None:
        """A name that stands for the first of some kinds (with their scopes) that is declared."""
        if span.line:
            candidates = tuple(Symbol(kind=k, name=name, scope=scope) for k, scope in symbols)
            self.used.append((name, span, candidates))

    def named(self, name: s.Name | None, *symbols: tuple[Kind, str]) -> None:
        """The same for a name of its own."""
        if name is not None:
            self.use(name.text, name.span, *symbols)

    # ── statements ───────────────────────────────────────────────────────────────────────────

    def statement(self, statement: s.Located, scope: Scope) -> None:
        """One statement and all inside it."""
        inside: tuple[Kind, str] = ("role", scope.hypothesis)
        match statement:
            case s.Hypothesis():
                self.declare("hypothesis", statement.name)
                self.named(statement.refines, ("hypothesis", ""))
                name = statement.name.text
                within = Scope(hypothesis=self.family(name), task=self.task_of(name))
                for inner in statement.statements:
                    self.statement(inner, within)
            case s.Task():
                self.task(statement, scope)
            case s.Words(name=name):
                self.declare("words", name, scope.task)
            case s.Protocol(name=name, actions=actions):
                self.declare("protocol", name, scope.hypothesis)
                for action in actions:
                    self.mentions(action, scope)
            case s.Expect():
                self.declare("claim", statement.name, scope.hypothesis)
                self.named(statement.under, ("protocol", scope.hypothesis), ("protocol", ""))
                for claimed in (*statement.actions, *statement.requirements):
                    self.mentions(claimed, scope)
            case s.Role(name=name):
                self.declare("role", name, scope.hypothesis)
                self.mentions(statement, replace(scope, of_values=True), skip=("name",))
            case s.Group(name=name, roles=roles):
                self.declare("role", name, scope.hypothesis)
                for role in roles:
                    self.named(role, inside)
            case s.Drop(roles=roles):
                for role in roles:
                    self.named(role, inside)
            case s.Use(names=names):
                kinds: tuple[Kind, ...] = ("task", "words", "protocol", "hypothesis")
                for used in names:
                    self.named(used, *((kind, "") for kind in kinds))
            case _:
                self.mentions(statement, scope)

    def task(self, task: s.Task, scope: Scope) -> None:
        """A task declared, or named to stand here."""
        if task.statements is None:
            self.named(task.name, ("task", ""))
            return
        own = task_scope(task, scope.hypothesis)
        self.declare("task", task.name, scope.hypothesis)
        within = Scope(hypothesis=scope.hypothesis, task=own, of_values=True)
        for statement in task.statements:
            match statement:
                case s.Template(name=name, text=text):
                    self.declare("template", name, own)
                    self.gaps(text, own)
                case s.Slot(names=names):
                    for name in names:
                        self.declare("label", name, own)
                    self.mentions(statement, within, skip=("names", "constraints"))
                case s.PositionDeclaration(name=name):
                    self.declare("label", name, own)
                    self.mentions(statement, within, skip=("name",))
                case s.Metric(name=name):
                    self.declare("metric", name, own)
                    self.mentions(statement, within, skip=("name",))
                case s.Baseline(name=name):
                    self.declare("baseline", name, own)
                    self.mentions(statement, within, skip=("name",))
                case s.Table(name=name):
                    self.declare("table", name, own)
                case s.Words():
                    self.statement(statement, within)
                case _:
                    pass

    def gaps(self, text: s.Text, scope: str) -> None:
        """The labels in a template's text, each at its own place."""
        if not text.span.line:
            return
        raw = self.text[text.span.start : text.span.end]
        for found in _PIECE.finditer(raw):
            if found[1]:
                self.use(found[1], part(text.span, raw, *found.span(1)), ("label", scope))

    # ── mentions ─────────────────────────────────────────────────────────────────────────────

    def mentions(self, node: object, scope: Scope, skip: tuple[str, ...] = ()) -> None:
        """Every name used inside a statement, whatever it is used for."""
        roles: tuple[Kind, str] = ("role", scope.hypothesis)
        label: tuple[Kind, str] = ("label", scope.task)
        values: tuple[tuple[Kind, str], ...] = (
            label, ("table", scope.task), ("words", scope.task), ("words", ""),
        )  # fmt: skip
        match node:
            case s.PositionExpr(label=name, span=span, end=end):
                self.use(name, part(span, self.text[span.start : span.end], 0, len(name)), label)
                if end is not None:
                    self.mentions(end, scope)
                return
            case s.Ref(name=name, span=span):
                prefix, _, last = name.rpartition(".")
                place = span
                if prefix:
                    whole = self.text[span.start : span.end]
                    place = part(span, whole, len(whole) - len(last), len(whole))
                measured: tuple[tuple[Kind, str], ...] = (roles, ("metric", scope.task))
                values += (("template", scope.task),)
                order = (*values, *measured) if scope.of_values else (*measured, *values)
                self.use(last, place, *order)
                return
            case s.Call(function=name, span=span):
                place = part(span, self.text[span.start : span.end], 0, len(name))
                self.use(name, place, ("table", scope.task))
            case s.Keyword(name=name, span=span):
                place = part(span, self.text[span.start : span.end], 0, len(name))
                self.use(name, place, label, ("template", scope.task))
            case s.Edge(within=name):
                self.named(name, roles)
                skip = (*skip, "within")
            case s.Scrub(over=name, roles=only):
                task: tuple[Kind, str] = ("task", scope.hypothesis)
                self.named(name, ("baseline", scope.task), task, ("task", ""))
                for role in only:
                    self.named(role, roles)
                skip = (*skip, "over", "roles")
            case s.AblationValue(baseline=name) | s.Patch(baseline=name) | s.Run(baseline=name):
                self.named(name, ("baseline", scope.task))
                skip = (*skip, "baseline")
            case _:
                pass
        for child in _children(node, skip):
            self.mentions(child, scope)


def task_scope(task: s.Task, family: str) -> str:
    """The scope of a task's names: a hypothesis's task is its own, a file's is shared."""
    if task.statements is None:
        return f"/{task.name.text}"
    return f"{family}/{task.name.text}"


def part(whole: Span, text: str, start: int, end: int) -> Span:
    """A part of a span, by offsets into its text."""
    before = text[:start]
    lines = before.count("\n")
    column = whole.column + start if lines == 0 else start - before.rfind("\n")
    return Span(
        file=whole.file,
        start=whole.start + start,
        end=whole.start + end,
        line=whole.line + lines,
        column=column,
        end_line=whole.line + lines,
        end_column=column + end - start,
    )


def _children(node: object, skip: Iterable[str]) -> Iterator[object]:
    """The records inside a record."""
    if not is_dataclass(node) or isinstance(node, Span):
        return
    for entry in fields(node):
        if entry.name in skip or entry.name == "span":
            continue
        value = getattr(node, entry.name)
        for item in value if isinstance(value, tuple) else (value,):
            if is_dataclass(item) and not isinstance(item, Span):
                yield item
            elif isinstance(item, tuple):
                yield from (i for i in item if is_dataclass(i))
