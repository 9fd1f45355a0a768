"""The Pygments lexer of specs: for `pygmentize -l circuitspec`, Sphinx, MkDocs and LaTeX's minted.

Found by Pygments through the entry point `pygments.lexers`.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from pygments.lexer import RegexLexer, bygroups
from pygments.token import Text, Token, Whitespace

from circuitspec.language.tokens import REGIONS, Region, TokenKind, token_kinds


def _token(name: str) -> Any:
    found: Any = Token
    for part in name.split("."):
        found = getattr(found, _ROOTS.get(part, part))
    return found


_ROOTS = {"Whitespace": "Text"}


def _rule(kind: TokenKind) -> tuple[Any, ...]:
    if kind.parts:
        return (kind.pattern, bygroups(*(_token(pygments) for pygments, _ in kind.parts)))
    return (kind.pattern, _token(kind.pygments))


def _region(region: Region) -> list[tuple[Any, ...]]:
    quoted = _token(region.pygments)
    return [
        *(_rule(kind) for kind in region.inside),
        (region.end, quoted, "#pop"),
        (r'[^"\\{}\n]+', quoted),
        (r"[\s\S]", quoted),
    ]


class CircuitspecLexer(RegexLexer):  # type: ignore[misc]  # Pygments ships no types
    """Specs of hypotheses about circuits in transformers."""

    name = "circuitspec"
    url = ""
    aliases: ClassVar[list[str]] = ["circuitspec", "circuit"]
    filenames: ClassVar[list[str]] = ["*.circuit"]
    mimetypes: ClassVar[list[str]] = ["text/x-circuitspec"]
    version_added = ""
    flags = re.MULTILINE

    tokens: ClassVar[dict[str, list[Any]]] = {
        "root": [
            (r"\s+", Whitespace),
            *((region.begin, _token(region.pygments), region.name) for region in REGIONS),
            *(_rule(kind) for kind in token_kinds()),
            (r".", Text),
        ],
        **{region.name: _region(region) for region in REGIONS},
    }
