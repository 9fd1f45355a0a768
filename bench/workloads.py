"""What is timed: named lists of runs on the IOI prompts, as the engine's callers ask for them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from ioi_task import ROLES, circuit, declared_edges, head, kept
from torch import Tensor
from ways import MEANS

from circuitspec.engine.edge_masks import senders_of
from circuitspec.engine.runs import LiveEdges, Path, Replace, ReplaceAllBut, Rows, Run
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    END,
    LOGITS,
    QKV,
    Head,
    HeadIndex,
    Layer,
    Logits,
    Mlp,
    is_upstream,
)

Evaluate = Callable[[Sequence[Run]], list[Tensor]]

RANDOM_SETS = 100
GREEDY = (10, 10, 10)
"""Runs, steps and candidates of the greedy search, as in Wang et al. (2022)."""

TIE = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A named piece of work. `runs` are all of it, or what a sample of it is drawn from.

    `count` is how many evaluations it makes; `whole` makes them where they depend on one another.
    """

    name: str
    about: str
    runs: tuple[Run, ...]
    count: int
    whole: Callable[[Evaluate], object] | None = None

    def all(self, evaluate: Evaluate) -> None:
        """Do all of it."""
        if self.whole is None:
            evaluate(self.runs)
        else:
            self.whole(evaluate)

    def sample(self, k: int) -> tuple[Run, ...]:
        """`k` of its evaluations, evenly from its list."""
        return tuple(self.runs[int((i + 0.5) * len(self.runs) / k)] for i in range(k))


def works(shape: ModelShape, n: int) -> dict[str, Work]:
    """All work on `n` prompts for a model of the circuit's size or larger, by name."""
    whole, members = circuit_run(shape), circuit()
    parts = [
        circuit_run(shape, without=frozenset({element})) for element in members
    ]  # 26 leave-one-outs
    sets = named_sets() + random_sets(members, RANDOM_SETS)
    pairs = [run for cut in sets for run in both(shape, cut)]
    count, steps, candidates = GREEDY
    listed = [
        Work(name="circuit_nodes", about="26 heads and all MLPs, by nodes", runs=(whole,), count=1),
        _one("circuit_edges", "the same by its declared edges", by_edges(declared_edges(12))),
        _one("edges_1770", "1,770 edges at random", by_edges(random_edges(shape, number=1770))),
        _one(
            "edges_dense",
            "all 32,491 edges, half of them live",
            by_edges(random_edges(shape)),
        ),
        Work(
            name="leave_one_out",
            about="the circuit and it without each of its 26 heads",
            runs=(whole, *parts),
            count=27,
        ),
        Work(
            name="knockouts",
            about="107 sets K: C\\K and M\\K",
            runs=tuple(pairs),
            count=len(pairs),
        ),
        *(sweep(shape, n, name) for name in ("path_sweep", "path_sweep_mlps", "path_sweep_logits")),
        Work(
            name="protocol_ioi",
            about="the circuit, 26 leave-one-outs, 107 sets and a greedy search of 10×10×10",
            runs=tuple(pairs),
            count=1 + len(parts) + len(pairs) + 2 * count * steps * candidates,
            whole=lambda evaluate: protocol(evaluate, shape, (whole, *parts, *pairs)),
        ),
    ]
    return {work.name: work for work in listed}


def _one(name: str, about: str, run: Run) -> Work:
    return Work(name=name, about=about, runs=(run,), count=1)


def circuit_run(
    shape: ModelShape,
    without: frozenset[Element] = frozenset(),
    members: Sequence[Element] | None = None,
) -> Run:
    """C\\K by nodes, all MLPs kept."""
    heads = frozenset(circuit() if members is None else members) - without
    live = heads | frozenset(kept(shape.n_layers))
    return Run("evaluation", writes=(ReplaceAllBut(live, MEANS),))


def both(shape: ModelShape, cut: frozenset[Element]) -> tuple[Run, Run]:
    """C\\K and M\\K."""
    return circuit_run(shape, cut), Run("evaluation", writes=(Replace(cut, MEANS),))


