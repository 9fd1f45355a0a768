"""One layer of a plan: attention, what heads add, what the MLP adds; all instances at once.

The MLPs themselves are in `mlps.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.compiled.attention import Attended, attend_segment
from circuitspec.engine.compiled.chunk import Chunk
from circuitspec.engine.compiled.keys import LayerKeys
from circuitspec.engine.compiled.places import Place
from circuitspec.engine.compiled.values import Pool, Values, stretches
from circuitspec.engine.plan.demand import Demand, LayerDemand
from circuitspec.engine.plan.graph import (
    LIVE,
    AfterHeads,
    AfterMlp,
    Attend,
    Graph,
)
from circuitspec.engine.plan.memory import SMALL_TABLE

Attention = dict[int, Attended]
"""What was attended, by segment."""


class LayerStep:
    """The work of one layer on one chunk."""

    def __init__(
        self,
        chunk: Chunk,
        graph: Graph,
        demand: Demand,
        layer: int,
        values: Values,
        place: Callable[[int], Place],
        rows_at_once: int,
    ) -> None:
        self.chunk = chunk
        self.graph = graph
        self.demand = demand
        self.wanted: LayerDemand = demand.layers[layer]
        self.layer = layer
        self.values = values
        self.place = place
        self.block = chunk.weights.blocks[layer]
        self.keys = LayerKeys(chunk, graph, layer, values, rows_at_once)
        self._constants: dict[tuple[bytes, Place], Tensor] = {}

    # ── attention ────────────────────────────────────────────────────────────────────────────

    def attend(self) -> Attention:
        """z of every attention instance that is needed."""
        if not self.wanted.attends:
            return {}
        self.keys.compute(self.wanted)
        by_segment: dict[int, dict[int, Attend]] = {}
        heads: dict[int, set[int]] = {}
        for number, needed in self.wanted.attends.items():
            node = self.graph.nodes[number]
            assert isinstance(node, Attend)
            by_segment.setdefault(node.segment, {})[number] = node
            heads.setdefault(node.segment, set()).update(needed)
        return {
            segment: attend_segment(
                self.chunk,
                self.layer,
                segment,
                instances,
                sorted(heads[segment]),
                self.keys,
                self.graph.shape.causal,
            )
            for segment, instances in by_segment.items()
        }

    def heads(self, attention: Attention) -> None:
        """Every residual that is needed after the heads; keys and values are not, any more."""
        for (place, alive), numbers in self._families(self.wanted.heads).items():
            nodes = [self._after_heads(number) for number in numbers]
            if not alive:
                pool = self._all_cut(nodes, place)
            else:
                pool = self._some_live(nodes, place, attention[nodes[0].segment])
            self.values.put(numbers, pool)
        # other layouts go past their heads before this layer is over
        self.keys.forget()
        self._constants.clear()

    def _after_heads(self, number: int) -> AfterHeads:
        node = self.graph.nodes[number]
        assert isinstance(node, AfterHeads)
        return node

    def _families(self, numbers: Sequence[int]) -> dict[tuple[Place, bool], list[int]]:
        """Residuals on the same rows, those with live heads apart."""
        found: dict[tuple[Place, bool], list[int]] = {}
        for number in numbers:
            alive = bool(self._after_heads(number).live)
            found.setdefault((self.place(number), alive), []).append(number)
        return found

    def _all_cut(self, nodes: Sequence[AfterHeads], place: Place) -> Pool:
        return Pool(self._with_cut(nodes, [node.codes for node in nodes], place), place)

    def _with_cut(
        self, nodes: Sequence[AfterHeads], codes: Sequence[bytes], place: Place
    ) -> Tensor:
        """The residuals before, and what the heads that are cut add: [n, R, W]."""
        before = self.values.rows([node.prev for node in nodes], place)
        groups: dict[bytes, list[int]] = {}
        for i, own in enumerate(codes):
            groups.setdefault(own, []).append(i)
        if len(groups) == 1:
            return before + self.constant(codes[0], place)
        out = before.clone()
        for own, members in groups.items():
            out[members] += self.constant(own, place)
        return out

    def _some_live(self, nodes: Sequence[AfterHeads], place: Place, attended: Attended) -> Pool:
        codes = np.stack([np.frombuffer(node.codes, dtype=np.int16) for node in nodes])
        varying = np.flatnonzero((codes == LIVE).any(0))
        fixed = codes.copy()
        fixed[:, varying] = LIVE
        out = self._with_cut(nodes, [row.tobytes() for row in fixed], place)
        w_o = self.block.w_o[torch.from_numpy(varying).to(out.device)].flatten(0, 1)
        step = max(1, self.keys.rows_at_once // max(1, place.count))
        for start in range(0, len(nodes), step):
            some = range(start, min(len(nodes), start + step))
            z = self._mixed_z([nodes[i] for i in some], codes[list(some)], varying, place, attended)
            out[start : start + step].flatten(0, 1).addmm_(z.flatten(0, 1).flatten(1), w_o)
        return Pool(out, place)

    def _mixed_z(
        self,
        nodes: Sequence[AfterHeads],
        codes: np.ndarray[tuple[int, int], np.dtype[np.int16]],
        varying: np.ndarray[tuple[int], np.dtype[np.int64]],
        place: Place,
        attended: Attended,
    ) -> Tensor:
        """z of the heads that are live somewhere, of each instance: [n, R, heads, D]."""
        columns = {head: i for i, head in enumerate(attended.heads)}
        device = attended.pool.tensor.device
        index = torch.tensor([attended.index[node.live[0][0]] for node in nodes], device=device)
        wanted = torch.tensor([columns[int(head)] for head in varying], device=device)
        z = attended.pool.tensor[index]
        if len(wanted) < len(attended.heads):
            z = z[:, :, wanted]
        at = {int(head): i for i, head in enumerate(varying)}
        for i, node in enumerate(nodes):
            for attend, heads in node.live[1:]:
                own = attended.pool.tensor[attended.index[attend]]
                for head in heads:
                    z[i, :, at[head]] = own[:, columns[head]]
        cut = codes[:, varying]
        for code in sorted(set(cut.flat) - {LIVE}):
            table = self.chunk.table(int(code))
            values = table.z(self.layer)[:, torch.from_numpy(varying).to(device)]
            mask = torch.from_numpy(cut == code).to(device)
            z = torch.where(mask[:, None, :, None], values[table.rows(place)][None], z)
        return z

    def constant(self, codes: bytes, place: Place) -> Tensor:
        """b_O and what the heads that are cut add (all that are not LIVE in `codes`): [R, W]."""
        key = (codes, place)
        if key not in self._constants:
            self._constants[key] = self._constant(np.frombuffer(codes, dtype=np.int16), place)
        return self._constants[key]

    def _constant(self, codes: np.ndarray[tuple[int], np.dtype[np.int16]], place: Place) -> Tensor:
        shape = self.graph.shape
        total = self.chunk.weights.embed.new_zeros(place.count, shape.d_model)
        if self.block.b_o is not None:
            total = total + self.block.b_o
        for code in sorted(set(codes.tolist()) - {LIVE}):
            total = total + self._cut(code, codes == code, place)
        return total

    def _cut(
        self, code: int, heads: np.ndarray[tuple[int], np.dtype[np.bool_]], place: Place
    ) -> Tensor:
        """What some heads add that have the values of a code: [R, W]."""
        table = self.chunk.table(code)
        if not heads.all() or table.size > SMALL_TABLE:
            values, each = table.distinct(place)
            return self._added(table.z(self.layer)[values], heads)[each]
        # at most places of a circuit all heads are cut: one product for all places and calls
        if self.layer not in table.added:
            table.added[self.layer] = self._added(table.z(self.layer), heads)
        return table.added[self.layer][table.rows(place)]

    def _added(self, z: Tensor, heads: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Tensor:
        """What `heads` of z [G, H, D] add to the stream: [G, W]."""
        out: Tensor | None = None
        # neighbours at once: to pick heads of W_O one by one would be to copy it
        for first, last in stretches(heads.tolist()):
            if heads[first]:
                some = slice(first, last)
                part = z[:, some].flatten(1) @ self.block.w_o[some].flatten(0, 1)
                out = part if out is None else out + part
        assert out is not None
        return out

    # ── past the MLP ─────────────────────────────────────────────────────────────────────────

    def after(self) -> None:
        """Every residual that is needed after the MLP."""
        families: dict[tuple[Place, int], list[int]] = {}
        for number in self.wanted.after:
            node = self.graph.nodes[number]
            assert isinstance(node, AfterMlp)
            families.setdefault((self.place(number), node.code), []).append(number)
        for (place, code), numbers in families.items():
            nodes = [node for n in numbers if isinstance(node := self.graph.nodes[n], AfterMlp)]
            out = self.values.rows([node.prev for node in nodes], place)
            if code == LIVE:
                out = out + self.values.rows([node.mlp for node in nodes], place)
            else:
                table = self.chunk.table(code)
                out = out + table.mlp(self.layer)[table.rows(place)]
            self.values.put(numbers, Pool(out, place))
