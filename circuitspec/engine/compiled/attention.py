"""Attention of all instances of a layer: shared keys once, every instance's own keys beside them.

The keys that a segment's queries see are cut into slots, stretches of segments in which every
instance reads one residual each. A slot that all instances share is multiplied once for all of
them; else each instance meets its own. Scores are put side by side, keys are not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.keys import LayerKeys
from circuitspec.engine.compiled.places import Padded
from circuitspec.engine.compiled.projections import project_rows
from circuitspec.engine.compiled.values import Pool
from circuitspec.engine.plan.graph import Attend
from circuitspec.engine.plan.memory import SCRATCH
from circuitspec.model.weights import BlockWeights


@dataclass(frozen=True, slots=True, eq=False)
class Attended:
    """z of attention instances of one segment: pool tensor [instances, R, heads, D]."""

    pool: Pool
    index: dict[int, int]
    heads: tuple[int, ...]


def attend_segment(
    chunk: Chunk,
    layer: int,
    segment: int,
    instances: Mapping[int, Attend],
    heads: Sequence[int],
    keys: LayerKeys,
    causal: bool,
) -> Attended:
    """z of `heads` for every instance of a segment."""
    block = chunk.weights.blocks[layer]
    place = chunk.place([segment])
    numbers = sorted(instances, key=lambda number: (instances[number].q, number))
    listed = [instances[number] for number in numbers]
    queries = _queries(chunk, block, segment, listed, heads, keys)
    rectangle = chunk.padded(segment, segment, place)
    slots = [
        _Slot(first, last, [node.k[first] for node in listed], [node.v[first] for node in listed])
        for first, last in _slots(listed)
    ]
    for slot in slots:
        keys.prepare(slot.first, slot.last, (*slot.k, *slot.v))
    geometry = [keys.rectangle(slot.first, slot.last) for slot in slots]
    hidden = _hidden(rectangle, geometry, causal, block.window)
    n, (prompts, columns) = len(listed), rectangle.rows.shape
    d = block.w_q.shape[-1]
    span = sum(g.columns for g in geometry)
    each = prompts * len(heads) * columns * (span + 3 * d) * queries.element_size()
    step = max(1, SCRATCH // max(1, each))
    z = queries.new_empty(n, place.count, len(heads), d)
    for start in range(0, n, step):
        part = slice(start, min(n, start + step))
        q = _rectangular(queries[part], rectangle).permute(1, 3, 0, 2, 4)
        scores = [_products(q, slot, keys, part, heads) for slot in slots]
        joined = torch.cat(scores, dim=-1).mul_(block.scale)
        if hidden is not None:
            joined.masked_fill_(hidden, torch.finfo(joined.dtype).min)
        pattern = joined.softmax(-1)
        out: Tensor | None = None
        first = 0
        for slot, shape in zip(slots, geometry, strict=True):
            mass = pattern[..., first : first + shape.columns]
            first += shape.columns
            mixed = _mixtures(mass, slot, keys, part, heads)
            out = mixed if out is None else out.add_(mixed)
        assert out is not None
        _put_rows(z[part], out, rectangle)
    pool = Pool(z, place)
    return Attended(pool, {number: i for i, number in enumerate(numbers)}, tuple(heads))


@dataclass(frozen=True, slots=True)
class _Slot:
    """Segments `first` to `last`, and the residual that each instance reads there."""

    first: int
    last: int
    k: list[int]
    v: list[int]


def _slots(listed: Sequence[Attend]) -> list[tuple[int, int]]:
    """Stretches of segments in which every instance reads one residual: (first, last)."""
    reads = np.array([[*node.k, *node.v] for node in listed])
    seen = len(listed[0].k)
    changes = (reads[:, 1:] != reads[:, :-1]).any(0)
    starts = [0, *(s for s in range(1, seen) if changes[s - 1] or changes[seen + s - 1]), seen]
    return [(a, b - 1) for a, b in pairwise(starts)]


def _queries(
    chunk: Chunk,
    block: BlockWeights,
    segment: int,
    listed: Sequence[Attend],
    heads: Sequence[int],
    keys: LayerKeys,
) -> Tensor:
    """q of every instance's rows: [n, R, H, D]."""
    place = chunk.place([segment])
    distinct = list(dict.fromkeys(node.q for node in listed))
    parts = []
    for some in keys.portions(distinct, place.count):
        normed = block.ln1(keys.values.rows(some, place))
        parts.append(project_rows(block, "q", normed, heads, place))
    q = parts[0] if len(parts) == 1 else torch.cat(parts)
    if len(distinct) == len(listed):
        return q
    at = {number: i for i, number in enumerate(distinct)}
    return q[torch.tensor([at[node.q] for node in listed], device=q.device)]


