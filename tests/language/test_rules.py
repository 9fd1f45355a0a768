"""Every code has its page, and every page tells the truth."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from circuitspec.language.explain import codes, explain, page
from circuitspec.language.parser import parse

PACKAGE = Path(__file__).parents[2] / "circuitspec"
SYNTAX = [code for code in codes() if code.startswith("C")]


def used_codes() -> list[str]:
    """Codes that the package's source gives out."""
    found: set[str] = set()
    for source in PACKAGE.rglob("*.py"):
        found |= set(re.findall(r'"([CTHMV][0-9]{3})"', source.read_text(encoding="utf-8")))
    return sorted(found)


def found_in(text: str, code: str) -> set[str]:
    """The codes that a text gives: of the parser, or of the whole of `check`."""
    if code.startswith("C"):
        return {d.code for d in parse(text)[1]}
    from circuitspec.loading import load_spec

    return {d.code for d in load_spec("example.circuit", text=text).diagnostics}


@pytest.mark.parametrize("code", used_codes())
def test_every_code_has_a_page(code: str) -> None:
    text = explain(code)
    assert text is not None, f"circuitspec/language/rules/{code}.md is missing"
    assert page(text).code == code


@pytest.mark.parametrize("code", codes())
def test_the_example_gives_the_code_and_its_repair_does_not(code: str) -> None:
    text = explain(code)
    assert text is not None
    example, repaired = page(text).spec("Example"), page(text).spec("Use instead")
    if example is None:
        assert repaired is None
        return
    assert repaired is not None
    assert code in found_in(example, code)
    assert code not in found_in(repaired, code)


@pytest.mark.parametrize("code", SYNTAX)
def test_examples_of_syntax_have_that_mistake_only(code: str) -> None:
    text = explain(code)
    assert text is not None
    example, repaired = page(text).spec("Example"), page(text).spec("Use instead")
    if example is None or repaired is None:
        assert code in {"C020", "C021", "C022"}
        return
    assert [d.code for d in parse(example)[1]] == [code]
    assert parse(repaired)[1] == ()


def test_no_page_is_of_a_code_that_nothing_gives() -> None:
    assert sorted(set(codes()) - set(used_codes())) == []


@pytest.mark.parametrize("code", ["", "X", "C999", "../C001", "README", "C001.md"])
def test_other_words_have_no_page(code: str) -> None:
    assert explain(code) is None


def test_a_page_without_the_fixed_headings_is_refused() -> None:
    with pytest.raises(ValueError, match="headings"):
        page("# C001: no version\n\n## What it does\n\nNothing.\n")
