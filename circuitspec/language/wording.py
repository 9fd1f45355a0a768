"""What the parser says: terminals in the user's words, the form of every statement, near misses."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from circuitspec.language.tables import tables

FORMS = {
    "circuitspec": "circuitspec 1",
    "use": 'use "shared.circuit"',
    "hypothesis": "hypothesis NAME [refines OTHER] { ... }",
    "task": "task NAME { template ... slot ... metric ... }",
    "template": 'template NAME "When {IO} and {S1} went to"',
    "slot": "slot IO, S1 from names.english distinct one_token",
    "words": 'words fruits = "apple", "pear"',
    "table": 'table plural { "cat": "cats", "mouse": "mice" }',
    "position": "position BIG = argmax(A, B)",
    "metric": "metric logit_diff = logit(IO) - logit(S1)",
    "baseline": "baseline abc = resample(IO, S1)",
    "sample": "sample evaluation 200, reference 200 each template, seed 0",
    "bos": "bos yes",
    "tokens": "tokens integer 0..63",
    "answers": "answers spaced",
    "prompts": 'prompts from "prompts.jsonl"',
    "model": 'model "gpt2" revision "607a30d"',
    "role": "role induction = a5.h5, a6.h9 @ S2 attends S1+1 carries position(S1)",
    "open": 'open a7.h1 @ S2 "why it is not understood"',
    "keep": "keep mlps @ *",
    "edge": "edge previous_token -> induction.k",
    "group": "group movers = name_mover, backup_mover",
    "drop": "drop backup_mover",
    "sweep": 'sweep revision "step1000", "step2000"',
    "protocol": "protocol NAME { ablate by nodes with mean from abc over template }",
    "expect": "expect NAME [under PROTOCOL] { ... require ... }",
    "ablate": "ablate complement by nodes with mean from abc over template",
    "patch": "patch all s_inhibition -> name_mover.q from abc through mlps",
    "scrub": "scrub over task draws 4",
    "given": "given ablated name_mover",
    "run": "run from noised restore m4..m6 @ SUBJ[-1]",
    "knockouts": "knockouts groups, roles, random 100, greedy 10x10x10",
    "each": "each head given { movers before it; role }",
    "accept": "accept blind",
    "until": "until decided, at most 2000",
    "require": "require logit_diff >= 80% * model.logit_diff ci 95",
}
"""An example of every statement, shown where one is malformed."""

_KINDS = {
    "NAME": "a name",
    "DOTTED": "a name",
    "NUMBER": "a number",
    "NUMBER_CHANNEL": "a head",
    "TRIPLE": "three numbers such as `10x10x10`",
    "STRING": "a string in double quotes",
    "DOCSTRING": "a docstring",
    "$END": "the end of the file",
}
_ORDER = ("a name", "a number", "a head", "a string in double quotes")
_OPERATORS = {"+", "-", "*", "/", "mod", "%", "==", "!=", "<", "<=", ">", ">="}


def described(terminals: Iterable[str]) -> list[str]:
    """Terminals in the user's words, each once; arithmetic is summed up as one of them."""
    literal = {name: text for text, name in tables().literals.items()}
    texts = {literal.get(t, "") for t in terminals}
    words = {_KINDS[t] for t in terminals if t in _KINDS}
    if {"a name", "a number", "a string in double quotes"} <= words and "(" in texts:
        words -= {"a name", "a number", "a string in double quotes"}
        words.add("an expression")
        texts -= {"(", "-"}
    if {"+", "/"} <= texts:
        texts -= _OPERATORS - {">=", "<=", ">", "<", "=="}
        words.add("an operator")
    ordered = [word for word in _ORDER if word in words] + sorted(words - set(_ORDER))
    signs = sorted(text for text in texts if text and not text[0].isalpha())
    keywords = sorted(text for text in texts if text and text[0].isalpha())
    return ordered + [f"`{text}`" for text in signs + keywords]


def listed(words: list[str], conjunction: str = "or", most: int = 8) -> str:
    """`a, b or c`; long lists are cut."""
    if len(words) > most:
        return ", ".join(words[:most]) + ", ..."
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + f" {conjunction} {words[-1]}"


@lru_cache(maxsize=4096)
@lru_cache(maxsize=4096)
def nearest(word: str, known: frozenset[str]) -> str | None:
    """The known word that a misspelt one was meant for, if one is near enough."""
    lowered = word.lower()
    found = []
    for candidate in known:
        limit = 1 if len(candidate) < 5 else 2 if len(candidate) < 8 else 3
        distance = edit_distance(lowered, candidate, limit)
        if distance <= limit and distance < len(candidate) - 1:
            # Slips seldom hit the first letter.
            found.append((distance, candidate[0] != lowered[:1], candidate))
    return min(found)[2] if found else None


def edit_distance(a: str, b: str, limit: int) -> int:
    """Optimal string alignment distance (a swap of neighbours counts one), at most `limit + 1`."""
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        earlier, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and y == a[i - 2]:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            return limit + 1
    return row[-1]


def placed(block: str) -> str:
    """Where the statements of a block stand, in words."""
    return "At the top of a file" if block == "file" else f"Inside `{block} {{ }}`"
