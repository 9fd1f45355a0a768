"""What could be written at a place: keywords that the grammar allows there, and names in scope.

The parser itself says what may follow: it is run on the text up to the cursor and asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from circuitspec.hypothesis.measures import MEASURES
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.language import syntax
from circuitspec.language.builder import Handler
from circuitspec.language.lexer import END, tokenize
from circuitspec.language.meanings import meaning
from circuitspec.language.names import CHANNELS
from circuitspec.language.recovery import Parser
from circuitspec.language.tables import Rule, tables
from circuitspec.language.tokens import DECLARING, PREFIXES
from circuitspec.language.wording import FORMS
from circuitspec.lsp.documents import Document
from circuitspec.task.functions import (
    ANSWER_FUNCTIONS,
    BASELINE_FUNCTIONS,
    FEATURE_FUNCTIONS,
    POSITION_FUNCTIONS,
    SLOT_FUNCTIONS,
    VALUE_FUNCTIONS,
)
from circuitspec.task.functions import MEASURES as METRIC_FUNCTIONS
from circuitspec.task.words import built_in_names

Sort = Literal["keyword", "name", "function", "channel"]

_PARTIAL = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")
_IN_GAP = re.compile(r"template\s+\w+\s+\"[^\"\n]*\{\s*\w*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that could stand here; `start` is where what is typed of it begins."""

    text: str
    sort: Sort
    detail: str = ""
    doc: str = ""
    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """What the parser says of a place: the terminals that may follow, the block, the statement.

    `words` are the tokens of the statement so far, from its keyword on.
    """

    terminals: frozenset[str]
    block: str
    words: tuple[str, ...]


class _Asked(Parser):
    """A parser that notes what could follow when it first meets the end of its text."""

    here: Here | None = None

    def recover(self) -> None:
        self.note()
        super().recover()

    def reduce(self, rule: Rule, handler: Handler | None) -> None:
        self.note()
        super().reduce(rule, handler)

    def note(self) -> None:
        if self.here is not None or self.tokens.kind[self.position] != END:
            return
        first = self.firsts[self.boundary()] if self.boundary() < len(self.firsts) else None
        last = self.position
        words = () if first is None else tuple(self.tokens.text(i) for i in range(first, last))
        self.here = Here(terminals=frozenset(self.expected()), block=self.block(), words=words)


def here(text: str) -> Here | None:
    """What could follow a text; None where not even its header is there."""
    parser = _Asked(tokenize(text, ""))
    parser.run()
    return parser.here


def complete(doc: Document, offset: int) -> tuple[Item, ...]:
    """What could be written at a place, keywords first, each kind in order."""
    before = doc.text[:offset]
    line = before[before.rfind("\n") + 1 :]
    if "#" in re.sub(r'"[^"]*"', "", line):
        return ()
    partial = _PARTIAL.search(before)
    start = partial.start() if partial else offset
    typed = partial[0] if partial else ""
    hypothesis = _hypothesis(doc, offset)
    info = _task(doc, offset, hypothesis)
    if _IN_GAP.search(line):
        slots = sorted(info.slots) if info else []
        return tuple(Item(text=s, sort="name", detail="slot", start=start) for s in slots)
    if line.count('"') % 2:
        return ()
    place = here(before[:start])
    if place is None:
        return ()
    found = [*_keywords(place), *_names(place, doc, hypothesis, info)]
    dot = typed.rfind(".")
    if dot >= 0:
        return tuple(_after_dot(typed[:dot], start + dot + 1, place, found, info))
    unique = {item.text: item for item in reversed(found)}
    ordered = sorted(unique.values(), key=lambda item: (item.sort != "keyword", item.text))
    return tuple(
        Item(text=i.text, sort=i.sort, detail=i.detail, doc=i.doc, start=start) for i in ordered
    )


def _keywords(place: Here) -> Iterator[Item]:
    for text, terminal in tables().literals.items():
        if text[0].isalpha() and terminal in place.terminals:
            form = FORMS.get(text, "") if text in tables().openers.get(place.block, ()) else ""
            yield Item(text=text, sort="keyword", detail=form, doc=meaning(text) or "")


def _after_dot(
    prefix: str, start: int, place: Here, found: list[Item], info: TaskInfo | None
) -> Iterator[Item]:
    """Channels of a receiver, metrics of a run (`model.`), lists of the library (`names.`)."""
    if "->" in place.words:
        for channel in CHANNELS:
            yield Item(text=channel, sort="channel", start=start)
    elif prefix in PREFIXES and info is not None:
        for metric in sorted(info.metrics):
            yield Item(text=metric, sort="name", detail="metric", start=start)
    for item in found:
        if item.text.startswith(f"{prefix}."):
            rest = item.text.removeprefix(f"{prefix}.")
            yield Item(text=rest, sort=item.sort, detail=item.detail, start=start)


