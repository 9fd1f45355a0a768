"""Bad files: the whole rendered message of each is in the golden file beside it.

The bad file of a rule about meaning is the example of its page, which `explain` prints.

`python -m tests.language.test_bad` writes the golden files anew; look at the difference.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from circuitspec.language.explain import codes, explain, page
from circuitspec.language.parser import decode, parse_bytes
from circuitspec.language.rendering import render
from circuitspec.loading import load_spec

CORPUS = Path(__file__).parent / "bad"
BAD = sorted(CORPUS.glob("*.circuit"))

EXAMPLES = {
    code: example
    for code in codes()
    if code[0] in "TH" and (example := page(explain(code) or "").spec("Example")) is not None
}
NOT_BY_TEXT_ALONE = {
    *("H021", "H060"),  # the syntax asks for the parts; of a flat list
    *("T030", "T031", "T032", "T035", "T039"),  # of a tokenizer
    *("T038", "T041"),  # of a file of prompts
    "T042",  # of a package that is installed
}
"""Rules that no spec by itself can break, each with tests of its own elsewhere."""


def named(path: Path) -> str:
    return path.stem


def told(path: Path) -> str:
    """All that is said of a file, as in a terminal."""
    data = path.read_bytes()
    _, diagnostics = parse_bytes(data, path.name)
    return render(diagnostics, {path.name: decode(data)[0]})


@pytest.mark.parametrize("path", BAD, ids=named)
def test_what_is_said_is_the_golden_text(path: Path) -> None:
    assert told(path) == path.with_suffix(".txt").read_text("utf-8")


def told_of(code: str) -> str:
    """All that `check` says of the example on a rule's page, whatever tokenizers are at hand."""
    file = f"{code}.circuit"
    draws: Literal["few", "none"] = "few" if code.startswith("T") else "none"
    found = load_spec(file, text=EXAMPLES[code], prompts=draws).diagnostics
    return render(found, {file: EXAMPLES[code]})


@pytest.mark.parametrize("code", EXAMPLES)
def test_what_is_said_of_an_example_is_the_golden_text(code: str) -> None:
    assert told_of(code) == (CORPUS / f"{code}.txt").read_text("utf-8")


def test_every_rule_of_meaning_has_an_example() -> None:
    assert {code for code in codes() if code[0] in "TH"} - {*EXAMPLES} == NOT_BY_TEXT_ALONE


@pytest.mark.parametrize("path", BAD, ids=named)
def test_a_file_has_the_mistake_it_is_named_for(path: Path) -> None:
    found = {d.code for d in parse_bytes(path.read_bytes(), path.name)[1]}
    if path.stem.startswith("C"):
        assert found == {path.stem[:4]}
    else:
        assert len(found) > 2


def test_every_rule_of_syntax_has_a_bad_file() -> None:
    shown = {path.stem[:4] for path in BAD}
    # C022: a file that is not there cannot be a file of the corpus.
    assert {code for code in codes() if code.startswith("C")} - shown == {"C022"}


if __name__ == "__main__":
    for bad in BAD:
        bad.with_suffix(".txt").write_text(told(bad), encoding="utf-8")
    for rule in EXAMPLES:
        (CORPUS / f"{rule}.txt").write_text(told_of(rule), encoding="utf-8")
