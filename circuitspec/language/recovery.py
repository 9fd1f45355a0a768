"""After a mistake: say what is wrong, and go on at the next statement.

Every statement starts with a keyword and stands in a block, so the states between two statements
are known (`Tables.blocks`). At an error the stack is cut back to the last of them; what was read
since is the statement that has the mistake. Reading goes on at the next statement of the block, so
each mistake is reported once and all other statements reach the tree.
"""

from __future__ import annotations

from collections import Counter

from circuitspec.language.braces import Braces
from circuitspec.language.context import OPENED
from circuitspec.language.lexer import END, Tokens
from circuitspec.language.syntax import SpecFile
from circuitspec.language.wording import FORMS, described, listed, nearest, placed

VERSION = 1

MOST_VISITS = 32
"""How often recovery may come back to one token: each open block is closed once, three at most."""


class Parser(Braces):
    """The automaton that goes on after mistakes, and its diagnostics."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.visits: Counter[int] = Counter()

    def start(self) -> SpecFile | None:
        """Read `circuitspec 1`; without it the text is read as version 1."""
        tokens = self.tokens
        if tokens.kind[0] == "DOCSTRING":
            self.shift("DOCSTRING")
        at = self.position
        if tokens.keyword[at] == "CIRCUITSPEC":
            return self.version(at)
        word = self.word(at)
        if (
            word
            and tokens.keyword[at] == ""
            and nearest(word, frozenset({"circuitspec"}))
            and tokens.kind[at + 1] == "NUMBER"
        ):
            self.report(
                "C001",
                f"unknown keyword `{word}`",
                tokens.span(at, at),
                "did you mean `circuitspec`?",
            )
            return self.version(at)
        shown = tokens.place(tokens.starts[at], tokens.ends[at])
        self.report(
            "C001",
            "this file does not say which version of the language it is written in",
            shown,
            "write `circuitspec 1` as its first statement",
        )
        self.insert("CIRCUITSPEC")
        self.insert("NUMBER")
        return None

    def version(self, at: int) -> SpecFile | None:
        """The number after `circuitspec`."""
        tokens = self.tokens
        number = at + 1
        self.insert("CIRCUITSPEC")
        self.firsts[-1] = at
        elsewhere = tokens.kind[number] != "NUMBER" and tokens.is_first_on_line(number)
        if elsewhere or tokens.kind[number] == END or self.word(number) in self.openers:
            self.report(
                "C002",
                "the version of the language is missing",
                tokens.span(at, at),
                "write `circuitspec 1`",
            )
            self.insert("NUMBER")
            self.position = number
            return None
        text = tokens.text(number)
        self.position = number
        if text == str(VERSION) and tokens.kind[number] == "NUMBER":
            self.shift("NUMBER")
            return None
        if tokens.kind[number] == "NUMBER" or text[:1] in '"vV':
            self.report(
                "C002",
                f"version {text[:40]} of the language is not known to this program",
                tokens.span(number, number),
                f"it reads version {VERSION}: write `circuitspec {VERSION}`, "
                "or install a newer circuitspec",
            )
            version = int(text) if text.isdigit() and len(text) < 10 else VERSION
            return SpecFile(version=version, comments=tuple(tokens.comments))
        self.report(
            "C002",
            f"a version is a number, not `{text[:40]}`",
            tokens.span(number, number),
            "write `circuitspec 1`",
        )
        self.insert("NUMBER")
        self.position = number + 1
        return None

    def recover(self) -> None:
        """Deal with one mistake at the current token."""
        at = self.position
        self.visits[at] += 1
        if self.visits[at] > MOST_VISITS:
            # No text is known that gets here. If one does, it gets one more message and an end.
            blocks = self.tables.blocks
            self.unexpected(at, None)
            self.cut(next(i for i, state in enumerate(self.states) if state in blocks))
            self.position = min(at + 1, len(self.tokens.kind) - 1)
            return
        expected = self.expected()
        boundary = self.boundary()
        first = self.firsts[boundary] if boundary < len(self.values) else at
        if self.restart_at_swallowed_statement(boundary, first):
            return
        if self.substitute_keyword(expected, fresh=first == at):
            return
        if first == at:
            self.not_a_statement(at, previous=None)
            return
        if self.stray_docstring(boundary, first):
            return
        told = len(self.builder.diagnostics)
        if self.complete():
            word = self.word(at)
            fresh = self.tokens.is_first_on_line(at) or (
                word in self.openers and self.could_open_elsewhere(at, word)
            )
            if not fresh:
                # What the statement seems to lack may stand in what is left over.
                del self.builder.diagnostics[told:]
            self.not_a_statement(at, previous=None if fresh else (first, expected))
            return
        if self.broken_header(boundary, first, expected):
            return
        self.incomplete(boundary, first, expected)

    def restart_at_swallowed_statement(self, boundary: int, first: int) -> bool:
        """Was the keyword of a later line taken for a name? Then read this statement up to it."""
        tokens = self.tokens
        if tokens.kind[self.position - 1] == "RBRACE":
            return False  # it ended there
        start = first + (tokens.kind[first] == "DOCSTRING")
        for at in range(start + 1, self.position):
            meant = None if at in self.forced else self.opener_of_line(at)
            if meant is not None:
                word = self.word(at)
                if word != meant:
                    self.unknown_keyword(at, meant)
                    tokens.keyword[at] = self.tables.literals[meant]
                self.forced.add(at)
                self.cut(boundary)
                self.position = first
                # The statement is built again, and what is wrong with it told again.
                start = tokens.starts[first]
                self.builder.diagnostics = [
                    d for d in self.builder.diagnostics if d.span.start < start
                ]
                return True
        return False

    def unknown_keyword(self, at: int, meant: str) -> None:
        """A misspelt keyword of a statement."""
        self.report(
            "C003",
            f"unknown keyword {self.shown(at)}",
            self.tokens.span(at, at),
            f"did you mean `{meant}`?",
        )

    def substitute_keyword(self, expected: list[str], *, fresh: bool) -> bool:
        """A misspelt keyword is read as the one that was meant."""
        at = self.position
        word = self.word(at)
        if not word or at in self.forced or word in self.openers:
            return False
        accepted = set(expected)
        if not fresh and self.tokens.is_first_on_line(at):
            lookahead = self.tables.literals
            accepted |= {
                lookahead[opener]
                for opener in self.tables.openers[self.block()]
                if self.accepts(lookahead[opener])
            }
        candidates = [text for text, name in self.tables.literals.items() if name in accepted]
        meant = nearest(word, frozenset(text for text in candidates if text[0].isalpha()))
        if meant is None and (fresh or self.tokens.is_first_on_line(at)) and self.closed:
            meant = nearest(word, self.openers)
            if meant is not None and not self.could_open_elsewhere(at, meant):
                meant = None
        if meant is None or meant == word:
            return False
        is_inside = not fresh and not self.tokens.is_first_on_line(at)
        if meant in self.openers and is_inside and not self.could_open(at, meant):
            return False
        if meant in self.openers:
            self.unknown_keyword(at, meant)
        else:
            self.report(
                "C016",
                f"unknown word `{word[:40]}`",
                self.tokens.span(at, at),
                f"did you mean `{meant}`?",
            )
        self.tokens.keyword[at] = self.tables.literals[meant]
        self.forced.add(at)
        return True

    def stray_docstring(self, boundary: int, first: int) -> bool:
        """A docstring before a statement that takes none."""
        if self.tokens.kind[first] != "DOCSTRING" or self.position != first + 1:
            return False
        word = self.word(self.position)
        self.cut(boundary)
        if word in OPENED and (self.too_early(first, word) or self.closes_before(first, word)):
            self.position = first
        else:
            self.no_place_for_docstring(first)
        return True

    def no_place_for_docstring(self, at: int) -> None:
        """Only some statements have a docstring."""
        self.report(
            "C015",
            "this docstring belongs to no statement",
            self.tokens.span(at, at),
            "docstrings stand before `circuitspec`, `hypothesis`, `task`, `protocol` and `expect`; "
            "elsewhere write a comment: `# ...`",
        )

    def not_a_statement(self, at: int, previous: tuple[int, list[str]] | None) -> None:
        """Between two statements stands what opens none."""
        tokens = self.tokens
        kind, word, block = tokens.kind[at], self.word(at), self.block()
        if kind == END:
            self.unclosed_at_end(at)
        elif kind == "RBRACE":
            self.report(
                "C007",
                "this `}` closes nothing",
                tokens.span(at, at),
                "remove it, or look for a `{` that is missing above",
            )
            self.position += 1
        elif kind == "DOCSTRING":
            word = self.word(at + 1)
            if word in OPENED and self.closes_before(at, word):
                return
            self.no_place_for_docstring(at)
            self.position += 1
        elif word in self.openers and previous is None:
            self.of_another_block(at, word, block)
        elif self.one_too_many(at):
            return
        elif previous is not None:
            self.after_statement(at, *previous)
        elif word:
            self.report(
                "C003",
                f"unknown keyword `{word[:40]}`",
                tokens.span(at, at),
                f"{placed(block)} stand {listed_keywords(self.tables.openers[block])}",
            )
            self.skip(at)
        else:
            self.unexpected(at, f"a statement {placed(block).lower()} starts with a keyword")
            self.skip(at)

    def after_statement(self, at: int, first: int, expected: list[str]) -> None:
        """Something follows a whole statement on its line."""
        statement = self.statement_word(first)
        clauses = [t for t in expected if t not in ("RBRACE", "DOCSTRING", END)]
        clauses = [t for t in clauses if self.text_of(t) not in self.openers]
        could = described(clauses)
        hint = f"what could: {listed(could)}" if could else f"the form is `{FORMS[statement]}`"
        if self.is_decimal_comma(at):
            hint = f"write `{self.tokens.text(at - 1)}.{self.tokens.text(at + 1)}`"
        if not self.is_broken(first, at):
            self.report(
                "C011",
                f"{self.shown(at)} cannot follow this `{statement}`",
                self.tokens.span(at, at),
                hint,
                (self.label(first, "the statement starts here"),),
            )
        self.skip(at, first)

    def is_decimal_comma(self, at: int) -> bool:
        """`0,8`: a number as it is written in other places."""
        tokens = self.tokens
        return (
            0 < at < len(tokens.kind) - 1
            and tokens.text(at) == ","
            and tokens.kind[at - 1] == tokens.kind[at + 1] == "NUMBER"
            and tokens.ends[at - 1] == tokens.starts[at]
            and tokens.ends[at] == tokens.starts[at + 1]
        )

    def unexpected(self, at: int, hint: str | None) -> None:
        """A token that has no place here."""
        if not self.is_broken(at, at):
            self.report("C011", f"unexpected {self.shown(at)}", self.tokens.span(at, at), hint)

    def of_another_block(self, at: int, word: str, block: str) -> None:
        """A statement of another block: a brace is missing or too many, or it is misplaced."""
        if self.unopened_task(at, word) or self.too_early(at, word) or self.closes_before(at, word):
            return
        belongs = [home for home, words in self.tables.openers.items() if word in words]
        self.report(
            "C004",
            f"`{word}` has no place {placed(block).lower()}",
            self.tokens.span(at, at),
            f"it belongs {listed([placed(home).lower() for home in belongs])}",
        )
        self.skip(at)

    def incomplete(self, boundary: int, first: int, expected: list[str]) -> None:
        """A mistake inside a statement: report it and drop the statement."""
        at = self.position
        if not self.is_broken(first, at):
            self.wrong_here(first, expected)
        self.builder.lost.add(self.statement_word(first))
        self.cut(boundary)
        # A brace of the statement's own that is missing leaves its other one behind.
        is_lost = "LBRACE" in expected and self.owns_a_later_brace(at, first)
        self.skip(at, first, depth=int(is_lost))


def listed_keywords(words: frozenset[str]) -> str:
    """Keywords for a hint."""
    return listed([f"`{word}`" for word in sorted(words)], "and", most=20)
