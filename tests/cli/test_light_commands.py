"""`expand`, `prompts`, `fmt`, `explain`: what they print, and that none of them imports torch."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "transformer_lens", "transformers", "numpy", "scipy")


def test_expand_is_one_fact_a_line(run, spec: Path) -> None:
    done = run("expand", spec)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "hypothesis mini"
    assert "role early member a0.h1" in lines
    assert "edge a0.h1 -> a2.h3.k @ S2" in lines
    assert sum(line.startswith("edge ") for line in lines) == 7


def test_a_hypothesis_that_is_not_there(run, spec: Path) -> None:
    done = run("expand", spec, "--hypothesis", "maxi")
    assert done.code == 2
    assert "it has: mini" in done.err


def test_prompts_are_json_lines(run, spec: Path) -> None:
    done = run("prompts", spec)
    assert (done.code, done.err) == (0, "")
    lines = [json.loads(line) for line in done.out.splitlines()]
    names = [line["set"] for line in lines]
    assert names.count("evaluation") == 24
    assert names.count("counterfactual:abc") == 24
    assert names.count("reference:abc") == 48  # 24 each of two templates
    keys = ["set", "index", "pair", "template", "text", "tokens", "positions", "slots"]
    for line in lines:
        assert list(line)[:8] == keys
        assert line["positions"]["END"] == [len(line["tokens"]) - 1]
        assert (line["pair"] is not None) == line["set"].startswith("counterfactual")
    assert run("prompts", spec).out == done.out


def test_rivals_over_one_task_share_their_prompts(run, spec: Path) -> None:
    alone = run("prompts", spec).out
    rival = "hypothesis rival refines mini {\n  role late = a3.h2 @ END attends S2\n}\n"
    spec.write_text(spec.read_text() + rival)
    assert run("prompts", spec).out == alone


def test_a_seed_on_the_command_line(run, spec: Path) -> None:
    there = spec.with_name("seeded.circuit")
    there.write_text(spec.read_text().replace("seed 0", "seed 7"))
    assert run("prompts", spec, "--seed", "7").out == run("prompts", there).out
    assert run("prompts", spec, "--seed", "7").out != run("prompts", spec).out


def test_one_set_to_a_file(run, spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "abc.jsonl"
    done = run("prompts", spec, "--set", "counterfactual:abc", "--output", out)
    assert (done.code, done.out) == (0, "")
    assert len(out.read_text().splitlines()) == 24
    wrong = run("prompts", spec, "--set", "abc")
    assert wrong.code == 2
    assert "counterfactual:abc" in wrong.err


def test_prompts_as_a_table(run, spec: Path) -> None:
    done = run("prompts", spec, "--format", "table", "--set", "evaluation")
    first = json.loads(run("prompts", spec).out.splitlines()[0])
    assert "ioi, evaluation  24 prompts" in done.out
    assert first["text"] in done.out
    assert f"14 tokens; IO {first['positions']['IO'][0]}" in done.out


def test_no_prompts_without_a_tokenizer(run, spec: Path) -> None:
    there = spec.with_name("elsewhere.circuit")
    there.write_text(spec.read_text().replace('"ioi-mini"', '"nobody/no-such-model"'))
    done = run("prompts", there)
    assert (done.code, done.out) == (2, "")
    assert "no tokenizer" in done.err


UNTIDY = "    slot S2  from  S1   \n"


@pytest.fixture
def untidy(spec: Path) -> Path:
    spec.write_text(spec.read_text().replace("    slot S2 from S1\n", UNTIDY))
    return spec


def test_fmt_rewrites_once(run, untidy: Path) -> None:
    assert run("fmt", untidy).code == 0
    laid_out = untidy.read_text()
    assert UNTIDY not in laid_out
    assert run("fmt", untidy).code == 0
    assert untidy.read_text() == laid_out
    assert run("fmt", "--check", untidy).code == 0


def test_fmt_check_and_diff_change_nothing(run, untidy: Path) -> None:
    before = untidy.read_text()
    checked = run("fmt", "--check", untidy.parent)
    assert checked.code == 1
    assert "would be laid out" in checked.err
    diff = run("fmt", "--diff", untidy)
    assert diff.code == 1
    assert "-" + UNTIDY.rstrip("\n") in diff.out.splitlines()
    assert untidy.read_text() == before


def test_fmt_standard_input(run, untidy: Path) -> None:
    before = untidy.read_text()
    done = run("fmt", "-", stdin=before)
    assert done.code == 0
    assert run("fmt", untidy).code == 0
    assert done.out == untidy.read_text()


def test_fmt_leaves_what_it_cannot_parse(run, spec: Path) -> None:
    spec.write_text("circuitspec 1\nhypothesis {")
    done = run("fmt", spec)
    assert done.code == 2
    assert "error[" in done.err
    assert spec.read_text() == "circuitspec 1\nhypothesis {"


def test_explain_prints_the_page_of_every_code_that_check_prints(run, wrong: Path) -> None:
    document = json.loads(run("check", wrong, "--format", "json").out)
    for found in document["diagnostics"]:
        page = run("explain", found["code"].lower())
        assert page.code == 0
        assert found["code"] in page.out
    assert len(run("explain").out.splitlines()) > 20


def test_explain_an_unknown_code(run) -> None:
    done = run("explain", "C9999")
    assert done.code == 2
    assert "C9999" in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["verify", "--help"],
        ["check", "SPEC"],
        ["expand", "SPEC"],
        ["prompts", "SPEC"],
        ["fmt", "--check", "SPEC"],
        ["explain", "H010"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: list[str], spec: Path) -> None:
    program = (
        "import sys\n"
        "from circuitspec.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit:\n    pass\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules], file=sys.stderr)\n"
    )
    command = [str(spec) if argument == "SPEC" else argument for argument in arguments]
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "[]"


def test_check_starts_in_no_time(spec: Path) -> None:
    """CPU seconds of the best of five, as wall time is the neighbours' as well.

    It takes 0.3 s on an idle machine; a heavy import would add one second and more.
    """

    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "circuitspec", "check", str(spec)],
            capture_output=True, check=True, timeout=60,
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(once() for _ in range(5)) < 0.9
