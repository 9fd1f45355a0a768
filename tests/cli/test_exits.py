"""Exit codes, and that nothing a user does ends in a traceback."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from circuitspec import cli
from circuitspec.cli.exits import Exit, exit_of, guarded, internal_error
from circuitspec.judge.records import (
    ClaimResult,
    HypothesisResult,
    ModelRecord,
    RunResult,
    VerdictName,
)

MODEL = ModelRecord(
    name="m", revision=None, architecture="gpt2", dtype="float32", processing="none",
    transformer_lens="4.3", torch="2.13", device="cpu",
)  # fmt: skip


def run(verdict: VerdictName, *claims: VerdictName) -> RunResult:
    hypothesis = HypothesisResult(
        name="h", file="f", verdict=verdict, model=MODEL, n_nodes=0, n_edges=0, competence={},
        claims=tuple(
            ClaimResult(
                name=f"c{i}", verdict=v, reason=None, measures={}, draws={}, requirements=()
            )
            for i, v in enumerate(claims)
        ),
        self_checks=(),
    )  # fmt: skip
    return RunResult(
        verdict=verdict, hypotheses=(hypothesis,), seed=0, seconds=0, cost={}, batch_size=1
    )


@pytest.mark.parametrize(
    ("result", "code"),
    [
        (run("holds", "holds", "holds"), 0),
        (run("refuted", "holds", "refuted"), 1),
        (run("refuted", "refuted", "invalid"), 1),
        (run("invalid", "refuted", "invalid"), 1),  # whatever the totals say
        (run("inconclusive", "holds", "inconclusive"), 3),
        (run("invalid", "inconclusive", "invalid"), 3),
        (run("invalid", "holds"), 3),  # a failed self-check
        (run("holds"), 0),
    ],
)
def test_verify_codes(result: RunResult, code: int) -> None:
    assert exit_of(result) == code


def test_internal_errors_are_one_sentence_and_never_exit_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught, guarded(debug=False):
        raise ZeroDivisionError("no such luck")
    assert caught.value.code == Exit.INTERNAL == 70
    shown = capsys.readouterr()
    assert "internal error ZeroDivisionError" in shown.err
    assert "no such luck" in shown.err
    assert "--debug" in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit), guarded(debug=True):
        raise ZeroDivisionError("no such luck")
    assert "Traceback" in capsys.readouterr().err


def test_the_sentence_names_our_last_line() -> None:
    with pytest.raises(AttributeError) as caught:
        exit_of(None)  # type: ignore[arg-type]  # made to fail inside the package
    assert "at circuitspec/cli/exits.py:" in internal_error(caught.value)


def test_interrupts_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, guarded(debug=False):
        raise KeyboardInterrupt
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_an_interrupt_that_an_import_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    """numpy may catch it while it is imported, and then cannot be imported again."""
    # what runs in the background ignores Ctrl-C, and then so does this process
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def importing() -> None:
        with contextlib.suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        raise ImportError("cannot load module more than once per process")

    try:
        with pytest.raises(SystemExit) as caught, guarded(debug=False):
            importing()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught.value.code == 130
    assert capsys.readouterr() == ("", "")


def test_a_crash_inside_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("circuitspec.loading.load_spec", broken)
    monkeypatch.setattr(sys, "argv", ["circuitspec", "check", "x.circuit", "--debug"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == 70
    err = capsys.readouterr().err
    assert "internal error RuntimeError" in err
    assert "Traceback" in err


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (BrokenPipeError, 141)])
def test_interrupts_inside_a_command(
    error: type[BaseException],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("circuitspec.loading.load_spec", interrupted)
    monkeypatch.setattr("circuitspec.cli.exits.silence_stdout", lambda: None)
    monkeypatch.setattr(sys, "argv", ["circuitspec", "check", "x.circuit"])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert caught.value.code == code
    assert capfd.readouterr() == ("", "")


def circuitspec(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "circuitspec", *arguments],
        capture_output=True, text=True, timeout=60, check=False, **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [("chekc", "x"), ("verify",), ("verify", "--format", "pdf", "x"), ("check", "--frobnicate")],
)
def test_wrong_commands_exit_2(arguments: tuple[str, ...]) -> None:
    done = circuitspec(*arguments)
    assert done.returncode == 2
    assert "Error:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_misspelt_command_is_guessed() -> None:
    assert "'check'" in circuitspec("chekc", "x").stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes are different there")
def test_a_reader_that_goes_away_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "circuitspec", "--help"],
        stdout=write, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(write)
    assert done.stderr == ""
    assert done.returncode != 0
