"""k mistakes put into good specs give k messages: none is lost, and none sets off others."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from circuitspec.language import syntax as s
from circuitspec.language.parser import parse, parse_file
from circuitspec.language.printer import contents, is_block

ROOT = Path(__file__).parents[2]
SPECS = sorted((ROOT / "specs").rglob("*.circuit")) + sorted(
    (Path(__file__).parent / "good").glob("*.formatted")
)
TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\w+(?:\.\w+)*|->|\.\.|[<>=!]=|\+-|[^\w\s]')


def leaves(statements: object) -> Iterator[s.Located]:
    """Statements that open no block."""
    for statement in statements:  # type: ignore[attr-defined]  # any sequence of statements
        if is_block(statement):
            yield from leaves(contents(statement))
        else:
            yield statement


def broken(rng: random.Random, text: str) -> str:
    """A statement with one slip of the hand."""
    tokens = list(TOKEN.finditer(text))
    choice = rng.randrange(6)
    first = tokens[0]
    if choice == 0:  # a letter of the keyword lost
        at = rng.randrange(1, len(first[0]))
        return text[:at] + text[at + 1 :]
    if choice == 1:  # two letters swapped
        at = rng.randrange(1, len(first[0]))
        return text[: at - 1] + text[at] + text[at - 1] + text[at + 1 :]
    if choice == 2:  # a character of no language
        at = rng.choice(tokens).start()
        return text[:at] + rng.choice("$?&~^") + " " + text[at:]
    if choice == 3 and '"' in text:  # a closing quote lost
        at = text.rindex('"')
        return text[:at] + text[at + 1 :]
    lost = rng.choice(tokens[1:] or tokens)
    if choice == 4:  # a word or sign written twice
        return text[: lost.end()] + " " + lost[0] + text[lost.end() :]
    return text[: lost.start()] + text[lost.end() :]  # lost


def injected(rng: random.Random, text: str, spans: list[tuple[int, int]], count: int) -> str | None:
    """The text with slips in some statements; `None` where one of them is no mistake by itself."""
    whole = text
    for start, end in sorted(rng.sample(spans, count), reverse=True):
        slip = broken(rng, whole[start:end])
        if not parse(whole[:start] + slip + whole[end:])[1]:
            return None
        text = text[:start] + slip + text[end:]
    return text


def places(path: Path) -> tuple[str, list[tuple[int, int]]]:
    """A spec's text and where its statements stand."""
    text = path.read_text("utf-8")
    spec, _ = parse(text)
    return text, [(one.span.start, one.span.end) for one in leaves(spec.statements)]


def slips(seed: int, count: int, rounds: int) -> list[int]:
    """How many messages texts with so many slips gave."""
    said = []
    for path in SPECS:
        rng = random.Random(f"{seed} {path.name}")  # a new spec changes no other's slips
        text, spans = places(path)
        for _ in range(rounds if len(spans) >= 3 * count else 0):
            wrong = injected(rng, text, spans, count)
            if wrong is not None:
                said.append(len(parse(wrong)[1]))
    return said


def test_one_slip_is_told_once() -> None:
    said = slips(seed=1, count=1, rounds=4)
    assert len(said) > 50
    assert set(said) <= {1, 2}
    assert said.count(2) <= 0.01 * len(said)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_as_many_slips_as_messages(count: int) -> None:
    said = slips(seed=count, count=count, rounds=4)
    assert len(said) > 10
    assert min(said) >= count
    assert max(said) <= count + 1
    assert sum(n > count for n in said) <= 0.02 * len(said)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 104))
def test_many_slips(seed: int) -> None:
    for count in (1, 2, 4, 8):
        said = slips(seed=seed, count=count, rounds=10)
        assert min(said) >= count
        assert max(said) <= count + 2
        assert sum(n > count for n in said) <= 0.03 * len(said)


SMALL = """circuitspec 1
hypothesis h {
  role movers = a9.h9 @ END
  expect complete {
    ablate complement by nodes with zero
    knockouts { movers }, { a9.h9 }, { a9.h6 }
    require incompleteness <= 20% * model.logit_diff ci 95
  }
  drop movers
  sweep model "gpt2"
}
"""


@pytest.mark.parametrize(
    ("was", "becomes", "codes"),
    [
        ("{ movers }, {", "movers }, {", ["C011"]),
        ("}, { a9.h9 }", "},  a9.h9 }", ["C011"]),
        ("}, { a9.h6 }", "},  a9.h6 }", ["C011"]),
        ("{ movers }, {", "{ movers } }, {", ["C007"]),
        ("{ movers }, {", "{ { movers }, {", ["C011"]),
        # The names are lost: the next line is a statement, not their place.
        ("drop movers", "drop", ["C011"]),
        ('drop movers\n  sweep model "gpt2"', 'drop\n  swep model "gpt2"', ["C011", "C003"]),
        ('drop movers\n  sweep model "gpt2"', "drop\n  sweep , model", ["C011", "C011"]),
        # A word inside a statement is a slip, whatever statement of another block it could open.
        ("model.logit_diff ci 95", "model.logit_diff task ci 95", ["C004"]),
        # Two in a block of one line.
        (
            "sweep model",
            "expect a { scrub over draws 4 require >= 0.6 ci 95 } sweep model",
            ["C011", "C011"],
        ),
    ],
)
def test_what_a_slip_is_told_as(was: str, becomes: str, codes: list[str]) -> None:
    wrong = SMALL.replace(was, becomes)
    assert wrong != SMALL
    assert not parse(SMALL)[1]
    assert [d.code for d in parse(wrong)[1]] == codes


def test_a_clause_is_not_taken_for_a_statement_of_another_block() -> None:
    (found,) = parse("circuitspec 1\ntask t { sample evaluation all each template, seed 0 }")[1]
    assert found.message == "`each` cannot follow this `sample`"


def test_a_statement_goes_on_in_lines_that_are_indented() -> None:
    spec, found = parse(SMALL.replace("drop movers", "drop\n    movers"))
    assert not found
    assert spec == parse(SMALL)[0]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_a_lost_or_doubled_brace_is_told_once(path: Path) -> None:
    text = path.read_text("utf-8")
    line_ends = [found.end() for found in re.finditer(r"(?m)^ *\}$", text)]
    for end in line_ends:
        lost, doubled = text[: end - 1] + text[end:], text[:end] + "}" + text[end:]
        for wrong in (lost, doubled):
            found = parse(wrong)[1]
            assert [d.code for d in found] in (["C006"], ["C007"]), (end, found)


def test_a_tree_holds_every_statement_that_is_well_formed() -> None:
    rng = random.Random(3)
    for path in SPECS:
        text, spans = places(path)
        start, end = rng.choice(spans)
        wrong = text[:start] + "?" * (end - start) + text[end:]
        spec, diagnostics = parse(wrong)
        assert [d.code for d in diagnostics] == ["C012"]
        whole = list(leaves(parse_file(path)[0].statements))
        left = [one for one in whole if one.span.start != start]
        assert list(leaves(spec.statements)) == left
