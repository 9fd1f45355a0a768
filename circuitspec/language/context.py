"""Where the automaton stands: in which block, in which statement, and what could come next."""

from __future__ import annotations

from bisect import bisect_left
from functools import cache

from circuitspec.language.automaton import Automaton
from circuitspec.language.diagnostics import Diagnostic, Label, Span
from circuitspec.language.lexer import END, Tokens
from circuitspec.language.tables import BLOCK_MARKERS, tables
from circuitspec.language.wording import FORMS, described, listed, nearest

LOOKAHEAD = {"file": "HYPOTHESIS"} | {block: marks[0] for block, marks in BLOCK_MARKERS.items()}
"""What may follow a whole statement of a block, to ask whether one is whole."""

OPENED = frozenset(BLOCK_MARKERS)
"""Statements that open a block, by keyword, which is the block's name too."""

CONTINUED = frozenset({",", "(", "=", "+", "-", "*", "/", "mod", "carries"})
"""After these at the end of a line, an expression goes on in the next."""


@cache
def only_openers() -> frozenset[str]:
    """Keywords that stand nowhere but at the start of a statement, such as `require`."""
    known = tables()
    inside = {
        terminal
        for state, row in enumerate(known.actions)
        if state not in known.blocks
        for terminal, action in row.items()
        # After a docstring a statement starts too.
        if action > 0 and "EXPECT" not in row and "CIRCUITSPEC" not in row
    }
    words = frozenset[str]().union(*known.openers.values())
    return frozenset(word for word in words if known.literals[word] not in inside)


