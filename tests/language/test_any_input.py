"""Whatever the bytes, there is a tree and there are diagnostics; nothing raises or hangs."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitspec.language.diagnostics import Diagnostic, has_errors
from circuitspec.language.parser import MAX_BYTES, decode, parse, parse_bytes, parse_file, read
from circuitspec.language.recovery import MOST_VISITS, Parser
from circuitspec.language.rendering import render
from circuitspec.language.syntax import SpecFile

GOOD = sorted((Path(__file__).parent / "good").glob("*.circuit"))
WORDS = sorted(
    {word for path in GOOD for word in re.findall(r"\w+|[^\w\s]|\s+", path.read_text("utf-8"))}
    | {'"""', '"', "\\", "{", "}", "\x00", "é", "9.9.q", "+-", "1e999", "9" * 50, "“", "\ufeff"}
)
SECONDS = 2.0
"""A single small input may take this long on a busy machine; a hang takes for ever."""


def check(found: tuple[SpecFile, tuple[Diagnostic, ...]], text: str) -> None:
    """What holds of every result."""
    spec, diagnostics = found
    assert isinstance(spec, SpecFile)
    starts = [d.span.start for d in diagnostics]
    assert starts == sorted(starts)
    for diagnostic in diagnostics:
        assert re.fullmatch("C[0-9]{3}", diagnostic.code)
        assert 0 <= diagnostic.span.start <= diagnostic.span.end <= max(len(text), 1)
        assert diagnostic.message
    rendered = render(diagnostics, {diagnostics[0].span.file: text}) if diagnostics else ""
    assert rendered.count("\x1b") == 0


def mutated(rng: random.Random, text: str) -> str:
    """A good text with a few tokens lost, doubled or replaced."""
    parts = re.findall(r"\s+|\w+|[^\w\s]", text)
    for _ in range(rng.randint(1, 6)):
        at, what = rng.randrange(len(parts)), rng.random()
        if what < 0.35:
            del parts[at : at + rng.choice([1, 1, 1, 5, 40])]
        elif what < 0.7:
            parts.insert(at, rng.choice(WORDS))
        else:
            parts[at] = rng.choice(WORDS)
        if not parts:
            break
    return "".join(parts)


def fuzzed(rng: random.Random, texts: list[str]) -> bytes:
    """One input: a mutated spec, a heap of the language's words, or noise."""
    kind = rng.random()
    if kind < 0.5:
        return mutated(rng, rng.choice(texts)).encode("utf-8", "surrogatepass")
    if kind < 0.8:
        words = (rng.choice(WORDS) + rng.choice(["", " ", "\n"]) for _ in range(rng.randint(1, 60)))
        return ("circuitspec 1\n" + "".join(words)).encode("utf-8", "surrogatepass")
    return rng.randbytes(rng.randint(0, 80))


def run_fuzz(seed: int, count: int) -> float:
    """The longest time that an input took, in seconds."""
    rng = random.Random(seed)
    texts = [path.read_text("utf-8") for path in GOOD]
    longest = 0.0
    for _ in range(count):
        data = fuzzed(rng, texts)
        before = time.process_time()
        result = parse_bytes(data, "fuzzed.circuit")
        longest = max(longest, time.process_time() - before)
        check(result, decode(data)[0])
    return longest


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace")))
def test_any_bytes(data: bytes) -> None:
    check(parse_bytes(data, "any.circuit"), decode(data)[0])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(WORDS), max_size=60), st.sampled_from(["", " ", "\n"]))
def test_any_heap_of_words(words: list[str], between: str) -> None:
    text = "circuitspec 1\n" + between.join(words)
    check(parse(text, "heap.circuit"), text)


def test_mutated_specs() -> None:
    assert run_fuzz(seed=1, count=300) < SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 30))
def test_a_hundred_thousand_inputs(seed: int) -> None:
    assert run_fuzz(seed=seed, count=5000) < SECONDS


