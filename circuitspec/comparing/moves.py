"""What two rivals differ in, and what each difference does when it is moved across.

By nodes the parts are nodes at positions, by edges edges. Where there are more than can be tried
one by one, those that belong together are moved together: edges between the same two nodes, then
all edges that one node sends; a node at all its positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Literal

from circuitspec.claims.context import Context
from circuitspec.comparing.records import Apart, Part, Said
from circuitspec.hypothesis.circuit import edges_without
from circuitspec.hypothesis.ordering import edge_key, element_key
from circuitspec.hypothesis.records import Ablation, Circuit, Edge, Element, Hypothesis
from circuitspec.hypothesis.text import expression_text

MOST = 40
"""Differences that are moved across one by one, at most; beyond, those that belong together are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Parts of a circuit that are moved together, and which of the rivals has them."""

    name: str
    parts: tuple[Part, ...]
    held_by: Literal["first", "second"]


def differing(first: Circuit, second: Circuit, ablation: Ablation) -> tuple[Parts, ...]:
    """The symmetric difference in at most about `MOST` pieces, the finest that are so few."""
    mine, theirs = (_parts(circuit, ablation) for circuit in (first, second))
    for together in _LADDER:
        found = [
            *_pieces(mine - theirs, "first", together),
            *_pieces(theirs - mine, "second", together),
        ]
        if len(found) <= MOST:
            break
    return tuple(found)


def _parts(circuit: Circuit, ablation: Ablation) -> frozenset[Part]:
    return circuit.members | circuit.kept if ablation.by == "nodes" else circuit.edges


def _name(part: Part) -> str:
    return str(part)


def _between(part: Part) -> str:
    return f"{part.sender} -> {part.receiver}" if isinstance(part, Edge) else str(part.node)


def _sent(part: Part) -> str:
    return f"{part.sender} ->" if isinstance(part, Edge) else str(part.node)


_LADDER: tuple[Callable[[Part], str], ...] = (_name, _between, _sent)


def _pieces(
    parts: frozenset[Part], held_by: Literal["first", "second"], together: Callable[[Part], str]
) -> Iterator[Parts]:
    found: dict[str, list[Part]] = {}
    for part in in_order(parts):
        found.setdefault(together(part), []).append(part)
    for name, each in found.items():
        yield Parts(name=name, parts=tuple(each), held_by=held_by)


def in_order(parts: Iterable[Part]) -> list[Part]:
    """Elements from the input up, then edges by sender and receiver."""
    listed = list(parts)
    elements = [part for part in listed if isinstance(part, Element)]
    edges = [part for part in listed if isinstance(part, Edge)]
    return [*sorted(elements, key=element_key), *sorted(edges, key=edge_key)]


def moved(context: Context, parts: tuple[Part, ...]) -> Context:
    """The same with the parts taken out of its circuit, or put into it where it lacks them."""
    circuit = context.circuit
    elements = frozenset(part for part in parts if isinstance(part, Element))
    edges = frozenset(part for part in parts if isinstance(part, Edge))
    return replace(
        context,
        circuit=replace(
            circuit,
            members=circuit.members ^ (elements - circuit.kept),
            kept=circuit.kept - elements,
            edges=edges_without(circuit, edges & circuit.edges) | (edges - circuit.edges),
        ),
    )


def apart(first: Context, second: Context, *, alike: bool) -> Apart:
    """Everything that the two hypotheses differ in, as text; `alike`: they explain one model."""
    one, other = first.circuit, second.circuit
    nodes = (one.members | one.kept, other.members | other.kept)
    features = (_features(first.hypothesis), _features(second.hypothesis))
    return Apart(
        elements=(_only(*nodes), _only(*reversed(nodes))),
        edges=(_only(one.edges, other.edges), _only(other.edges, one.edges)),
        features=(_said(*features), _said(*reversed(features))),
        others=tuple(_others(first.hypothesis, second.hypothesis, alike=alike)),
    )


def _only(mine: AbstractSet[Part], theirs: AbstractSet[Part]) -> tuple[str, ...]:
    return tuple(map(str, in_order(mine - theirs)))


def _features(hypothesis: Hypothesis) -> dict[Element, frozenset[str]]:
    """What every node at a position is said to carry, and to attend to."""
    found: dict[Element, frozenset[str]] = {}
    for role in hypothesis.roles.values():
        carried = frozenset(f"carries {expression_text(feature)}" for feature in role.carries)
        for place in role.places:
            read = frozenset(f"attends {key}" for key in place.keys)
            for node in role.nodes:
                element = Element(node, place.query)
                found[element] = found.get(element, frozenset()) | carried | read
    return found


def _said(
    mine: Mapping[Element, frozenset[str]], theirs: Mapping[Element, frozenset[str]]
) -> tuple[Said, ...]:
    """What is said of nodes that both have, and by one of them alone."""
    found: dict[str, list[str]] = {}
    for element in sorted(mine.keys() & theirs.keys(), key=element_key):
        for text in sorted(mine[element] - theirs[element]):
            found.setdefault(text, []).append(str(element))
    return tuple(Said(text=text, elements=tuple(of)) for text, of in found.items())


def _others(first: Hypothesis, second: Hypothesis, *, alike: bool) -> Iterator[str]:
    if not alike:
        names = dict.fromkeys((first.model, second.model))
        yield f"the model: {' and '.join(names)}{', another checkpoint' if len(names) == 1 else ''}"
    if first.task != second.task:
        yield f"the task: {first.task.name} and {second.task.name}"
