"""Text → tokens: whatever the text, with a diagnostic for each stretch that is none."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from functools import cache

from circuitspec.language.diagnostics import Diagnostic, Span
from circuitspec.language.syntax import Comment
from circuitspec.language.tables import tables

END = "$END"

LOOKALIKES = {
    "→": "->",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    "±": "+-",
    "−": "-",
    "–": "-",
    "×": "*",
    "…": "..",
    "=>": "->",
    "=<": "<=",
    "<>": "!=",
}
"""What papers, word processors and other languages write where this one has a plain sign."""

QUOTES = "\"'“”„‘’"


_WORD_AFTER_NUMBER = re.compile(r"\.?\w")


class Tokens:
    """The tokens of one text, as parallel lists (a 10,000-line spec has some 150,000).

    `kind[i]` is the terminal, `keyword[i]` the terminal it is where the grammar asks for a keyword
    there (`""` for none). The last token is the end of the file. `broken[i]`: the text of the
    token had a mistake that has been reported.
    """

    __slots__ = (
        "broken",
        "comments",
        "diagnostics",
        "ends",
        "file",
        "keyword",
        "kind",
        "line_starts",
        "source",
        "starts",
    )

    def __init__(self, source: str, file: str) -> None:
        self.source = source
        self.file = file
        self.kind: list[str] = []
        self.keyword: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.broken: set[int] = set()
        self.comments: list[Comment] = []
        self.diagnostics: list[Diagnostic] = []
        self.line_starts = [0]
        self.line_starts.extend(m.end() for m in re.finditer("\n", source))

    def text(self, index: int) -> str:
        """A token as written."""
        return self.source[self.starts[index] : self.ends[index]]

    def line(self, index: int) -> int:
        """The line, from 1, that a token starts on."""
        return bisect_right(self.line_starts, self.starts[index])

    def column(self, index: int) -> int:
        """The column, from 1, that a token starts at."""
        return self.starts[index] - self.line_starts[self.line(index) - 1] + 1

    def indentation(self, index: int) -> int:
        """The column of the first token on a token's line."""
        start = self.line_starts[self.line(index) - 1]
        return self.column(bisect_left(self.starts, start))

    def is_first_on_line(self, index: int) -> bool:
        """Whether only white space stands before a token on its line."""
        return index == 0 or self.line(index - 1) < self.line(index)

    def place(self, start: int, end: int) -> Span:
        """The span of a stretch of the text."""
        line = bisect_right(self.line_starts, start)
        end_line = bisect_right(self.line_starts, end, line - 1)
        return Span(
            file=self.file,
            start=start,
            end=end,
            line=line,
            column=start - self.line_starts[line - 1] + 1,
            end_line=end_line,
            end_column=end - self.line_starts[end_line - 1] + 1,
        )

    def span(self, first: int, last: int) -> Span:
        """The span from one token to another, both included."""
        return self.place(self.starts[first], self.ends[last])


@cache
def _pattern() -> re.Pattern[str]:
    """All terminals as one expression: patterns in the tables' order, signs longest first."""
    signs = sorted((t for t in tables().literals if not t[0].isalpha()), key=lambda t: (-len(t), t))
    parts = [f"(?P<{name}>{_without_groups(pattern)})" for name, pattern in tables().patterns]
    parts.append("(?P<SIGN>" + "|".join(re.escape(sign) for sign in signs) + ")")
    return re.compile("|".join(parts))


def _without_groups(pattern: str) -> str:
    """The same expression without capturing groups, so that `lastgroup` is the terminal."""
    return re.sub(r"(?<!\\)\((?!\?)", "(?:", pattern)


def tokenize(source: str, file: str) -> Tokens:
    """The tokens of a text; never fails."""
    tokens = Tokens(source, file)
    literals = tables().literals
    match = _pattern().match
    kinds, keywords, starts, ends = tokens.kind, tokens.keyword, tokens.starts, tokens.ends
    position, length = 0, len(source)
    odd_docs = source.count('"""') % 2 == 1
    while position < length:
        found = match(source, position)
        if found is None:
            position = _unknown(tokens, position)
            continue
        kind, end = found.lastgroup or "", found.end()
        if kind == "SPACE":
            position = end
            continue
        if kind == "COMMENT":
            text = source[position:end].rstrip()
            tokens.comments.append(Comment(text=text, span=tokens.place(position, end)))
            position = end
            continue
        text = source[position:end]
        open_doc = kind == "STRING" and end - position == 2 and source.startswith('"', end)
        if open_doc or (kind == "DOCSTRING" and odd_docs and _swallows_statements(text)):
            odd_docs = False
            position = _unterminated_doc(tokens, position)
            continue
        if kind == "SIGN" and source[position : position + 2] in LOOKALIKES:
            position = _lookalike(tokens, position, position + 2)
            continue
        if kind == "NUMBER" and end < length and _WORD_AFTER_NUMBER.match(source, end):
            end = _bad_number(tokens, position, end)
        kinds.append(literals[text] if kind == "SIGN" else kind)
        keywords.append(literals.get(text, "") if kind == "NAME" else "")
        starts.append(position)
        ends.append(end)
        position = end
    kinds.append(END)
    keywords.append("")
    starts.append(length)
    ends.append(length)
    return tokens


