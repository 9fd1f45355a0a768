"""The Python interface: what each function gives, what it raises, and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import circuitspec
from circuitspec.api import VerifyOptions
from circuitspec.report.json import dumps

SPECS = Path(__file__).parents[2] / "specs"
MINI = SPECS / "ioi_mini.circuit"
WRONG = "circuitspec 1\n\nhypothesis broken {\n  model 'x\n}\n"


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    path = tmp_path / "wrong.circuit"
    path.write_text(WRONG, encoding="utf-8")
    return path


def test_importing_it_and_the_light_functions_import_nothing_heavy() -> None:
    script = (
        "import sys, circuitspec\n"
        f"circuitspec.check({str(MINI)!r})\n"
        f"assert circuitspec.load({str(MINI)!r}).ok\n"
        f"assert circuitspec.prompts({str(MINI)!r})\n"
        "heavy = {'torch', 'transformer_lens', 'numpy', 'scipy', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_exported_is_there_and_documented() -> None:
    for name in circuitspec.__all__:
        assert getattr(circuitspec, name).__doc__, name
    assert set(dir(circuitspec)) >= {"verify", "compare"}
    with pytest.raises(AttributeError, match="no attribute 'verfy'"):
        circuitspec.verfy  # type: ignore[attr-defined]  # noqa: B018  # it is the point


def test_load_gives_hypotheses_and_prompts() -> None:
    loaded = circuitspec.load(MINI)
    assert loaded.ok
    (bound,) = loaded.bound
    assert bound.hypothesis.name == "ioi_mini"
    assert bound.task is not None
    assert len(bound.task.evaluation) == 240


def test_check_returns_what_is_wrong_and_raises_nothing(wrong: Path) -> None:
    assert [d for d in circuitspec.check(MINI) if d.severity.value != "note"] == []
    assert circuitspec.check(wrong)
    assert circuitspec.check("nowhere.circuit")[0].code == "C022"
    assert circuitspec.check("-", text=WRONG) != ()


@pytest.mark.parametrize("function", ["verify", "compare", "plan", "prompts"])
def test_a_wrong_spec_is_raised_with_its_diagnostics(function: str, wrong: Path) -> None:
    with pytest.raises(circuitspec.SpecError) as caught:
        getattr(circuitspec, function)(wrong)
    assert caught.value.diagnostics
    assert "wrong.circuit" in str(caught.value)
    assert "model 'x" in str(caught.value)  # the line itself


def test_prompts_are_those_of_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from circuitspec import cli

    monkeypatch.setattr(sys, "argv", ["circuitspec", "prompts", str(MINI)])
    with pytest.raises(SystemExit):
        cli.main()
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert circuitspec.prompts(MINI) == printed
    with pytest.raises(ValueError, match="it has: ioi_mini"):
        circuitspec.prompts(MINI, hypothesis="other")


def test_options_are_those_of_a_run() -> None:
    from circuitspec.verification import Options

    assert set(get_type_hints(VerifyOptions)) == {field.name for field in fields(Options)}


def test_plan_says_what_it_would_cost() -> None:
    (plan,) = circuitspec.plan(MINI)
    assert plan.hypothesis == "ioi_mini"
    assert plan.passes[-1].flops < plan.passes[0].flops


@pytest.fixture(scope="module")
def verified() -> tuple[Any, list[tuple[float, float, str]]]:
    seen: list[tuple[float, float, str]] = []
    result = circuitspec.verify(
        MINI,
        only=("faithful_by_nodes", "suppressor_attends"),
        n=48,
        controls=0,
        progress=lambda *now: seen.append(now),
    )
    return result, seen


def test_verify_gives_the_record_behind_the_json(verified: tuple[Any, list[Any]]) -> None:
    from circuitspec.report.json import document

    result, seen = verified
    assert [c.name for h in result.hypotheses for c in h.claims] == [
        "faithful_by_nodes",
        "suppressor_attends",
    ]
    assert json.loads(dumps(document(result)))["schema"] == "circuitspec.result/1"
    assert seen
    assert all(0 <= done <= total for done, total, _ in seen)


def test_results_become_rows_and_a_frame(verified: tuple[Any, list[Any]]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is an extra")
    result, _ = verified
    rows = circuitspec.rows(result)
    assert [row["claim"] for row in rows] == ["faithful_by_nodes"] * 2 + ["suppressor_attends"]
    assert all(row["low"] <= row["estimate"] <= row["high"] for row in rows)
    frame = circuitspec.frame(result)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame["claim"]) == [row["claim"] for row in rows]


def test_without_pandas_it_says_what_to_install(
    verified: tuple[Any, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install"):
        circuitspec.frame(verified[0])


def test_without_torch_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from circuitspec import api

    def missing(what: str) -> str:
        return f"{what} needs torch"

    monkeypatch.setattr(api, "missing_extras", missing)
    with pytest.raises(ImportError, match="verify needs torch"):
        circuitspec.verify(MINI)
