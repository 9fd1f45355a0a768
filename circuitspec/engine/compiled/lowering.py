"""From a run to its instances on a layout."""

from __future__ import annotations

from dataclasses import dataclass, fields

from circuitspec.engine.plan.by_edges import edge_reads, lower_edges, named_by
from circuitspec.engine.plan.by_nodes import Coded, listed, lower_nodes, node_codes
from circuitspec.engine.plan.by_paths import Held, lower_paths, receivers
from circuitspec.engine.plan.graph import Graph
from circuitspec.engine.plan.layout import Layout, layouts
from circuitspec.engine.runs import Replace, Run
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Position
from circuitspec.task.records import PromptSet

MOST_READS = 12
"""Different residuals read at one segment by edges beyond which masks are the cheaper way."""

_OTHER_READINGS = tuple(
    f.name
    for f in fields(Run)
    if f.name not in ("prompts", "rows", "given", "writes", "edges", "path", "top", "kl")
)
"""What can be asked of a run besides its metrics."""


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """A run on a layout: final residuals by segment, and what it holds (path patching: how far the
    residual that each receiver channel reads has moved)."""

    finals: dict[int, int]
    held: Held


def lower(
    run: Run, layout: Layout, graph: Graph, segments: tuple[int, ...], coded: Coded
) -> Lowered:
    """The instances of a run whose final residuals are read at `segments`."""
    shape = graph.shape
    if run.edges is not None:
        code = coded(run.edges.source, run.given)
        reads = edge_reads(run.edges.edges, layout, shape)
        finals = lower_edges(graph, reads, code, all_but=run.edges.all_but, segments=segments)
        return Lowered(finals, {})
    if run.path is not None:
        code = coded(run.path.source, run.given)
        senders = listed(run.path.senders, layout, shape)
        asked = receivers(run.path, layout, shape)
        every, held = lower_paths(graph, senders, code, run.path.through == "mlps", asked)
        return Lowered({s: every[s] for s in segments}, held)
    codes = node_codes(run.given, run.writes, layout, shape, coded)
    every = lower_nodes(graph, codes)
    return Lowered({s: every[s] for s in segments}, {})


def compilable(run: Run, prompts: PromptSet, shape: ModelShape) -> bool:
    """Whether a run is compiled. Others are computed one at a time: what reads more than metrics,
    paths of several hops, and runs by edges of which few are alike."""
    if any(getattr(run, name) for name in _OTHER_READINGS) or not shape.n_layers:
        return False
    if run.edges is None:
        return True
    some = layouts(prompts, run.rows, positions_of(run, shape))
    return all(distinct_reads(run, each, shape) <= MOST_READS for each in some)


def distinct_reads(run: Run, layout: Layout, shape: ModelShape) -> int:
    """How many different residual streams a run by edges has, at most, at a segment and depth.

    Two receivers have one stream up to the depth where what they read begins to differ.
    """
    assert run.edges is not None
    reads = edge_reads(run.edges.edges, layout, shape)
    width, most = shape.n_heads + 1, 0
    by_segment: dict[int, set[tuple[int, int]]] = {}
    for (receiver, _, segment), senders in reads.items():
        by_segment.setdefault(segment, set()).add(((receiver - 1) // width, senders))
    for found in by_segment.values():
        for layer in range(1, shape.n_layers + 1):
            below = (1 << (1 + layer * width)) - 1
            streams = {senders & below for depth, senders in found if depth >= layer}
            most = max(most, len(streams))
    return most


def positions_of(run: Run, shape: ModelShape) -> set[Position]:
    """Every position at which a run treats tokens otherwise than elsewhere."""
    found: set[Position] = set()
    for write in (*run.given, *run.writes):
        elements = write.elements if isinstance(write, Replace) else write.live
        found.update(element.position for element in elements)
    if run.edges is not None:
        found.update(position for _, _, position, _ in named_by(run.edges.edges, shape))
    if run.path is not None:
        found.update(element.position for element in run.path.senders)
        found.update(position for _, _, position in run.path.receivers)
    return found