# ── names ────────────────────────────────────────────────────────────────────────────────────────


def _names(
    place: Here, doc: Document, hypothesis: Hypothesis | None, info: TaskInfo | None
) -> Iterator[Item]:
    """Names that could stand where the grammar asks for one."""
    if "NAME" not in place.terminals or not place.words:
        return
    opener, last = place.words[0], place.words[-1]
    words = place.words
    if len(words) == 1 and opener in DECLARING:
        return
    match opener:
        case "hypothesis" if last == "refines":
            yield from _of((h.name for h in doc.hypotheses), "hypothesis")
        case "role" | "open" | "keep":
            yield from _in_role(place, info)
        case "edge":
            if last == "at" or ("at" in words and last == ","):
                yield from _labels(info)
            else:
                yield from _roles(hypothesis)
                yield from _of(["logits" if "->" in words else "input"], "node")
        case "group" | "drop":
            yield from _roles(hypothesis, groups=False)
        case "expect" if last == "under":
            named = (o.symbol.name for o in doc.index.occurrences if o.symbol.kind == "protocol")
            yield from _of(sorted(set(named)), "protocol")
        case "ablate" | "patch" | "scrub" | "run" | "given" | "knockouts" | "each":
            if last in ("from", "over"):
                yield from _of(sorted(info.baselines) if info else (), "baseline")
                yield from _of([info.name] if info and last == "over" else (), "task")
            else:
                yield from _roles(hypothesis)
                yield from _of(["mlps", "heads"], "nodes")
                yield from _of(["complement"] if opener == "ablate" else [], "nodes")
        case "require":
            yield from _measured(place, hypothesis, info)
        case _:
            yield from _in_task(opener, last, info)


def _in_role(place: Here, info: TaskInfo | None) -> Iterator[Item]:
    words = place.words
    if "carries" in words:
        yield from _functions(FEATURE_FUNCTIONS)
        yield from _functions(VALUE_FUNCTIONS)
    if "@" in words:
        yield from _labels(info)


def _measured(place: Here, hypothesis: Hypothesis | None, info: TaskInfo | None) -> Iterator[Item]:
    if place.words.count("(") > place.words.count(")"):
        yield from _roles(hypothesis)
    else:
        yield from _functions(MEASURES)
        yield from _of(PREFIXES, "run")
    yield from _of(sorted(info.metrics) if info else (), "metric")


def _in_task(opener: str, last: str, info: TaskInfo | None) -> Iterator[Item]:
    tables_of: dict[str, tuple[Iterable[str], ...]] = {
        "slot": (SLOT_FUNCTIONS, VALUE_FUNCTIONS),
        "metric": (METRIC_FUNCTIONS, ANSWER_FUNCTIONS),
        "position": (POSITION_FUNCTIONS,),
        "baseline": (BASELINE_FUNCTIONS,),
    }
    if opener not in tables_of:
        return
    if opener == "slot" and last in ("from", ","):
        yield from _of(built_in_names(), "word list")
        yield from _of(sorted(info.words) if info else (), "word list")
    else:
        for functions in tables_of[opener]:
            yield from _functions(functions)
    yield from _labels(info)
    yield from _of(sorted(info.tables) if info else (), "table")


def _of(names: Iterable[str], detail: str) -> Iterator[Item]:
    for name in names:
        yield Item(text=name, sort="name", detail=detail)


def _functions(table: Iterable[str]) -> Iterator[Item]:
    for name in table:
        yield Item(text=name, sort="function", doc=meaning(name) or "")


def _labels(info: TaskInfo | None) -> Iterator[Item]:
    if info is not None:
        yield from _of((*info.slots, *info.declared, "END", "BOS"), "position")


def _roles(hypothesis: Hypothesis | None, *, groups: bool = True) -> Iterator[Item]:
    if hypothesis is None:
        return
    for role in hypothesis.roles.values():
        nodes = ", ".join(map(str, role.nodes))
        yield Item(text=role.name, sort="name", detail=f"role: {nodes}")
    if groups:
        yield from _of(hypothesis.groups, "group")


# ── what is around ───────────────────────────────────────────────────────────────────────────────


def _hypothesis(doc: Document, offset: int) -> Hypothesis | None:
    """The hypothesis around a place; where it is not closed yet, the last that began before."""
    inside = doc.hypothesis_at(offset)
    begun = [h for h in doc.hypotheses if h.span.start <= offset]
    return inside or (begun[-1] if begun else None)


def _task(doc: Document, offset: int, hypothesis: Hypothesis | None) -> TaskInfo | None:
    for statement in doc.tree.statements:
        span = statement.span
        if isinstance(statement, syntax.Task) and span.start <= offset <= span.end:
            return task_info(statement)
    return None if hypothesis is None else task_info(hypothesis.task)
