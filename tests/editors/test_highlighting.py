"""One table of tokens, two highlighters: complete, current, and right about what words are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from circuitspec.editors.pygments import CircuitspecLexer
from circuitspec.editors.textmate import SCOPE, grammar, grammar_text
from circuitspec.hypothesis.measures import MEASURES
from circuitspec.hypothesis.measures import PREFIXES as RUNS
from circuitspec.language.meanings import CLAUSES, FUNCTIONS, STATEMENTS
from circuitspec.language.tables import tables
from circuitspec.language.tokens import DECLARING, PREFIXES, REGIONS, token_kinds
from circuitspec.language.wording import FORMS
from circuitspec.task import functions

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.circuit"))
GRAMMAR = ROOT / "editors/vscode/syntaxes/circuitspec.tmLanguage.json"
KEYWORDS = {text for text in tables().literals if text[0].isalpha()}


def lexed(text: str) -> list[tuple[str, str]]:
    """What is not blank, with the kind Pygments gives it."""
    lexer = CircuitspecLexer(stripnl=False, ensurenl=False)
    return [(str(kind).removeprefix("Token."), word) for kind, word in lexer.get_tokens(text)]


def kinds(text: str) -> list[tuple[str, str]]:
    return [(kind, word) for kind, word in lexed(text) if word.strip()]


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_every_character_of_every_spec(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = lexed(text)
    assert "".join(word for _, word in found) == text
    assert not [word for kind, word in found if kind.startswith("Error")]
    assert not [word for kind, word in found if kind == "Text" and word.strip()]


def test_what_words_are() -> None:
    text = (
        "role late = a9.h9, m3 @ S1+1 attends S2[-1] carries position(S1), (A + B) mod 113  # why"
    )
    assert kinds(text) == [
        ("Keyword.Declaration", "role"), ("Name.Class", "late"), ("Operator", "="),
        ("Name.Constant", "a9.h9"), ("Punctuation", ","), ("Name.Constant", "m3"),
        ("Operator", "@"), ("Name", "S1"), ("Operator", "+"), ("Literal.Number", "1"),
        ("Keyword.Pseudo", "attends"), ("Name", "S2"), ("Punctuation", "["), ("Operator", "-"),
        ("Literal.Number", "1"), ("Punctuation", "]"), ("Keyword.Pseudo", "carries"),
        ("Name.Function", "position"), ("Punctuation", "("), ("Name", "S1"), ("Punctuation", ")"),
        ("Punctuation", ","), ("Punctuation", "("), ("Name", "A"), ("Operator", "+"),
        ("Name", "B"), ("Punctuation", ")"), ("Operator", "mod"), ("Literal.Number", "113"),
        ("Comment.Single", "# why"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "word", "kind"),
    [
        ("edge early -> late.kv", "kv", "Name.Attribute"),
        ("edge early -> a9.h9.q", "q", "Name.Attribute"),
        ("edge early -> a9.h9.q", "a9.h9", "Name.Constant"),
        ("edge input -> late.q", "input", "Name.Builtin"),
        ("slot S1 from names.english distinct", "names.english", "Name.Namespace"),
        ("require x <= 50% * model.x ci 95", "50%", "Literal.Number"),
        ("require x <= 50% * model.x ci 95", "model", "Name.Namespace"),
        ('model "gpt2" revision "x"', "model", "Keyword"),
        ("position BIG = argmax(A, B)", "BIG", "Name.Class"),
        ("position BIG = argmax(A, B)", "argmax", "Name.Function"),
        ("expect refuted no_such { }", "no_such", "Name.Class"),
        ("expect refuted no_such { }", "refuted", "Keyword.Pseudo"),
        ("knockouts greedy 10x10x10", "10x10x10", "Literal.Number"),
        ("scrub over task draws 4", "task", "Keyword"),
        ('template a "x {IO} {{y}} \\n"', "{IO}", "Literal.String.Interpol"),
        ('template a "x {IO} {{y}} \\n"', "{{", "Literal.String.Escape"),
        ('template a "x {IO} {{y}} \\n"', "\\n", "Literal.String.Escape"),
        ('"""a "quoted" word"""', "a ", "Literal.String.Doc"),
        ('words w = "never closed\nrole r = a0.h0 @ END', "role", "Keyword.Declaration"),
    ],
)
def test_a_word_in_its_place(text: str, word: str, kind: str) -> None:
    assert (kind, word) in lexed(text)


def test_pygments_finds_the_lexer_where_it_is_installed() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    entry = re.search(r'"pygments\.lexers"\]\ncircuitspec = "(.+):(.+)"', pyproject)
    assert entry is not None
    assert (entry[1], entry[2]) == (CircuitspecLexer.__module__, CircuitspecLexer.__name__)
    assert CircuitspecLexer.filenames == ["*.circuit"]


def test_the_textmate_grammar_is_current() -> None:
    stale = "run `python scripts/build_textmate.py`"
    assert GRAMMAR.read_text(encoding="utf-8") == grammar_text(), stale


def test_the_textmate_grammar_holds_together() -> None:
    data = grammar()
    assert data["scopeName"] == SCOPE
    included = [p["include"] for p in data["patterns"]]
    included += [i["include"] for r in data["repository"].values() for i in r.get("patterns", ())]
    assert {name.removeprefix("#") for name in included} == set(data["repository"])
    assert json.loads(grammar_text()) == data
    for rule in data["repository"].values():
        for key in ("match", "begin", "end"):
            if key in rule:
                re.compile(rule[key])


def test_every_kind_can_be_met() -> None:
    """No pattern is hidden by those before it: each kind of token is in some spec or here."""
    text = "".join(path.read_text(encoding="utf-8") for path in SPECS)
    text += "expect refuted no { }\nposition P = A + 1;\nx -> a1.h1.q\n"
    met = {kind for kind, _ in lexed(text)}
    for kind in token_kinds():
        for name in [kind.pygments, *(pygments for pygments, _ in kind.parts)]:
            full = name.replace("Number", "Literal.Number").replace("Whitespace", "Text.Whitespace")
            assert full in ("", *met), kind.name
    assert {f"Literal.{region.pygments}" for region in REGIONS} <= met


def test_tables_agree_with_the_language() -> None:
    openers = frozenset[str]().union(*tables().openers.values())
    assert set(DECLARING) <= openers
    assert PREFIXES == RUNS
    assert set(STATEMENTS) == set(FORMS) == openers | {"circuitspec"}
    assert set(STATEMENTS) | set(CLAUSES) == KEYWORDS


def test_every_function_has_a_meaning() -> None:
    known = {*MEASURES, *functions.VALUE_FUNCTIONS, *functions.SLOT_FUNCTIONS}
    known |= {*functions.ANSWER_FUNCTIONS, *functions.MEASURES, *functions.POSITION_FUNCTIONS}
    known |= {*functions.FEATURE_FUNCTIONS, *functions.BASELINE_FUNCTIONS}
    assert set(FUNCTIONS) <= known
    assert known <= set(FUNCTIONS) | KEYWORDS
    for said in [*STATEMENTS.values(), *CLAUSES.values(), *FUNCTIONS.values()]:
        assert said.endswith(".")
        assert len(said) < 160
