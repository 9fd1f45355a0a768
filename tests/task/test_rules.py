"""Every code of the task has a page, and its examples are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from circuitspec.language.diagnostics import has_errors
from circuitspec.language.explain import codes, explain, page
from circuitspec.language.parser import parse
from circuitspec.language.syntax import Task
from circuitspec.task.build import build

SOURCE = Path(__file__).parents[2] / "circuitspec" / "task"
OWN = [code for code in codes() if code.startswith("T")]


def test_every_code_has_a_page_and_every_page_a_code():
    used = {
        code
        for file in SOURCE.glob("*.py")
        for code in re.findall(r'"(T\d{3})"', file.read_text(encoding="utf-8"))
    }
    assert used == set(OWN)


def findings(text, tokenizer, folder):
    spec, mistakes = parse(text, "example.circuit")
    assert not mistakes, [m.message for m in mistakes]
    (task,) = [s for s in spec.hypotheses[0].statements if isinstance(s, Task)]
    _, diagnostics = build(task, tokenizer, base_dir=folder)
    return diagnostics


@pytest.mark.parametrize("code", OWN)
def test_the_example_gives_the_code_and_the_other_does_not(code, word_level, tmp_path):
    rule = page(explain(code))
    assert rule.code == code
    bad, good = rule.spec("Example"), rule.spec("Use instead")
    if bad is None or good is None:
        assert (bad, good) == (None, None)
        return
    assert code in {d.code for d in findings(bad, word_level, tmp_path)}
    after = findings(good, word_level, tmp_path)
    assert code not in {d.code for d in after}
    assert not has_errors(after)