def test_recovery_never_needs_its_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    most = 0
    recover = Parser.recover

    def counted(self: Parser) -> None:
        nonlocal most
        recover(self)
        most = max(most, self.visits.most_common(1)[0][1])

    monkeypatch.setattr(Parser, "recover", counted)
    run_fuzz(seed=2, count=300)
    assert 1 < most < MOST_VISITS


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20_000,
        "circuitspec 1\ntask t { metric m = " + "-" * 20_000 + "1 }",
        "circuitspec 1\ntask t { metric m = " + "1 + " * 20_000 + "1 }",
        "circuitspec 1\ntask t { metric m = " + "f(" * 20_000 + "1" + ")" * 20_000 + "}",
        "circuitspec 1\n" + "{" * 20_000,
        "circuitspec 1\n" + "}" * 5_000,
        "circuitspec 1\n" + "hypothesis h { " * 2_000,
        "circuitspec 1\nhypothesis h { " + "role " * 5_000,
        'circuitspec 1\nwords w = "' + "\\" * 20_001,
        '"""' * 5_001,
        "circuitspec 1\n" + "\x00" * 20_000,
        "circuitspec 1\n" + "a9.h9 " * 5_000,
        "circuitspec " + "9" * 20_000,
        "circuitspec 1\nhypothesis h { role r = a" + "9" * 20_000 + ".h1 @ END }",
    ],
    ids=lambda text: text[-24:].encode("unicode_escape").decode(),
)
def test_deep_and_long_inputs_end(text: str) -> None:
    before = time.process_time()
    spec, diagnostics = parse(text, "deep.circuit")
    again, _ = parse(text, "deep.circuit")
    took = time.process_time() - before
    is_same, is_wrong = spec == again, has_errors(diagnostics)
    del spec, again, diagnostics  # or pytest would print them
    assert is_same
    assert is_wrong
    assert took < 10 * SECONDS


def test_parentheses_only_group() -> None:
    spec, diagnostics = parse(
        "circuitspec 1\ntask t { metric m = " + "(" * 9000 + "1" + ")" * 9000 + "}"
    )
    assert diagnostics == ()
    assert spec == parse("circuitspec 1\ntask t { metric m = 1 }")[0]


def test_an_expression_that_nests_too_deep_is_told_once() -> None:
    text = "circuitspec 1\ntask t {{ metric m = {}1 + {}1 metric n = {}1 }}"
    _, diagnostics = parse(text.format("-" * 64, "-" * 999, "-" * 63))
    assert [d.code for d in diagnostics] == ["C019", "C019"]


@pytest.mark.parametrize(
    ("data", "code", "line", "column"),
    [
        (b"circuitspec 1\n# caf\xe9\n", "C020", 2, 6),
        (b"\xff\xfec\x00i\x00", "C020", 1, 1),
        ("# é".encode() + b"\x80", "C020", 1, 4),
        (b"\xef\xbb\xbfcircuitspec 1\n", "C021", 1, 1),
    ],
)
def test_encodings(data: bytes, code: str, line: int, column: int) -> None:
    _, (first, *others) = parse_bytes(data, "bytes.circuit")
    assert others == []
    assert (first.code, first.span.line, first.span.column) == (code, line, column)


def test_a_byte_order_mark_is_only_a_warning() -> None:
    spec, diagnostics = parse_bytes(b"\xef\xbb\xbfcircuitspec 1\ntask t { bos no }\n")
    assert not has_errors(diagnostics)
    assert len(spec.statements) == 1


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path, why in [
        (tmp_path / "none.circuit", "there is no such file"),
        (tmp_path, "it is a directory"),
        ("nul\x00.circuit", "this is no path"),
    ]:
        text, (found,) = read(path)
        assert text == ""
        assert (found.code, why in found.message) == ("C022", True)
        assert parse_file(path) == (SpecFile(version=1), (found,))
    big = tmp_path / "big.circuit"
    big.write_bytes(b"#" * (MAX_BYTES + 1))
    assert [d.code for d in read(big)[1]] == ["C022"]


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "crlf.circuit"
    path.write_bytes(b'circuitspec 1\r\n\r\ntask t {\r\n  template a "x"\r\n}\r\n')
    spec, diagnostics = parse_file(path)
    assert diagnostics == ()
    assert spec == parse('circuitspec 1\ntask t { template a "x" }')[0]
