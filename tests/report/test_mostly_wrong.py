"""A model that mostly fails at its task: said in every output, without changing any verdict."""

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
