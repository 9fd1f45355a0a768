"""The grammar's LALR tables: made by Lark from `grammar.lark`, kept in `grammar.json`.

Lark takes a third of a second to make the tables and a tenth to be imported, more than `check` may
take in all. So they are kept beside the grammar and read from there; where the grammar was edited
since, they are made anew (this needs Lark), so an edit takes effect at once.
`scripts/build_grammar.py` writes the file, and a test holds the two together.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lark import Lark
    from lark.grammar import Rule as LarkRule

# Not `importlib.resources`: it takes longer to import than the tables to read.
HERE = Path(__file__).parent

GRAMMAR = "grammar.lark"
TABLES = "grammar.json"

BLOCK_MARKERS = {
    "hypothesis": ("ROLE", "EDGE"),
    "task": ("TEMPLATE", "METRIC"),
    "expect": ("REQUIRE", "ABLATE"),
    "protocol": ("ABLATE",),
}
"""What a state between two statements of a block must accept, the most telling first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One production, with what becomes of its parts.

    `plan` lists the children handed to the builder: `i` is part i, `-(i+1)` splices the list that
    part i is, `None` stands for an optional part left out. `inline` passes a single child through.
    """

    origin: str
    length: int
    callback: str
    inline: bool
    plan: tuple[int | None, ...]

    @property
    def spliced(self) -> bool:
        """Whether this only gathers children for another rule (`_rule`, repetitions)."""
        return self.origin.startswith("_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """The parser as data. Actions: `n > 0` shifts to state n-1, `n < 0` reduces by rule -n-1."""

    literals: dict[str, str]
    """Text of a keyword or a sign → its terminal."""
    patterns: tuple[tuple[str, str], ...]
    """(terminal, regular expression), to be tried in this order."""
    ignored: frozenset[str]
    rules: tuple[Rule, ...]
    actions: tuple[dict[str, int], ...]
    gotos: tuple[dict[str, int], ...]
    start: int
    accept: int
    blocks: dict[int, str]
    """State between two statements → the block it stands in."""
    openers: dict[str, frozenset[str]]
    """Block → keywords (as written) that may open a statement in it."""
    reserved: frozenset[str]
    """Keywords that cannot be names: statement keywords, and those a name could be taken for."""


def grammar_text() -> str:
    """The grammar as shipped."""
    return HERE.joinpath(GRAMMAR).read_text(encoding="utf-8")


@cache
def tables() -> Tables:
    """The tables of the shipped grammar."""
    source = grammar_text()
    stored = HERE / TABLES
    if stored.is_file():
        data = json.loads(stored.read_bytes())
        if data["crc"] == zlib.crc32(source.encode()):
            return from_json(data)
    return from_json(to_json(source))


def from_json(data: dict[str, Any]) -> Tables:
    """Tables from the form that `to_json` makes."""
    rules = tuple(
        Rule(origin=origin, length=length, callback=callback, inline=inline, plan=tuple(plan))
        for origin, length, callback, inline, plan in data["rules"]
    )
    rows = data["rows"]
    blocks = {int(state): block for state, block in data["blocks"].items()}
    return Tables(
        literals=data["literals"],
        patterns=tuple((name, pattern) for name, pattern in data["patterns"]),
        ignored=frozenset(data["ignored"]),
        rules=rules,
        actions=tuple(rows[row] for row in data["actions"]),
        gotos=tuple(data["gotos"]),
        start=data["start"],
        accept=data["accept"],
        blocks=blocks,
        openers={block: frozenset(words) for block, words in data["openers"].items()},
        reserved=frozenset(data["reserved"]),
    )


def lark_parser(source: str) -> Lark:
    """Lark's own parser of the grammar, in strict mode: any ambiguity is an error."""
    from lark import Lark

    return Lark(source, parser="lalr", lexer="contextual", start="spec", strict=True)


