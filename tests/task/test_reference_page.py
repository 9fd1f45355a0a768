"""The examples of the reference page are tasks without mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from circuitspec.language.parser import parse
from circuitspec.language.syntax import Task
from circuitspec.task import functions
from circuitspec.task.build import build
from circuitspec.task.words import built_in_names

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "tasks.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```circuit\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda t: re.search(r"task (\w+)", t)[1])
def test_examples_build(text, word_level, tmp_path):
    spec, mistakes = parse(text, "tasks.md")
    assert not mistakes
    (task,) = [s for s in spec.statements if isinstance(s, Task)]
    data, diagnostics = build(task, word_level, base_dir=tmp_path, used=("BIG", "SMALL"))
    assert data is not None, [d.message for d in diagnostics]
    assert not diagnostics


def test_everything_is_on_the_page():
    written = set(re.findall(r"[\w.]+", PAGE))
    assert len(EXAMPLES) >= 4
    assert set(built_in_names()) <= written
    for table in (
        functions.VALUE_FUNCTIONS,
        functions.SLOT_FUNCTIONS,
        functions.ANSWER_FUNCTIONS,
        functions.MEASURES,
        functions.POSITION_FUNCTIONS,
        functions.FEATURE_FUNCTIONS,
        functions.BASELINE_FUNCTIONS,
    ):
        assert set(table) <= written
