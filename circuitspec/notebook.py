"""Notebooks: `%load_ext circuitspec.notebook`, then results show themselves, and a cell is a spec.

    %%circuitspec first.circuit --only readers_are_needed
    circuitspec 1
    ...

saves the cell under that name, as `%%writefile` does, and verifies it.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from circuitspec import api
from circuitspec.judge.records import RunResult


@dataclass(frozen=True, slots=True)
class Shown:
    """A result that a notebook shows as verdicts and claims; `result` is the record."""

    result: RunResult

    def _repr_html_(self) -> str:
        from circuitspec.report.html.page import fragment

        return fragment(self.result)

    def __repr__(self) -> str:
        from circuitspec.report.terminal import render

        return render(self.result)


class UsageError(ValueError):
    """A mistake in the line of a `%%circuitspec` cell. IPython shows it as a sentence."""

    def _render_traceback_(self) -> list[str]:
        """What IPython prints instead of frames, none of which is the user's."""
        return [f"UsageError: {self}"]


class _Arguments(ArgumentParser):
    """A parser that raises where it would end the program."""

    def error(self, message: str) -> Any:
        raise UsageError(f"{message}\n{self.format_usage()}")


def _at_least(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise ArgumentTypeError(f"{text!r} is not a whole number from {least} on")
        return value

    return number


def circuitspec(line: str, cell: str) -> Shown:
    """Save a cell as a file and verify it; `line` has the file's name, then options of `verify`.

    Raises `SpecError` with the diagnostics as text where the spec is wrong, `UsageError` where the
    line is.
    """
    parser = _Arguments(prog="%%circuitspec", add_help=False, allow_abbrev=False)
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--n", type=_at_least(1))
    parser.add_argument("--seed", type=_at_least(0))
    parser.add_argument("--device")
    try:
        words = shlex.split(line)
    except ValueError as error:  # a quotation mark without its other
        raise UsageError(f"{error} in `{line}`") from None
    asked = parser.parse_args(words)
    try:
        asked.file.write_text(cell, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {asked.file}: {error.strerror}") from None
    result = api.verify(
        asked.file, only=tuple(asked.only), n=asked.n, seed=asked.seed, device=asked.device
    )
    return Shown(result)


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext`: the magic, and how results of `circuitspec.verify` are shown."""
    ipython.register_magic_function(circuitspec, "cell", "circuitspec")
    html = ipython.display_formatter.formatters["text/html"]
    html.for_type(RunResult, lambda result: Shown(result)._repr_html_())
