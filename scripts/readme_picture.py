"""Draw the README's picture of a verify run: docs/images/verify.svg, from a real run.

    python scripts/readme_picture.py [SPEC] [--width 100]

The picture is what the terminal shows, through rich's SVG export, without its web fonts: a page
that shows it must not load anything.
"""

from __future__ import annotations

import argparse
import io
import os
import re
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI

from circuitspec.judge.records import RunResult
from circuitspec.report import terminal
from circuitspec.verification import verify

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "verify.svg"
FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"


def picture(result: RunResult, *, title: str, width: int) -> str:
    """The terminal report as SVG, in the reader's own monospaced font."""
    lines = terminal.lines(result, width=width)
    console = Console(
        record=True,
        width=max(line.cell_len for line in lines),
        file=io.StringIO(),
        force_terminal=True,
        highlight=False,
    )
    for line in lines:
        console.print(line, soft_wrap=True)
    svg = console.export_svg(title=title, theme=MONOKAI, unique_id="verify")
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    svg = re.sub(r"font-family: (Fira Code|arial)[^;]*;", f"font-family: {FONTS};", svg)
    return svg.replace("<!-- Generated with Rich https://www.textualize.io -->\n", "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("spec", nargs="?", default="specs/ioi_mini.circuit")
    parser.add_argument("--width", type=int, default=100)
    arguments = parser.parse_args()
    os.chdir(ROOT)  # the picture shows the spec's path as a reader of the README would type it
    result, diagnostics = verify(arguments.spec)
    if result is None:
        raise SystemExit("\n".join(d.message for d in diagnostics))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    text = picture(result, title=f"circuitspec verify {arguments.spec}", width=arguments.width)
    PICTURE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
