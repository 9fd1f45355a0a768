"""`render`: what it writes where, and what it says of a file that it cannot draw."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import GOOD, Run, write


def test_svg_to_a_file(run: Run, spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "mini.svg"
    done = run("render", spec, "-o", out)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert out.read_text(encoding="utf-8").startswith("<svg ")
    assert run("render", spec).out == out.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("form", "begins"), [("svg", "<svg"), ("dot", "digraph"), ("mermaid", "flowchart BT")]
)
def test_formats(run: Run, spec: Path, form: str, begins: str) -> None:
    done = run("render", spec, "--format", form)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(begins)
    assert "early" in done.out


def test_json(run: Run, spec: Path) -> None:
    done = run("render", spec, "--format", "json")
    assert json.loads(done.out)["hypothesis"] == "mini"


def test_the_first_hypothesis_unless_one_is_named(run: Run, tmp_path: Path) -> None:
    rivals = write(
        tmp_path / "rivals.circuit",
        GOOD + "hypothesis smaller refines mini { role early = a0.h2 @ S2 attends S1 }\n",
    )
    done = run("render", rivals, "--format", "dot")
    assert done.code == 0
    assert done.out.startswith('digraph "mini"')
    assert done.err == "drawn: mini; --hypothesis draws another: smaller\n"
    done = run("render", rivals, "--format", "dot", "--hypothesis", "smaller")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith('digraph "smaller"')
    assert run("render", rivals, "--hypothesis", "larger").code == 2


def test_a_spec_with_mistakes_is_not_drawn(run: Run, wrong: Path) -> None:
    done = run("render", wrong)
    assert (done.code, done.out) == (2, "")
    assert "error[" in done.err


def test_a_file_without_a_hypothesis(run: Run, tmp_path: Path) -> None:
    done = run("render", write(tmp_path / "empty.circuit", "circuitspec 1\n"))
    assert (done.code, done.out) == (2, "")
    assert "no hypothesis" in done.err


def test_a_place_that_cannot_be_written(run: Run, spec: Path) -> None:
    done = run("render", spec, "-o", spec / "inside.svg")
    assert done.code == 2
    assert "cannot write" in done.err


def test_drawing_imports_nothing_heavy(spec: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from circuitspec.cli import main\n"
            f"sys.argv = ['circuitspec', 'render', {str(spec)!r}]\n"
            "try: main()\nexcept SystemExit: pass\n"
            "heavy = {'torch', 'numpy', 'scipy', 'networkx', 'lark', 'pygls'}\n"
            "sys.exit(sorted(heavy & set(sys.modules)) or None)",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("<svg")
