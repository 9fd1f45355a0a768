"""The page about comparing: its command is the one of `test_ioi_mini`, its figures are measured."""

from __future__ import annotations

import re
import shlex

import pytest

from circuitspec.comparing.records import Comparison
from circuitspec.report import compare as terminal

from .conftest import FILES, ROOT

PAGE = (ROOT / "docs" / "explanation" / "comparing.md").read_text(encoding="utf-8")
INDENTED = [line.strip() for line in re.findall(r"^    (.+)$", PAGE, re.M)]


def test_the_command_is_the_one_that_is_run_here() -> None:
    (command,) = (line for line in INDENTED if line.startswith("circuitspec"))
    assert [ROOT / word for word in shlex.split(command)[2:]] == FILES


@pytest.mark.slow
def test_every_line_of_output_is_printed(result: Comparison) -> None:
    printed = {line.strip() for line in terminal.render(result, width=100).splitlines()}
    shown = [line for line in INDENTED if not line.startswith("circuitspec")]
    assert len(shown) == 4
    assert set(shown) <= printed
