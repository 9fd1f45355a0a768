"""Prompts in batches of equal length: token tensors, and where positions fall in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine.runs import EngineError
from circuitspec.language.nodes import Position
from circuitspec.task.records import Prompt, PromptSet


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Some prompts of one set, all of one length; `rows` are their indices in the set.

    `tokens` is [batch, position] of vocabulary ids. Prompts of unequal length never share a batch,
    so nothing is ever padded.
    """

    prompts: tuple[Prompt, ...]
    rows: tuple[int, ...]
    tokens: Tensor

    @property
    def length(self) -> int:
        """The number of tokens of every prompt here."""
        return self.tokens.shape[1]

    def mask(self, position: Position) -> Tensor:
        """Where `position` falls: bool [batch, position]."""
        if position.everywhere:
            return torch.ones_like(self.tokens, dtype=torch.bool)
        mask = torch.zeros(self.tokens.shape, dtype=torch.bool)
        for i, prompt in enumerate(self.prompts):
            for index in indices_at(prompt, position):
                mask[i, index] = True
        return mask.to(self.tokens.device)

    def union_mask(self, positions: Iterable[Position]) -> Tensor:
        """Where any of `positions` falls: bool [batch, position]."""
        mask = torch.zeros_like(self.tokens, dtype=torch.bool)
        for position in positions:
            mask |= self.mask(position)
        return mask

    def index(self, position: Position) -> Tensor:
        """The one token index of `position` in each prompt: int64 [batch].

        Raises EngineError where the position is not exactly one token.
        """
        found = []
        for prompt in self.prompts:
            indices = indices_at(prompt, position)
            if len(indices) != 1:
                raise EngineError(
                    f"position {position} is {len(indices)} tokens in prompt {prompt.index}, "
                    "where one is needed"
                )
            found.append(indices[0])
        return torch.tensor(found, device=self.tokens.device)


def indices_at(prompt: Prompt, position: Position) -> tuple[int, ...]:
    """`prompt.at(position)`, with mistakes that only the data can show turned into EngineError."""
    try:
        return prompt.at(position)
    except (KeyError, IndexError) as error:
        raise EngineError(
            f"position {position} does not exist in prompt {prompt.index} "
            f"(template {prompt.template}, {len(prompt.tokens)} tokens)"
        ) from error


def batches(
    prompts: PromptSet, size: int, device: torch.device, rows: Sequence[int] | None = None
) -> Iterator[Batch]:
    """The set (or some rows of it) in batches of at most `size` prompts of equal length.

    Order is fixed: lengths ascending, rows ascending within a length, so that the same batch size
    gives bitwise the same numbers.
    """
    by_length: dict[int, list[int]] = {}
    for row in range(len(prompts)) if rows is None else rows:
        by_length.setdefault(len(prompts.prompts[row].tokens), []).append(row)
    for length in sorted(by_length):
        members = by_length[length]
        for start in range(0, len(members), size):
            chosen = tuple(members[start : start + size])
            chunk = tuple(prompts.prompts[row] for row in chosen)
            tokens = torch.tensor([p.tokens for p in chunk], dtype=torch.int64, device=device)
            yield Batch(chunk, chosen, tokens)
