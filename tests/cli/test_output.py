"""Output: files, encodings without our signs, colour only where wanted, progress when slow."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest

from circuitspec.cli import progress as progress_module
from circuitspec.cli.output import emit, wants_color, width_of, write
from circuitspec.cli.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_signs_become_plain_where_the_encoding_has_none() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    write("✓ −0.5 ≥ ∞ 名", stream)
    assert raw.getvalue() == b"+ -0.5 >= inf ?"


def test_a_file_is_written_as_utf8_with_its_folders(tmp_path: Path) -> None:
    file = tmp_path / "new" / "result.txt"
    assert emit("✓\n", file) is None
    assert file.read_bytes() == "✓\n".encode()


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    problem = emit("x", tmp_path)
    assert problem is not None
    assert problem.startswith(f"cannot write {tmp_path}: ")


@pytest.mark.parametrize(
    ("environment", "stream", "wanted"),
    [
        ({}, Terminal(), True),
        ({}, io.StringIO(), False),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({"TERM": "dumb"}, Terminal(), False),
    ],
)
def test_colour(
    environment: dict[str, str],
    stream: io.StringIO,
    wanted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert wants_color(stream) is wanted


def test_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert width_of(io.StringIO()) == 100
    monkeypatch.setenv("COLUMNS", "72")
    assert width_of(io.StringIO()) == 72


def test_no_bar_where_nobody_looks_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PATIENCE", 0.0)
    stream = io.StringIO()
    with ProgressBar(stream=stream) as bar:
        time.sleep(0.05)
        bar(1, 10, "running")
    assert stream.getvalue() == ""


def test_no_bar_for_what_is_soon_over() -> None:
    stream = Terminal()
    with ProgressBar(stream=stream) as bar:
        bar(1, 10, "running")
    assert stream.getvalue() == ""


def test_a_bar_for_what_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_module, "PATIENCE", 0.0)
    stream = Terminal()
    with ProgressBar("loading [not markup]", stream) as bar:
        wait_for("loading [not markup]", stream)
        bar(3, 4, "judging")
        wait_for("75%", stream)
    assert "judging" in stream.getvalue()


def wait_for(text: str, stream: io.StringIO) -> None:
    deadline = time.monotonic() + 20
    while text not in stream.getvalue() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert text in stream.getvalue()


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "SPEC", "--output", "SPEC"),
        ("verify", "SPEC", "--report", "SPEC"),
        ("verify", "SPEC", "--output", "NEW", "--report", "NEW"),
        ("verify", "SPEC", "--report", "FOLDER"),
        ("verify", "SPEC", "--plots", "SPEC"),
        ("compare", "SPEC", "SPEC", "--output", "SPEC"),
        ("sweep", "SPEC", "--output", "SPEC"),
        ("plan", "SPEC", "--output", "FOLDER"),
        ("scan", "ioi-mini", "SPEC", "--output", "SPEC"),
        ("prompts", "SPEC", "--output", "LINK"),
        ("render", "SPEC", "--output", "SPEC"),
    ],
    ids=" ".join,
)
def test_nothing_that_is_read_is_written_over(
    run, spec: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    places = {"SPEC": spec, "NEW": tmp_path / "new", "FOLDER": tmp_path / "folder"}
    places["FOLDER"].mkdir()
    places["LINK"] = tmp_path / "link"
    places["LINK"].symlink_to(spec)
    before = spec.read_bytes()
    done = run(*(places.get(argument, argument) for argument in command[:-1]), places[command[-1]])
    assert (done.code, done.out) == (2, "")
    assert "cannot write" in done.err
    assert str(places[command[-1]]) in done.err
    assert spec.read_bytes() == before
    assert not places["NEW"].exists()
