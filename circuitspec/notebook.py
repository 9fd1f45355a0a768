"""Notebooks: `%load_ext circuitspec.notebook`, then results show themselves, and a cell is a spec.

    %%circuitspec first.circuit --only readers_are_needed
    circuitspec 1
    ...

saves the cell under that name, as `%%writefile` does, and verifies it.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
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


class _Arguments(ArgumentParser):
    """A parser that raises where it would end the program."""

    def error(self, message: str) -> Any:
        raise ValueError(f"{message}\n{self.format_usage()}")


def circuitspec(line: str, cell: str) -> Shown:
    """Save a cell as a file and verify it; `line` has the file's name, then options of `verify`.

    Raises `SpecError` with the diagnostics as text where the spec is wrong, ValueError where the
    line is.
    """
    parser = _Arguments(prog="%%circuitspec", add_help=False)
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--n", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device")
    asked = parser.parse_args(shlex.split(line))
    asked.file.write_text(cell, encoding="utf-8")
    result = api.verify(
        asked.file, only=tuple(asked.only), n=asked.n, seed=asked.seed, device=asked.device
    )
    return Shown(result)


def load_ipython_extension(ipython: Any) -> None:
    """Called by `%load_ext`: the magic, and how results of `circuitspec.verify` are shown."""
    ipython.register_magic_function(circuitspec, "cell", "circuitspec")
    html = ipython.display_formatter.formatters["text/html"]
    html.for_type(RunResult, lambda result: Shown(result)._repr_html_())
