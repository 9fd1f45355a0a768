"""Text to token ids, with the place of every token: what a task asks of a tokenizer, and no more.

Special tokens are never added here: whether BOS is prepended is stated in the task.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast


@dataclass(frozen=True, slots=True)
class Encoded:
    """Token ids of a text, and for each the characters it covers (start, end exclusive)."""

    ids: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


class TaskTokenizer(Protocol):
    """What building prompts needs of a tokenizer."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids, added tokens included."""
        ...

    @property
    def bos_id(self) -> int | None:
        """The id of the beginning-of-sequence token, or None where the tokenizer names none."""
        ...

    @property
    def unk_id(self) -> int | None:
        """The id that stands for words out of vocabulary, or None where every text has tokens."""
        ...

    def encode(self, text: str) -> Encoded:
        """Ids and offsets of a text, no special token added."""
        ...

    def encode_batch(self, texts: Sequence[str]) -> list[Encoded]:
        """The same for several texts."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        ...


class FileTokenizer:
    """A `tokenizers.Tokenizer` (a `tokenizer.json`)."""

    def __init__(self, backend: Any, *, bos_id: int | None, unk_id: int | None) -> None:
        self._backend = backend
        self.bos_id = bos_id
        self.unk_id = unk_id

    @property
    def vocab_size(self) -> int:
        """Number of token ids, added tokens included."""
        return cast(int, self._backend.get_vocab_size(with_added_tokens=True))

    def encode(self, text: str) -> Encoded:
        """Ids and offsets of a text, no special token added."""
        found = self._backend.encode(text, add_special_tokens=False)
        return Encoded(tuple(found.ids), tuple(found.offsets))

    def encode_batch(self, texts: Sequence[str]) -> list[Encoded]:
        """The same for several texts."""
        batch = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [Encoded(tuple(found.ids), tuple(found.offsets)) for found in batch]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of token ids."""
        return cast(str, self._backend.decode(list(ids), skip_special_tokens=False))


def from_file(path: Path, *, bos: str | None = None) -> FileTokenizer:
    """A tokenizer from its `tokenizer.json` (or the directory that holds it).

    BOS is the token named `bos`, or else the one that `tokenizer_config.json` or
    `special_tokens_map.json` beside the file names; it is never guessed. Padding and truncation
    that the file may ask for are switched off.

    Raises OSError where the file cannot be read, ValueError where it is no tokenizer.
    """
    from tokenizers import Tokenizer

    file = path / "tokenizer.json" if path.is_dir() else path
    content = file.read_text(encoding="utf-8")
    try:
        backend = Tokenizer.from_str(content)
    except Exception as error:  # what the Rust side raises has no narrower type
        raise ValueError(f"{file} is not a tokenizer: {error}") from error
    return from_backend(backend, bos=bos or _bos_token(file.parent))


def from_backend(
    backend: Any, *, bos: str | None = None, bos_id: int | None = None
) -> FileTokenizer:
    """A `tokenizers.Tokenizer` object; `bos` or `bos_id` says its BOS token, if it has one."""
    backend.no_padding()
    backend.no_truncation()
    if bos is not None:
        bos_id = backend.token_to_id(bos)
    unk = getattr(backend.model, "unk_token", None)
    unk_id = backend.token_to_id(unk) if isinstance(unk, str) else _unigram_unk(backend)
    return FileTokenizer(backend, bos_id=bos_id, unk_id=unk_id)


def _unigram_unk(backend: Any) -> int | None:
    """Unigram models keep their unknown token as an id, which Python sees only in the JSON."""
    if type(backend.model).__name__ != "Unigram":
        return None
    return cast("int | None", json.loads(backend.to_str())["model"].get("unk_id"))


def _bos_token(folder: Path) -> str | None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        try:
            entry = json.loads((folder / name).read_text(encoding="utf-8")).get("bos_token")
        except (OSError, ValueError, AttributeError):
            continue
        if isinstance(entry, dict):
            entry = entry.get("content")
        if isinstance(entry, str):
            return entry
    return None


def from_hf(tokenizer: Any) -> FileTokenizer:
    """A fast tokenizer object of Hugging Face's, which is not changed.

    Raises ValueError for a slow one: it cannot say which characters a token covers.
    """
    from tokenizers import Tokenizer

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ValueError("this tokenizer gives no character offsets; use a fast one")
    wrapped = from_backend(Tokenizer.from_str(backend.to_str()))
    return FileTokenizer(
        wrapped._backend, bos_id=getattr(tokenizer, "bos_token_id", None), unk_id=wrapped.unk_id
    )


WORD = re.compile(r"\S+")


@dataclass(frozen=True, slots=True)
class IntegerTokens:
    """No tokenizer: words are token ids from `first` to `last` (`tokens integer 0..63`)."""

    first: int
    last: int
    bos_id: int | None = None
    unk_id: int | None = -1

    @property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return self.last + 1

    def _id(self, word: str) -> int:
        number = int(word) if word.isascii() and word.isdigit() and len(word) < 10 else -1
        return number if self.first <= number <= self.last else -1

    def encode(self, text: str) -> Encoded:
        """Ids of the words; -1 for what is no integer of the range."""
        words = list(WORD.finditer(text))
        return Encoded(
            tuple(self._id(w[0]) for w in words), tuple((w.start(), w.end()) for w in words)
        )

    def encode_batch(self, texts: Sequence[str]) -> list[Encoded]:
        """The same for several texts."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """Ids as words."""
        return " ".join(str(i) for i in ids)
