"""What the words of a spec are, for colouring them: one table for every editor.

A highlighter sees no grammar, only patterns, so it goes by what stands beside a word: a keyword
that a bracket follows is a function. The keywords are those of the grammar's tables; the patterns
are written in what Python's and Oniguruma's regular expressions have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from circuitspec.language.names import CHANNELS
from circuitspec.language.tables import tables

DECLARING = (
    "hypothesis", "task", "template", "slot", "words", "table", "position", "metric", "baseline",
    "role", "group", "protocol", "expect",
)  # fmt: skip
"""Statements that a name follows which they declare."""

CONSTANTS = ("END", "BOS", "input", "logits", "mlps", "heads", "complement", "next", "here")
"""Names with a meaning of their own."""

PREFIXES = ("model", "circuit", "empty")
"""What a metric may be taken of: `model.logit_diff`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKind:
    """A kind of token: its pattern, and what it is called by Pygments and in TextMate grammars.

    A pattern with groups has a name for each in `parts`, as pairs (Pygments, TextMate).
    """

    name: str
    pattern: str
    pygments: str = ""
    textmate: str = ""
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """Text between quotes, with what stands out inside it."""

    name: str
    begin: str
    end: str
    pygments: str
    textmate: str
    inside: tuple[TokenKind, ...] = ()


ESCAPE = TokenKind(
    name="escape",
    pattern=r"\\(?:u\{[0-9A-Fa-f]{1,6}\}|[\s\S])",
    pygments="String.Escape",
    textmate="constant.character.escape",
)
BRACE = TokenKind(
    name="brace",
    pattern=r"\{\{|\}\}",
    pygments="String.Escape",
    textmate="constant.character.escape.brace",
)
GAP = TokenKind(
    name="gap",
    pattern=r"\{\s*[A-Za-z_][A-Za-z0-9_]*\s*\}",
    pygments="String.Interpol",
    textmate="variable.other.slot",
)

REGIONS = (
    Region(
        name="docstring",
        begin='"""',
        end='"""',
        pygments="String.Doc",
        textmate="string.quoted.triple.documentation",
        inside=(ESCAPE,),
    ),
    Region(
        name="string",
        begin='"',
        # A string ends with its line at the latest, closed or not.
        end=r'"|(?=\n)',
        pygments="String.Double",
        textmate="string.quoted.double",
        inside=(ESCAPE, BRACE, GAP),
    ),
)


@cache
def token_kinds() -> tuple[TokenKind, ...]:
    """All kinds but strings, in the order in which they are to be tried."""
    openers = frozenset[str]().union(*tables().openers.values())
    keywords = {text for text in tables().literals if text[0].isalpha()}
    statements = _words(openers | {"circuitspec"})
    clauses = _words(keywords - openers - {"circuitspec", "mlps", "mod"})
    channels = "|".join(sorted(CHANNELS, key=lambda c: (-len(c), c)))
    no_call = r"(?!\s*\()(?!\.[A-Za-z_])"
    return (
        TokenKind(
            name="comment",
            pattern=r"#[^\n]*",
            pygments="Comment.Single",
            textmate="comment.line.number-sign",
        ),
        TokenKind(
            name="refuted",
            pattern=r"\b(expect)(\s+)(refuted)(\s+)([A-Za-z_][A-Za-z0-9_]*)",
            parts=(
                ("Keyword.Declaration", "keyword.declaration"),
                ("Whitespace", ""),
                ("Keyword.Pseudo", "keyword.other"),
                ("Whitespace", ""),
                ("Name.Class", "entity.name.declaration"),
            ),
        ),
        TokenKind(
            name="declaration",
            pattern=rf"\b({_words(DECLARING)})(\s+)(?!from\b)([A-Za-z_][A-Za-z0-9_]*)"
            r"(?=\s*(?:[={\",]|from\b|under\b|refines\b|$))",
            parts=(
                ("Keyword.Declaration", "keyword.declaration"),
                ("Whitespace", ""),
                ("Name.Class", "entity.name.declaration"),
            ),
        ),
        TokenKind(
            name="head",
            pattern=r"\b(a[0-9]+\.h[0-9]+|L[0-9]+H[0-9]+|m[0-9]+)(?:(\.)"
            rf"({channels})(?![A-Za-z0-9_]))?(?![A-Za-z0-9_])",
            parts=(
                ("Name.Constant", "constant.other.node"),
                ("Punctuation", "punctuation.separator.channel"),
                ("Name.Attribute", "variable.parameter.channel"),
            ),
        ),
        TokenKind(
            name="measured",
            pattern=rf"\b({'|'.join(PREFIXES)})(\.)([A-Za-z_][A-Za-z0-9_]*)",
            parts=(
                ("Name.Namespace", "support.variable.run"),
                ("Punctuation", "punctuation.separator"),
                ("Name", "variable.other.metric"),
            ),
        ),
        TokenKind(
            name="receiver",
            pattern=r"\b([A-Za-z_][A-Za-z0-9_]*)(\.)"
            rf"({channels})(?![A-Za-z0-9_.])",
            parts=(
                ("Name", "variable.other"),
                ("Punctuation", "punctuation.separator.channel"),
                ("Name.Attribute", "variable.parameter.channel"),
            ),
        ),
        TokenKind(
            name="library",
            pattern=r"\b[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)+",
            pygments="Name.Namespace",
            textmate="support.other.words",
        ),
        TokenKind(
            name="function",
            pattern=r"\b[A-Za-z_][A-Za-z0-9_]*(?=\s*\()(?<!\bat)(?<!\battends)",
            pygments="Name.Function",
            textmate="entity.name.function",
        ),
        TokenKind(
            name="statement",
            pattern=rf"\b(?:{statements})\b{no_call}",
            pygments="Keyword",
            textmate="keyword.control",
        ),
        TokenKind(
            name="clause",
            pattern=rf"\b(?:{clauses})\b(?!\.[A-Za-z_])",
            pygments="Keyword.Pseudo",
            textmate="keyword.other",
        ),
        TokenKind(
            name="constant",
            pattern=rf"\b(?:{_words(CONSTANTS)})\b",
            pygments="Name.Builtin",
            textmate="constant.language",
        ),
        TokenKind(
            name="number",
            pattern=r"(?<![A-Za-z0-9_])[0-9]+(?:x[0-9]+x[0-9]+|(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)%?",
            pygments="Number",
            textmate="constant.numeric",
        ),
        TokenKind(
            name="operator",
            pattern=rf"{_signs()}|\bmod\b",
            pygments="Operator",
            textmate="keyword.operator",
        ),
        TokenKind(
            name="punctuation",
            pattern=r"[{}()\[\],;:]",
            pygments="Punctuation",
            textmate="punctuation",
        ),
        TokenKind(
            name="name",
            pattern=r"\b[A-Za-z_][A-Za-z0-9_]*",
            pygments="Name",
            textmate="variable.other",
        ),
    )


def _words(words: frozenset[str] | set[str] | tuple[str, ...]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word)))


def _signs() -> str:
    brackets = set("{}()[],;:%")
    signs = [s for s in tables().literals if not s[0].isalpha() and s not in brackets]
    escaped = ("".join("\\" + c if c in "+*.|/" else c for c in sign) for sign in signs)
    return "|".join(sorted(escaped, key=lambda sign: (-len(sign), sign)))
