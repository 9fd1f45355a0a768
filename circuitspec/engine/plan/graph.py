"""The graph of instances: what every run computes, each distinct value once.

An instance is one component on one segment of a layout: the heads of a layer that read the same,
an MLP, or the residual stream at some depth. Its identity is what it is computed from, so two runs
that agree up to some depth share everything up to there (hash-consing). Depth 2l is the residual
stream before layer l, 2l + 1 between its heads and its MLP.

What an output is replaced by is a code: LIVE it is computed, AS_BASE it has its value in the base
run (the model under the knock-outs that all runs of a graph are `given`), else a number that the
caller has given to an ablation value.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from circuitspec.engine.plan.passes import ALL, Passes
from circuitspec.hypothesis.shape import ModelShape

Codes = NDArray[np.int16]

LIVE = 0
AS_BASE = -1
ROWWISE = -1
"""The segment of what depends on template, position and token alone: it holds for all segments."""


class Base(NamedTuple):
    """The residual stream of the base run."""

    depth: int


class Start(NamedTuple):
    """The input: live, or an ablation value."""

    segment: int
    code: int


class AfterHeads(NamedTuple):
    """`prev` and what the heads of a layer add to it.

    `codes` [heads] int16 as bytes; `live` has the heads that are computed, by attention instance.
    """

    segment: int
    layer: int
    prev: int
    codes: bytes
    live: tuple[tuple[int, tuple[int, ...]], ...]


class AfterMlp(NamedTuple):
    """`prev` and what the MLP of a layer adds: the instance `mlp` where `code` is LIVE."""

    segment: int
    layer: int
    prev: int
    code: int
    mlp: int


class Attend(NamedTuple):
    """Heads of a layer at a segment: queries from residual `q`, keys and values from `k`, `v` (one
    residual a segment that the queries see)."""

    segment: int
    layer: int
    q: int
    k: tuple[int, ...]
    v: tuple[int, ...]


class MlpOut(NamedTuple):
    """An MLP's output from the residual `x`."""

    segment: int
    layer: int
    x: int


class Moved(NamedTuple):
    """How far the residual stream of path patching's first pass is from the base run's.

    `prev` and the difference that replaced outputs make: of the heads of a layer (`codes` [heads],
    AS_BASE where frozen), of its MLP (`codes` [1], LIVE where it is recomputed from the base run's
    stream moved by `x`), or of the input (layer −1, `codes` [1]). NOTHING stands for no move.
    """

    segment: int
    layer: int
    prev: int
    codes: bytes
    of: Literal["input", "heads", "mlp"]
    x: int = -1


class Displaced(NamedTuple):
    """The base run's residual stream at a depth, and `moved` added."""

    segment: int
    depth: int
    moved: int


Node = Base | Start | AfterHeads | AfterMlp | Attend | MlpOut | Moved | Displaced
NOTHING = -1


