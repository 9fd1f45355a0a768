"""`circuitspec fmt`: specs in their one canonical layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from circuitspec.cli.exits import Exit
from circuitspec.cli.output import say, wants_color, write

EPILOG = """\b
Examples:
  circuitspec fmt specs/*.circuit          rewrite in place
  circuitspec fmt --check specs/           change nothing, exit 1 if something would change
  circuitspec fmt --diff spec.circuit      show what would change
  circuitspec fmt - < draft.circuit        from standard input to standard output

\b
Exit codes: 0 done, 1 something would change (--check, --diff), 2 a file cannot be read or parsed.
"""


def fmt(
    specs: Annotated[
        list[Path],
        typer.Argument(metavar="SPEC...", help="Spec files or folders; - is standard input."),
    ],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 if something would change.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Change nothing; print the changes as a diff.")
    ] = False,
) -> None:
    """Lay out spec files: one style, comments kept, meaning unchanged."""
    would_change = failed = False
    for path in _files(specs):
        outcome = _one(path, write_back=not (check or diff), diff=diff)
        failed = failed or outcome is None
        would_change = would_change or bool(outcome)
    if failed:
        raise typer.Exit(Exit.WRONG)
    raise typer.Exit(Exit.FINDINGS if would_change and (check or diff) else Exit.CLEAN)


def _files(specs: list[Path]) -> list[Path]:
    """The files named, and all `*.circuit` files of the folders named."""
    out: list[Path] = []
    for spec in specs:
        out += sorted(spec.rglob("*.circuit")) if spec.is_dir() else [spec]
    return out


def _one(path: Path, *, write_back: bool, diff: bool) -> bool | None:
    """Whether a file's layout is not canonical; `None` where it cannot be read or parsed."""
    from circuitspec.cli import findings
    from circuitspec.language.diagnostics import Diagnostic, has_errors
    from circuitspec.language.parser import parse, read
    from circuitspec.language.printer import to_text

    stdin = str(path) == "-"
    unreadable: tuple[Diagnostic, ...] = ()
    if stdin:
        text = sys.stdin.read()
    else:
        text, unreadable = read(path)
    tree, mistakes = parse(text, str(path))
    found = unreadable if has_errors(unreadable) else (*unreadable, *mistakes)
    if has_errors(found):
        findings.show(found, {str(path): text}, stream=sys.stderr)
        return None
    laid_out = to_text(tree)
    changed = laid_out != text
    if diff and changed:
        write(_diff(text, laid_out, str(path)))
    elif stdin and write_back:
        write(laid_out)
    elif changed and write_back:
        try:
            path.write_text(laid_out, encoding="utf-8", newline="")
        except OSError as error:
            say(f"cannot write {path}: {error.strerror or error}")
            return None
        say(f"{path}: laid out")
    elif changed:
        say(f"{path}: would be laid out")
    return changed


def _diff(before: str, after: str, name: str) -> str:
    import difflib

    lines = list(
        difflib.unified_diff(
            before.splitlines(keepends=True),
            after.splitlines(keepends=True),
            fromfile=name,
            tofile=f"{name} (laid out)",
        )
    )
    lines = [line if line.endswith("\n") else f"{line}\n" for line in lines]
    if not wants_color(sys.stdout):
        return "".join(lines)
    shades = {"+": "32", "-": "31", "@": "36"}
    return "".join(
        f"\x1b[{shades[line[0]]}m{line[:-1]}\x1b[0m\n" if line[0] in shades else line
        for line in lines
    )
