"""Queries, keys and values of chosen heads at chosen rows, ready to be multiplied.

q/k norms and rotary positions are applied here, row by row: what attention does with the result
depends on positions only through the mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from circuitspec.engine.compiled.places import Place
from circuitspec.language.nodes import Channel
from circuitspec.model.weights import BlockWeights

Side = Literal["k", "v"]
SIDES: tuple[Side, Side] = ("k", "v")


def group_size(block: BlockWeights) -> int:
    """How many query heads share a key and a value."""
    return block.w_q.shape[0] // block.w_k.shape[0]


def project_rows(
    block: BlockWeights, channel: Channel, normed: Tensor, heads: Sequence[int], place: Place
) -> Tensor:
    """q of query heads, or k or v of key/value heads, from normed rows [n, R, W]: [n, R, H, D]."""
    matrix, bias, norm = {
        "q": (block.w_q, block.b_q, block.q_norm),
        "k": (block.w_k, block.b_k, block.k_norm),
        "v": (block.w_v, block.b_v, None),
    }[channel]
    flat, added = _chosen(matrix, bias, heads)
    out = (
        normed.flatten(0, 1) @ flat
        if added is None
        else torch.addmm(added, normed.flatten(0, 1), flat)
    )
    out = out.view(*normed.shape[:2], len(heads), -1)
    if norm is not None:
        out = norm(out)
    if block.rotary is not None and channel != "v":
        positions = torch.from_numpy(place.index).to(out.device)
        out = block.rotary.rotate(out.transpose(1, 2), positions).transpose(1, 2)
    return out


def _chosen(
    matrix: Tensor, bias: Tensor | None, heads: Sequence[int]
) -> tuple[Tensor, Tensor | None]:
    """The heads' projections side by side: [W, H * D], and their biases [H * D]."""
    if len(heads) < matrix.shape[0]:
        index = torch.tensor(heads, device=matrix.device)
        matrix = matrix[index]
        bias = None if bias is None else bias[index]
    return (
        matrix.transpose(0, 1).flatten(1),
        None if bias is None else bias.flatten(),
    )