def by_edges(edges: frozenset[Edge]) -> Run:
    return Run("evaluation", edges=LiveEdges(edges, MEANS))


def named_sets() -> list[frozenset[Element]]:
    """One K a role."""
    return [frozenset(Element(head(h), query) for h in heads.split()) for heads, query, _ in ROLES]


def random_sets(members: Sequence[Element], number: int) -> list[frozenset[Element]]:
    """Each element with probability ½."""
    drawn = random.Random("knockouts")
    return [frozenset(e for e in members if drawn.random() < 0.5) for _ in range(number)]


@cache
def all_edges(shape: ModelShape) -> tuple[Edge, ...]:
    """Every edge of the graph at every position: 32,491 of GPT-2 small's shape."""
    receivers: list[Head | Mlp | Logits] = [
        s for s in senders_of(shape) if isinstance(s, Head | Mlp)
    ]
    found = []
    for receiver in [*receivers, LOGITS]:
        match receiver:
            case Head():
                channels, at = QKV, ALL_POSITIONS
            case Mlp():
                channels, at = ("in",), ALL_POSITIONS
            case Logits():
                channels, at = ("",), ALL_POSITIONS
        for sender in senders_of(shape):
            if is_upstream(sender, receiver, parallel=shape.parallel):
                found += [Edge(sender, receiver, channel, at) for channel in channels]
    return tuple(found)


@cache
def random_edges(shape: ModelShape, number: int | None = None) -> frozenset[Edge]:
    """`number` of all edges, or each with probability ½."""
    drawn = random.Random("edges")
    edges = all_edges(shape)
    if number is not None:
        return frozenset(drawn.sample(edges, min(number, len(edges))))
    return frozenset(edge for edge in edges if drawn.random() < 0.5)


def sweep(shape: ModelShape, n: int, name: str) -> Work:
    """Path patching from every head into one receiver, one at a time."""
    nine = head("9.9")
    receiver: Head | Logits = LOGITS if name.endswith("logits") else nine
    through: Literal["direct", "mlps"] = "mlps" if name.endswith("mlps") else "direct"
    below = shape.n_layers if isinstance(receiver, Logits) else int(nine.layer)
    senders = [
        Head(Layer(layer), HeadIndex(i)) for layer in range(below) for i in range(shape.n_heads)
    ]
    runs = tuple(
        Run(
            "evaluation",
            path=Path(
                frozenset({Element(sender, END)}),
                frozenset({(receiver, "" if isinstance(receiver, Logits) else "q", END)}),
                Rows("counterfactual:abc", tuple(range(n))),
                through,
            ),
        )
        for sender in senders
    )
    where = "the logits" if isinstance(receiver, Logits) else "9.9.q"
    way = "through MLPs" if through == "mlps" else "direct"
    about = f"path patching from each of the {len(runs)} heads below into {where}, {way}"
    return Work(name=name, about=about, runs=runs, count=len(runs))


def protocol(
    evaluate: Evaluate, shape: ModelShape, first: Sequence[Run]
) -> list[frozenset[Element]]:
    """Faithfulness, minimality, completeness and the greedy search of Wang et al. (2022): the K
    found. A greedy step evaluates the candidates of all runs in one call."""
    evaluate(first)
    members = circuit()
    count, steps, candidates = GREEDY
    held: list[frozenset[Element]] = [frozenset()] * count
    reached = [0.0] * count
    for step in range(steps):
        tried = []
        for run in range(count):
            left = [element for element in members if element not in held[run]]
            drawn = random.Random(f"greedy/{run}/{step}")
            chosen = drawn.sample(left, min(candidates, len(left)))
            tried += [(run, held[run] | {element}) for element in chosen]
        done = evaluate([run for _, cut in tried for run in both(shape, cut)])
        for (run, cut), c, m in zip(tried, done[::2], done[1::2], strict=True):
            score = float(np.abs(float(c.mean()) - float(m.mean())))
            if score > reached[run] + TIE:
                held[run], reached[run] = cut, score
    return held
