"""The worked examples of the documentation: they hold, and the pages print what they give."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from circuitspec.verification import Options, verify

ROOT = Path(__file__).parents[2]
SPEC = ROOT / "specs" / "ioi_mini_claims.circuit"
PAGES = ROOT / "docs" / "explanation" / "claims"


def squeezed(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.slow
def test_the_examples_hold_and_are_printed_as_they_are() -> None:
    pages = squeezed("".join(page.read_text() for page in sorted(PAGES.glob("*.md"))))
    names = [
        line.removeprefix("  expect ").removeprefix("refuted ").split()[0]
        for line in SPEC.read_text().splitlines()
        if line.startswith("  expect ")
    ]
    result, found = verify(SPEC, options=Options(only=tuple(f"examples.{n}" for n in names)))
    assert result is not None, found
    (hypothesis,) = result.hypotheses
    assert {c.name: c.verdict for c in hypothesis.claims} == dict.fromkeys(names, "holds")
    for claim in hypothesis.claims:
        for requirement in claim.requirements:
            assert squeezed(requirement.text) in pages, requirement.text
            if requirement.shown is not None:
                assert requirement.shown in pages, requirement.shown


def blocks(page: Path) -> list[str]:
    """The claims that a page shows."""
    found: list[str] = []
    for line in page.read_text().splitlines():
        if line.startswith("    expect "):
            found.append("")
        if found and line.startswith("    ") and found[-1].count("{") >= found[-1].count("}"):
            if found[-1].count("{") and found[-1].count("{") == found[-1].count("}"):
                continue
            found[-1] += line + "\n"
    return found


NAMED = sorted(page for page in PAGES.glob("*.md") if page.name != "README.md")


@pytest.mark.parametrize("page", NAMED, ids=lambda page: page.stem)
def test_every_page_has_its_parts(page: Path) -> None:
    """A definition, with an equation or table; a source; what is not shown; an example."""
    text = page.read_text()
    assert "## Definition" in text
    assert re.search(r"^## (What it does not show|What it shows, and what it does not)", text, re.M)
    assert re.search(r"^## Examples?$", text, re.M)
    assert re.search(r"[a-z]\.? \(?(19|20)\d\d", text), "no paper is named"
    definition = text[text.index("## Definition") :]
    assert re.search(r"^    .* = ", definition, re.M) or "| m(C) / m(M) |" in definition


@pytest.mark.parametrize("page", NAMED, ids=lambda page: page.stem)
def test_what_a_page_shows_is_in_a_spec_that_runs(page: Path) -> None:
    """Word for word: in the specs of examples, in those of scrubs, or in a test of this folder."""
    sources = [SPEC, ROOT / "specs" / "models" / "induction.circuit"]
    sources += [Path(__file__).parent / "test_given.py"]
    known = squeezed(" ".join(source.read_text() for source in sources))
    shown = [squeezed(block) for block in blocks(page)]
    assert shown
    for block in shown:
        assert block in known, block


@pytest.mark.slow
def test_the_scrub_on_its_page() -> None:
    spec = ROOT / "specs" / "ioi_mini_scrubbing.circuit"
    result, found = verify(spec, options=Options(only=("names_are_passed_on.scrubbed",)))
    assert result is not None, found
    ((claim,),) = (h.claims for h in result.hypotheses)
    page = squeezed((PAGES / "causal-scrubbing.md").read_text())
    (requirement,) = claim.requirements
    assert claim.verdict == "holds"
    assert requirement.shown is not None
    assert requirement.shown in page, requirement.shown
    for note in claim.notes:
        assert squeezed(note) in page, note
