"""What a statement that could not be read may have said: findings that rest on it are withheld.

A name that nothing bears, a claim without requirement, a role that nothing feeds: where a mistake
of syntax has swallowed a statement, these are its echoes, and are told once it is mended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.printer import Block, contents
from circuitspec.language.syntax import Expect, Hypothesis, Located, Protocol, SpecFile, Task

MENDED = frozenset({"C003", "C015", "C016"})
"""Mistakes that lose nothing where their statement is in the tree: the word meant is clear."""

NAMES = frozenset({"H001", "H004", "H027", "H047", "T009", "T010", "T011", "T013"})
"""That something of a name is not there."""

_CLAIM = (Expect, Protocol)
_ANY_CLAIM = (Expect, Hypothesis, Protocol)
ABSENCES: dict[str, tuple[type[Block], ...]] = {
    **dict.fromkeys(("H019", "H020", "H021", "H022", "H023", "H024", "H025"), _CLAIM),
    **dict.fromkeys(("H029", "H032", "H051", "H052"), _CLAIM),
    **dict.fromkeys(("H012", "H013", "H030", "H034", "H042", "H044", "H048"), (Hypothesis,)),
    **dict.fromkeys(("H028", "H055", "T001", "T002", "T006", "T007", "T008", "T012"), (Task,)),
    **dict.fromkeys(("H043", "H056"), _ANY_CLAIM),  # asked for where a claim needs it
    "T003": (Hypothesis, Task),
    "H050": (*_ANY_CLAIM, Task),
}
"""That something is not there at all, with the blocks whose statements could have been it."""

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"`([^`]*)`")
_NAMELESS = re.compile(r"^\s*\w+\s*(=|from\b|\{|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of text that is not, or not wholly, in the tree; `block` is what it stands in."""

    start: int
    end: int
    text: str
    block: Block | None

    @property
    def words(self) -> frozenset[str]:
        """What it may give a name to."""
        return frozenset(_WORD.findall(self.text))

    @property
    def is_nameless(self) -> bool:
        """Whether it declares something and lacks its name."""
        return _NAMELESS.search(self.text) is not None

    def holds(self, offset: int) -> bool:
        """Whether something stands in it."""
        return self.start <= offset < self.end


def founded(
    found: Iterable[Diagnostic], spec: SpecFile, text: str, mistakes: Iterable[Diagnostic]
) -> list[Diagnostic]:
    """The findings that stand whatever was meant by what could not be read.

    `mistakes` are those that the parser found in `text`, and are not among the findings.
    """
    unread = [
        passage
        for mistake in mistakes
        if mistake.severity is Severity.ERROR
        and (passage := _passage(mistake, spec, text)) is not None
    ]
    return [d for d in found if not any(_is_echo(d, of, spec.span.file) for of in unread)]


def _passage(mistake: Diagnostic, spec: SpecFile, text: str) -> Passage | None:
    """The statement with the mistake, up to the next one; None where what was meant is clear."""
    # What is left over behind a whole statement has a label where that one starts.
    left_over = mistake.labels if mistake.code == "C011" else ()
    until = mistake.span.start
    at = min([until, *(label.span.start for label in left_over)])
    block: Block | None = None
    inside: Sequence[Located] = spec.statements
    start, end = spec.header.end, len(text)
    while True:
        start = max([start, *(s.span.end for s in inside if s.span.end < at)])
        end = min([end, *(s.span.start for s in inside if s.span.start > until)])
        around = next((s for s in inside if s.span.start <= at <= s.span.end), None)
        if around is None:
            break
        start = around.span.start
        if mistake.code in MENDED and (at == start or not isinstance(around, Block)):
            return None
        if not isinstance(around, Block):
            break
        block, inside, end = around, contents(around), around.span.end
    return Passage(start=start, end=end, text=text[start:end], block=block)


def _is_echo(found: Diagnostic, passage: Passage, file: str) -> bool:
    spans = [s for s in (found.span, *(x.span for x in found.labels)) if s.file == file]
    if any(passage.holds(span.start) for span in spans):
        return True
    if found.code in NAMES:
        named = {
            word for quoted in _QUOTED.findall(found.message) for word in _WORD.findall(quoted)
        }
        return passage.is_nameless or bool(named & passage.words)
    could_be = ABSENCES.get(found.code, ())
    match passage.block:
        case None:
            return bool(could_be)
        case Expect(span=claim) if Hypothesis not in could_be:  # another claim lacks nothing by it
            return Expect in could_be and claim.start <= found.span.start < claim.end
        case block:
            return isinstance(block, could_be)
