"""Braces that are missing or too many: which of them, judged by what follows and how it stands."""

from __future__ import annotations

from circuitspec.language.automaton import Stack
from circuitspec.language.context import OPENED, Context
from circuitspec.language.lexer import END, Tokens
from circuitspec.language.syntax import Name, Task
from circuitspec.language.terms import SHOWN
from circuitspec.language.wording import placed


class Braces(Context):
    """Recovery from mistakes at the edges of blocks."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__(tokens)
        self.closed: dict[str, tuple[Stack, int, int]] = {}
        """Block → the stack before its last `}`, that token (it may have come too early), and the
        block's keyword."""
        self.reopened = 0

    def closing(self, state: int) -> None:
        """Keep the stack, in case this `}` comes too early."""
        keyword = self.open_blocks()[-1][1]
        self.closed[self.tables.blocks[state]] = (self.snapshot(), self.position, keyword)

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
        if done is None or not isinstance(last, Task) or last.statements is not None:
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
        elif tokens.line(enclosing[-1][2]) < tokens.line(at):
            return False  # a word inside a statement: `scrub over over task`
        return self.balance(at) < len(enclosing)

    def too_early(self, at: int, word: str) -> bool:
        """Did the `}` before this statement close a block that goes on? Then open it again."""
        open_names = {name for name, _, _ in self.open_blocks()}
        if not self.tokens.is_first_on_line(at) and self.tokens.kind[at - 1] != "RBRACE":
            return False  # a word inside a statement: `scrub over over task`
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

    def one_too_many(self, at: int) -> bool:
        """Did a `}` inside a statement close the block? `{ a } }, { b }`: read on in the block."""
        tokens = self.tokens
        for stack, brace, _ in self.closed.values():
            if brace != at - 1 or tokens.line(brace) != tokens.line(at):
                continue
            set_follows = tokens.text(at) == "," and tokens.kind[at + 1] == "LBRACE"
            if not set_follows and self.balance(at) <= len(self.open_blocks()):
                return False
            self.report(
                "C007",
                "this `}` closes nothing",
                tokens.span(brace, brace),
                "remove it",
                (self.label(at, "the statement goes on here"),),
            )
            self.restore(stack)
            self.skip(at)
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
            is_later = brace > keyword and tokens.is_first_on_line(brace)
            if is_later and self.word(brace) in self.openers:
                break
            brace += 1
        has_brace = tokens.kind[brace] == "LBRACE"
        inner = self.word(brace) in self.tables.openers[block] or tokens.kind[brace] == "RBRACE"
        if not has_brace and not ("LBRACE" in expected and inner and brace == at):
            return False
        if not has_brace:
            end = tokens.ends[at - 1]
            header = " ".join(tokens.source[tokens.starts[keyword] : end].split())
            self.report(
                "C006",
                f"the `{{` of this `{block}` is missing",
                tokens.place(end, end),
                f"write `{header[:SHOWN]} {{`",
            )
        elif not self.is_broken(first, at):
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
