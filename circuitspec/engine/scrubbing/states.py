"""States computed on given prompts, many at a time: a role's members at a token, or the logits.

B states of one kind at once, each with its prompt x and its draw o for everything else. What a
channel reads is the stream on o, plus for each sender of its mix the difference from its value
on o.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.scrubbing.bank import Bank
from circuitspec.engine.scrubbing.story import Receiver, Slot, State, Story, Term
from circuitspec.language.nodes import QKV, Channel, Head, Input, Logits, Mlp
from circuitspec.model.weights import BlockWeights

Values = Mapping[Receiver, Tensor]
"""What the members of a state add to the stream, [B, W] each; of the logits, the final residual."""


def leaf(bank: Bank, state: State, x: Tensor) -> Values:
    """The ordinary values of a state's members on x, rows of the bank [B]."""
    return {
        node: bank.contribution(node, x, state.position)
        for node in state.members
        if not isinstance(node, Logits)
    }


def compute(
    bank: Bank, story: Story, state: State, x: Tensor, o: Tensor, below: Mapping[Slot, Values]
) -> Values:
    """A state's members on x, with o for all else; `below` are the states that it reads."""
    return _Computation(bank, story, state, x, o, below).values()


class _Computation:
    def __init__(
        self,
        bank: Bank,
        story: Story,
        state: State,
        x: Tensor,
        o: Tensor,
        below: Mapping[Slot, Values],
    ) -> None:
        self.bank, self.story, self.state = bank, story, state
        self.x, self.o, self.below = x, o, below
        self._kept: dict[tuple[Head | Mlp, int], Tensor] = {}

    def values(self) -> Values:
        state = self.state
        found: dict[Receiver, Tensor] = {}
        by_layer: dict[int, list[Head]] = {}
        for node in state.members:
            match node:
                case Head(layer=layer):
                    by_layer.setdefault(layer, []).append(node)
                case Mlp():
                    found[node] = self._mlp(node, state.position, self._terms(node, "in"))
                case Logits():
                    base = self.bank.read("final", 0, self.o, state.position)
                    found[node] = base + self._difference(
                        self._terms(node, ""), state.position, base
                    )
        for index, heads in by_layer.items():
            mixes = {
                (head, channel, at): terms
                for head in heads
                for channel in QKV
                for at in self.story.tokens_read(head, channel, state.position)
                if (terms := self._terms(head, channel, at))
            }
            found.update(self._heads(index, heads, state.position, mixes))
        return found

    def _terms(self, node: Receiver, channel: Channel, at: int | None = None) -> tuple[Term, ...]:
        state = self.state
        at = state.position if at is None else at
        return tuple(self.story.mix(state.role, state.position, node, channel, at))

    # ── mixes ────────────────────────────────────────────────────────────────────────────────────

    def _difference(self, terms: tuple[Term, ...], at: int, base: Tensor) -> Tensor:
        """What a mix reads in place of the values on o, less those: [B, W]."""
        total = torch.zeros_like(base)
        for term in terms:
            ablated = self.bank.contribution(term.sender, self.o, at)
            total = total + (self._live(term, at) - ablated)
        return total

    def _live(self, term: Term, at: int) -> Tensor:
        sender = term.sender
        if isinstance(sender, Input):
            return self.bank.contribution(sender, self.x, at)
        if term.slot is not None:
            return self.below[term.slot][sender]
        return self._kept_value(sender, at)

    def _kept_value(self, node: Head | Mlp, at: int) -> Tensor:
        """A kept node on its reader's prompt and with its reader's draw: [B, W]."""
        if (node, at) not in self._kept:
            if isinstance(node, Mlp):
                terms = tuple(self.story.kept_mix(node, at))
                self._kept[node, at] = self._mlp(node, at, terms)
            else:
                mixes = {
                    (node, channel, t): tuple(self.story.kept_mix(node, t))
                    for channel in QKV
                    for t in self.story.tokens_read(node, channel, at)
                }
                self._kept[node, at] = self._heads(node.layer, [node], at, mixes)[node]
        return self._kept[node, at]

    # ── nodes ────────────────────────────────────────────────────────────────────────────────────

    def _mlp(self, node: Mlp, at: int, terms: tuple[Term, ...]) -> Tensor:
        block = self.bank.weights.blocks[node.layer]
        base = self.bank.read("mid", node.layer, self.o, at)
        assert block.mlp is not None
        assert block.ln2 is not None
        mixed = base + self._difference(terms, at, base)
        return kernels.mlp_output(block.mlp, block.ln2(mixed))

    def _heads(
        self,
        layer: int,
        heads: list[Head],
        at: int,
        mixes: Mapping[tuple[Head, Channel, int], tuple[Term, ...]],
    ) -> dict[Receiver, Tensor]:
        """Heads of a layer at a query token; `mixes` are the reads that are not on o alone."""
        block = self.bank.weights.blocks[layer]
        picked = torch.tensor([int(h.index) for h in heads], device=self.o.device)
        stop = at + 1 if self.story.shape.causal else self.story.length
        channels: dict[Channel, Tensor] = {
            "q": kernels.project(
                block, "q", block.ln1(self.bank.read("pre", layer, self.o, at))[:, None], picked
            ),
            "k": self.bank.until("k", layer, self.o, stop)[:, :, picked],
            "v": self.bank.until("v", layer, self.o, stop)[:, :, picked],
        }
        alike: dict[tuple[int, tuple[Term, ...]], dict[Channel, list[int]]] = {}
        for (head, channel, t), terms in mixes.items():
            readers = alike.setdefault((t, terms), {})
            readers.setdefault(channel, []).append(heads.index(head))
        for (t, terms), readers in alike.items():
            base = self.bank.read("pre", layer, self.o, t)
            normed = block.ln1(base + self._difference(terms, t, base))[:, None]
            for channel, columns in readers.items():
                value = kernels.project(block, channel, normed, picked[columns])
                channels[channel][:, 0 if channel == "q" else t, columns] = value[:, 0]
        z = attend_from(
            block, channels["q"], channels["k"], channels["v"], at, causal=self.story.shape.causal
        )
        return {h: z[:, i] @ block.w_o[int(h.index)] for i, h in enumerate(heads)}


def attend_from(
    block: BlockWeights, q: Tensor, k: Tensor, v: Tensor, at: int, *, causal: bool
) -> Tensor:
    """Attention from one token: q [B, 1, H, D], k and v [B, T, H, D] → z [B, H, D].

    As `kernels.attend`, for a query at token `at` and the T first keys.
    """
    if block.q_norm is not None:
        q = block.q_norm(q)
    if block.k_norm is not None:
        k = block.k_norm(k)
    length = k.shape[1]
    q, k = q.transpose(1, 2), k.transpose(1, 2)
    keys = torch.arange(length, device=k.device)
    if block.rotary is not None:
        q = block.rotary.rotate(q, torch.tensor([at], device=q.device))
        k = block.rotary.rotate(k, keys)
    scores = (q @ k.transpose(-1, -2)) * block.scale
    hidden = kernels.hidden_keys(max(length, at + 1), causal, block.window, k.device)[at, :length]
    pattern = scores.masked_fill(hidden, float("-inf")).softmax(-1)
    return (pattern @ v.transpose(1, 2))[:, :, 0]
