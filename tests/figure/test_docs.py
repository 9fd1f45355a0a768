"""The page of figures: its picture is what its command makes."""

from __future__ import annotations

import re
import shlex

from circuitspec.report.figure.layout import layout
from circuitspec.report.figure.svg import to_svg
from tests.figure.scenes import ROOT, scene_of_file


def test_the_picture_is_current() -> None:
    page = (ROOT / "docs/reference/figures.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^    (circuitspec render specs.+)$", page, re.M)
    _, _, spec, flag, name, out_flag, out = shlex.split(command)
    assert (flag, out_flag) == ("--hypothesis", "-o")
    assert f"](../../{spec})" in page
    assert f"]({out.replace('docs', '..', 1)})" in page
    drawn = (ROOT / out).read_text(encoding="utf-8")
    assert to_svg(layout(scene_of_file(spec, name))) == drawn, f"run `{command}`"
