"""Claims that take sets out of the circuit: completeness and minimality, as text and as figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np

from proving.exact import depth
from proving.figure import Claim, Figure
from proving.greedy import Part, Search
from proving.machine import Array
from proving.story import Edge, Story
from proving.world import Ablation, Elements, World

MANY = 20
"""Stories with more declared edges than this have no claim on every edge."""

RANDOM_SETS = 8
"""Sets K that a completeness claim draws at random."""

GREEDY = (2, 3, 3)
"""Runs, steps, and candidates a step of a greedy search."""

Cut = tuple[Elements, frozenset[Edge]]
"""What is taken out: elements by nodes, edges by edges."""

Figured = Callable[[], Figure | None]
"""A figure when it is asked for; None where the claim would mean nothing."""


def is_zero(change: Array) -> bool:
    """Whether nothing changes on any prompt."""
    return bool(np.abs(change).max() < 1e-9)


def _place(node: str) -> tuple[float, int]:
    """Where a node comes in the order in which random sets are drawn."""
    return depth(node), int(node.partition(".h")[2] or 0)


@dataclass(frozen=True, slots=True)
class Sets:
    """Every such claim of a story in a world, with its figure. `seed` is the spec's."""

    world: World
    story: Story
    seed: int

    @property
    def model(self) -> Array:
        """The model's metric."""
        return self.world.metric(self.world.clean().logits)

    def complete(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """Incompleteness over the roles, and over sets drawn at random."""
        for sets in ("roles", f"random {RANDOM_SETS}"):
            claim = Claim(
                kind="completeness",
                key=f"complete {sets} {ablation.text}",
                actions=(f"ablate {ablation.text}", f"knockouts {sets}"),
                left="incompleteness",
                unit="of model",
            )
            yield claim, partial(self._complete, ablation, sets)

    def _complete(self, ablation: Ablation, sets: str) -> Figure:
        if sets == "roles":
            cuts = [self.leaving(self.story.elements(name), ablation) for name in self.story.roles]
        else:
            cuts = list(self._random_sets(ablation))
        return Figure(
            parts=tuple(self._incompleteness(ablation, cut) for cut in cuts),
            under=self.model,
            over="largest size",
            still=self._any_still(ablation, cuts),
        )

    def _incompleteness(self, ablation: Ablation, cut: Cut) -> Array:
        """m(C\\K) − m(M\\K) by prompt."""
        mine = self.world.metric(self.world.circuit(self.story, ablation, *cut))
        return mine - self.world.metric(self.world.knockout(ablation, *cut))

    def _any_still(self, ablation: Ablation, cuts: Iterable[Cut]) -> bool:
        """Whether taking some set out of the model leaves its metric as it was."""
        return any(
            is_zero(self.world.metric(self.world.knockout(ablation, *cut)) - self.model)
            for cut in cuts
            if any(cut)
        )

    def searched(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """Incompleteness over what a greedy search finds."""
        if ablation.over in ("position", "batch"):
            return  # a search takes hundreds of runs
        size = "x".join(map(str, GREEDY))
        claim = Claim(
            kind="completeness, greedy",
            key=f"complete greedy {ablation.text}",
            actions=(f"ablate {ablation.text}", f"knockouts greedy {size}"),
            left="incompleteness",
            unit="of model",
        )
        yield claim, partial(self._searched, ablation)

    def search(self, ablation: Ablation) -> Search:
        """The search of such a claim."""
        known: dict[frozenset[Part], Array] = {}

        def signed(parts: frozenset[Part]) -> Array:
            if parts not in known:
                known[parts] = self._incompleteness(ablation, self._cut(parts, ablation))
            return known[parts]

        runs, steps, candidates = GREEDY
        return Search(
            parts=self._parts(ablation),
            runs=runs,
            steps=steps,
            candidates=candidates,
            seed=self.seed,
            signed=signed,
        )

    def _searched(self, ablation: Ablation) -> Figure | None:
        """What is found on all prompts, and how large the largest must and may be on others."""
        search = self.search(ablation)
        found, ends = search.found(), search.reachable()
        if found is None or ends is None:
            return None
        under = abs(float(self.model.mean()))
        sizes = [[abs(float(search.signed(one).mean())) / under for one in end] for end in ends]
        every = (self._cut(one, ablation) for end in ends for one in end)
        return Figure(
            parts=tuple(search.signed(one) for one in found),
            under=self.model,
            over="largest size",
            still=self._any_still(ablation, every),
            may_be=(max(map(min, sizes)), max(map(max, sizes))),
        )

    def leaving(self, elements: Elements, ablation: Ablation) -> Cut:
        """A set of elements; by edges, all edges of the circuit that leave them."""
        if ablation.by == "nodes":
            return elements, frozenset()
        edges = self.story.edges(self.world.machine.n_layers)
        return frozenset(), frozenset(e for e in edges if (e[0], e[3]) in elements)

    def _parts(self, ablation: Ablation) -> tuple[Part, ...]:
        """What sets are drawn from, in the order of the draws."""
        if ablation.by == "nodes":
            return tuple(sorted(self.story.elements(), key=lambda e: (_place(e[0]), e[1])))
        return tuple(
            sorted(
                self.story.declared(),
                key=lambda e: (
                    _place(e[0]),
                    _place(e[1]),
                    ("q", "k", "v", "in", "").index(e[2]),
                    e[3],
                ),
            )
        )

    @staticmethod
    def _cut(parts: Iterable[Part], ablation: Ablation) -> Cut:
        """A set of parts as what is taken out."""
        elements = frozenset((p[0], p[1]) for p in parts if ablation.by == "nodes")
        edges = frozenset((p[0], p[1], p[2], p[3]) for p in parts if ablation.by == "edges")
        return elements, edges

    def _random_sets(self, ablation: Ablation) -> Iterator[Cut]:
        """The sets that `random N` draws: each part with probability one half."""
        parts = self._parts(ablation)
        for number in range(RANDOM_SETS):
            random = Random(f"{self.seed}/knockouts/random/{number}")
            yield self._cut([part for part in parts if random.random() < 0.5], ablation)

    def minimal(self, ablation: Ablation) -> Iterator[tuple[Claim, Figured]]:
        """The effect of every role or edge, of every head or node given the rest of its role."""
        for unit in ("role", "head", "node", "edge"):
            if unit == "edge" and (ablation.by == "nodes" or self._has_many_edges()):
                continue
            claim = Claim(
                kind="minimality",
                key=f"minimal {unit} {ablation.text}",
                actions=(f"ablate {ablation.text}", f"each {unit}"),
                left="effect",
                unit="of model",
            )
            yield claim, partial(self._minimal, ablation, unit)

    def _has_many_edges(self) -> bool:
        """Whether there are too many to take out each in a claim of hundreds."""
        return len(self.story.declared()) > MANY

    def _minimal(self, ablation: Ablation, unit: str) -> Figure:
        parts = []
        for name, role in self.story.roles.items() if unit != "edge" else ():
            cut = self.story.elements(name)
            without = self.world.circuit(self.story, ablation, *self.leaving(cut, ablation))
            rests: list[Elements] = [frozenset()]
            if unit != "role":
                nodes = [n for n in role.nodes if unit == "node" or n[0] == "a"]
                rests = [self._rest(cut, node) for node in nodes]
            for rest in rests:
                left = self.leaving(rest, ablation)
                before = self.world.circuit(self.story, ablation, *left)
                parts.append(self.world.metric(before) - self.world.metric(without))
        if unit == "edge":
            parts = self._each_edge(ablation)
        still = any(map(is_zero, parts))
        return Figure(parts=tuple(parts), under=self.model, over="smallest size", still=still)

    @staticmethod
    def _rest(cut: Elements, node: str) -> Elements:
        return frozenset(element for element in cut if element[0] != node)

    def _each_edge(self, ablation: Ablation) -> list[Array]:
        """Every declared edge, given the others from its sender's to its receiver's role."""
        declared = self.story.declared()
        parts = []
        for edge in sorted(declared):
            given = frozenset(
                other
                for other in declared - {edge}
                if self._sending(other) & self._sending(edge)
                and self._receiving(other) & self._receiving(edge)
            )
            before = self.world.circuit(self.story, ablation, cut_edges=given)
            after = self.world.circuit(self.story, ablation, cut_edges=given | {edge})
            parts.append(self.world.metric(before) - self.world.metric(after))
        return parts

    def _sending(self, edge: Edge) -> frozenset[str]:
        """The roles an edge comes from, or `input`."""
        node, _, _, label = edge
        if node == "input":
            return frozenset({"input"})
        return frozenset(
            name
            for name, role in self.story.roles.items()
            if node in role.nodes and label in role.at
        )

    def _receiving(self, edge: Edge) -> frozenset[str]:
        """The roles an edge leads to; of the logits, these themselves."""
        _, node, channel, label = edge
        if node == "logits":
            return frozenset({"logits"})
        return frozenset(
            name
            for name, role in self.story.roles.items()
            if node in role.nodes and label in role.reads_at(channel)
        )
