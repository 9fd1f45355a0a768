"""The terminal table: golden at two widths, never wider than it may be, the same without colour."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from rich.cells import cell_len
from syrupy.assertion import SnapshotAssertion

from circuitspec.judge.records import RunResult
from circuitspec.report import terminal

ANSI = re.compile(r"\x1b\[[0-9;]*m")
SAMPLES = ["held", "every_verdict", "awkward"]


@pytest.fixture(params=SAMPLES)
def sample(request: pytest.FixtureRequest) -> RunResult:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("width", [80, 120])
def test_golden(sample: RunResult, width: int, snapshot: SnapshotAssertion) -> None:
    assert terminal.render(sample, width=width) == snapshot


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 300])
def test_no_line_is_wider_than_the_page(sample: RunResult, width: int) -> None:
    for line in terminal.render(sample, width=width).splitlines():
        assert cell_len(line) <= width, line
        assert line == line.rstrip()


def test_colour_changes_nothing_but_colour(sample: RunResult) -> None:
    plain = terminal.render(sample, width=100)
    coloured = terminal.render(sample, width=100, color=True)
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
    assert ANSI.sub("", coloured) == plain


def test_every_claim_requirement_and_reason_is_there(every_verdict: RunResult) -> None:
    page = " ".join(terminal.render(every_verdict, width=80).split())
    for hypothesis in every_verdict.hypotheses:
        assert hypothesis.name in page
        for claim in hypothesis.claims:
            assert claim.name in page
            for requirement in claim.requirements:
                assert requirement.text.removesuffix(" ci 95") in page
                assert (requirement.reason or "") in page
                assert (requirement.shown or "") in page


def test_verdicts_are_told_apart_without_colour(every_verdict: RunResult) -> None:
    page = terminal.render(every_verdict, width=100)
    for line in (
        "✓ faithful",
        "✗ s_inhibition_is_used",
        "? compensation",
        "! subject_is_pushed_down",
        "✓ early_layers_suffice (expected refuted)",
    ):
        assert any(found.startswith(line) for found in page.splitlines()), line


def test_a_requirement_on_several_heads_is_said_once(every_verdict: RunResult) -> None:
    page = terminal.render(every_verdict, width=100).splitlines()
    start = page.index("    attention(name_mover) >= 0.5")
    assert [line.split()[:3] for line in page[start + 1 : start + 4]] == [
        ["✓", "a9.h9", "0.81"],
        ["✓", "a9.h6", "0.62"],
        ["✗", "a10.h0", "0.31"],
    ]


def test_of_a_band_the_nearer_end_is_shown(held: RunResult) -> None:
    page = terminal.render(held, width=100)
    line = next(x for x in page.splitlines() if "within 20%" in x)
    assert line.split()[-6:] == ["0.20", "[0.06,", "0.35]", "≥", "0", "200"]


def test_of_a_band_the_upper_end_may_be_the_nearer(held: RunResult) -> None:
    first = held.hypotheses[0]
    upper = replace(
        first.claims[0].requirements[0],
        estimate=-0.2,
        interval=(-0.35, -0.05),
        contrasts=(
            {"relation": ">=", "threshold": 0.0, "estimate": 1.1},
            {"relation": "<=", "threshold": 0.0, "estimate": -0.2},
        ),
    )
    claim = replace(first.claims[0], requirements=(upper,))
    page = terminal.render(replace(held, hypotheses=(replace(first, claims=(claim,)),)))
    line = next(x for x in page.splitlines() if "within 20%" in x)
    assert line.split()[-3:] == ["≤", "0", "200"]


def test_markup_in_a_reason_is_text(awkward: RunResult) -> None:
    assert "NaN in the [bold]logits[/bold] | of 3 prompts <b>" in terminal.render(awkward)


def test_fold_keeps_every_character() -> None:
    text = "a bb  ccc 名前を動かすヘッド" + "x" * 50
    assert "".join("".join(terminal.fold(text, 7)).split()) == "".join(text.split())
    assert all(cell_len(line) <= 7 for line in terminal.fold(text, 7))
    assert terminal.fold("", 10) == [""]
