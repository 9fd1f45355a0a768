"""Where output goes: a file or the terminal, in colour or not, in whatever encoding it has."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import typer

from circuitspec.cli.exits import Exit

WIDTH = 100
"""Columns where output is not a terminal and none are asked for."""

_PLAIN = str.maketrans(
    {
        "✓": "+",
        "✗": "x",
        "−": "-",
        "–": "-",
        "─": "-",
        "│": "|",
        "╭": "+",
        "╰": "+",
        "≥": ">=",
        "≤": "<=",
        "∞": "inf",
        "×": "x",
        "…": "...",
        "→": "->",
    }
)
"""What signs become where the output's encoding has none of them."""


def wants_color(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colour (NO_COLOR and FORCE_COLOR are heeded)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def width_of(stream: TextIO) -> int:
    """Columns of the terminal, or of COLUMNS, or 100 where the output is a file or a pipe."""
    if stream.isatty() or os.environ.get("COLUMNS"):
        return shutil.get_terminal_size((WIDTH, 24)).columns
    return WIDTH


def write(text: str, stream: TextIO | None = None) -> None:
    """Print `text` as it is; signs that the stream's encoding lacks become plain ones."""
    out = stream or sys.stdout
    encoding = getattr(out, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    out.write(text)
    out.flush()


def say(text: str) -> None:
    """Print a line for a person, apart from the output proper: on stderr."""
    write(text.rstrip("\n") + "\n", sys.stderr)


def reserve(*outputs: Path | None, reads: Iterable[Path | str]) -> None:
    """End the command, before it computes anything, where a file that it is to write is one that it
    reads, or is to be written twice, or is a folder."""
    taken = {os.path.realpath(path): "is what the command reads" for path in reads}
    for output in outputs:
        if output is None:
            continue
        problem = "is a folder" if output.is_dir() else taken.get(os.path.realpath(output))
        if problem is not None:
            say(f"cannot write to {output}: it {problem}; name another file")
            raise typer.Exit(Exit.WRONG)
        taken[os.path.realpath(output)] = "is to be written twice"


def emit(text: str, path: Path | None) -> str | None:
    """`text` to a file or to stdout; what went wrong in one sentence where it cannot be written."""
    if path is None:
        write(text)
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        return f"cannot write {path}: {error.strerror or error}"
    return None
