"""After a mistake: say what is wrong, and go on at the next statement.

Every statement starts with a keyword and stands in a block, so the states between two statements
are known (`Tables.blocks`). At an error the stack is cut back to the last of them; what was read
since is the statement that has the mistake. Reading goes on at the next statement of the block, so
each mistake is reported once and all other statements reach the tree.
"""

from __future__ import annotations

from circuitspec.language.automaton import Automaton, Stack
from circuitspec.language.diagnostics import Diagnostic, Label, Span
from circuitspec.language.lexer import END, Tokens
from circuitspec.language.syntax import Name, SpecFile, Task
from circuitspec.language.tables import BLOCK_MARKERS
from circuitspec.language.wording import FORMS, described, listed, nearest, placed

VERSION = 1

LOOKAHEAD = {"file": "HYPOTHESIS"} | {block: marks[0] for block, marks in BLOCK_MARKERS.items()}
"""What may follow a whole statement of a block, to ask whether one is whole."""

OPENED = frozenset(BLOCK_MARKERS)
"""Statements that open a block, by keyword, which is the block's name too."""


class Parser(Automaton):
    """The automaton that goes on after mistakes, and its diagnostics."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.diagnostics: list[Diagnostic] = []
        self.openers = frozenset[str]().union(*self.tables.openers.values())
        self.closed: dict[str, tuple[Stack, int, int]] = {}
        """Block → the stack before its last `}`, that token (it may have come too early), and the
        block's keyword."""
        self.reopened = 0

    def report(
        self,
        code: str,
        message: str,
        span: Span,
        hint: str | None = None,
        labels: tuple[Label, ...] = (),
    ) -> None:
        """Note a mistake."""
        self.diagnostics.append(
            Diagnostic(code=code, message=message, span=span, hint=hint, labels=labels)
        )

    # ── header ───────────────────────────────────────────────────────────────────────────────

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
            and nearest(word, ["circuitspec"])
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
        return None

    def shift(self, terminal: str) -> None:
        """Take the current token as `terminal`, which the state accepts."""
        self.insert(terminal)
        self.values[-1] = self.position
        self.position += 1

    def insert(self, terminal: str) -> None:
        """Go on as if `terminal` stood before the current token."""
        self.states.append(self.tables.actions[self.states[-1]][terminal] - 1)
        self.values.append(None if terminal == "NUMBER" else terminal)
        self.firsts.append(self.position)

    # ── where we are ─────────────────────────────────────────────────────────────────────────

    def closing(self, state: int) -> None:
        keyword = self.open_blocks()[-1][1]
        self.closed[self.tables.blocks[state]] = (self.snapshot(), self.position, keyword)

    def word(self, token: int) -> str:
        """The text of a word, keyword or not; `""` for any other token."""
        return self.tokens.text(token) if self.tokens.kind[token] == "NAME" else ""

    def boundary(self) -> int:
        """Index into `states` of the last state between two statements."""
        closed = False
        for i in range(len(self.states) - 1, -1, -1):
            kind = self.kind_of(i) if i < len(self.values) else ""
            # A block that its `}` has closed is a statement of the block around it.
            closed = (closed or kind == "RBRACE") and kind != "LBRACE"
            if not closed and kind != "RBRACE" and self.states[i] in self.tables.blocks:
                return i
        raise AssertionError("the automaton starts between two statements")

    def block(self) -> str:
        """The block that the last boundary stands in."""
        return self.tables.blocks[self.states[self.boundary()]]

    def open_blocks(self) -> list[tuple[str, int, int]]:
        """Blocks opened and not closed, outermost first: name, its first token, its `{`."""
        found: list[tuple[str, int, int]] = []
        depth = 0
        for i, state in enumerate(self.states):
            block = self.tables.blocks.get(state)
            if block in OPENED and i and self.kind_of(i - 1) == "LBRACE":
                depth += 1
                found.append((block or "", self.header_token(i - 1), self.firsts[i - 1]))
        return found

    def kind_of(self, value: int) -> str:
        """The terminal of a value on the stack that is a token (else something of no interest)."""
        token = self.values[value]
        if type(token) is str:  # inserted
            return token
        if type(token) is int and token == self.firsts[value]:
            return self.tokens.kind[token]
        return ""

    def header_token(self, brace: int) -> int:
        """The keyword of the block whose `{` is value `brace`."""
        for i in range(brace - 1, -1, -1):
            token = self.firsts[i]
            if self.kind_of(i) == "NAME" and self.tokens.text(token) in OPENED:
                return token
        return self.firsts[brace]

    def cut(self, boundary: int) -> None:
        """Drop what was read since the boundary."""
        del self.states[boundary + 1 :], self.values[boundary:], self.firsts[boundary:]
        self.builder.depths.clear()

    def complete(self) -> bool:
        """Whether what was read since the boundary is a whole statement; if so, take it."""
        lookahead = LOOKAHEAD[self.block()]
        blocks, actions = self.tables.blocks, self.tables.actions
        states = self.states[:]
        todo = []
        while states[-1] not in blocks:
            action = actions[states[-1]].get(lookahead)
            if action is None or action > 0:
                return False
            rule = self.tables.rules[-action - 1]
            del states[-rule.length :]
            states.append(self.tables.gotos[states[-1]][rule.origin])
            todo.append(-action - 1)
        for number in todo:
            self.reduce(self.tables.rules[number], self.handlers[number])
        return True

    # ── recovery ─────────────────────────────────────────────────────────────────────────────

    def recover(self) -> None:
        """Deal with one mistake at the current token."""
        at = self.position
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
        if self.complete():
            fresh = self.tokens.is_first_on_line(at) or self.word(at) in self.openers
            self.not_a_statement(at, previous=None if fresh else (first, expected))
            return
        if self.broken_header(boundary, first, expected):
            return
        self.incomplete(boundary, first, expected)

    def expected(self) -> list[str]:
        """Terminals that could stand here: those that a chain of reductions lets through too."""
        found = []
        for terminal in self.tables.actions[self.states[-1]]:
            if self.accepts(terminal):
                found.append(terminal)
        return found

    def accepts(self, terminal: str) -> bool:
        """Whether a terminal could be shifted here."""
        states = self.states[:]
        while True:
            action = self.tables.actions[states[-1]].get(terminal)
            if action is None:
                return False
            if action > 0:
                return True
            rule = self.tables.rules[-action - 1]
            del states[-rule.length :]
            states.append(self.tables.gotos[states[-1]][rule.origin])
            if states[-1] == self.tables.accept:
                return terminal == END

    def restart_at_swallowed_statement(self, boundary: int, first: int) -> bool:
        """Was the keyword of a later line taken for a name? Then read this statement up to it."""
        tokens = self.tokens
        known = self.tables.openers[self.block()]
        start = first + (tokens.kind[first] == "DOCSTRING")
        for at in range(start + 1, self.position):
            if at in self.forced or not tokens.is_first_on_line(at):
                continue
            word = self.word(at)
            if not word or tokens.text(at + 1) in ("(", ",", "["):
                continue
            if word in self.openers or (len(word) > 3 and nearest(word, known)):
                if word not in self.openers:
                    keyword = self.tables.literals[nearest(word, known) or ""]
                    if tokens.keyword[at]:
                        continue
                    self.unknown_keyword(at, self.tables_text(keyword))
                    tokens.keyword[at] = keyword
                self.forced.add(at)
                self.cut(boundary)
                self.position = first
                return True
        return False

    def tables_text(self, terminal: str) -> str:
        """A keyword's text."""
        return next(text for text, name in self.tables.literals.items() if name == terminal)

    def unknown_keyword(self, at: int, meant: str) -> None:
        """A misspelt keyword of a statement."""
        self.report(
            "C003",
            f"unknown keyword `{self.word(at)[:40]}`",
            self.tokens.span(at, at),
            f"did you mean `{meant}`?",
        )

    def substitute_keyword(self, expected: list[str], *, fresh: bool) -> bool:
        """A misspelt keyword is read as the one that was meant."""
        at = self.position
        word = self.word(at)
        if not word or (self.tokens.keyword[at] and word in self.openers):
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
        meant = nearest(word, [text for text in candidates if text[0].isalpha()])
        if meant is None and (fresh or self.tokens.is_first_on_line(at)) and self.closed:
            meant = nearest(word, self.openers)
        if meant is None or meant == word:
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
        if word in OPENED and self.closes_before(first, word):
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

    def opens_statement(self, at: int) -> bool:
        """Whether a token opens a statement of this block, and the next one goes with it."""
        keyword = self.tokens.keyword[at]
        state = self.states[self.boundary()]
        if not keyword or self.word(at) not in self.tables.openers[self.tables.blocks[state]]:
            return False
        after = self.tables.actions[self.tables.actions[state][keyword] - 1]
        following = at + 1
        return self.tokens.kind[following] in after or self.tokens.keyword[following] in after

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
        if not self.is_broken(first, at):
            self.report(
                "C011",
                f"{self.shown(at)} cannot follow this `{statement}`",
                self.tokens.span(at, at),
                f"what could: {listed(could)}" if could else f"the form is `{FORMS[statement]}`",
                (self.label(first, "the statement starts here"),),
            )
        self.skip(at, first)

    def text_of(self, terminal: str) -> str:
        """The text of a keyword or sign; `""` for other terminals."""
        return next((text for text, n in self.tables.literals.items() if n == terminal), "")

    def unexpected(self, at: int, hint: str | None) -> None:
        """A token that has no place here."""
        if not self.is_broken(at, at):
            self.report("C011", f"unexpected {self.shown(at)}", self.tokens.span(at, at), hint)

    def is_broken(self, first: int, last: int) -> bool:
        """Whether a mistake inside tokens from `first` to the line of `last` has been reported."""
        broken = self.tokens.broken
        if not broken:
            return False
        while self.tokens.kind[last] != END and not self.tokens.is_first_on_line(last + 1):
            last += 1
        return any(at in broken for at in range(first, last + 1))

    def shown(self, at: int) -> str:
        """A token for a message."""
        kind = self.tokens.kind[at]
        if kind == END:
            return "the end of the file"
        text = self.tokens.text(at)
        if kind == "STRING" and len(text) > 24:
            return "a string"
        if kind == "DOCSTRING":
            return "a docstring"
        return f"`{text[:40]}`"

    def label(self, token: int, message: str) -> Label:
        """A secondary place."""
        return Label(span=self.tokens.span(token, token), message=message)

    def statement_word(self, first: int) -> str:
        """The keyword of the statement that starts at a token."""
        at = first + (self.tokens.kind[first] == "DOCSTRING")
        keyword = self.tokens.keyword[at]
        return self.text_of(keyword) or self.word(at)

    def of_another_block(self, at: int, word: str, block: str) -> None:
        """A statement that belongs elsewhere: a brace is missing or too many, or it is misplaced."""
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

    def closes_before(self, at: int, word: str) -> bool:
        """Is a `}` missing before this statement? Then go on as if it were there."""
        enclosing = self.open_blocks()
        homes = [name for name, _, _ in enclosing[:-1]] + (["file"] if enclosing else [])
        if not any(word in self.tables.openers[home] for home in homes):
            return False
        if not self.is_unclosed(at):
            return False
        name, _, brace = enclosing[-1]
        self.report(
            "C006",
            f"this `{name}` is not closed before the next statement",
            self.tokens.span(brace, brace),
            f"close it with `}}` before `{word}`",
            (self.label(at, f"`{word}` cannot stand in `{name}`"),),
        )
        self.insert("RBRACE")
        return True

    def unopened_task(self, at: int, word: str) -> bool:
        """Statements of a task right after `task ioi`: its `{` is missing."""
        done = self.values[-1] if self.values else None
        last = done[-1] if type(done) is list and done else None
        if not isinstance(last, Task) or last.statements is not None:
            return False
        if word not in self.tables.openers["task"]:
            return False
        done.pop()
        end = last.span.end
        self.report(
            "C006",
            "the `{` of this `task` is missing",
            self.tokens.place(end, end),
            f"write `task {last.name.text} {{`",
        )
        self.insert("TASK")
        self.states.append(self.tables.gotos[self.states[-1]]["declared"])
        self.values.append(last.name)
        self.firsts.append(at)
        self.insert("LBRACE")
        return True

    def is_unclosed(self, at: int) -> bool:
        """Whether a `}` is missing before a token: by the indentation, or else by counting."""
        enclosing = self.open_blocks()
        tokens = self.tokens
        if tokens.is_first_on_line(at):
            columns = [tokens.column(keyword) for _, keyword, _ in enclosing]
            if len(columns) < 2 or columns[-1] != columns[-2]:
                return tokens.column(at) <= columns[-1]
        return self.balance(at) < len(enclosing)

    def balance(self, at: int) -> int:
        """How many more blocks are closed than opened from a token on."""
        rest = self.tokens.kind[at:]
        return rest.count("RBRACE") - rest.count("LBRACE")

    def too_early(self, at: int, word: str) -> bool:
        """Did the `}` before this statement close a block that goes on? Then open it again."""
        open_names = {name for name, _, _ in self.open_blocks()}
        for block, (stack, brace, keyword) in self.closed.items():
            if word not in self.tables.openers[block] or block in open_names:
                continue
            if any(word in self.tables.openers[name] for name in open_names):
                continue
            if self.tokens.is_first_on_line(at) and self.tokens.is_first_on_line(keyword):
                inside = self.tokens.column(at) > self.tokens.column(keyword)
            else:
                inside = self.balance(at) > len(open_names)
            if not inside:
                continue
            self.report(
                "C007",
                f"this `}}` closes `{block}` too early",
                self.tokens.span(brace, brace),
                "remove it, or move it below the statements of the block",
                (self.label(at, f"`{word}` belongs {placed(block).lower()}"),),
            )
            self.restore(stack)
            self.reopened += 1
            return True
        return False

    def unclosed_at_end(self, at: int) -> None:
        """The file ends inside blocks."""
        name, keyword, brace = self.open_blocks()[-1]
        if self.reopened:
            self.reopened -= 1
        else:
            self.report(
                "C006",
                f"this `{name}` is never closed",
                self.tokens.span(brace, brace),
                "add the `}` that is missing",
                (self.label(keyword, f"`{name}` starts here"),) if keyword != brace else (),
            )
        self.insert("RBRACE")

    def broken_header(self, boundary: int, first: int, expected: list[str]) -> bool:
        """A mistake between `expect` and its `{`: report it, and read the block all the same."""
        tokens = self.tokens
        keyword = first + (tokens.kind[first] == "DOCSTRING")
        block = self.text_of(tokens.keyword[keyword])
        if block not in OPENED:
            return False
        at = self.position
        brace = at
        while tokens.kind[brace] not in ("LBRACE", "RBRACE", END, "DOCSTRING"):
            if brace > keyword and tokens.is_first_on_line(brace):
                if self.word(brace) in self.openers:
                    break
            brace += 1
        has_brace = tokens.kind[brace] == "LBRACE"
        inner = self.word(brace) in self.tables.openers[block] or tokens.kind[brace] == "RBRACE"
        if not has_brace and not ("LBRACE" in expected and inner and brace == at):
            return False
        if not self.is_broken(first, at):
            self.wrong_here(first, expected)
        names = [
            token
            for token in range(keyword + 1, brace)
            if tokens.kind[token] == "NAME" and not tokens.keyword[token]
        ]
        self.cut(boundary)
        self.position = first
        if first != keyword:
            self.shift("DOCSTRING")
        self.shift(tokens.keyword[keyword])
        self.position = brace
        span = tokens.span(names[0], names[0]) if names else tokens.span(keyword, keyword)
        self.states.append(self.tables.gotos[self.states[-1]]["declared"])
        text = tokens.text(names[0]) if names else f"unnamed_{span.line}"
        self.values.append(Name(text=text, span=span))
        self.firsts.append(names[0] if names else keyword)
        if has_brace:
            self.shift("LBRACE")
        else:
            self.insert("LBRACE")
        return True

    def incomplete(self, boundary: int, first: int, expected: list[str]) -> None:
        """A mistake inside a statement: report it and drop the statement."""
        at = self.position
        if not self.is_broken(first, at):
            self.wrong_here(first, expected)
        self.cut(boundary)
        self.skip(at, first)

    def wrong_here(self, first: int, expected: list[str]) -> None:
        """What was found and what could stand here, shown where the author must write."""
        at, tokens = self.position, self.tokens
        statement = self.statement_word(first)
        wanted = listed(described(expected))
        hint = f"the form is `{FORMS[statement]}`" if statement in FORMS else None
        before = at - 1
        ends_here = tokens.kind[at] == END or tokens.kind[at] == "RBRACE"
        if before >= first and (ends_here or tokens.is_first_on_line(at)):
            place = tokens.place(tokens.ends[before], tokens.ends[before])
            message = f"this `{statement}` is not finished: {wanted} should follow"
            self.report("C011", message, place, hint)
            return
        self.report(
            "C011",
            f"unexpected {self.shown(at)}: {wanted} should stand here",
            tokens.span(at, at),
            hint,
        )

    def skip(self, start: int, first: int | None = None) -> None:
        """Go on at the next statement from `start` on, or at the `}` that closes the block."""
        tokens = self.tokens
        first = start if first is None else first
        column = tokens.column(first)
        depth = 0
        at = start if start > first else start + 1
        if tokens.kind[start] == END:
            at = start
        if at == start + 1 and tokens.kind[start] == "LBRACE":
            depth = 1
        while tokens.kind[at] != END:
            kind = tokens.kind[at]
            if kind == "RBRACE":
                if depth == 0:
                    break
                depth -= 1
            elif kind == "LBRACE":
                depth += 1
            elif self.starts_statement(at) and (
                depth == 0 or (tokens.is_first_on_line(at) and tokens.column(at) <= column)
            ):
                break
            at += 1
        self.position = at

    def starts_statement(self, at: int) -> bool:
        """Whether a statement could start at a token."""
        tokens = self.tokens
        if tokens.kind[at] == "DOCSTRING":
            return True
        if tokens.is_first_on_line(at) and tokens.text(at + 1) not in ("(", ",", "="):
            word = self.word(at)
            if word in self.openers:
                return True
            known = self.tables.openers[self.block()]
            return len(word) > 3 and nearest(word, known) is not None
        return self.opens_statement(at)


def listed_keywords(words: frozenset[str]) -> str:
    """Keywords for a hint."""
    return listed([f"`{word}`" for word in sorted(words)], "and", most=20)
