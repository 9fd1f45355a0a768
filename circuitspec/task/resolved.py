"""A task with its word lists read and its statements sorted: what drawing prompts starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from circuitspec.language import syntax
from circuitspec.language.diagnostics import NO_SPAN, Span
from circuitspec.task.registered import Registered
from circuitspec.task.templates import TemplateText


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The slots of one `slot ... from LIST` statement: drawn together, by name in sorted order.

    `length` is the number of words of a drawn sequence (`draw(list, n)`), which is one slot alone.
    """

    names: tuple[str, ...]
    words: tuple[str, ...]
    distinct: bool = False
    same_tokens: bool = False
    one_token: bool = False
    length: int | None = None
    span: Span = NO_SPAN
    constraint_spans: Mapping[str, Span] = field(default_factory=dict)
    word_spans: Mapping[str, Span] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The group's name in its random stream."""
        return ",".join(self.names)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A prompt of a prompts file: its own text or none, and its columns."""

    text: TemplateText | None
    template: str | None
    values: Mapping[str, str]
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    positions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resample:
    """Each named slot redrawn, all different from each other and from the prompt's own values."""

    slots: tuple[str, ...]
    changing: str | None = None
    keeping: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """The values of two slots exchanged."""

    first: str
    second: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTo:
    """Slots given values that are stated."""

    values: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherTemplate:
    """The same slots in another template: `templates` maps a prompt's template to the other."""

    templates: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseOn:
    """Clean prompts; the engine adds noise to the embeddings at the positions."""

    scale: float
    positions: tuple[syntax.Expr, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shuffle:
    """Another prompt of the set, of the same template and length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromColumn:
    """The text in a column of the prompts file."""

    column: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrowed:
    """What a function of another package makes of prompts, given arguments of the spec's."""

    source: Registered
    arguments: tuple[str | float, ...] = ()
    keywords: Mapping[str, str | float] = field(default_factory=dict)


Transformation = Resample | Swap | SetTo | OtherTemplate | NoiseOn | Shuffle | FromColumn | Borrowed


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTask:
    """A task's statements by kind, its word lists read. Made by `resolve`.

    `rotation` are the templates of the task's own distribution; a template that only a baseline
    uses is not among them. `order` lists linked and computed slots so that each comes after what
    it is made from.
    """

    name: str
    templates: Mapping[str, TemplateText]
    rotation: tuple[str, ...]
    groups: tuple[Group, ...]
    linked: Mapping[str, str]
    computed: Mapping[str, syntax.Expr]
    order: tuple[str, ...]
    lists: Mapping[str, tuple[str, ...]]
    tables: Mapping[str, Mapping[str, str]]
    positions: Mapping[str, syntax.PositionDeclaration]
    metrics: Mapping[str, syntax.Metric]
    baselines: Mapping[str, syntax.Baseline]
    constraints: Mapping[str, Mapping[str, Span]]
    spans: Mapping[str, Span]
    rows: tuple[Row, ...] | None = None
    sample: syntax.Sample | None = None
    bos: syntax.Bos | None = None
    integers: syntax.IntegerRange | None = None
    glued: bool = False
    span: Span = NO_SPAN

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the prompts file that hold one value a prompt."""
        return tuple(dict.fromkeys(name for row in self.rows or () for name in row.values))

    @property
    def slots(self) -> tuple[str, ...]:
        """Every name that has a value in a prompt."""
        free = tuple(name for group in self.groups for name in group.names)
        return tuple(dict.fromkeys((*free, *self.linked, *self.computed, *self.columns)))

    def partners(self, template: str) -> tuple[TemplateText, ...]:
        """The templates that `template(...)` baselines put a template's slots in."""
        found: dict[str, TemplateText] = {}
        for baseline in self.baselines.values():
            call = baseline.value
            if not isinstance(call, syntax.Call) or call.function != "template":
                continue
            others = [*call.arguments, *(k.value for k in call.keywords if k.name == template)]
            for other in others:
                if isinstance(other, syntax.Ref) and other.name in self.templates:
                    found[other.name] = self.templates[other.name]
        return tuple(found.values())

    def group_of(self, slot: str) -> Group | None:
        """The group a slot is drawn with, or None for a linked, computed or file slot."""
        return next((g for g in self.groups if slot in g.names), None)

    def source(self, slot: str) -> str:
        """The slot that a linked one takes its value from in the end; itself where not linked."""
        seen: set[str] = set()
        while slot in self.linked and slot not in seen:
            seen.add(slot)
            slot = self.linked[slot]
        return slot

    def domain(self, slot: str) -> tuple[str, ...] | None:
        """The words a slot can be, in order; None where it is computed or a drawn sequence."""
        source = self.source(slot)
        group = self.group_of(source)
        if group is not None:
            return None if group.length is not None else group.words
        if source in self.computed or source not in self.columns:
            return None
        return tuple(dict.fromkeys(r.values[source] for r in self.rows or () if source in r.values))

    def labels(self, template: str) -> tuple[str, ...]:
        """Labels that stand in a template of the task (in any of its rows, for a prompts file)."""
        if template in self.templates:
            return self.templates[template].labels
        texts = (r for r in self.rows or () if (r.template or "file") == template)
        names: dict[str, None] = {}
        for row in texts:
            names.update(dict.fromkeys((*(row.text.labels if row.text else ()), *row.positions)))
        return tuple(names)
