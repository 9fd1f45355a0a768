"""Random runs of every kind, on a world and a model's shape."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Literal

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from circuitspec.engine.edge_masks import senders_of
from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    Hop,
    LiveEdges,
    Means,
    Noised,
    Path,
    Replace,
    ReplaceAllBut,
    Rows,
    Run,
    Source,
    Write,
    Zero,
)
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    INPUT,
    LOGITS,
    QKV,
    Channel,
    Head,
    Logits,
    Mlp,
    Position,
    is_upstream,
)

from .worlds import ONE_TOKEN, PLACES, World

Kind = Literal["nodes", "circuit", "edges", "all_but", "dense", "activation", "path"]
KINDS: tuple[Kind, ...] = ("nodes", "circuit", "edges", "all_but", "dense", "activation", "path")


def tries(examples: int) -> Callable[[Any], Any]:
    """So many examples, however slow the machine. Nothing is shrunk: that takes minutes here, and a
    run prints as a record that can be cut down by hand."""
    return settings(
        max_examples=examples,
        deadline=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )


def receivers_of(shape: ModelShape) -> list[tuple[Head | Mlp | Logits, Channel]]:
    """Every receiver with every channel."""
    found: list[tuple[Head | Mlp | Logits, Channel]] = [(LOGITS, "")]
    for node in senders_of(shape):
        if isinstance(node, Head):
            found += [(node, channel) for channel in QKV]
        elif isinstance(node, Mlp):
            found.append((node, "in"))
    return found


def edges_of(shape: ModelShape, *positions: Position) -> list[Edge]:
    """Every edge of a model, at each of `positions`."""
    return [
        Edge(sender, receiver, channel, position)
        for receiver, channel in receivers_of(shape)
        for sender in senders_of(shape)
        if is_upstream(sender, receiver, parallel=shape.parallel)
        for position in positions
    ]


def sources(world: World, *, noise: bool = True) -> st.SearchStrategy[Source]:
    """Every kind of ablation value; rows are the counterfactuals or drawn from the reference."""
    means = st.sampled_from(["template", "position", "batch"])
    places = st.lists(st.sampled_from(PLACES), min_size=1, max_size=2)
    noised = st.builds(Noised, places.map(tuple), st.sampled_from([0.3, 2.0]), st.integers(0, 9))
    return st.one_of(
        st.just(Zero()),
        means.map(lambda over: Means("reference:abc", over)),
        st.just(counterfactual(world)),
        st.integers(0, 9).map(lambda seed: resampled(world, seed)),
        *([noised] if noise else []),
    )


def counterfactual(world: World) -> Rows:
    return Rows("counterfactual:abc", tuple(range(len(world.prompts()))))


def resampled(world: World, seed: int) -> Rows:
    """Rows of the reference set of the same length, not always of the same template."""
    random, reference = Random(seed), world.prompts("reference:abc")
    return Rows(
        "reference:abc",
        tuple(
            random.choice([i for i, r in enumerate(reference) if len(r.tokens) == len(p.tokens)])
            for p in world.prompts()
        ),
    )


def elements(shape: ModelShape, size: int, *, least: int = 0) -> st.SearchStrategy[frozenset]:
    """Senders at places."""
    element = st.builds(Element, st.sampled_from(senders_of(shape)), st.sampled_from(PLACES))
    return st.frozensets(element, min_size=least, max_size=size)


def _some(draw: st.DrawFn, things: list, shares: list[float]) -> frozenset:
    """A random part of a long list: too much to draw one by one."""
    random, share = Random(draw(st.integers(0, 999))), draw(st.sampled_from(shares))
    return frozenset(thing for thing in things if random.random() < share)


@st.composite
def hops(draw: st.DrawFn, shape: ModelShape, path: Path) -> tuple[Hop, ...]:
    """Up to two further steps of a path, from nodes that it has reached."""
    place = st.tuples(st.sampled_from(receivers_of(shape)), st.sampled_from(PLACES))
    found = []
    reached = {node for node, _, _ in path.receivers}
    for _ in range(draw(st.integers(1, 2))):
        nodes = sorted((n for n in reached if not isinstance(n, Logits)), key=str)
        if not nodes:
            break
        senders = st.builds(Element, st.sampled_from(nodes), st.sampled_from(PLACES))
        reads = draw(st.frozensets(place.map(lambda r: (*r[0], r[1])), min_size=2, max_size=6))
        found.append(Hop(draw(st.frozensets(senders, min_size=1, max_size=4)), reads))
        reached = {node for node, _, _ in reads}
    return tuple(found)


@st.composite
def runs(
    draw: st.DrawFn, world: World, shape: ModelShape, kind: Kind, *, noise: bool = True
) -> Run:
    """One run of a kind, with knock-outs in force in half of them and something of each read."""
    source = sources(world, noise=noise)
    writes: tuple[Write, ...] = ()
    edges, path = None, None
    if kind == "nodes":
        replace = st.builds(Replace, elements(shape, 6, least=2), source)
        writes = tuple(draw(st.lists(replace, min_size=1, max_size=2)))
    elif kind == "circuit":
        everything = [Element(node, place) for node in senders_of(shape) for place in PLACES]
        writes = (ReplaceAllBut(_some(draw, everything, [0.1, 0.03, 0.3, 0]), draw(source)),)
    elif kind == "activation":
        writes = (Replace(draw(elements(shape, 4, least=1)), counterfactual(world)),)
    elif kind == "path":
        receiver = st.sampled_from(receivers_of(shape))
        place = st.tuples(receiver, st.sampled_from(PLACES)).map(lambda r: (*r[0], r[1]))
        path = Path(
            draw(elements(shape, 4, least=1)),
            draw(st.frozensets(place, min_size=2, max_size=6)),
            draw(source.filter(lambda s: isinstance(s, Rows | Noised))),
            draw(st.sampled_from(["direct", "mlps"])),
        )
    else:
        everything = edges_of(shape, *PLACES)
        if kind == "dense":
            chosen = _some(draw, everything, [0.15, 0.02, 0.5])
        else:
            chosen = draw(st.frozensets(st.sampled_from(everything), min_size=3, max_size=25))
        all_but = kind == "all_but" or (kind == "dense" and draw(st.booleans()))
        edges = LiveEdges(chosen, draw(source), all_but)
    onward: tuple[Hop, ...] = ()
    if path is not None and draw(st.booleans()):
        onward = draw(hops(shape, path))
    knockout = st.builds(Replace, elements(shape, 3, least=1), source)
    attention = st.builds(
        AttentionReading,
        st.sampled_from([n for n in senders_of(shape) if isinstance(n, Head)]),
        st.sampled_from(ONE_TOKEN),
        st.lists(st.sampled_from(PLACES), min_size=1, max_size=2).map(tuple),
    )
    share = st.builds(
        AttributionReading,
        st.builds(Element, st.sampled_from([INPUT, *senders_of(shape)]), st.sampled_from(PLACES)),
        st.just("logit_diff"),
    )
    given = draw(st.one_of(st.just([]), st.lists(knockout, min_size=1, max_size=2)))
    some = st.sets(st.integers(0, len(world.prompts()) - 1), min_size=1).map(sorted).map(tuple)
    return Run(
        "evaluation",
        given=tuple(given),
        writes=writes,
        edges=edges,
        path=path,
        onward=onward,
        top=True,
        kl=True,
        attention=tuple(draw(st.lists(attention, min_size=1, max_size=2))),
        attribution=tuple(draw(st.lists(share, min_size=1, max_size=2))),
        rows=draw(st.one_of(st.none(), st.none(), some)),
    )
