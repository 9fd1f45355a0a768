"""Some prompts under one set of knock-outs, with what holds for every run on them.

That is their tokens, the base run (the model under the knock-outs and no more), and the ablation
values at their tokens. Layouts cut the same prompts differently; they share all of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch, batches
from circuitspec.engine.compiled.places import Place, place_of
from circuitspec.engine.compiled.projections import SIDES, Side, project_rows
from circuitspec.engine.compiled.tables import Part, Table, gather, source_table
from circuitspec.engine.forward import Trace, forward
from circuitspec.engine.plan.cost import residual_forward
from circuitspec.engine.plan.graph import AS_BASE
from circuitspec.engine.plan.memory import base_bytes, table_bytes
from circuitspec.engine.plan.rows import Integers, token_table
from circuitspec.engine.runs import Source, Write
from circuitspec.engine.sources import Sources
from circuitspec.engine.writes import edits_for
from circuitspec.model.weights import Weights
from circuitspec.task.records import Prompt, PromptSet

Coded = tuple[Source, tuple[Write, ...]]
"""What a code stands for: an ablation value, and the knock-outs its own runs are under."""
Known = tuple[Trace, int]
"""A trace of the model's first layers or all of them, and the place of a prompt in it."""


class Subject:
    """Prompts that go through the model together. `coded[code - 1]` is what a code stands for;
    `known` are base runs of the same set and knock-outs, by row; `flops` the floating-point
    operations of what had to be computed of this one."""

    def __init__(
        self,
        weights: Weights,
        sources: Sources,
        prompts: PromptSet,
        rows: Sequence[int],
        given: tuple[Write, ...],
        coded: Sequence[Coded],
        known: dict[int, Known],
    ) -> None:
        self.weights = weights
        self.set = prompts
        self.rows = tuple(rows)
        self.given = given
        self.device = weights.device
        self.prompts: list[Prompt] = [prompts.prompts[row] for row in rows]
        self.tokens = token_table(self.prompts)
        self.n, self.width = self.tokens.shape
        self.flops = 0.0
        self._sources = sources
        self._coded = coded
        self._known = known
        local = {row: i for i, row in enumerate(self.rows)}
        self._batches: list[tuple[Batch, Integers]] = [
            (batch, np.array([local[row] for row in batch.rows], dtype=np.int64))
            for batch in batches(prompts, self.n, self.device, self.rows)
        ]
        prompt, index = np.nonzero(self.tokens >= 0)
        self.everywhere = place_of(prompt, index, self.width, self.n, self.device)
        self._tables: dict[int, Table] = {}
        self._parts: list[Part[Trace]] = []
        self._layers = -1
        self._streams: dict[int, Tensor] = {}
        self._base_keys: dict[int, dict[int, dict[Side, Tensor]]] = {}

    @property
    def size(self) -> int:
        """About how many bytes are kept: of the base run and of ablation values."""
        shape, numbers = self.weights.shape, self.weights.embed.element_size()
        kept = base_bytes(shape, self.n * self.width, numbers) if self._parts else 0
        return kept + sum(
            table_bytes(shape, table.size, numbers)
            for code, table in self._tables.items()
            if code != AS_BASE
        )

    def table(self, code: int) -> Table:
        """The values that a code stands for; AS_BASE: the base run's own."""
        if code not in self._tables:
            self._tables[code] = (
                Table(self.everywhere.local, self._base, self.device)
                if code == AS_BASE
                else self._source(code)
            )
        return self._tables[code]

    def _source(self, code: int) -> Table:
        source, given = self._coded[code - 1]
        return source_table(
            source,
            self.prompts,
            self._batches,
            lambda batch: self._sources.values(source, batch, given),
            self.device,
        )

    def _base(self, layers: int) -> list[Part[Trace]]:
        """At least the first `layers` of the base run, from whichever batches it was computed in.

        Of an ablated circuit layer 0 alone is needed: its heads read the input, as the model's own
        do. What needs more mostly needs all.
        """
        if layers > self._layers:
            upto = layers if layers <= 1 else len(self.weights.blocks)
            for batch, _ in self._batches:
                if any(self._depth(row) < upto for row in batch.rows):
                    self._compute(batch, upto)
            self._parts, self._layers = self._found(), upto
        return self._parts

    def _depth(self, row: int) -> int:
        return len(self._known[row][0].z) if row in self._known else -1

    def _compute(self, batch: Batch, layers: int) -> None:
        edits = edits_for(self._sources, batch, self.given, ())
        trace = forward(self.weights, batch.tokens, edits, layers=layers)
        shape = replace(self.weights.shape, n_layers=layers)
        self.flops += residual_forward(shape, {batch.length: len(batch.rows)}).flops
        self._known.update((row, (trace, i)) for i, row in enumerate(batch.rows))

    def _found(self) -> list[Part[Trace]]:
        """Our prompts in the traces that are known."""
        by_trace: dict[int, tuple[Trace, list[int], list[int]]] = {}
        for place, row in enumerate(self.rows):
            trace, index = self._known[row]
            _, taken, places = by_trace.setdefault(id(trace), (trace, [], []))
            taken.append(index)
            places.append(place)
        return [
            Part(
                trace,
                self.everywhere.local[places, : trace.input.shape[1]],
                None if taken == list(range(len(trace.input))) else np.array(taken),
            )
            for trace, taken, places in by_trace.values()
        ]

    def embedded(self, place: Place) -> Tensor:
        """The model's input at the rows of a place: [R, W]."""
        tokens = torch.from_numpy(self.tokens[place.prompt, place.index]).to(self.device)
        rows = self.weights.embed[tokens]
        if self.weights.pos_embed is not None:
            rows = rows + self.weights.pos_embed[torch.from_numpy(place.index).to(self.device)]
        return rows

    def base(self, depth: int) -> Tensor:
        """The base run's residual stream, at every token of `everywhere`: [1, rows, W]."""
        if depth not in self._streams:
            self._streams[depth] = self._stream(depth)[None]
        return self._streams[depth]

    def _stream(self, depth: int) -> Tensor:
        if depth == 0 and not self.given:
            return self.embedded(self.everywhere)
        layer, after_heads = divmod(depth, 2)

        def of(trace: Trace) -> Tensor:
            if after_heads:
                # of a parallel block `mid` is what the MLP reads: the stream before the heads
                return self._past_heads(trace, layer)
            return trace.final if layer == len(self.weights.blocks) else trace.pre[layer]

        parts = self._base(min(layer + 1, len(self.weights.blocks)))
        return gather(parts, of, self.everywhere.count, self.device)

    def _past_heads(self, trace: Trace, layer: int) -> Tensor:
        if not self.weights.shape.parallel:
            return trace.mid[layer]
        block = self.weights.blocks[layer]
        out = kernels.attention_output(block, trace.z[layer])
        return trace.pre[layer] + (out if block.b_o is None else out + block.b_o)

    def base_mlp_input(self, layer: int) -> Tensor:
        """What the base run's MLP reads, at every token of `everywhere`: [1, rows, W]."""
        return self.base(2 * layer if self.weights.shape.parallel else 2 * layer + 1)

    def base_keys(self, layer: int, heads: Sequence[int]) -> dict[Side, Tensor]:
        """The base run's keys and values of some heads [1, rows, len(heads), D], at every token of
        `everywhere`."""
        known = self._base_keys.setdefault(layer, {})
        missing = [head for head in heads if head not in known]
        if missing:
            block = self.weights.blocks[layer]
            normed = block.ln1(self.base(2 * layer))
            k, v = (project_rows(block, s, normed, missing, self.everywhere) for s in SIDES)
            for i, head in enumerate(missing):
                known[head] = {"k": k[:, :, i], "v": v[:, :, i]}
        return {side: torch.stack([known[head][side] for head in heads], dim=2) for side in SIDES}
