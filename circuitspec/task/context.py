"""What the names of a task stand for once it is resolved and has its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass, field

from circuitspec.task.resolved import ResolvedTask
from circuitspec.task.tokenizer import TaskTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskContext:
    """A task's word lists, tables and tokenizer: what answers and features are evaluated with."""

    task: ResolvedTask
    tokenizer: TaskTokenizer
    _word_ids: dict[str, frozenset[int]] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    def word_ids(self, word: str) -> frozenset[int]:
        """The ids of a word that is one token, with and without a space before it.

        Empty for a word that is no single token either way.
        """
        if word not in self._word_ids:
            found = (self.tokenizer.encode(text).ids for text in (word, f" {word}"))
            unknown = self.tokenizer.unk_id
            self._word_ids[word] = frozenset(
                ids[0] for ids in found if len(ids) == 1 and ids[0] != unknown
            )
        return self._word_ids[word]