def to_json(source: str) -> dict[str, Any]:
    """The tables of a grammar, as plain data in a stable order."""
    from lark.lexer import PatternStr
    from lark.parsers.lalr_analysis import Shift

    lark = lark_parser(source)
    table = lark.parser.parser._parse_table
    rules = sorted(lark.rules, key=lambda r: (r.origin.name, [s.name for s in r.expansion]))
    number = {rule: n for n, rule in enumerate(rules)}
    states = _numbered(table.states, table.start_states["spec"])

    strings = [t for t in lark.terminals if isinstance(t.pattern, PatternStr)]
    regexes = [t for t in lark.terminals if not isinstance(t.pattern, PatternStr)]
    regexes.sort(key=lambda t: (-t.priority, t.name))

    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    terminals = {t.name for t in lark.terminals} | {"$END"}
    for state in states:
        acts, nexts = {}, {}
        for symbol, (action, argument) in sorted(table.states[state].items()):
            if symbol not in terminals:
                nexts[symbol] = states[argument]
            elif action is Shift:
                acts[symbol] = states[argument] + 1
            else:
                acts[symbol] = -number[argument] - 1
        actions.append(acts)
        gotos.append(nexts)

    literals = {t.pattern.value: t.name for t in strings}
    blocks = _blocks(actions)
    openers = _openers(actions, blocks, literals)
    words = {text: name for text, name in literals.items() if text[0].isalpha()}
    confusable = {
        text for text, name in words.items() if any(name in a and "NAME" in a for a in actions)
    }
    # Many states share their actions: each row is written once.
    rows: list[dict[str, int]] = []
    index: dict[str, int] = {}
    row_of = []
    for acts in actions:
        key = json.dumps(acts)
        if key not in index:
            index[key] = len(rows)
            rows.append(acts)
        row_of.append(index[key])
    return {
        "crc": zlib.crc32(source.encode()),
        "literals": dict(sorted(literals.items())),
        "patterns": [[t.name, t.pattern.to_regexp()] for t in regexes],
        "ignored": sorted(lark.ignore_tokens),
        "rules": [_rule(rule) for rule in rules],
        "rows": rows,
        "actions": row_of,
        "gotos": gotos,
        "start": states[table.start_states["spec"]],
        "accept": states[table.end_states["spec"]],
        "blocks": {str(state): block for state, block in sorted(blocks.items())},
        "openers": {block: sorted(words) for block, words in sorted(openers.items())},
        "reserved": sorted(confusable.union(*openers.values())),
    }


def _numbered(rows: dict[Any, dict[str, Any]], start: Any) -> dict[Any, int]:
    """States by breadth-first search from the start: the same numbers in every run of Lark."""
    found = {start: 0}
    queue = [start]
    for state in queue:
        for _, (_, argument) in sorted(rows[state].items()):
            if argument in rows and argument not in found:
                found[argument] = len(found)
                queue.append(argument)
    return found


def _rule(rule: LarkRule) -> list[Any]:
    """[origin, length, callback, inline, plan]: Lark's conventions for filtering, spelt out."""
    options = rule.options
    origin = str(rule.origin.name)
    empty = list(options.empty_indices) or [False] * len(rule.expansion)
    plan: list[int | None] = []
    part = 0
    for is_left_out in empty:
        if is_left_out:
            plan.append(None)
            continue
        symbol = rule.expansion[part]
        if not (getattr(symbol, "filter_out", False) and not options.keep_all_tokens):
            spliced = not symbol.is_term and symbol.name.startswith("_")
            plan.append(-part - 1 if spliced else part)
        part += 1
    inline = bool(options.expand1) and rule.alias is None
    return [origin, len(rule.expansion), str(rule.alias or origin), inline, plan]


def _blocks(actions: list[dict[str, int]]) -> dict[int, str]:
    """The states between two statements, by what they can shift."""
    found = {}
    for state, row in enumerate(actions):
        shifted = {symbol for symbol, action in row.items() if action > 0}
        if "HYPOTHESIS" in shifted and "DOCSTRING" in shifted:
            found[state] = "file"
        elif "RBRACE" in shifted:
            for block, markers in BLOCK_MARKERS.items():
                if shifted.issuperset(markers):
                    found[state] = block
                    break
    return found


def _openers(
    actions: list[dict[str, int]], blocks: dict[int, str], literals: dict[str, str]
) -> dict[str, set[str]]:
    """Which keywords open a statement in which block."""
    text = {name: literal for literal, name in literals.items()}
    openers: dict[str, set[str]] = {block: set() for block in ("file", *BLOCK_MARKERS)}
    for state, block in blocks.items():
        for symbol, action in actions[state].items():
            if action > 0 and symbol in text and text[symbol].isalpha():
                openers[block].add(text[symbol])
    return openers
