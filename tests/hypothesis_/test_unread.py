"""A mistake of syntax is told, and what only follows from it is not."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from circuitspec.language.diagnostics import Severity
from circuitspec.language.parser import parse
from circuitspec.loading import load_spec

from ..language.test_injected_mistakes import injected, places
from .specs import GOOD, SHIPPED

FILES = [SHIPPED / "ioi_gpt2.circuit", *sorted((SHIPPED / "tasks").glob("*.circuit"))]
METRIC = "metric logit_diff = logit(IO) - logit(S1)"
PROTOCOL = "ablate by nodes with mean from abc over template"


def said(text: str, path: Path | str = "spec.circuit") -> Counter[str]:
    """Codes of all that `check` finds but notes."""
    found = load_spec(path, text=text, prompts="few").diagnostics
    return Counter(d.code for d in found if d.severity is not Severity.NOTE)


@pytest.mark.parametrize(
    ("was", "becomes", "code"),
    [
        # Names that stood in what could not be read, or may have.
        (METRIC, "metric logit_diff = logit(IO) -", "C011"),
        (METRIC, "metric = logit(IO)", "C011"),
        (METRIC, "metric logit_diff = logit(IO) - 1e999", "C010"),
        ("slot IO, S1 from", "slot IO, S1", "C011"),
        ("baseline abc =", "baseline abc", "C011"),
        ("carries token(IO)\n", "carries token(IO\n", "C011"),
        ("role dup = a0.h1, a0.h2 @ S2", "role dup = @ S2", "C011"),
        # The rest of a statement that was read in part.
        ("role dup = a0.h1, a0.h2 @ S2", "role dup = a0.h1, a0.h2 @", "C011"),
        ("require incompleteness <= 1 ci 95", "require incompleteness <= ci 95", "C011"),
        # What seems to be missing.
        ("edge inhibit -> mover.q", "edge inhibit -> mover.x", "C017"),
        ("edge input -> dup.qkv", "edge input -> dup.x", "C017"),
        ("knockouts groups, roles", "knockouts {}", "C011"),
        ("require incompleteness <= 1 ci 95", "require <= 1 ci 95", "C011"),
        ("patch all inhibit -> mover.q", "patch all inhibit > mover.q", "C011"),
        (PROTOCOL, "ablate by nodes mean from abc over template", "C011"),
        ("sample evaluation 100, reference 100", "sample evaluation", "C011"),
        ('model "toy"', "model toy", "C011"),
    ],
)
def test_one_slip_is_one_message(was: str, becomes: str, code: str) -> None:
    assert GOOD.count(was) == 1
    assert said(GOOD.replace(was, becomes)) == {code: 1}


def test_what_is_elsewhere_is_told_all_the_same() -> None:
    text = GOOD.replace("require incompleteness <= 1 ci 95", "require <= 1 ci 95")
    assert said(text.replace("carries token(IO)", "carries token(II)")) == {"C011": 1, "T011": 1}
    assert said(text.replace("ablate complement", "ablate complemen")) == {"C011": 1, "H001": 1}
    again = text.replace("require logit_diff <= 50% * model.logit_diff ci 95", "accept blind")
    assert said(again) == {"C011": 1, "H024": 1}


def test_a_misspelt_keyword_is_read_as_what_it_must_mean() -> None:
    text = GOOD.replace("  edge dup -> inhibit.kv", "  egde dup -> inhibt.kv")
    assert said(text) == {"C003": 1, "H001": 1}


def echoes(path: Path, rounds: int) -> tuple[int, int]:
    """Slips put into a good spec one at a time, and the findings that are not the parser's."""
    text, spans = places(path)
    rng = random.Random(path.name)
    slips = more = 0
    for _ in range(rounds):
        wrong = injected(rng, text, spans, 1)
        if wrong is not None:
            slips += 1
            more += said(wrong, path).total() - len(parse(wrong)[1])
    return slips, more


def test_slips_anywhere_have_no_echo() -> None:
    assert all(not said(path.read_text("utf-8"), path) for path in FILES)
    slips, more = map(sum, zip(*(echoes(path, 4) for path in FILES), strict=True))
    assert slips > 30
    assert more <= slips // 15
