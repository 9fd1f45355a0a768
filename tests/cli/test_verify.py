"""`verify` before anything is computed: the spec first, then what has to be installed."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `pip install circuitspec` without extras."""
    monkeypatch.setattr("circuitspec.extras.NEEDED", ("no_such_module_for_sure",))


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("command", [("verify", "SPEC"), ("scan", "ioi-mini", "SPEC")])
def test_missing_extras_say_what_to_run(run, spec: Path, command: tuple[str, ...]) -> None:
    done = run(*(spec if argument == "SPEC" else argument for argument in command))
    assert (done.code, done.out) == (2, "")
    assert "pip install 'circuitspec[verify]'" in done.err
    assert "no_such_module_for_sure" in done.err


@pytest.mark.usefixtures("bare")
def test_mistakes_are_told_without_the_extras(run, wrong: Path) -> None:
    done = run("verify", wrong)
    assert done.code == 2
    assert "error[H010]" in done.err
    assert "pip install" not in done.err
