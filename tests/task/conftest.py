"""Tokenizers made on the spot, and a spec's task from text."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic
from circuitspec.language.parser import parse
from circuitspec.task.build import build
from circuitspec.task.records import TaskData
from circuitspec.task.tokenizer import TaskTokenizer, from_backend
from circuitspec.task.words import built_in, built_in_names

SPECS = Path(__file__).parents[2] / "specs"
SENTENCES = (
    "When Mary and John went to the store, John gave a drink to",
    "Then, Mary and John had a long talk, and Mary gave a book to",
    "the mayor of London met him in the park of Paris or the because was here",
    "dog the dog cat the cat",
    "she he the a this there then but and it they we",
    "x She He The A This There Then But And It They We",
)
DOC = re.compile(r'(?s)(?<!\\)""".*?"""')
YEAR = re.compile(r"\b17(\d\d)\b")
WORD = re.compile(r"\w+|[^\w\s]+")


def corpus() -> list[str]:
    """Every built-in word and every string of the task specs, most often after a space."""
    lines = [f"the {word} and the {word}" for name in built_in_names() for word in built_in(name)]
    for spec in sorted((SPECS / "tasks").glob("*.circuit")):
        text = YEAR.sub(r"17 x\1", DOC.sub("", spec.read_text(encoding="utf-8")))
        lines += [text] * 3
    lines += SENTENCES * 3
    # Centuries and two digits are tokens, whole years are not: so it is with GPT-2 for most.
    lines += [f"the year {c} to x{y:02d}" for y in range(100) for c in (16, 17, 18)]
    return lines


@pytest.fixture(scope="session")
def word_level() -> TaskTokenizer:
    """One token a word or punctuation mark; words that are not in the corpus are unknown."""
    words = sorted({w for line in corpus() for w in WORD.findall(line)})
    vocabulary = {w: i for i, w in enumerate(["[UNK]", "[BOS]", *words])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    return from_backend(backend, bos="[BOS]")


def byte_level(vocabulary: int) -> TaskTokenizer:
    """A byte-level BPE like GPT-2's, trained on the corpus: the space belongs to the next word."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(corpus(), trainer)
    return from_backend(backend, bos="<|endoftext|>")


@pytest.fixture(scope="session")
def bpe() -> TaskTokenizer:
    """A byte-level BPE with merges enough that most words are one token after a space."""
    return byte_level(6000)


@pytest.fixture(scope="session")
def small_bpe() -> TaskTokenizer:
    """A byte-level BPE of few merges: many words are several tokens."""
    return byte_level(500)


Make = Callable[..., tuple[TaskData | None, tuple[Diagnostic, ...]]]


def read_task(body: str) -> syntax.Task:
    """The task of a text that holds its statements."""
    spec, diagnostics = parse(f"circuitspec 1\ntask t {{\n{body}\n}}\n", "spec.circuit")
    assert not diagnostics, diagnostics
    (task,) = spec.statements
    assert isinstance(task, syntax.Task)
    return task


@pytest.fixture(scope="session")
def task() -> Callable[[str], syntax.Task]:
    """The task of a text."""
    return read_task


@pytest.fixture
def make(word_level: TaskTokenizer, tmp_path: Path) -> Make:
    """Builds a task from the text of its statements; the word-level tokenizer unless another."""

    def make(
        body: str, tokenizer: TaskTokenizer | None = word_level, **options: object
    ) -> tuple[TaskData | None, tuple[Diagnostic, ...]]:
        return build(read_task(body), tokenizer, base_dir=tmp_path, **options)

    return make


@pytest.fixture
def good(make: Make) -> Callable[..., TaskData]:
    """Builds a task that has no mistakes."""

    def good(body: str, *args: object, **options: object) -> TaskData:
        data, diagnostics = make(body, *args, **options)
        assert data is not None, [d.message for d in diagnostics]
        return data

    return good