def _rectangular(rows: Tensor, shape: Padded) -> Tensor:
    """Rows [n, R, H, D] as prompts and columns: [n, N, P, H, D]."""
    if shape.whole:
        return rows.reshape(rows.shape[0], *shape.rows.shape, *rows.shape[2:])
    return rows[:, shape.rows]


def _put_rows(into: Tensor, out: Tensor, shape: Padded) -> None:
    """[N, H, n, P, D] back to rows [n, R, H, D]; padding is left out."""
    found = out.permute(2, 0, 3, 1, 4)
    if shape.whole:
        into.view(into.shape[0], *shape.rows.shape, *into.shape[2:]).copy_(found)
    else:
        into[:, shape.rows[shape.valid]] = found[:, shape.valid]


def _hidden(
    queries: Padded, keys: Sequence[Padded], causal: bool, window: int | None
) -> Tensor | None:
    """Which keys a query cannot see, padding included: bool [N, 1, 1, P, K]; None: all are seen."""
    q = queries.position[:, :, None]
    k = torch.cat([shape.position for shape in keys], dim=1)[:, None, :]
    hidden = ~torch.cat([shape.valid for shape in keys], dim=1)[:, None, :]
    if causal:
        hidden = hidden | (k > q)
    if window is not None:
        hidden = hidden | (q - k >= window)
    # what padded queries see is of no account
    hidden = hidden & queries.valid[:, :, None]
    return hidden[:, None, None] if bool(hidden.any()) else None


def _products(q: Tensor, slot: _Slot, keys: LayerKeys, part: slice, heads: Sequence[int]) -> Tensor:
    """Scores of q [N, H, n, P, D] against a slot's keys: [N, H, n, P, K]."""
    n_prompts, n_heads, n, columns, d = q.shape
    chosen = slot.k[part]
    distinct = list(dict.fromkeys(chosen))
    if len(distinct) == 1:
        k = keys.block("k", slot.first, slot.last, distinct, heads)[0]
        flat = q.reshape(n_prompts, n_heads, n * columns, d)
        return (flat @ k.permute(0, 2, 3, 1)).view(n_prompts, n_heads, n, columns, -1)
    if len(distinct) * 3 <= n:
        out: Tensor | None = None
        for number, members in _members(chosen).items():
            index = torch.tensor(members, device=q.device)
            k = keys.block("k", slot.first, slot.last, [number], heads)[0]
            flat = q[:, :, index].reshape(n_prompts, n_heads, -1, d)
            got = flat @ k.permute(0, 2, 3, 1)
            got = got.view(n_prompts, n_heads, len(members), columns, -1)
            if out is None:
                out = got.new_empty(*q.shape[:4], got.shape[-1])
            out[:, :, index] = got
        assert out is not None
        return out
    k = keys.block("k", slot.first, slot.last, chosen, heads)
    if columns == 1 and k.shape[2] == 1:
        return (q * k.permute(1, 3, 0, 2, 4)).sum(-1, keepdim=True)
    return q @ k.permute(1, 3, 0, 4, 2)


def _mixtures(
    mass: Tensor, slot: _Slot, keys: LayerKeys, part: slice, heads: Sequence[int]
) -> Tensor:
    """Attention [N, H, n, P, K] times a slot's values: [N, H, n, P, D]."""
    n_prompts, n_heads, n, columns, span = mass.shape
    chosen = slot.v[part]
    distinct = list(dict.fromkeys(chosen))
    if len(distinct) == 1:
        v = keys.block("v", slot.first, slot.last, distinct, heads)[0]
        flat = mass.reshape(n_prompts, n_heads, n * columns, span)
        return (flat @ v.transpose(1, 2)).view(n_prompts, n_heads, n, columns, -1)
    if len(distinct) * 3 <= n:
        out: Tensor | None = None
        for number, members in _members(chosen).items():
            index = torch.tensor(members, device=mass.device)
            v = keys.block("v", slot.first, slot.last, [number], heads)[0]
            flat = mass[:, :, index].reshape(n_prompts, n_heads, -1, span)
            got = flat @ v.transpose(1, 2)
            got = got.view(n_prompts, n_heads, len(members), columns, -1)
            if out is None:
                out = got.new_empty(*mass.shape[:4], got.shape[-1])
            out[:, :, index] = got
        assert out is not None
        return out
    v = keys.block("v", slot.first, slot.last, chosen, heads)
    if span == 1:
        return mass * v.permute(1, 3, 0, 2, 4)
    return mass @ v.permute(1, 3, 0, 2, 4)


def _members(chosen: Sequence[int]) -> dict[int, list[int]]:
    """Places of each number."""
    found: dict[int, list[int]] = {}
    for i, number in enumerate(chosen):
        found.setdefault(number, []).append(i)
    return found
