"""Carry out plans on their chunks: layer by layer, values let go after their last use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.layers import LayerStep
from circuitspec.engine.compiled.memo import Memo
from circuitspec.engine.compiled.mlps import compute_mlps
from circuitspec.engine.compiled.places import Place
from circuitspec.engine.compiled.values import Pool, Values
from circuitspec.engine.plan.demand import Demand
from circuitspec.engine.plan.graph import (
    AS_BASE,
    LIVE,
    NOTHING,
    ROWWISE,
    Base,
    Displaced,
    Graph,
    Moved,
    Start,
)
from circuitspec.engine.plan.memory import ROWS_AT_ONCE, last_uses
from circuitspec.engine.plan.rows import row_codes


def carry_out(executions: Sequence[Execution]) -> None:
    """Compute everything of several plans of one model, side by side."""
    for each in executions:
        each.begin()
    for layer in range(executions[0].graph.shape.n_layers):
        _layer(executions, layer)


def _layer(executions: Sequence[Execution], layer: int) -> None:
    """One layer of all; what only it needs is gone with the end of this function."""
    steps = [each.past_heads(layer) for each in executions]
    compute_mlps(steps)
    for each, step in zip(executions, steps, strict=True):
        each.past_mlp(step)


class Execution:
    """One call's instances on one chunk; at its end `values` has the `roots` and nothing else.

    What `memo` has of earlier calls is taken from there, and what later calls may need put there.
    """

    def __init__(
        self,
        chunk: Chunk,
        graph: Graph,
        demand: Demand,
        roots: Iterable[int],
        *,
        memo: Memo,
        rows_at_once: int = ROWS_AT_ONCE,
    ) -> None:
        self.chunk = chunk
        self.graph = graph
        self.demand = demand
        self.roots = frozenset(roots)
        self.rows_at_once = rows_at_once
        self.values = Values()
        self.memo = memo
        memo.recall(chunk, demand.where, self.values)
        self._codes: dict[int, frozenset[int]] = {}
        self._places: dict[int, Place] = {}
        self._last: dict[int, list[int]] = {}

    def begin(self) -> None:
        """What no layer computes."""
        self._last = last_uses(self.graph, self.demand, self.roots)
        self._base_values()
        for number in self.demand.starts:
            self._start(number)

    def past_heads(self, layer: int) -> LayerStep:
        """A layer up to its MLP."""
        wanted = self.demand.layers[layer]
        self._move(wanted.moved)
        for number in wanted.displaced:
            self._displaced(number)
        step = LayerStep(
            self.chunk,
            self.graph,
            self.demand,
            layer,
            self.values,
            self.place,
            self.rows_at_once,
        )
        step.heads(step.attend())
        return step

    def past_mlp(self, step: LayerStep) -> None:
        """The rest of a layer, once its MLPs are computed."""
        step.after()
        if step.layer < self.graph.shape.n_layers - 1:
            where = {number: self.demand.where[number] for number in step.wanted.after}
            self.memo.keep(self.chunk, where, self.values)
        self.values.drop(self._last.pop(step.layer, ()))

    # ── where instances live ─────────────────────────────────────────────────────────────────

    def place(self, number: int) -> Place:
        """The rows of an instance."""
        if number not in self._places:
            segment = self.graph.segment_of(number)
            self._places[number] = (
                self.chunk.place([segment])
                if segment != ROWWISE
                else self.chunk.merged(self.codes(number), self.demand.segments(number))
            )
        return self._places[number]

    def codes(self, number: int) -> frozenset[int]:
        """The ablation values that an instance of all segments depends on."""
        return row_codes(self.graph, number, self._codes)

    # ── leaves ───────────────────────────────────────────────────────────────────────────────

    def _base_values(self) -> None:
        for number in self.demand.where:
            node = self.graph.nodes[number]
            if isinstance(node, Base):
                self.values.put([number], Pool(self.chunk.base(node.depth), self.chunk.everywhere))

    def _start(self, number: int) -> None:
        node = self.graph.nodes[number]
        assert isinstance(node, Start)
        place = self.place(number)
        if node.code != LIVE:
            table = self.chunk.table(node.code)
            rows = table.input[table.rows(place)]
        else:
            rows = self.chunk.subject.embedded(place)
        self.values.put([number], Pool(rows[None], place))

    # ── path patching's first pass ───────────────────────────────────────────────────────────

    def _move(self, numbers: Sequence[int]) -> None:
        """A layer's moves: of its input and heads one by one, then of its MLP all together."""
        recomputed: dict[Place, list[tuple[int, Moved]]] = {}
        for number in numbers:
            node = self.graph.nodes[number]
            assert isinstance(node, Moved)
            place = self.place(number)
            if node.x != NOTHING:
                recomputed.setdefault(place, []).append((number, node))
            else:
                self._put_move([number], [node], place, self._change(node, place)[None])
        for place, found in recomputed.items():
            step = max(1, self.rows_at_once // max(1, place.count))
            for start in range(0, len(found), step):
                listed = [number for number, _ in found[start : start + step]]
                nodes = [node for _, node in found[start : start + step]]
                self._put_move(listed, nodes, place, self._through_mlp(nodes, place))

    def _put_move(
        self, numbers: Sequence[int], nodes: Sequence[Moved], place: Place, change: Tensor
    ) -> None:
        before = [node.prev for node in nodes]
        moving = [i for i, number in enumerate(before) if number != NOTHING]
        if len(moving) == len(nodes):
            change = self.values.rows(before, place) + change
        elif moving:
            change = change.clone()
            change[moving] += self.values.rows([before[i] for i in moving], place)
        self.values.put(numbers, Pool(change, place))

    def _through_mlp(self, nodes: Sequence[Moved], place: Place) -> Tensor:
        """How far an MLP's output moves when what it reads has moved: [n, R, W]."""
        chunk, layer = self.chunk, nodes[0].layer
        block = chunk.weights.blocks[layer]
        assert block.mlp is not None
        assert block.ln2 is not None
        base = chunk.table(AS_BASE)
        frozen = base.mlp(layer)[base.rows(place)]
        moved = self.values.rows([node.x for node in nodes], place)
        read = chunk.subject.base_mlp_input(layer)[0]
        index = place.rows_in(chunk.everywhere)
        read = (read if index is None else read[index]) + moved
        new = kernels.mlp_output(block.mlp, block.ln2(read).flatten(0, 1)).view_as(read)
        # where nothing moved nothing changes: rounding must not look like an effect
        return torch.where((moved != 0).any(-1, keepdim=True), new - frozen, 0.0)

    def _change(self, node: Moved, place: Place) -> Tensor:
        chunk = self.chunk
        base = chunk.table(AS_BASE)
        own = base.rows(place)
        codes = np.frombuffer(node.codes, dtype=np.int16)
        if node.of == "input":
            table = chunk.table(int(codes[0]))
            return table.input[table.rows(place)] - base.input[own]
        block = chunk.weights.blocks[node.layer]
        if node.of == "heads":
            total: Tensor | None = None
            for code in sorted(set(codes.tolist()) - {AS_BASE}):
                heads = torch.from_numpy(np.flatnonzero(codes == code)).to(chunk.device)
                table = chunk.table(code)
                z = table.z(node.layer)[:, heads][table.rows(place)]
                difference = z - base.z(node.layer)[:, heads][own]
                part = difference.flatten(1) @ block.w_o[heads].flatten(0, 1)
                total = part if total is None else total + part
            assert total is not None
            return total
        frozen = base.mlp(node.layer)[own]
        table = chunk.table(int(codes[0]))
        return table.mlp(node.layer)[table.rows(place)] - frozen

    def _displaced(self, number: int) -> None:
        node = self.graph.nodes[number]
        assert isinstance(node, Displaced)
        place = self.place(number)
        base = self.chunk.base(node.depth)[0]
        index = place.rows_in(self.chunk.everywhere)
        base = base if index is None else base[index]
        moved = self.values.rows([node.moved], place)[0]
        self.values.put([number], Pool((base + moved)[None], place))
