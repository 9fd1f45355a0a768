"""The page about Python: its code runs, and its table names every function and option."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import circuitspec
from circuitspec.api import RunOptions, VerifyOptions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


@pytest.mark.slow
def test_the_code_of_the_page_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas", reason="pandas is an extra")
    monkeypatch.chdir(ROOT)
    assert len(BLOCKS) == 4
    names: dict[str, Any] = {}
    printed = []
    for block in BLOCKS:
        exec(compile(block, "python.md", "exec"), names)
        printed.append(capsys.readouterr().out)
    assert printed[0].startswith("ioi_mini faithful_by_nodes holds")
    assert printed[1] == "['C022']\n"
    assert "ioi_mini is a better explanation than literature" in printed[2]
    assert printed[3].splitlines()[-1].split()[0] == "miss"


def test_the_table_has_every_function_with_its_options() -> None:
    table = dict(re.findall(r"^\| `(\w+)\((.*?)\)` \|", PAGE, re.M))
    functions = set(circuitspec.__all__) - {"__version__", "SpecError"}
    assert set(table) == functions
    options = {"verify": VerifyOptions, "compare": RunOptions}
    for name, written in table.items():
        stated = {word.strip(" *") for word in written.split(",")} - {""}
        parameters = set(inspect.signature(getattr(circuitspec, name)).parameters) - {"options"}
        more = set(options[name].__annotations__) if name in options else set()
        if name == "verify":
            more |= set(RunOptions.__annotations__)
        assert stated == parameters | more, name
