"""Exit codes, the same for every command, and how a run ends when something unforeseen happens."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from circuitspec.judge.records import HypothesisResult, RunResult, VerdictName


class Exit(IntEnum):
    """What a command's exit code says. `check` and `fmt --check` use the first three alone."""

    CLEAN = 0
    """Everything holds; nothing was found."""
    FINDINGS = 1
    """Something is refuted; something was found."""
    WRONG = 2
    """The spec or the command is wrong; a file cannot be read."""
    UNDECIDED = 3
    """Nothing is refuted, something is inconclusive or invalid."""
    INTERNAL = 70
    """A mistake in circuitspec itself (EX_SOFTWARE)."""
    INTERRUPTED = 130
    """Stopped with Ctrl-C."""
    BROKEN_PIPE = 141
    """Nobody reads the output any more."""


def exit_of(result: RunResult) -> Exit:
    """The exit code of a run, from every verdict in it."""
    return exit_for({result.verdict}.union(*(verdicts_in(h) for h in result.hypotheses)))


def verdicts_in(hypothesis: HypothesisResult) -> set[VerdictName]:
    """A hypothesis's verdict and those of its claims."""
    return {hypothesis.verdict, *(claim.verdict for claim in hypothesis.claims)}


def exit_for(verdicts: set[VerdictName]) -> Exit:
    """The exit code that says what all these verdicts come to."""
    if "refuted" in verdicts:
        return Exit.FINDINGS
    return Exit.CLEAN if verdicts == {"holds"} else Exit.UNDECIDED


def internal_error(error: BaseException) -> str:
    """One sentence for a mistake of ours, with what a report of it needs."""
    place = _innermost(error)
    where = f" at {place}" if place else ""
    return (
        f"circuitspec: internal error {type(error).__name__}{where}: {error}\n"
        "This is a bug in circuitspec, not in your spec. Please report it with the spec and the\n"
        "output of the same command with --debug.\n"
    )


def _innermost(error: BaseException) -> str:
    """`circuitspec/task/build.py:41`, the last of our own lines that the error came through."""
    place = ""
    traceback = error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename.replace(os.sep, "/")
        _, found, inside = file.rpartition("/circuitspec/")
        if found:
            place = f"circuitspec/{inside}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place


@contextmanager
def guarded(*, debug: bool) -> Iterator[None]:
    """Whatever happens inside ends in an exit code and at most one sentence, never a traceback."""
    with _noting_ctrl_c() as pressed:
        try:
            with quietly():
                yield
        except Exception as error:
            if pressed:  # swallowed while something was imported, which then failed
                raise SystemExit(Exit.INTERRUPTED) from None
            # The one place that catches everything: whatever a user does, a traceback is our
            # mistake, and Python's own exit code for it, 1, would read as "refuted".
            if debug:
                import traceback

                traceback.print_exception(error)
            sys.stderr.write(internal_error(error))
            raise SystemExit(Exit.INTERNAL) from None


@contextmanager
def _noting_ctrl_c() -> Iterator[list[int]]:
    """A list that is no longer empty once Ctrl-C was pressed, whatever became of it."""
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.default_int_handler(number, frame)

    # not of a thread, nor where the caller has a way of its own
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield pressed
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def quietly() -> Iterator[None]:
    """Ctrl-C and a reader that went away end the program without a word.

    As a decorator on every command, so that typer, whose versions differ in what they print and
    return for these, never meets them.
    """
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        raise SystemExit(Exit.INTERRUPTED) from None
    except BrokenPipeError:
        silence_stdout()
        raise SystemExit(Exit.BROKEN_PIPE) from None


def silence_stdout() -> None:
    """Send what is still buffered nowhere, so that the interpreter's last flush cannot fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
