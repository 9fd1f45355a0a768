"""Residual streams kept from call to call: a search asks for neighbours of what it asked before."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping

from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.values import Pool, Values
from circuitspec.engine.plan.memory import MEMO


class Memo:
    """Instances of earlier calls, chunk by chunk; past `most` bytes those used longest ago go."""

    def __init__(self, most: int = MEMO) -> None:
        self.most = most
        self.size = 0
        self._at: dict[Chunk, dict[int, tuple[Pool, int, int]]] = {}
        self._pools: OrderedDict[Pool, tuple[Chunk, list[int]]] = OrderedDict()

    def known(self, chunk: Chunk) -> dict[int, int]:
        """The instances that are kept, and at which segments, as bits."""
        return {number: bits for number, (_, _, bits) in self._at.get(chunk, {}).items()}

    def recall(self, chunk: Chunk, numbers: Iterable[int], values: Values) -> None:
        """Put those of `numbers` that are kept into `values`."""
        kept = self._at.get(chunk, {})
        for number in numbers:
            if number in kept:
                pool, index, _ = kept[number]
                values.put_one(number, pool, index)
                self._pools.move_to_end(pool)

    def keep(self, chunk: Chunk, where: Mapping[int, int], values: Values) -> None:
        """Keep instances of `values`, which hold at segments given as bits."""
        kept = self._at.setdefault(chunk, {})
        for number, bits in where.items():
            pool, index = values.pool(number)
            kept[number] = pool, index, bits
            if pool not in self._pools:
                self._pools[pool] = chunk, []
                self.size += pool.size
            self._pools[pool][1].append(number)
        while self.size > self.most:
            self._forget()

    def _forget(self) -> None:
        pool, (chunk, numbers) = self._pools.popitem(last=False)
        self.size -= pool.size
        kept = self._at[chunk]
        for number in numbers:
            # recomputed at more segments, an instance may be of another pool, which may be gone
            if number in kept and kept[number][0] is pool:
                del kept[number]

    def clear(self) -> None:
        """Forget everything."""
        self._at.clear()
        self._pools.clear()
        self.size = 0
