"""Plain runs of all prompts that a scrub can draw, kept as far as its states read them.

One bank for each length: T tokens, P prompts, H heads of width D, residual width W.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.forward import forward
from circuitspec.engine.runs import Integers
from circuitspec.language.nodes import Head, Input, Mlp
from circuitspec.model.weights import Weights
from circuitspec.task.records import Prompt


class Bank:
    """Outputs of senders, and what receivers read, in unmodified runs of prompts of one length.

    `attending`: the layers whose keys and values are read. Indices are the prompts' numbers among
    all prompts; `rows` turns them into rows here.
    """

    def __init__(
        self,
        weights: Weights,
        prompts: Sequence[Prompt],
        length: int,
        attending: frozenset[int],
        batch_size: int,
    ) -> None:
        self.weights = weights
        self.length = length
        own = [i for i, p in enumerate(prompts) if len(p.tokens) == length]
        self.size = len(own)
        device = weights.device
        where = torch.full((len(prompts),), -1, dtype=torch.int64)
        where[torch.tensor(own)] = torch.arange(len(own))
        self._where = where.to(device)
        self.tokens = torch.tensor([prompts[i].tokens for i in own], device=device)
        parts = [self._part(chunk, attending) for chunk in torch.split(self.tokens, batch_size)]
        self._kept = {name: torch.cat([p[name] for p in parts]) for name in parts[0]}

    def _part(self, tokens: Tensor, attending: frozenset[int]) -> dict[tuple[str, int], Tensor]:
        weights = self.weights
        trace = forward(weights, tokens)
        kept: dict[tuple[str, int], Tensor] = {("input", 0): trace.input, ("final", 0): trace.final}
        for layer, block in enumerate(weights.blocks):
            kept["z", layer] = trace.z[layer]
            kept["pre", layer] = trace.pre[layer]
            mlp = trace.mlps[layer]
            if mlp is not None:
                kept["mlp", layer] = mlp
                kept["mid", layer] = trace.mid[layer]
            if layer in attending:
                normed = block.ln1(trace.pre[layer])
                kept["k", layer] = kernels.project(block, "k", normed, None)
                kept["v", layer] = kernels.project(block, "v", normed, None)
        return kept

    def rows(self, numbers: Integers) -> Tensor:
        """Rows of the bank for prompts by their numbers: int64, of the same shape."""
        return self._where[torch.from_numpy(numbers).to(self._where.device)]

    def read(self, what: str, layer: int, rows: Tensor, at: int) -> Tensor:
        """What was kept, of some rows, at a token: [B, ...]."""
        return self._kept[what, layer][rows, at]

    def until(self, what: str, layer: int, rows: Tensor, stop: int) -> Tensor:
        """What was kept, of some rows, at the first tokens: [B, stop, ...]."""
        return self._kept[what, layer][rows, :stop]

    def contribution(self, node: Input | Head | Mlp, rows: Tensor, at: int) -> Tensor:
        """What a sender adds to the stream at a token: [B, W]."""
        match node:
            case Input():
                return self.read("input", 0, rows, at)
            case Mlp(layer=layer):
                return self.read("mlp", layer, rows, at)
            case Head(layer=layer, index=index):
                z = self._kept["z", layer][rows, at, index]
                return z @ self.weights.blocks[layer].w_o[index]
