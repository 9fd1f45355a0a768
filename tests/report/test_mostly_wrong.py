"""A model that mostly fails, a claim that says nothing: in every output, changing no verdict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from circuitspec.judge.records import RunResult
from circuitspec.report import github, json, junit, markdown, terminal
from circuitspec.report.html import page

NOTE = "logit_diff: the model's top token is the right answer in only 20% of prompts"

Render = Callable[[RunResult], str]

OUTPUTS: dict[str, Render] = {
    "terminal": lambda result: " ".join(terminal.render(result, width=100).split()),
    "markdown": lambda result: markdown.render(result).replace("\\", ""),
    "html": lambda result: page.render(result).replace("&#x27;", "'").replace("&#39;", "'"),
    "notebook": lambda result: page.fragment(result).replace("&#x27;", "'"),
    "junit": junit.render,
    "github": lambda result: github.render(result).replace("%25", "%"),
    "json": json.render,
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_says_so(name: str, held: RunResult) -> None:
    (first, *others) = held.hypotheses
    failing = replace(
        held,
        hypotheses=(replace(first, competence={**first.competence, "notes": [NOTE]}), *others),
    )
    render = OUTPUTS[name]
    assert NOTE in render(failing)
    assert "only 20%" not in render(held)
    assert failing.verdict == held.verdict == "holds"


WARNING = "the empty circuit meets `agreement >= 0.8` too: that it holds says nothing"


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_warns_of_a_claim_that_says_nothing(name: str, held: RunResult) -> None:
    (first, *others) = held.hypotheses
    (claim, *more) = first.claims
    warned = replace(first, claims=(replace(claim, warnings=(WARNING,)), *more))
    render = OUTPUTS[name]
    text = render(replace(held, hypotheses=(warned, *others)))
    assert WARNING in text.replace("&gt;", ">")
    assert "says nothing" not in render(held)
    if name == "github":
        assert f"::warning file={first.file},title={first.name}.{claim.name}" in text
    if name in ("terminal", "markdown", "github"):  # and in the line that all is told by
        assert "1 verdict warned of" in text
