"""Keys and values of a layer: for every residual that some instance reads, at the segments read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.places import Padded, Place
from circuitspec.engine.compiled.projections import SIDES, Side, group_size, project_rows
from circuitspec.engine.compiled.values import Values, stretches, take
from circuitspec.engine.plan.demand import LayerDemand
from circuitspec.engine.plan.graph import ROWWISE, Attend, Graph


class LayerKeys:
    """Keys and values of one layer on a chunk, computed together, given out as rectangles."""

    def __init__(
        self, chunk: Chunk, graph: Graph, layer: int, values: Values, rows_at_once: int
    ) -> None:
        self.chunk = chunk
        self.graph = graph
        self.layer = layer
        self.values = values
        self.rows_at_once = rows_at_once
        self.block_weights = chunk.weights.blocks[layer]
        self.group = group_size(self.block_weights)
        self.heads: tuple[int, ...] = ()
        self._rows: dict[tuple[Side, int], tuple[Tensor, int, Place]] = {}
        self._blocks: dict[tuple[Side, int, int, int], tuple[Tensor, int]] = {}

    def compute(self, wanted: LayerDemand) -> None:
        """Project every residual that is read. The base run's are kept from call to call."""
        sides: dict[Side, dict[int, int]] = {"k": {}, "v": {}}
        kv_heads: set[int] = set()
        for number, heads in wanted.attends.items():
            node = self.graph.nodes[number]
            assert isinstance(node, Attend)
            kv_heads |= {head // self.group for head in heads}
            for side, reads in (("k", node.k), ("v", node.v)):
                into = sides["k" if side == "k" else "v"]
                for segment, residual in enumerate(reads):
                    into[residual] = into.get(residual, 0) | 1 << segment
        self.heads = tuple(sorted(kv_heads))
        both = {n: sides["k"][n] | sides["v"].get(n, 0) for n in sides["k"]}
        both |= {n: bits for n, bits in sides["v"].items() if n not in both}
        families: dict[tuple[Place, bool, bool], list[int]] = {}
        for number, bits in sorted(both.items()):
            if self.graph.is_base(number):
                for side, value in self.chunk.subject.base_keys(self.layer, self.heads).items():
                    self._rows[side, number] = (value, 0, self.chunk.everywhere)
                continue
            segments = [s for s in range(bits.bit_length()) if bits >> s & 1]
            place = self._place(number, segments)
            key = (place, number in sides["k"], number in sides["v"])
            families.setdefault(key, []).append(number)
        for (place, with_k, with_v), numbers in families.items():
            for some in self.portions(numbers, place.count):
                normed = self.block_weights.ln1(self.values.rows(some, place))
                for side, asked in (("k", with_k), ("v", with_v)):
                    if asked:
                        which: Side = "k" if side == "k" else "v"
                        value = project_rows(self.block_weights, which, normed, self.heads, place)
                        for i, number in enumerate(some):
                            self._rows[which, number] = (value, i, place)

    def forget(self) -> None:
        """Let keys and values go."""
        self._rows.clear()
        self._blocks.clear()

    def _place(self, number: int, segments: Sequence[int]) -> Place:
        """The rows that are projected of a residual."""
        pool, _ = self.values.pool(number)
        if self.graph.segment_of(number) != ROWWISE:
            return self.chunk.place(segments)
        return pool.place

    def portions(self, numbers: Sequence[int], rows: int) -> Iterator[list[int]]:
        """Instances in portions of about `rows_at_once` rows."""
        step = max(1, self.rows_at_once // max(1, rows))
        for start in range(0, len(numbers), step):
            yield list(numbers[start : start + step])

    def rectangle(self, first: int, last: int) -> Padded:
        """Segments `first` to `last` by prompts and columns."""
        return self.chunk.padded(first, last, self.chunk.place(range(first, last + 1)))

    def prepare(self, first: int, last: int, numbers: Sequence[int]) -> None:
        """Make rectangles of what is read at segments `first` to `last`."""
        place = self.chunk.place(range(first, last + 1))
        shape = self.rectangle(first, last)
        for side in SIDES:
            fresh = [
                n
                for n in dict.fromkeys(numbers)
                if (side, n) in self._rows and (side, n, first, last) not in self._blocks
            ]
            tensors = [self._rows[side, n] for n in fresh]
            for start, stop in stretches([id(t[0]) for t in tensors]):
                value, _, from_place = tensors[start]
                some = take(value, [t[1] for t in tensors[start:stop]])
                index = place.rows_in(from_place)
                if index is not None or not shape.whole:
                    rows = shape.rows if index is None else index[shape.rows]
                    block = some[:, rows]
                else:
                    block = some.reshape(some.shape[0], *shape.rows.shape, *some.shape[2:])
                for i, number in enumerate(fresh[start:stop]):
                    self._blocks[side, number, first, last] = (block, i)

    def block(
        self, side: Side, first: int, last: int, numbers: Sequence[int], heads: Sequence[int]
    ) -> Tensor:
        """Keys or values of residuals at segments `first` to `last`, a copy for every query head:
        [n, N, P, H, D]."""
        found = [self._blocks[side, n, first, last] for n in numbers]
        if len({id(tensor) for tensor, _ in found}) == 1:
            out = take(found[0][0], [i for _, i in found])
        else:
            # one instance at a time: copying whole pools to pick from would cost more
            out = torch.stack([tensor[i] for tensor, i in found])
        wanted = [self.heads.index(head // self.group) for head in heads]
        if wanted == list(range(len(self.heads))):
            return out
        return out[:, :, :, torch.tensor(wanted, device=out.device)]
