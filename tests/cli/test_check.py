"""`check`: every mistake in one run, each with its place and what to write instead."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

MISTAKES = {
    "T009": "nouns.ioi_places",  # word list
    "T011": None,  # slot in a metric
    "H010": None,  # backward edge
    "H001": "abc",  # baseline
    "H027": "logit_diff",  # metric in a requirement
}
"""Codes of the five mistakes, and what the hint must offer instead."""


def test_a_good_spec_is_clean(run, spec: Path) -> None:
    done = run("check", spec)
    assert (done.code, done.out) == (0, "")
    assert "no mistakes found" in done.err


def test_five_mistakes_are_five_diagnostics(run, wrong: Path) -> None:
    done = run("check", wrong)
    assert done.code == 1
    assert sorted(re.findall(r"^error\[(\w+)\]", done.out, re.M)) == sorted(MISTAKES)
    assert "5 errors" in done.err
    assert done.out.count("= hint: ") == 5
    assert "Traceback" not in done.out + done.err


def test_each_has_a_span_and_a_hint(run, wrong: Path) -> None:
    document = json.loads(run("check", wrong, "--format", "json").out)
    text = wrong.read_text()
    for found in document["diagnostics"]:
        span = found["span"]
        assert span["file"] == str(wrong)
        there = text[span["start"] : span["end"]]
        assert there.strip()
        assert there in text.splitlines()[span["line"] - 1]
        assert found["hint"]
        offered = MISTAKES[found["code"]]
        assert offered is None or offered in found["hint"]


@pytest.mark.parametrize("form", ["terminal", "json", "junit", "github", "markdown"])
def test_verify_refuses_them_with_2(run, wrong: Path, form: str) -> None:
    done = run("verify", wrong, "--format", form)
    assert done.code == 2
    assert len(re.findall(r"^error\[(\w+)\]", done.err, re.M)) == 5
    assert "Traceback" not in done.err
    match form:
        case "json":
            assert len(json.loads(done.out)["diagnostics"]) == 5
        case "junit":
            assert ET.fromstring(done.out).get("errors") == "5"
        case "github":
            assert done.out.count("::error ") == 5
        case _:
            assert done.out == ""


def test_github_annotations(run, wrong: Path) -> None:
    done = run("check", wrong, "--format", "github")
    assert done.code == 1
    lines = done.out.splitlines()
    assert len(lines) == 5
    assert all(line.startswith(f"::error file={wrong},line=") for line in lines)


def test_sarif(run, wrong: Path) -> None:
    done = run("check", wrong, "--format", "sarif")
    assert done.code == 1
    results = json.loads(done.out)["runs"][0]["results"]
    assert sorted(result["ruleId"] for result in results) == sorted(MISTAKES)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: folder / "absent.circuit", "no such file"),
        (lambda folder: folder, "directory"),
        (lambda folder: _bytes(folder / "latin.circuit", "é".encode("latin-1")), "UTF-8"),
        (lambda folder: _bytes(folder / "wide.circuit", "circuitspec 1".encode("utf-16")), "UTF-8"),
    ],
    ids=["absent", "directory", "latin-1", "utf-16"],
)
@pytest.mark.parametrize("command", ["check", "verify", "expand", "prompts"])
def test_what_cannot_be_read(run, tmp_path: Path, make, said: str, command: str) -> None:
    done = run(command, make(tmp_path))
    assert done.code == 2
    assert said in done.out + done.err
    assert "Traceback" not in done.out + done.err


def _bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_several_files_and_the_worst_code(run, spec: Path, wrong: Path, tmp_path: Path) -> None:
    assert run("check", spec, wrong).code == 1
    assert run("check", wrong, tmp_path / "absent.circuit", spec).code == 2


def test_standard_input(run, spec: Path) -> None:
    assert run("check", "-", stdin=spec.read_text()).code == 0
    done = run("check", "-", stdin=spec.read_text().replace("-> late.kv", "-> lat.kv"))
    assert done.code == 1
    assert "--> -:" in done.out


def test_warnings_are_findings_until_they_are_ignored(run, tmp_path: Path, spec: Path) -> None:
    unused = tmp_path / "unused.circuit"
    text = spec.read_text().replace("slot S2 from S1", 'slot S2 from S1\n    slot X from "a", "b"')
    unused.write_text(text)
    done = run("check", unused)
    assert done.code == 1
    assert "warning[T003]" in done.out
    ignored = run("check", unused, "--ignore", "t003")
    assert (ignored.code, ignored.out) == (0, "")
    assert "1 ignored" in ignored.err


def test_errors_cannot_be_ignored(run, wrong: Path) -> None:
    codes = [argument for code in MISTAKES for argument in ("--ignore", code)]
    assert run("check", wrong, *codes).code == 1


def test_what_could_not_be_checked_is_said(run, tmp_path: Path, spec: Path) -> None:
    there = tmp_path / "elsewhere.circuit"
    there.write_text(spec.read_text().replace('"ioi-mini"', '"nobody/no-such-model"'))
    done = run("check", there)
    assert done.code == 0
    assert "not checked: no tokenizer of 'nobody/no-such-model'" in done.out
    document = json.loads(run("check", there, "--format", "json").out)
    assert any("tokenizer" in sentence for sentence in document["not_checked"])


def test_words_are_checked_against_tokens(run, tmp_path: Path, spec: Path) -> None:
    there = tmp_path / "words.circuit"
    there.write_text(spec.read_text().replace("from nouns.ioi_places", 'from "store", "blorbity"'))
    done = run("check", there)
    assert done.code == 1
    assert "blorbity" in done.out


def test_an_empty_word_list(run, tmp_path: Path, spec: Path) -> None:
    (tmp_path / "none.txt").write_text("\n")
    there = tmp_path / "words.circuit"
    there.write_text(spec.read_text().replace("from nouns.ioi_places", 'from file "none.txt"'))
    done = run("check", there)
    assert done.code == 1
    assert "none.txt" in done.out


def test_files_that_a_spec_uses_are_named_from_here(
    run, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = spec.with_name("user.circuit")
    user.write_text('circuitspec 1\nuse "mini.circuit"\nhypothesis rival refines mini {\n}\n')
    spec.write_text(spec.read_text().replace("edge late -> logits", "edge late -> logits, early.q"))
    monkeypatch.chdir(spec.parent)
    done = run("check", "user.circuit")
    assert done.code == 1
    assert "--> mini.circuit:" in done.out
    assert "edge late -> logits, early.q" in done.out
    assert str(spec.parent) not in done.out
