"""What a statement that could not be read may have said: findings that rest on it are withheld.

A name that nothing bears, a claim without requirement, a role that nothing feeds: where a mistake
of syntax has swallowed a statement, these are its echoes, and are told once it is mended.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_right
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
    **dict.fromkeys(("H013", "H030", "H034", "H042", "H044", "H048"), (Hypothesis,)),
    **dict.fromkeys(("H028", "H055", "T001", "T002", "T006", "T007", "T008", "T012"), (Task,)),
    **dict.fromkeys(("H043", "H056"), _ANY_CLAIM),  # asked for where a claim needs it
    **dict.fromkeys(("H012", "T003"), (Hypothesis, Task)),  # metrics say where logits are read
    "H050": (*_ANY_CLAIM, Task),
}
"""That something is not there at all, with the blocks whose statements could have been it."""

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r"`([^`]*)`")
_NAMELESS = re.compile(r"^\s*\w+\s*(=|from\b|\{|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A stretch of text that is not, or not wholly, in the tree; `block` is what it stands in.

    `words` are what it may give a name to; `nameless`: it declares something and lacks its name.
    """

    start: int
    end: int
    words: frozenset[str]
    nameless: bool
    block: Block | None


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
    together = _Unread(unread, spec.span.file)
    return [d for d in found if not together.has_echo(d)]


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
    lost = text[start:end]
    words, nameless = frozenset(_WORD.findall(lost)), _NAMELESS.search(lost) is not None
    return Passage(start=start, end=end, words=words, nameless=nameless, block=block)


class _Unread:
    """All passages together, so that each finding is looked up and not compared with every one."""

    def __init__(self, passages: Sequence[Passage], file: str) -> None:
        self.file = file
        self.words = frozenset().union(*(p.words for p in passages))
        self.nameless = any(p.nameless for p in passages)
        self.places = _Places((p.start, p.end) for p in passages)
        self.blocks = {type(p.block) for p in passages}
        claims = (p.block.span for p in passages if isinstance(p.block, Expect))
        self.claims = _Places((span.start, span.end) for span in claims)

    def has_echo(self, found: Diagnostic) -> bool:
        """Whether a finding may come from nothing but what was not read."""
        spans = [s for s in (found.span, *(x.span for x in found.labels)) if s.file == self.file]
        if any(self.places.hold(span.start) for span in spans):
            return True
        if found.code in NAMES:
            quoted = _QUOTED.findall(found.message)
            return self.nameless or any(w in self.words for q in quoted for w in _WORD.findall(q))
        could_be = ABSENCES.get(found.code, ())
        if Expect in could_be and Hypothesis not in could_be:
            # What one claim lacks, no other could have said; a protocol could.
            in_claim = self.claims.hold(found.span.start)
            return in_claim or not self.blocks.isdisjoint({Protocol, type(None)})
        return bool(could_be) and not self.blocks.isdisjoint({*could_be, type(None)})


class _Places:
    """Stretches of a text, none inside another."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        self.stretches = sorted(set(stretches))

    def hold(self, offset: int) -> bool:
        """Whether something stands in one of them."""
        before = bisect_right(self.stretches, (offset, sys.maxsize))
        return before > 0 and offset < self.stretches[before - 1][1]
