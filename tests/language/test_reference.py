"""The language reference is current and whole, and its examples parse."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from circuitspec.language.builder import Builder
from circuitspec.language.meanings import CLAUSES, STATEMENTS
from circuitspec.language.parser import parse
from circuitspec.language.printer import to_text
from circuitspec.language.shapes import SHAPES
from circuitspec.language.tables import TABLES, grammar_text, tables, to_json
from circuitspec.language.wording import FORMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "language.md").read_text("utf-8")
AROUND = {
    "": "{}",
    "-task": "circuitspec 1\n\ntask t {{\n{}}}\n",
    "-hypothesis": "circuitspec 1\n\nhypothesis h {{\n{}}}\n",
    "-expect": "circuitspec 1\n\nhypothesis h {{ expect e {{\n{}}} }}\n",
}
EXAMPLES = re.findall(r"```circuit(-\w+)?\n(.*?)```", PAGE, flags=re.DOTALL)
SECTIONS = dict(re.findall(r"^### `(\w+)`\n(.*?)(?=^##)", PAGE, flags=re.DOTALL | re.MULTILINE))
OPENERS = sorted(frozenset[str]().union(*tables().openers.values()))


@pytest.mark.parametrize("script", ["build_language_reference.py", "build_grammar.py"])
def test_what_is_generated_is_current(script: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / script), "--check"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, f"run scripts/{script}"


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=lambda part: part[:24].strip())
def test_an_example_parses_and_is_laid_out(kind: str, text: str) -> None:
    spec, diagnostics = parse(AROUND[kind].format(text))
    assert diagnostics == ()
    if not kind:
        assert to_text(spec) == text


@pytest.mark.parametrize("word", [*OPENERS, "circuitspec"])
def test_every_statement_has_a_section_with_an_example(word: str) -> None:
    assert re.search(rf"\b{word}\b.*", SECTIONS[word])
    assert "```circuit" in SECTIONS[word] or f"`{word} " in SECTIONS[word]
    assert word in FORMS
    assert word in STATEMENTS


def test_no_section_is_of_a_statement_that_is_none() -> None:
    assert set(SECTIONS) == {*OPENERS, "circuitspec"}


@pytest.mark.parametrize("word", sorted(FORMS))
def test_the_forms_in_hints_parse(word: str) -> None:
    text = FORMS[word].replace("{ ... require ... }", "{ require p >= 0 ci 95 }")
    text = text.replace(" [under PROTOCOL]", "").replace(" [refines OTHER]", "")
    text = text.replace("{ ... }", "{ }").replace("template ... slot ... metric ...", "")
    if word == "circuitspec":
        whole = text
    else:
        home = next(block for block, words in tables().openers.items() if word in words)
        around = {
            "file": "{}",
            "hypothesis": "hypothesis h {{ {} }}",
            "task": "task t {{ {} }}",
            "expect": "hypothesis h {{ expect e {{ {} }} }}",
            "protocol": "protocol p {{ {} }}",
        }
        whole = "circuitspec 1\n" + around[home].format(text)
    assert parse(whole)[1] == ()


def test_every_keyword_is_explained() -> None:
    words = {text for text in tables().literals if text[0].isalpha()}
    assert words - set(STATEMENTS) - set(CLAUSES) == set()


def test_every_production_has_a_handler_and_every_shape_a_production() -> None:
    callbacks = {rule.callback for rule in tables().rules if not rule.spliced}
    inline = {rule.callback for rule in tables().rules if rule.inline}
    unhandled = {name for name in callbacks if not hasattr(Builder, name) and name not in SHAPES}
    assert unhandled <= inline
    assert set(SHAPES) <= callbacks


def test_the_tables_are_the_same_in_every_process() -> None:
    stored = json.loads((ROOT / "circuitspec" / "language" / TABLES).read_text("utf-8"))
    assert stored == json.loads(json.dumps(to_json(grammar_text())))


def test_what_stands_where_a_node_is_asked_for_is_a_node() -> None:
    from circuitspec.hypothesis.measures import MEASURES
    from circuitspec.language.names import NODE_FUNCTIONS

    of_nodes = {name for name, measure in MEASURES.items() if measure.argument.startswith("nodes")}
    assert of_nodes == NODE_FUNCTIONS
