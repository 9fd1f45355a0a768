"""Good files: they parse, `fmt` gives the golden layout, and Lark itself accepts them."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.language.parser import parse, parse_file
from circuitspec.language.printer import to_text
from circuitspec.language.tables import grammar_text, lark_parser

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GOOD = sorted((HERE / "good").glob("*.circuit"))
SHIPPED = sorted((ROOT / "specs").rglob("*.circuit"))


def named(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", GOOD + SHIPPED, ids=named)
def test_it_parses(path: Path) -> None:
    spec, diagnostics = parse_file(path)
    assert diagnostics == ()
    assert spec.statements


@pytest.mark.parametrize("path", GOOD, ids=named)
def test_its_layout_is_the_golden_one(path: Path) -> None:
    spec, _ = parse_file(path)
    assert to_text(spec) == path.with_suffix(".formatted").read_text("utf-8")


@pytest.mark.parametrize("path", GOOD + SHIPPED, ids=named)
@pytest.mark.parametrize("width", [1, 60, 110])
def test_layout_keeps_the_tree_and_settles(path: Path, width: int) -> None:
    spec, _ = parse_file(path)
    text = to_text(spec, width=width)
    again, diagnostics = parse(text)
    assert diagnostics == ()
    assert again == spec
    assert to_text(again, width=width) == text


@pytest.mark.parametrize("path", SHIPPED, ids=named)
def test_shipped_specs_are_laid_out(path: Path) -> None:
    assert to_text(parse_file(path)[0]) == path.read_text("utf-8")


def test_lark_accepts_what_is_accepted_here() -> None:
    lark = lark_parser(grammar_text())
    for path in GOOD + SHIPPED:
        lark.parse(path.read_text("utf-8"))