class Graph:
    """Instances on one sequence of segments, under one set of knock-outs.

    `base_codes` [S, nodes]: what the knock-outs replace. `passes` says which of folding and sharing
    are done; results are the same without, only more is computed.
    """

    def __init__(self, shape: ModelShape, base_codes: Codes, passes: Passes = ALL) -> None:
        self.shape = shape
        self.passes = passes
        self.segments = base_codes.shape[0]
        self.width = shape.n_heads + 1
        self.nodes: list[Node] = []
        self._ids: dict[tuple[type, Node], int] = {}
        self.base_codes = base_codes
        self.base = [self.add(Base(depth)) for depth in range(2 * shape.n_layers + 1)]
        self._base_ids = set(self.base)
        self._plain_input = bool((base_codes[:, 0] == LIVE).all())
        self.base_heads = [
            [self.head_codes(row, layer).tobytes() for layer in range(shape.n_layers)]
            for row in base_codes
        ]

    def add(self, node: Node) -> int:
        """The number of an instance: the same one for equal instances where `share` is on."""
        if not self.passes.share:
            self.nodes.append(node)
            return len(self.nodes) - 1
        key = (type(node), node)
        known = self._ids.get(key)
        if known is None:
            known = self._ids[key] = len(self.nodes)
            self.nodes.append(node)
        return known

    def is_base(self, number: int) -> bool:
        """Whether a residual is the base run's."""
        return number in self._base_ids

    def rowwise(self, number: int) -> bool:
        """Whether a residual depends on template, position and token alone.

        Of the base run's only the input does, where no knock-out replaces it.
        """
        if number in self._base_ids:
            return number == self.base[0] and self._plain_input
        return self.segment_of(number) == ROWWISE

    def visible(self, segment: int) -> int:
        """How many segments, from the first, a query in `segment` sees."""
        return segment + 1 if self.shape.causal else self.segments

    def head_codes(self, codes: Codes, layer: int) -> Codes:
        """The heads' part of codes [nodes]."""
        start = 1 + layer * self.width
        return codes[start : start + self.shape.n_heads]

    def mlp_code(self, codes: Codes, layer: int) -> int:
        """The MLP's part of codes [nodes]."""
        return int(codes[layer * self.width + self.width])

    def segment_of(self, number: int) -> int:
        """The segment of a residual; ROWWISE where it holds for all of them."""
        node = self.nodes[number]
        return ROWWISE if isinstance(node, Base) else node.segment

    def start(self, segment: int, code: int) -> int:
        """The residual stream before layer 0."""
        if self.passes.fold and code == int(self.base_codes[segment, 0]):
            return self.base[0]
        return self.add(Start(ROWWISE, code))

    def after_heads(
        self, layer: int, segment: int, read: Sequence[int], seen: tuple[int, ...], codes: bytes
    ) -> int:
        """`read[segment]` past the heads of a layer, all of which read the residuals `read`.

        `seen` are those of the segments that a query here sees, in order.
        """
        prev = read[segment]
        alive = live_heads(codes)
        folded = self.passes.fold and (not alive or all(n in self._base_ids for n in seen))
        if folded and prev in self._base_ids and codes == self.base_heads[segment][layer]:
            return self.base[2 * layer + 1]
        if not alive:
            return self.mixed(layer, segment, prev, codes, ())
        if folded and prev in self._base_ids:
            return self.mixed(layer, segment, prev, as_base(codes), ())
        attend = self.add(Attend(segment, layer, prev, seen, seen))
        return self.mixed(layer, segment, prev, codes, ((attend, alive),))

    def mixed(
        self,
        layer: int,
        segment: int,
        prev: int,
        codes: bytes,
        live: tuple[tuple[int, tuple[int, ...]], ...],
    ) -> int:
        """`prev` past heads that may each read something else."""
        own = live or not self.rowwise(prev) or has_base(codes)
        return self.add(AfterHeads(segment if own else ROWWISE, layer, prev, codes, live))

    def after_mlp(self, layer: int, segment: int, mid: int, x: int, code: int) -> int:
        """`mid` past the MLP of a layer that reads `x`."""
        if not self.shape.has_mlps:
            return self.base[2 * layer + 2] if self.is_base(mid) else mid
        value = NOTHING
        if code == LIVE:
            if self.passes.fold and self.is_base(x) and not (self.rowwise(x) and self.rowwise(mid)):
                code = AS_BASE
            else:
                value = self.mlp(layer, segment, x)
        if self.passes.fold and self.is_base(mid) and value == NOTHING:
            base = self.mlp_code(self.base_codes[segment], layer)
            if code == base or (code == AS_BASE and base == LIVE):
                return self.base[2 * layer + 2]
        own = (
            code == AS_BASE
            or not self.rowwise(mid)
            or (value != NOTHING and self.segment_of(value) != ROWWISE)
        )
        return self.add(AfterMlp(segment if own else ROWWISE, layer, mid, code, value))

    def attended(
        self,
        layer: int,
        segment: int,
        prev: int,
        codes: bytes,
        reads: Sequence[tuple[int, tuple[int, ...], tuple[int, ...]]],
    ) -> int:
        """`prev` past heads of which each reads its own residuals.

        `reads` has (q, k, v) of every LIVE head of `codes`, in their order.
        """
        alive = live_heads(codes)
        heads: dict[tuple[int, tuple[int, ...], tuple[int, ...]], list[int]] = {}
        values = np.frombuffer(codes, dtype=np.int16).copy()
        for head, (q, k, v) in zip(alive, reads, strict=True):
            if self.passes.fold and all(n in self._base_ids for n in (q, *k, *v)):
                values[head] = AS_BASE
            else:
                heads.setdefault((q, k, v), []).append(head)
        base = np.frombuffer(self.base_heads[segment][layer], dtype=np.int16)
        frozen = np.where(base == LIVE, np.int16(AS_BASE), base)
        unmoved = prev in self._base_ids and not heads and bool((values == frozen).all())
        if self.passes.fold and unmoved:
            return self.base[2 * layer + 1]
        live = tuple(
            (self.add(Attend(segment, layer, q, k, k if k == v else v)), tuple(members))
            for (q, k, v), members in heads.items()
        )
        return self.mixed(layer, segment, prev, values.tobytes(), live)

    def mlp(self, layer: int, segment: int, x: int) -> int:
        """The output of an MLP that reads `x`."""
        return self.add(MlpOut(ROWWISE if self.rowwise(x) else segment, layer, x))


@lru_cache(maxsize=4096)
def live_heads(codes: bytes) -> tuple[int, ...]:
    """The heads that are LIVE in codes [heads] int16."""
    return tuple(int(i) for i in np.flatnonzero(np.frombuffer(codes, dtype=np.int16) == LIVE))


@lru_cache(maxsize=4096)
def as_base(codes: bytes) -> bytes:
    """Codes with what was LIVE AS_BASE."""
    values = np.frombuffer(codes, dtype=np.int16)
    return np.where(values == LIVE, np.int16(AS_BASE), values).tobytes()


@lru_cache(maxsize=4096)
def has_base(codes: bytes) -> bool:
    """Whether any head has its value in the base run."""
    return bool((np.frombuffer(codes, dtype=np.int16) == AS_BASE).any())
