"""What the names of a task stand for once it is resolved and has its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

from circuitspec.task.resolved import ResolvedTask
from circuitspec.task.tokenizer import TaskTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """A task's word lists, tables and tokenizer: what answers and features are evaluated with."""

    task: ResolvedTask
    tokenizer: TaskTokenizer

    def word_ids(self, word: str) -> frozenset[int]:
        """The ids of a word that is one token, with and without a space before it.

        Empty for a word that is no single token either way.
        """
        found = (self.tokenizer.encode(text).ids for text in (word, f" {word}"))
        unknown = self.tokenizer.unk_id
        return frozenset(ids[0] for ids in found if len(ids) == 1 and ids[0] != unknown)
