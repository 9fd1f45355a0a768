"""The sets K of completeness claims: what they are drawn from, random ones, and prompts in halves.

By nodes a circuit's elements are (node, position) pairs of its roles, in the order of layer, head
before MLP, head index, position label; by edges its edges, in the order of sender, receiver,
channel, position. Kept nodes, and edges that are there only because a node is kept, are in no
drawn K.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from circuitspec.claims.context import Context
from circuitspec.hypothesis.ordering import edge_key, element_key
from circuitspec.hypothesis.records import Ablation, Circuit, CutSet, Edge, Element

Part = Element | Edge


def parts_of(circuit: Circuit, ablation: Ablation) -> tuple[Part, ...]:
    """What a K is drawn from, in the fixed order that draws are made in."""
    if ablation.by == "nodes":
        return tuple(sorted(circuit.members, key=element_key))
    return tuple(sorted(circuit.edges - circuit.kept_edges, key=edge_key))


def cut_of(name: str, parts: Iterable[Part]) -> CutSet:
    """A set K under a name."""
    listed = tuple(parts)
    return CutSet(
        name=name,
        elements=frozenset(part for part in listed if isinstance(part, Element)),
        edges=frozenset(part for part in listed if isinstance(part, Edge)),
    )


def named_elements(context: Context, ablation: Ablation, cut: CutSet) -> tuple[str, ...]:
    """What is knocked out with a set, as it is printed: elements, or by edges every edge cut."""
    if ablation.by == "nodes":
        return tuple(str(part) for part in sorted(cut.elements, key=element_key))
    return tuple(str(part) for part in sorted(context.edges(cut), key=edge_key))


def random_sets(parts: Sequence[Part], seed: int, count: int) -> tuple[CutSet, ...]:
    """`random N`: each of the parts with probability ½; the empty and the whole set count.

    Set i takes part j iff the j-th `random()` of `Random("SEED/knockouts/random/i")` is below ½,
    i from 0. Claims and hypotheses with the same circuit and seed draw the same sets.
    """
    if not parts:
        return ()
    found = []
    for number in range(count):
        random = Random(f"{seed}/knockouts/random/{number}")
        drawn = [part for part in parts if random.random() < 0.5]
        found.append(cut_of(f"random {number + 1}", drawn))
    return tuple(found)


def halves(context: Context) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The evaluation prompts that a K is searched on, and those that it is judged on.

    Within each template prompts go to either half in turn, the first to the search. Where the
    evaluation prompts are the whole population both are all of them: nothing is inferred from them
    to others, so nothing can be overfitted.
    """
    prompts = context.task.evaluation.prompts
    if context.task.enumerated:
        every = tuple(range(len(prompts)))
        return every, every
    seen: dict[str, int] = {}
    searched: list[int] = []
    judged: list[int] = []
    for row, prompt in enumerate(prompts):
        turn = seen.get(prompt.template, 0)
        seen[prompt.template] = turn + 1
        (judged if turn % 2 else searched).append(row)
    return tuple(searched), tuple(judged)
