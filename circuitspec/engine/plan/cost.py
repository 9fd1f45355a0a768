"""What a plan costs before it is carried out: instances, rows, floating-point operations.

Counted are products of matrices, two operations a multiplication: projections, scores and
mixtures, outputs, MLPs. The unit is one plain forward pass of the same prompts, with logits at one
position of each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from circuitspec.engine.plan.demand import Demand
from circuitspec.engine.plan.graph import LIVE, NOTHING, AfterHeads, Attend, Graph, MlpOut, Moved
from circuitspec.engine.plan.layout import Layout
from circuitspec.hypothesis.shape import ModelShape


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Floating-point operations by what they are for, and how many rows of what are computed.

    `heads` are head outputs (one head, one token row), `mlps` MLP outputs (one row).
    """

    keys: float = 0.0
    queries: float = 0.0
    scores: float = 0.0
    outputs: float = 0.0
    mlp: float = 0.0
    logits: float = 0.0
    heads: int = 0
    mlps: int = 0

    @property
    def flops(self) -> float:
        """All floating-point operations."""
        return self.keys + self.queries + self.scores + self.outputs + self.mlp + self.logits

    @property
    def instances(self) -> int:
        """Outputs of heads and MLPs that are computed, each at one token row."""
        return self.heads + self.mlps

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            keys=self.keys + other.keys,
            queries=self.queries + other.queries,
            scores=self.scores + other.scores,
            outputs=self.outputs + other.outputs,
            mlp=self.mlp + other.mlp,
            logits=self.logits + other.logits,
            heads=self.heads + other.heads,
            mlps=self.mlps + other.mlps,
        )


def mlp_flops(shape: ModelShape) -> float:
    """Of one MLP at one row."""
    if not shape.has_mlps:
        return 0.0
    gated = shape.norm == "rms"
    return 2.0 * (3 if gated else 2) * shape.d_model * (shape.d_mlp or 0)


def head_flops(shape: ModelShape) -> float:
    """Of one projection of one head at one row: q, k, v and the output each."""
    return 2.0 * shape.d_model * shape.d_head


def plain_forward(shape: ModelShape, lengths: Mapping[int, int]) -> Cost:
    """One unmodified pass of prompts (how many, by number of tokens), logits at one position."""
    read = sum(lengths.values())
    return residual_forward(shape, lengths) + Cost(logits=read * logits_flops(shape))


def logits_flops(shape: ModelShape) -> float:
    """Of the logits of the whole vocabulary at one position."""
    return 2.0 * shape.d_model * shape.d_vocab_out


def residual_forward(shape: ModelShape, lengths: Mapping[int, int]) -> Cost:
    """The same without logits."""
    rows = sum(length * n for length, n in lengths.items())
    squares = sum(length * length * n for length, n in lengths.items())
    each = head_flops(shape)
    return Cost(
        keys=shape.n_layers * rows * each * 2 * shape.n_kv_heads,
        queries=shape.n_layers * rows * each * shape.n_heads,
        scores=shape.n_layers * squares * 4.0 * shape.n_heads * shape.d_head,
        outputs=shape.n_layers * rows * each * shape.n_heads,
        mlp=shape.n_layers * rows * mlp_flops(shape),
        heads=shape.n_layers * rows * shape.n_heads,
        mlps=shape.n_layers * rows * shape.has_mlps,
    )


def demand_cost(graph: Graph, wanted: Demand, layout: Layout, rows: Callable[[int], int]) -> Cost:
    """What `wanted` costs on the prompts of `layout`; `rows` is how many rows an instance has.

    The base run is not in it.
    """
    shape = graph.shape
    each, group = head_flops(shape), shape.n_heads // shape.n_kv_heads
    seen = _keys_seen(layout, shape.causal)
    total = Cost()
    for layer in wanted.layers:
        attends = [node for n in layer.attends if isinstance(node := graph.nodes[n], Attend)]
        needed: dict[int, set[int]] = {}
        for node, heads in zip(attends, layer.attends.values(), strict=True):
            needed.setdefault(node.segment, set()).update(heads)
        here = {segment: len(heads) for segment, heads in needed.items()}
        reads = {n for node in attends for n in (*node.k, *node.v) if not graph.is_base(n)}
        queries = {(node.segment, node.q) for node in attends}
        scores = sum(4.0 * seen[n.segment] * here[n.segment] * shape.d_head for n in attends)
        computed = sum(layout.tokens(n.segment) * here[n.segment] for n in attends)
        q = sum(layout.tokens(s) * here[s] for s, _ in queries)
        groups = len({h // group for heads in needed.values() for h in heads})
        k = sum(rows(n) for n in reads) * 2 * groups
        varying: dict[int, set[int]] = {}
        mids: dict[int, int] = {}
        for number in layer.heads:
            node = graph.nodes[number]
            assert isinstance(node, AfterHeads)
            if node.live:
                codes = np.frombuffer(node.codes, dtype=np.int16)
                varying.setdefault(node.segment, set()).update(np.flatnonzero(codes == LIVE))
                mids[node.segment] = mids.get(node.segment, 0) + 1
        outputs = sum(layout.tokens(s) * n * len(varying[s]) for s, n in mids.items())
        mlps = 0
        for number in layer.mlps:
            assert isinstance(graph.nodes[number], MlpOut)
            mlps += rows(number)
        for number in layer.moved:
            moved = graph.nodes[number]
            # in path patching's first pass an MLP is computed where what it reads has moved
            if isinstance(moved, Moved) and moved.x != NOTHING:
                mlps += rows(number)
        total += Cost(
            keys=k * each,
            queries=q * each,
            scores=scores,
            outputs=outputs * each,
            mlp=mlps * mlp_flops(shape),
            heads=computed,
            mlps=mlps,
        )
    return total


def _keys_seen(layout: Layout, causal: bool) -> list[int]:
    """How many (query, key) pairs a segment has, over all prompts: what is multiplied."""
    found = []
    for s in range(len(layout.segments)):
        last = s + 1 if causal else len(layout.segments)
        found.append(int((layout.length[s] * layout.length[:last].sum(0)).sum()))
    return found
