"""What a plan needs of memory at its largest, before it is carried out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from circuitspec.engine.plan.cost import head_flops, mlp_flops
from circuitspec.engine.plan.demand import Demand
from circuitspec.engine.plan.graph import (
    NOTHING,
    AfterHeads,
    AfterMlp,
    Attend,
    Displaced,
    Graph,
    MlpOut,
    Moved,
)
from circuitspec.engine.plan.layout import Layout
from circuitspec.hypothesis.shape import ModelShape

SCRATCH = 48 << 20
"""Bytes of scores and outputs of instances at once: more no longer fits the caches."""
ROWS_AT_ONCE = 1024
"""Rows in one matrix product: fewer waste the machine, more no longer fit its caches."""
SMALL_TABLE = 128
"""Ablation values up to which what all heads of a layer add is computed of every one, and kept."""
KEPT = 4 << 30
"""Bytes of base runs and ablation values to keep from call to call."""
MEMO = 2 << 30
"""Bytes of residual streams that are kept for later calls: a greedy search of ten runs of ten steps
on GPT-2 small makes 2.8 GB of them with 100 prompts, and saves half of its work with 2."""


def last_uses(graph: Graph, wanted: Demand, roots: Iterable[int]) -> dict[int, list[int]]:
    """The instances that are needed no longer after each layer; `roots` are needed for good."""
    nodes, kept = graph.nodes, set(roots)
    use: dict[int, int] = {}
    for layer, here in enumerate(wanted.layers):
        for attend in here.attends:
            node = nodes[attend]
            assert isinstance(node, Attend)
            use.update(dict.fromkeys((node.q, *node.k, *node.v), layer))
        for numbers in (here.heads, here.mlps, here.after, here.moved, here.displaced):
            for number in numbers:
                use[number] = max(use.get(number, 0), layer)
                for part in _residuals(nodes[number]):
                    use[part] = layer
    found: dict[int, list[int]] = {}
    for number, layer in use.items():
        if number not in kept:
            found.setdefault(layer, []).append(number)
    return found


def _residuals(node: object) -> tuple[int, ...]:
    """The residuals and MLP outputs that an instance is added up from."""
    match node:
        case AfterHeads(prev=prev):
            parts: tuple[int, ...] = (prev,)
        case MlpOut(x=x):
            parts = (x,)
        case AfterMlp(prev=prev, mlp=mlp):
            parts = (prev, mlp)
        case Moved(prev=prev, x=x):
            parts = (prev, x)
        case Displaced(moved=moved):
            parts = (moved,)
        case _:
            parts = ()
    return tuple(part for part in parts if part != NOTHING)


def weight_bytes(shape: ModelShape, size: int) -> int:
    """A model's matrices, `size` bytes a number; biases and norms are a thousandth of them."""
    rows = shape.d_vocab + shape.d_vocab_out
    if shape.positional == "learned":
        rows += shape.n_ctx
    # a matrix's row takes two operations a number
    layer = 2 * (shape.n_heads + shape.n_kv_heads) * head_flops(shape) + mlp_flops(shape)
    return size * (shape.d_model * rows + shape.n_layers * int(layer / 2))


def base_bytes(shape: ModelShape, rows: int, size: int) -> int:
    """The base run and one table of ablation values over `rows` tokens, `size` bytes a number.

    Of the base run every residual, output and head value is kept, and the streams in one piece.
    """
    wide = (6 if shape.has_mlps else 4) * shape.d_model + shape.n_heads * shape.d_head
    keys = 2 * shape.n_kv_heads * shape.d_head
    return rows * size * shape.n_layers * (wide + keys) + table_bytes(shape, rows, size)


def table_bytes(shape: ModelShape, rows: int, size: int) -> int:
    """The outputs of all senders at so many rows, `size` bytes a number; of few rows also what all
    heads of a layer add."""
    outputs = shape.has_mlps * shape.d_model + shape.n_heads * shape.d_head
    outputs += (rows <= SMALL_TABLE) * shape.d_model
    return rows * size * (shape.n_layers * outputs + shape.d_model)


@dataclass(frozen=True, slots=True)
class Needed:
    """Bytes that a plan's instances need: `own` at once at most, and `kept` for later calls. Plans
    that go side by side need the sum."""

    own: int = 0
    kept: int = 0

    def __add__(self, other: Needed) -> Needed:
        return Needed(self.own + other.own, self.kept + other.kept)


def needed_bytes(
    graph: Graph,
    wanted: Demand,
    layout: Layout,
    rows: Callable[[int], int],
    roots: Iterable[int],
    size: int,
) -> Needed:
    """What the instances of `wanted` need, `size` bytes a number.

    `rows` is how many rows an instance has. Without the base run and the ablation values
    (`base_bytes`), which calls share.
    """
    shape = graph.shape
    ends = last_uses(graph, wanted, roots)
    alive = sum(rows(n) for n in wanted.starts)
    computed, peak, kept = set(wanted.starts), 0, 0
    for layer, here in enumerate(wanted.layers):
        made = (*here.moved, *here.displaced, *here.heads, *here.mlps, *here.after)
        alive += sum(rows(n) for n in made)
        computed.update(made)
        kept += sum(rows(n) for n in here.after)
        attends = [node for n in here.attends if isinstance(node := graph.nodes[n], Attend)]
        heads = max((len(needed) for needed in here.attends.values()), default=0)
        z = sum(layout.tokens(node.segment) for node in attends) * heads * shape.d_head
        read = {n for node in attends for n in (*node.k, *node.v)}
        # of the base run keys and values are copied for the heads that are read
        keys = sum(int(layout.length.sum()) if graph.is_base(n) else rows(n) for n in read)
        # keys and values as rows and as rectangles, which padding may double
        beside = 6 * keys * min(heads, shape.n_kv_heads) * shape.d_head + 3 * z
        peak = max(peak, alive * shape.d_model + beside)
        alive -= sum(rows(n) for n in ends.get(layer, ()) if n in computed)
    # results are put together from parts: for a moment the largest is there twice
    return Needed(own=2 * size * peak, kept=size * kept * shape.d_model)


def peak_bytes(shape: ModelShape, needed: Needed, size: int) -> int:
    """A bound on what plans that go side by side need at once, what is kept of them for later calls
    included, `size` bytes a number.

    Scores and products of matrices are of one plan after the other, or of all in one.
    """
    products = 4 * ROWS_AT_ONCE * max(shape.d_mlp or 0, shape.d_model)
    return needed.own + 2 * size * products + 2 * SCRATCH + min(MEMO, needed.kept)
