"""Syntax tree → text in the one canonical layout, with its comments (`circuitspec fmt`).

Two spaces a level, at most one blank line, lines of at most 110 columns where words allow, and
columns lined up in runs of like statements. There are no options. A comment on the line of a
statement stays there; one on a line of its own stays above what it stood above; one inside a
statement moves above it.
"""

from __future__ import annotations

from collections.abc import Sequence

from circuitspec.language import syntax as s
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
SPREAD = 20
"""Columns line up where the widest cell is at most this much wider than the narrowest."""

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
        opened = len(self.lines)
        aligned = self.aligned(statements, indent)
        for n, statement in enumerate(statements):
            start = statement.span.start if statement.span.line else 0
            before = len(self.lines)
            own = self.pending(start)
            self.comments_before(start, indent)
            if len(self.lines) == before or not own:
                beside_block = n and (is_block(statement) or is_block(statements[n - 1]))
                if spaced and (n == 0 or beside_block):
                    if self.lines[-1] != "":
                        self.lines.append("")
                elif statement.span.line:
                    if len(self.lines) > opened:
                        self.blank_line_as_before(statement.span.line)
                elif beside_block:
                    self.lines.append("")
            elif statement.span.line:
                self.blank_line_as_before(statement.span.line)
            if not is_block(statement):
                # Comments inside a statement go above it: a line has one place for a comment.
                self.comments_before(statement.span.end, indent)
            self.statement(statement, indent, aligned.get(n))
            self.last_line = statement.span.end_line
            following = statements[n + 1].span.start if n + 1 < len(statements) else end
            self.trailing(statement.span.end_line, following)

    def statement(self, statement: s.Located, indent: str, line: str | None = None) -> None:
        """One statement; `line` is its text where it was lined up with its neighbours."""
        if isinstance(statement, Block):
            if statement.doc is not None:
                self.lines += [indent + line if line else "" for line in doc_lines(statement.doc)]
            if is_block(statement):
                self.block(statement, indent)
                return
        if line is not None:
            self.lines.append(indent + line)
        else:
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

    def aligned(self, statements: Sequence[s.Located], indent: str) -> dict[int, str]:
        """Lines of statements that stand in runs of their kind, with columns lined up."""
        out: dict[int, str] = {}
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
    ) -> dict[int, str]:
        """The lines of one run; a statement that is too long or too wide is left out of it."""
        if len(run) < 2:
            return {}
        rows = {n: [" ".join(cell) for cell in cells(statements[n])] for n in run}
        room = self.width - len(indent)
        rows = {n: row for n, row in rows.items() if len(joined(row)) <= room}
        narrowest = min((len(row[0]) for row in rows.values()), default=0)
        rows = {n: row for n, row in rows.items() if len(row[0]) <= narrowest + SPREAD}
        for count in range(max((len(row) for row in rows.values()), default=0) - 1, 0, -1):
            chosen = rows
            while len(chosen) > max(1, 2 * len(rows) // 3):
                lined_up = lined_up_in(chosen, count)
                widest = max(lined_up, key=lambda n: len(lined_up[n]))
                if len(lined_up[widest]) <= room:
                    return lined_up
                chosen = {n: row for n, row in chosen.items() if n != widest}
        return {}


def lined_up_in(rows: dict[int, list[str]], count: int) -> dict[int, str]:
    """The lines of a run with its first `count` columns padded, or fewer where widths differ."""
    padded = {n: row[:] for n, row in rows.items()}
    for column in range(count):
        widths = [len(row[column]) for row in rows.values() if column < len(row) - 1]
        if max(widths) - min(widths) > SPREAD:
            break
        for row in padded.values():
            if column < len(row) - 1:
                row[column] = row[column].ljust(max(widths))
    return {n: joined(row) for n, row in padded.items()}


def joined(row: list[str]) -> str:
    """Cells of a line, with one space between."""
    return " ".join(cell for cell in row if cell).rstrip()


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
    """The cells of a statement, none where it is a block."""
    return [] if is_block(statement) else cells(statement)


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