def _unknown(tokens: Tokens, position: int) -> int:
    """Report a character that starts no token; give the place to go on at."""
    source = tokens.source
    character = source[position]
    if character == '"':
        return _unterminated(tokens, position)
    if character in QUOTES:
        return _other_quotes(tokens, position)
    if character in LOOKALIKES:
        return _lookalike(tokens, position, position + 1)
    end = position + 1
    match = _pattern().match
    while end < len(source) and source[end] != '"' and match(source, end) is None:
        if source[end] in LOOKALIKES or source[end] in QUOTES:
            break
        end += 1
    shown = ascii_name(source[position:end])
    what = "character" if end == position + 1 else "characters"
    _report(tokens, "C012", f"unexpected {what} {shown}", position, end, _hint_for(character))
    if tokens.kind:
        tokens.broken.add(len(tokens.kind))
    return end


def _lookalike(tokens: Tokens, start: int, end: int) -> int:
    """A sign written another way: reported, and read as what was meant."""
    written = tokens.source[start:end]
    plain = LOOKALIKES[written]
    what = "character" if end == start + 1 else "sign"
    _report(tokens, "C012", f"unexpected {what} `{written}`", start, end, f"write `{plain}`")
    _push(tokens, tables().literals[plain], start, end)
    return end


def _other_quotes(tokens: Tokens, position: int) -> int:
    """A string in single or typographic quotes: reported once, read as a string."""
    source = tokens.source
    stop = source.find("\n", position)
    stop = len(source) if stop < 0 else stop
    end = next((i + 1 for i in range(position + 1, stop) if source[i] in QUOTES), stop)
    _report(
        tokens,
        "C012",
        f"unexpected character `{source[position]}`",
        position,
        position + 1,
        'strings are written in straight double quotes: `"..."`',
    )
    tokens.broken.add(len(tokens.kind))
    _push(tokens, "STRING", position, end)
    return end


def _swallows_statements(doc: str) -> bool:
    """Whether a docstring looks as if its end were missing: it runs on over a statement."""
    openers = frozenset[str]().union(*tables().openers.values())
    return any(
        words and words[0] in openers and ("=" in words or "{" in words or words[0] == "require")
        for words in (line.split() for line in doc.split("\n")[1:])
    )


def _unterminated_doc(tokens: Tokens, position: int) -> int:
    """A docstring without its end: its first line goes, the rest is read as a spec."""
    end = _line_end(tokens.source, position)
    _report(tokens, "C005", "this docstring is never closed", position, end, 'close it with `"""`')
    tokens.broken.add(len(tokens.kind))
    return end


def _line_end(source: str, position: int) -> int:
    """Where the line's text ends."""
    end = source.find("\n", position)
    end = len(source) if end < 0 else end
    while end > position + 1 and source[end - 1] in " \t\r":
        end -= 1
    return end


def _unterminated(tokens: Tokens, position: int) -> int:
    """A string without its closing quote ends with its line."""
    source = tokens.source
    end = _line_end(source, position)
    # With a quote lost earlier on the line, what was read outside strings was inside them.
    line = tokens.line_starts[bisect_right(tokens.line_starts, position) - 1]
    if tokens.kind and tokens.kind[-1] != "STRING" and source.count('"', line, position) >= 2:
        tokens.diagnostics = [
            d for d in tokens.diagnostics if d.span.start < line or d.span.start > position
        ]
    _report(
        tokens,
        "C005",
        "this string is not closed on its line",
        position,
        end,
        'close it with `"`; a quote inside a string is written `\\"`',
    )
    tokens.broken.add(len(tokens.kind))
    _push(tokens, "STRING", position, end)
    return end


def _bad_number(tokens: Tokens, position: int, end: int) -> int:
    """`5th`, `3h`: letters right after a number."""
    source = tokens.source
    while end < len(source) and (source[end].isalnum() or source[end] in "_."):
        end += 1
    text = source[position:end]
    head = re.fullmatch(r"([0-9]+)[.]?[hH]([0-9]+)", text)
    if head:
        _report(
            tokens,
            "C009",
            f"`{text}` is not a head",
            position,
            end,
            f"write `a{int(head[1][:9])}.h{int(head[2][:9])}`",
        )
    else:
        _report(
            tokens,
            "C010",
            f"`{text}` is not a number",
            position,
            end,
            "put a space between a number and a word",
        )
    tokens.broken.add(len(tokens.kind))
    return end


def _push(tokens: Tokens, kind: str, start: int, end: int) -> None:
    tokens.kind.append(kind)
    tokens.keyword.append("")
    tokens.starts.append(start)
    tokens.ends.append(end)


def _report(
    tokens: Tokens, code: str, message: str, start: int, end: int, hint: str | None
) -> None:
    tokens.diagnostics.append(
        Diagnostic(code=code, message=message, span=tokens.place(start, end), hint=hint)
    )


def _hint_for(character: str) -> str | None:
    if character == ";":
        return "statements need no separator: each starts with its keyword"
    if character.isalpha():
        return "names are written with the letters a to z, digits and `_`"
    if character == "\\":
        return "a statement may go on over several lines as it is"
    return None


def ascii_name(text: str, most: int = 20) -> str:
    """Characters shown so that none is invisible: `é` as it is, a control character as U+0007."""
    shown = "".join(c if c.isprintable() else f"U+{ord(c):04X}" for c in text[:most])
    return f"`{shown}`" + ("…" if len(text) > most else "")
