"""The worked examples of the documentation: they hold, and the pages print what they give."""

from __future__ import annotations

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
