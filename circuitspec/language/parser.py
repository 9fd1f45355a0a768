"""Text → syntax tree. Whatever the text, it gives a tree and the mistakes that were found."""

from __future__ import annotations

import codecs
from pathlib import Path

from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Severity, Span
from circuitspec.language.lexer import tokenize
from circuitspec.language.recovery import VERSION, Parser
from circuitspec.language.syntax import SpecFile

MAX_BYTES = 16 * 1024 * 1024
"""Larger files are refused: no hypothesis is that long, and a checker must not be stalled."""


def parse(text: str, file: str = "<text>") -> tuple[SpecFile, tuple[Diagnostic, ...]]:
    """The tree of a spec and its mistakes of syntax, in the order of the file; never raises.

    After a mistake reading goes on at the next statement, so the tree holds all that was well
    formed, and every mistake of the file is reported in one go.
    """
    tokens = tokenize(text, file)
    parser = Parser(tokens)
    spec = parser.run()
    found = dict.fromkeys([*parser.diagnostics, *parser.builder.diagnostics])
    if spec.version == VERSION:  # of a version that is not known, nothing else can be said
        found |= dict.fromkeys(tokens.diagnostics)
    return spec, tuple(sorted(found, key=lambda d: (d.span.start, d.span.end, d.code)))


def decode(data: bytes, file: str = "<bytes>") -> tuple[str, tuple[Diagnostic, ...]]:
    """The text of a file's bytes: UTF-8, and nothing else. What is not is replaced by U+FFFD."""
    if len(data) > MAX_BYTES:
        return "", (
            Diagnostic(
                code="C022",
                message=f"`{file}` is larger than {MAX_BYTES // 2**20} MiB",
                span=_start(file),
                hint="is this a spec? Prompts and word lists belong in files of their own",
            ),
        )
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "", (
            Diagnostic(
                code="C020",
                message="this file is encoded in UTF-16; specs are UTF-8",
                span=_start(file),
                hint="save it as UTF-8",
            ),
        )
    found: list[Diagnostic] = []
    if data.startswith(codecs.BOM_UTF8):
        data = data[len(codecs.BOM_UTF8) :]
        found.append(
            Diagnostic(
                code="C021",
                message="this file starts with a byte order mark",
                span=_start(file),
                severity=Severity.WARNING,
                hint="save it as UTF-8 without BOM",
            )
        )
    try:
        return data.decode("utf-8"), tuple(found)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        line = before.count("\n") + 1
        column = len(before) - (before.rfind("\n") + 1) + 1
        span = Span(
            file=file,
            start=len(before),
            end=len(before) + 1,
            line=line,
            column=column,
            end_line=line,
            end_column=column + 1,
        )
        found.append(
            Diagnostic(
                code="C020",
                message=f"byte 0x{data[error.start]:02x} is not UTF-8",
                span=span,
                hint="save the file as UTF-8",
            )
        )
        return data.decode("utf-8", errors="replace"), tuple(found)


def parse_bytes(data: bytes, file: str = "<bytes>") -> tuple[SpecFile, tuple[Diagnostic, ...]]:
    """`parse` for the bytes of a file. What cannot be decoded is not parsed."""
    text, found = decode(data, file)
    if any(d.severity is Severity.ERROR for d in found):
        return SpecFile(version=1), found
    spec, mistakes = parse(text, file)
    return spec, found + mistakes


def read(path: Path | str) -> tuple[str, tuple[Diagnostic, ...]]:
    """The text of a spec file; a file that cannot be read gives a diagnostic and no text."""
    path = Path(path)
    file = str(path)
    try:
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        return "", (
            Diagnostic(
                code="C022",
                message=f"cannot read `{file}`: {_reason(path, error)}",
                span=NO_SPAN,
                hint="give the path of a `.circuit` file",
            ),
        )
    return decode(data, file)


def parse_file(path: Path | str) -> tuple[SpecFile, tuple[Diagnostic, ...]]:
    """`read`, then `parse`."""
    text, found = read(path)
    if any(d.severity is Severity.ERROR for d in found):
        return SpecFile(version=1), found
    spec, mistakes = parse(text, str(path))
    return spec, found + mistakes


def _reason(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, ValueError):
        return "this is no path"
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, IsADirectoryError):
        return "it is a directory"
    return (error.strerror or "the system refuses").lower()


def _start(file: str) -> Span:
    return Span(file=file, start=0, end=0, line=1, column=1, end_line=1, end_column=1)
