"""Bad files: the whole rendered message of each is in the golden file beside it.

`python -m tests.language.test_bad` writes the golden files anew; look at the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.language.explain import codes
from circuitspec.language.parser import decode, parse_bytes
from circuitspec.language.rendering import render

BAD = sorted((Path(__file__).parent / "bad").glob("*.circuit"))


def named(path: Path) -> str:
    return path.stem


def told(path: Path) -> str:
    """All that is said of a file, as in a terminal."""
    data = path.read_bytes()
    _, diagnostics = parse_bytes(data, path.name)
    return render(diagnostics, {path.name: decode(data)[0]})


@pytest.mark.parametrize("path", BAD, ids=named)
def test_what_is_said_is_the_golden_text(path: Path) -> None:
    assert told(path) == path.with_suffix(".txt").read_text("utf-8")


@pytest.mark.parametrize("path", BAD, ids=named)
def test_a_file_has_the_mistake_it_is_named_for(path: Path) -> None:
    found = {d.code for d in parse_bytes(path.read_bytes(), path.name)[1]}
    if path.stem.startswith("C"):
        assert found == {path.stem[:4]}
    else:
        assert len(found) > 2


def test_every_rule_of_syntax_has_a_bad_file() -> None:
    shown = {path.stem[:4] for path in BAD}
    # C022: a file that is not there cannot be a file of the corpus.
    assert {code for code in codes() if code.startswith("C")} - shown == {"C022"}


if __name__ == "__main__":
    for bad in BAD:
        bad.with_suffix(".txt").write_text(told(bad), encoding="utf-8")
