"""Syntax tree → text in the one canonical layout, with its comments (`circuitspec fmt`).

Two spaces a level, at most one blank line, lines of at most 110 columns where words allow, and
columns lined up in runs of like statements. There are no options. A comment on the line of a
statement stays there; one on a line of its own stays above what it stood above; one inside a
statement moves above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuitspec.language import syntax as s
from circuitspec.language.columns import line_up
from circuitspec.language.phrases import (
    Cell,
    cells,
    doc_lines,
    print_expr,
    print_position,
    print_positions,
    print_receiver,
    print_target,
)

__all__ = [
    "print_expr",
    "print_position",
    "print_positions",
    "print_receiver",
    "print_statement",
    "print_target",
    "to_text",
]

WIDTH = 110
INDENT = "  "
Block = s.Hypothesis | s.Task | s.Protocol | s.Expect


def to_text(spec: s.SpecFile, *, width: int = WIDTH) -> str:
    """The whole file. Parsing it gives an equal tree, printing that the same text again."""
    layout = _Layout(spec.comments, width)
    layout.comments_before(spec.header.start, "")
    if spec.doc is not None:
        layout.lines += doc_lines(spec.doc)
    layout.lines.append(f"circuitspec {spec.version}")
    layout.last_line = spec.header.end_line
    layout.trailing(
        spec.header.end_line, spec.statements[0].span.start if spec.statements else None
    )
    if spec.statements or layout.pending(None):
        layout.lines.append("")
    layout.body(spec.statements, "", None, spaced=True)
    layout.comments_before(None, "")
    return "\n".join(layout.lines) + "\n"


def print_statement(statement: s.Located) -> str:
    """One statement by itself, without its comments."""
    layout = _Layout((), WIDTH)
    layout.statement(statement, "")
    return "\n".join(layout.lines)


class _Layout:
    """The lines so far, and the comments still to be placed."""

    def __init__(self, comments: Sequence[s.Comment], width: int) -> None:
        self.comments = sorted(comments, key=lambda c: c.span.start)
        self.next = 0
        self.width = width
        self.lines: list[str] = []
        self.last_line = 0
        """The line of the source that was printed last; 0 where there is none."""

    # ── comments and blank lines ─────────────────────────────────────────────────────────────

    def pending(self, before: int | None) -> bool:
        """Whether a comment is still to be placed that stands before an offset."""
        return self.next < len(self.comments) and (
            before is None or self.comments[self.next].span.start < before
        )

    def comments_before(self, before: int | None, indent: str) -> None:
        """Comments on lines of their own."""
        while self.pending(before):
            comment = self.comments[self.next]
            self.blank_line_as_before(comment.span.line)
            self.lines.append(indent + tidy(comment.text))
            self.last_line = comment.span.end_line
            self.next += 1

    def trailing(self, line: int, before: int | None) -> None:
        """A comment on the line where a statement ended stays behind it."""
        if line and self.pending(before) and self.comments[self.next].span.line == line:
            self.lines[-1] += "  " + tidy(self.comments[self.next].text)
            self.next += 1

    def blank_line_as_before(self, line: int) -> None:
        """Keep a blank line that the source had here."""
        had_one = self.last_line and line > self.last_line + 1
        if had_one and self.lines[-1] != "" and not self.lines[-1].endswith("{"):
            self.lines.append("")

    # ── statements ───────────────────────────────────────────────────────────────────────────

    def body(
        self,
        statements: Sequence[s.Located],
        indent: str,
        end: int | None,
        *,
        spaced: bool,
    ) -> None:
        """The statements of a block that ends at an offset, with the comments among them."""
        aligned = self.aligned(statements, indent)
        was_tall = False
        for n, statement in enumerate(statements):
            located = statement.span.line > 0
            start = statement.span.start if located else 0
            had_comments = self.pending(start)
            self.comments_before(start, indent)
            if located and (n or had_comments):
                self.blank_line_as_before(statement.span.line)
            if not is_block(statement):
                # Comments inside a statement go above it: a line has one place for a comment.
                self.comments_before(statement.span.end, indent)
            top = len(self.lines)
            self.statement(statement, indent, aligned.get(n))
            is_tall = is_block(statement) and len(self.lines) > top + 1
            apart = (spaced or not located) and n > 0 and (is_tall or was_tall)
            if apart and not had_comments and self.lines[top - 1] != "":
                self.lines.insert(top, "")
            was_tall = is_tall
            self.last_line = statement.span.end_line
            following = statements[n + 1].span.start if n + 1 < len(statements) else end
            self.trailing(statement.span.end_line, following)

    def statement(self, statement: s.Located, indent: str, pieces: Cell | None = None) -> None:
        """One statement; `pieces` where it was lined up with its neighbours."""
        if isinstance(statement, Block):
            if statement.doc is not None:
                self.lines += [indent + line if line else "" for line in doc_lines(statement.doc)]
            if is_block(statement):
                self.block(statement, indent)
                return
        if pieces is None:
            pieces = [piece for cell in cells(statement) for piece in cell]
        self.lines += wrapped(pieces, indent, self.width)

    def block(self, block: Block, indent: str) -> None:
        """A statement with braces: on one line where it holds a single short statement."""
        header = indent + heading(block)
        statements = contents(block)
        inside = block.span.end if block.span.line else 0
        if not self.pending(inside) and len(statements) < 2:
            line = header + " {}"
            if statements:
                inner = [piece for cell in cells_or_none(statements[0]) for piece in cell]
                line = f"{header} {{ {' '.join(inner)} }}" if inner else ""
            if line and len(line) <= self.width:
                self.lines.append(line)
                return
        self.lines.append(header + " {")
        first = statements[0].span.start if statements else inside
        self.last_line = block.name.span.end_line
        self.trailing(block.name.span.end_line, first or inside)
        self.body(statements, indent + INDENT, inside, spaced=False)
        self.comments_before(inside, indent + INDENT)
        self.lines.append(indent + "}")

    # ── columns ──────────────────────────────────────────────────────────────────────────────

    def aligned(self, statements: Sequence[s.Located], indent: str) -> dict[int, Cell]:
        """The pieces of statements that stand in runs of their kind, with columns lined up."""
        out: dict[int, Cell] = {}
        run: list[int] = []
        upcoming = self.next
        for n, statement in enumerate(statements):
            starts = upcoming
            while upcoming < len(self.comments) and (
                self.comments[upcoming].span.start < statement.span.end
            ):
                upcoming += 1
            if run and not self.continues(statements[run[-1]], statement, starts, upcoming):
                out.update(self.columns(statements, run, indent))
                run = []
            run.append(n)
        out.update(self.columns(statements, run, indent))
        return out

    def continues(self, above: s.Located, below: s.Located, first: int, last: int) -> bool:
        """Whether a statement stands directly below one of its kind."""
        if type(above) is not type(below) or isinstance(below, Block):
            return False
        if not above.span.line or not below.span.line:
            return True
        if below.span.line > above.span.end_line + 1:
            return False
        return all(c.span.line == above.span.end_line for c in self.comments[first:last])

    def columns(
        self, statements: Sequence[s.Located], run: list[int], indent: str
    ) -> dict[int, Cell]:
        """The pieces of the statements of one run, where there is something to line up."""
        if len(run) < 2:
            return {}
        return line_up({n: cells(statements[n]) for n in run}, self.width - len(indent))


def wrapped(pieces: Cell, indent: str, width: int) -> list[str]:
    """Pieces filled into lines, those after the first indented twice more."""
    lines = [indent + pieces[0]]
    for piece in pieces[1:]:
        if len(lines[-1]) + 1 + len(piece) <= width:
            lines[-1] += f" {piece}"
        else:
            lines.append(indent + INDENT * 2 + piece)
    return lines


def is_block(statement: s.Located) -> bool:
    """Whether a statement has braces around statements."""
    if isinstance(statement, s.Task):
        return statement.statements is not None
    return isinstance(statement, Block)


def contents(block: Block) -> Sequence[s.Located]:
    """The statements of a block, in the order of the source."""
    if isinstance(block, s.Expect):
        merged = [*block.actions, *block.requirements]
        return sorted(merged, key=lambda one: one.span.start)
    if isinstance(block, s.Protocol):
        return block.actions
    return block.statements or ()


def cells_or_none(statement: s.Located) -> list[Cell]:
    """The cells of a statement, none where it takes lines of its own: a block, or a docstring."""
    documented = isinstance(statement, Block) and statement.doc is not None
    return [] if documented or is_block(statement) else cells(statement)


def heading(block: Block) -> str:
    """A block's line up to its brace."""
    match block:
        case s.Hypothesis(name=name, refines=refines):
            return f"hypothesis {name}" + ("" if refines is None else f" refines {refines}")
        case s.Task(name=name):
            return f"task {name}"
        case s.Protocol(name=name):
            return f"protocol {name}"
        case s.Expect(name=name, refuted=refuted, under=under):
            start = "expect refuted" if refuted else "expect"
            return f"{start} {name}" + ("" if under is None else f" under {under}")


def tidy(comment: str) -> str:
    """A comment with a space after its `#`."""
    text = comment.rstrip()
    return text if text[1:2] in ("", " ", "#", "!") else f"# {text[1:]}"