class Context(Automaton):
    """An automaton that can be asked about its stack, and moved to another place of the text."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.diagnostics: list[Diagnostic] = []
        self.openers = frozenset[str]().union(*self.tables.openers.values())
        """Keywords of statements, of whatever block."""
        for start in tokens.line_starts:
            at = bisect_left(tokens.starts, start)
            if tokens.kind[at] == "NAME":
                word = tokens.text(at)
                if word in self.openers or nearest(word, self.openers):
                    self.line_words.add(at)

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

    def word(self, token: int) -> str:
        """The text of a word, keyword or not, as it is meant; `""` for any other token."""
        if token in self.forced:
            return self.text_of(self.tokens.keyword[token])
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

    def is_next_statement(self, at: int) -> bool:
        """Whether a word starts the next statement, though the last one could take it for a name.

        It does where it stands right below the first word of the statement: lines that go on are
        indented. Without this rule `drop` with its names lost would drop a role `sweep`.
        """
        tokens = self.tokens
        boundary = self.boundary()
        if boundary >= len(self.firsts):
            return False
        first = self.firsts[boundary]
        if first == at or not tokens.is_first_on_line(first):
            return False
        if tokens.column(at) > tokens.column(first):
            return False
        word = self.word(at)
        if word in self.tables.openers[self.block()]:
            self.forced.add(at)
            return True
        meant = nearest(word, self.tables.openers[self.block()])
        return meant is not None and self.could_open(at, meant)

    def could_open(self, at: int, opener: str) -> bool:
        """Whether what follows a token could follow it if it were this keyword, in this block."""
        return self.goes_with(at, opener, self.states[self.boundary()])

    def could_open_elsewhere(self, at: int, opener: str) -> bool:
        """`could_open`, in whatever block."""
        return any(self.goes_with(at, opener, state) for state in self.tables.blocks)

    def goes_with(self, at: int, opener: str, state: int) -> bool:
        """Whether what follows a token could follow this keyword between two statements."""
        shifted = self.tables.actions[state].get(self.tables.literals[opener])
        if shifted is None or at + 1 >= len(self.tokens.kind):
            return False
        after = self.tables.actions[shifted - 1]
        return self.tokens.kind[at + 1] in after or self.tokens.keyword[at + 1] in after

    def opens_statement(self, at: int) -> bool:
        """Whether a token opens a statement of this block, and the next one goes with it."""
        word = self.word(at)
        if word not in self.tables.openers[self.block()]:
            return False
        return word in only_openers() or self.could_open(at, word)

    def starts_statement(self, at: int) -> bool:
        """Whether a statement could start at a token."""
        tokens = self.tokens
        if tokens.kind[at] == "DOCSTRING":
            return True
        return self.opener_of_line(at) is not None or self.opens_statement(at)

    def opener_of_line(self, at: int) -> str | None:
        """The keyword of a statement that starts with a token's line: as written, or as meant."""
        tokens = self.tokens
        word = self.word(at)
        if len(word) < 2 or not tokens.is_first_on_line(at):
            return None
        goes_on = tokens.text(at + 1) in ("(", ",", "[") and tokens.text(at - 1) in CONTINUED
        if goes_on and at not in self.forced:
            return None  # a list or an expression that goes on here
        if word in self.openers:
            return word
        meant = nearest(word, self.tables.openers[self.block()])
        return meant if meant and (len(word) > 2 or self.could_open(at, meant)) else None

    def owns_a_later_brace(self, at: int, first: int) -> bool:
        """Whether a `}` of the statement itself follows, whose `{` is lost: `knockouts a }, { b }`.

        It does where what follows the `}` can follow no block, or where more of them follow in the
        lines of the statement than blocks were opened there.
        """
        tokens, column = self.tokens, self.tokens.indentation(first)
        line = tokens.line(first)
        enclosing = self.open_blocks()
        shared = sum(tokens.line(brace) == line for _, _, brace in enclosing)
        depth = surplus = 0
        token, last = at, at
        while tokens.kind[token] != END:
            if token > at and tokens.is_first_on_line(token) and tokens.column(token) <= column:
                break
            if tokens.kind[token] == "LBRACE":
                depth += 1
            elif tokens.kind[token] == "RBRACE":
                if depth == 0:
                    surplus, last = surplus + 1, token
                    after = tokens.kind[token + 1]
                    if after not in ("RBRACE", "DOCSTRING", END) and not self.word(token + 1):
                        return True
                depth = max(0, depth - 1)
            token += 1
        if surplus <= shared:
            return False
        goes_on = self.word(last + 1) in self.tables.openers[self.block()]
        return goes_on or self.balance(at) > len(enclosing)

    def skip(self, start: int, first: int | None = None, *, depth: int = 0) -> None:
        """Go on at the next statement from `start` on, or at the `}` that closes the block."""
        tokens = self.tokens
        first = start if first is None else first
        column = tokens.indentation(first)
        # Braces of the statement's own (`given {`, `table t {`) are not those of its block.
        passed = tokens.kind[first:start]
        depth += max(0, passed.count("LBRACE") - passed.count("RBRACE"))
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
            elif tokens.is_first_on_line(at) and tokens.column(at) <= column:
                if self.starts_statement(at) or self.word(at) in self.openers:
                    break
            elif depth == 0 and self.starts_statement(at):
                break
            at += 1
        self.position = at

    def balance(self, at: int) -> int:
        """How many more blocks are closed than opened from a token on."""
        rest = self.tokens.kind[at:]
        return rest.count("RBRACE") - rest.count("LBRACE")

    def text_of(self, terminal: str) -> str:
        """The text of a keyword or sign; `""` for other terminals."""
        return next((text for text, n in self.tables.literals.items() if n == terminal), "")

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
        if self.word(at) == "given" and self.tokens.kind[at + 1] == "LBRACE":
            return "each"
        keyword = self.tokens.keyword[at]
        return self.text_of(keyword) or self.word(at)

    def is_broken(self, first: int, last: int) -> bool:
        """Whether a mistake inside tokens from `first` to the line of `last` has been reported."""
        broken = self.tokens.broken
        if not broken:
            return False
        if last > first and self.tokens.is_first_on_line(last):
            last -= 1  # that is another statement's
        while self.tokens.kind[last] != END and not self.tokens.is_first_on_line(last + 1):
            last += 1
        return any(at in broken for at in range(first, last + 1))

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
