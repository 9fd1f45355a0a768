"""Fast enough to run at every save: little to import, no heavy dependency, thousands of lines."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from circuitspec.language.diagnostics import Severity
from circuitspec.language.parser import parse
from circuitspec.language.printer import to_text
from circuitspec.loading import load_spec

ROOT = Path(__file__).parents[2]
IOI = (ROOT / "specs" / "ioi_gpt2.circuit").read_text("utf-8")
HEAVY = {"torch", "transformer_lens", "transformers", "numpy", "scipy", "lark", "networkx", "rich"}


SLACK = 10
"""How much slower a machine may be than one core of today's: what fails is of another order."""


def many(copies: int) -> str:
    """The IOI spec over and over, its hypotheses renamed."""
    body = IOI.partition("circuitspec 1\n")[2]
    out = ["circuitspec 1\n"]
    for n in range(copies):
        one = body.replace("hypothesis ioi {", f"hypothesis ioi_{n} {{")
        out.append(one.replace("ioi_naive refines ioi", f"naive_{n} refines ioi_{n}"))
    return "".join(out)


def test_parsing_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from circuitspec.language.parser import parse\n"
        "from circuitspec.language.printer import to_text\n"
        "from circuitspec.language.rendering import render\n"
        "from circuitspec.language.explain import explain\n"
        "spec, found = parse(sys.stdin.read())\n"
        "assert found == () and to_text(spec) and explain('C001')\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=IOI,
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert HEAVY.isdisjoint(done.stdout.split())


def test_checking_imports_little() -> None:
    """What `check` imports is most of what it takes: 0.2 s with all of this, 0.5 s before."""
    script = (
        "import sys\n"
        "from circuitspec.loading import load_spec\n"
        "assert load_spec('specs/ioi_gpt2.circuit', prompts='few').ok\n"
        "print(*sorted(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        # No tokenizer is at hand, so that nothing is drawn with one.
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HOME": str(ROOT / "no_such_folder")},
    )
    modules = set(done.stdout.split())
    assert (HEAVY | {"importlib.resources", "tempfile", "tokenizers"}).isdisjoint(modules)
    assert "circuitspec.task.build" not in modules
    assert len([m for m in modules if m.startswith("circuitspec")]) < 110


def test_the_ioi_spec_takes_milliseconds() -> None:
    parse(IOI)  # the tables are read once
    best = float("inf")
    for _ in range(5):
        before = time.process_time()
        parse(IOI)
        best = min(best, time.process_time() - before)
    assert best < 0.02 * SLACK


def test_ten_thousand_lines() -> None:
    text = many(10_000 // IOI.count("\n") + 1)
    assert text.count("\n") >= 9_500
    before = time.process_time()
    spec, diagnostics = parse(text)
    took = time.process_time() - before
    assert diagnostics == ()
    assert len(spec.hypotheses) > 100
    assert took < 3 * SLACK
    before = time.process_time()
    loaded = load_spec("specs.circuit", text=text, prompts="few")
    took = time.process_time() - before
    assert {d.severity for d in loaded.diagnostics} == {Severity.NOTE}
    assert took < 3 * SLACK


@pytest.mark.slow
def test_time_grows_with_length_and_not_with_its_square() -> None:
    def seconds(text: str) -> float:
        taken = []
        for _ in range(3):
            before = time.process_time()
            parse(text)
            taken.append(time.process_time() - before)
        return min(taken)

    # Every line of it a mistake: recovery is linear too.
    wrong = "hypothesis h {\n" + "  role = a9.h9 @ END\n" * 2_000 + "}\n"
    small = seconds("circuitspec 1\n" + wrong)
    large = seconds("circuitspec 1\n" + wrong.replace("hypothesis h", "hypothesis g") + wrong * 3)
    assert large < 10 * small


def test_layout_of_ten_thousand_lines() -> None:
    text = many(40)
    spec, _ = parse(text)
    before = time.process_time()
    assert parse(to_text(spec))[0] == spec
    assert time.process_time() - before < 5 * SLACK
