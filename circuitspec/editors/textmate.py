"""The TextMate grammar of specs, which VS Code, GitHub's Linguist and others colour by."""

from __future__ import annotations

import json
from typing import Any

from circuitspec.language.tokens import REGIONS, Region, TokenKind, token_kinds

SCOPE = "source.circuitspec"


def grammar() -> dict[str, Any]:
    """The grammar as data."""
    kinds = [*token_kinds(), *(kind for region in REGIONS for kind in region.inside)]
    repository: dict[str, Any] = {kind.name: _kind(kind) for kind in kinds}
    repository |= {region.name: _region(region) for region in REGIONS}
    order = [*(region.name for region in REGIONS), *(kind.name for kind in token_kinds())]
    return {
        "$schema": (
            "https://raw.githubusercontent.com/martinring/tmlanguage/master/tmlanguage.json"
        ),
        "name": "circuitspec",
        "scopeName": SCOPE,
        "fileTypes": ["circuit"],
        "patterns": [{"include": f"#{name}"} for name in order],
        "repository": repository,
    }


def grammar_text() -> str:
    """The grammar as the text of its file."""
    return json.dumps(grammar(), indent=2, ensure_ascii=False) + "\n"


def _kind(kind: TokenKind) -> dict[str, Any]:
    if kind.parts:
        captures = {
            str(number): {"name": _scope(textmate)}
            for number, (_, textmate) in enumerate(kind.parts, 1)
            if textmate
        }
        return {"match": kind.pattern, "captures": captures}
    return {"match": kind.pattern, "name": _scope(kind.textmate)}


def _region(region: Region) -> dict[str, Any]:
    return {
        "name": _scope(region.textmate),
        "begin": region.begin,
        # TextMate looks at one line at a time, without its end.
        "end": region.end.replace(r"(?=\n)", "$"),
        "patterns": [{"include": f"#{kind.name}"} for kind in region.inside],
    }


def _scope(name: str) -> str:
    return f"{name}.circuitspec"
