"""`circuitspec compare` on the command line: formats, exit codes, what is said of wrong specs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from circuitspec.cli.app import app

from .machines import ALL, NAIVE, hypothesis, machine, write


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole story, one as faithful, and one that is refuted."""
    return write(
        tmp_path_factory.mktemp("rivals"),
        machine(),
        hypothesis("full", ALL),
        hypothesis("naive", NAIVE),
        hypothesis("wrong", (("copier", "a0.h2"),)),
    )


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["compare", *map(str, arguments)])


def test_exit_codes_are_those_of_verify(spec: Path, tmp_path: Path) -> None:
    file = tmp_path / "out" / "comparison.json"
    done = run(f"{spec}::full", f"{spec}::naive", "--format", "json", "--output", file)
    assert (done.exit_code, done.output) == (0, "")
    assert json.loads(file.read_text("utf-8"))["schema"] == "circuitspec.comparison/1"
    done = run(f"{spec}::full", f"{spec}::wrong", "-f", "markdown")
    assert done.exit_code == 1
    assert done.output.startswith("## full against wrong\n")


@pytest.mark.parametrize(("first", "second", "code"), [("full", "naive", 0), ("naive", "full", 1)])
def test_with_expect_better_the_comparison_counts(
    spec: Path, first: str, second: str, code: int
) -> None:
    done = run(f"{spec}::{first}", f"{spec}::{second}", "--expect-better")
    assert done.exit_code == code, done.output


def test_the_same_circuit_is_not_a_failure_but_not_a_success(spec: Path) -> None:
    """Nobody is better: with `--expect-better` undecided, without it what the claims are."""
    text = spec.read_text("utf-8")
    twin = spec.with_name("twin.circuit")
    twin.write_text(text, encoding="utf-8")
    pair = (f"{spec}::full", f"{twin}::full")
    assert run(*pair).exit_code == 0
    done = run(*pair, "--expect-better")
    assert done.exit_code == 3
    assert "rivals::full and twin::full are the same circuit" in " ".join(done.output.split())


def test_prompts_of_their_own_leave_nothing_to_compare(spec: Path) -> None:
    text = spec.read_text("utf-8").replace("seed 0", "seed 1")
    other = spec.with_name("other.circuit")
    other.write_text(text, encoding="utf-8")
    done = run(f"{spec}::full", f"{other}::naive", "--expect-better", "--format", "json")
    assert done.exit_code == 3
    (pair,) = json.loads(done.output)["pairs"]
    assert (pair["outcome"], pair["differences"]) == ("unpaired", [])


def test_an_undecided_claim_is_3_as_it_is_of_verify(spec: Path) -> None:
    """A claim that no prompts can judge is invalid, whatever the comparison says."""
    text = spec.read_text("utf-8").replace("within 20% of", ">= 100% *")
    close = spec.with_name("close.circuit")
    close.write_text(text, encoding="utf-8")
    done = run(f"{close}::full", f"{close}::naive", "--format", "json")
    verdicts = {rival["result"]["verdict"] for rival in json.loads(done.output)["rivals"]}
    assert verdicts & {"inconclusive", "invalid"}
    assert "refuted" not in verdicts
    assert done.exit_code == 3


def test_the_margin_decides_what_matters(spec: Path) -> None:
    """Half of the model's metric is more than any of these circuits miss by."""
    done = run(f"{spec}::full", f"{spec}::naive", "--margin", 80, "--expect-better")
    assert done.exit_code == 3
    assert "not distinguishable at this n (100)" in done.output


def test_specs_that_cannot_be_compared(spec: Path, tmp_path: Path) -> None:
    assert run(f"{spec}::full").exit_code == 2
    assert "no rival" in run(f"{spec}::full").output
    assert run(f"{spec}::full", f"{spec}::nobody").exit_code == 2
    assert run(spec, tmp_path / "nowhere.circuit").exit_code == 2
