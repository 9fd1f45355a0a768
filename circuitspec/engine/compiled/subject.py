"""Some prompts under one set of knock-outs, with what holds for every run on them.

That is their tokens, the base run (the model under the knock-outs and no more), and the ablation
values at their tokens. Layouts cut the same prompts differently; they share all of this.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch, batches
from circuitspec.engine.compiled.places import place_of
from circuitspec.engine.compiled.projections import Side, project_rows
from circuitspec.engine.compiled.recall import Known, recalled
from circuitspec.engine.compiled.tables import Table, source_table
from circuitspec.engine.forward import Trace, forward
from circuitspec.engine.plan.cost import residual_forward
from circuitspec.engine.plan.graph import AS_BASE
from circuitspec.engine.plan.memory import base_bytes
from circuitspec.engine.plan.rows import Integers, token_table
from circuitspec.engine.runs import Source, Write
from circuitspec.engine.sources import Sources
from circuitspec.engine.writes import edits_for
from circuitspec.model.weights import Weights
from circuitspec.task.records import Prompt, PromptSet

Coded = tuple[Source, tuple[Write, ...]]
"""What a code stands for: an ablation value, and the knock-outs its own runs are under."""


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
        self._traces: list[Trace] | None = None
        self._streams: dict[int, Tensor] = {}
        self._base_keys: dict[int, dict[Side, Tensor]] = {}

    @property
    def size(self) -> int:
        """About how many bytes are kept: of the base run and of ablation values."""
        kept = base_bytes(
            self.weights.shape, self.n * self.width, self.weights.embed.element_size()
        )
        return kept * (self._traces is not None) + sum(t.bytes for t in self._tables.values())

    def table(self, code: int) -> Table:
        """The values that a code stands for; AS_BASE: the base run's own."""
        if code not in self._tables:
            self._tables[code] = self._base_table() if code == AS_BASE else self._source(code)
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

    def _base_table(self) -> Table:
        which = np.arange(self.n)[:, None] * self.width + np.arange(self.width)[None]
        parts = [
            (trace, places[:, None] * self.width + np.arange(batch.length))
            for (batch, places), trace in zip(self._batches, self.traces, strict=True)
        ]
        return Table(which, parts, self.device)

    @property
    def traces(self) -> list[Trace]:
        """The base run, batch by batch."""
        if self._traces is None:
            self._traces = [self._trace(batch) for batch, _ in self._batches]
        return self._traces

    def _trace(self, batch: Batch) -> Trace:
        found = recalled(batch.rows, self._known)
        if found is None:
            edits = edits_for(self._sources, batch, self.given, ())
            found = forward(self.weights, batch.tokens, edits)
            lengths = {batch.length: len(batch.rows)}
            self.flops += residual_forward(self.weights.shape, lengths).flops
            self._known.update((row, (found, i)) for i, row in enumerate(batch.rows))
        return found

    def base(self, depth: int) -> Tensor:
        """The base run's residual stream, at every token of `everywhere`: [1, rows, W]."""
        if depth not in self._streams:
            self._streams[depth] = self._stream(depth)
        return self._streams[depth]

    def _stream(self, depth: int) -> Tensor:
        layer, after_heads = divmod(depth, 2)

        def of(trace: Trace) -> Tensor:
            if after_heads:
                # of a parallel block `mid` is what the MLP reads: the stream before the heads
                return self._past_heads(trace, layer)
            return trace.final if layer == len(trace.pre) else trace.pre[layer]

        rows = [of(trace).flatten(0, 1) for trace in self.traces]
        if len(rows) == 1:
            return rows[0][None]
        out = rows[0].new_empty(self.n * self.width, rows[0].shape[-1])
        for (batch, places), part in zip(self._batches, rows, strict=True):
            index = places[:, None] * self.width + np.arange(batch.length)
            out[torch.from_numpy(index.reshape(-1)).to(self.device)] = part
        return out[self.everywhere.flat][None]

    def _past_heads(self, trace: Trace, layer: int) -> Tensor:
        if not self.weights.shape.parallel:
            return trace.mid[layer]
        block = self.weights.blocks[layer]
        out = kernels.attention_output(block, trace.z[layer])
        return trace.pre[layer] + (out if block.b_o is None else out + block.b_o)

    def base_mlp_input(self, layer: int) -> Tensor:
        """What the base run's MLP reads, at every token of `everywhere`: [1, rows, W]."""
        return self.base(2 * layer if self.weights.shape.parallel else 2 * layer + 1)

    def base_keys(self, layer: int) -> dict[Side, Tensor]:
        """The base run's keys and values [1, rows, H, D] at every token of `everywhere`."""
        if layer not in self._base_keys:
            block = self.weights.blocks[layer]
            normed = block.ln1(self.base(2 * layer))
            heads = range(block.w_k.shape[0])
            sides: tuple[Side, Side] = ("k", "v")
            self._base_keys[layer] = {
                side: project_rows(block, side, normed, heads, self.everywhere) for side in sides
            }
        return self._base_keys[layer]
