"""Controls of a faithfulness claim: what circuits that nobody found would do.

A claim that a circuit is faithful says little where a random one does as well. Beside the empty
circuit and the full one (which is the model) each faithfulness claim is set against random circuits
(Shi et al. 2024; Wang et al. 2022 compare with random sets too):

    same layers   every head of the circuit exchanged for a head of its layer, at random; positions,
                  MLPs and, by edges, what is joined to what stay
    same size     as many heads at each position, from any layer (by nodes only: edges would run
                  backwards)

Kept nodes stay as they are. Each costs as much as the circuit itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, TypeVar

import numpy as np

from circuitspec.claims.context import Context, averaged
from circuitspec.claims.measured import Arm
from circuitspec.engine.runs import Run
from circuitspec.hypothesis.ordering import element_key
from circuitspec.hypothesis.records import Ablation, Circuit, Claim, Edge, Element
from circuitspec.language.nodes import Head, HeadIndex, Layer, Node, Position

N = TypeVar("N", bound=Node)

KINDS = ("same layers", "same size")


def random_circuits(context: Context, ablation: Ablation) -> dict[str, tuple[Circuit, ...]]:
    """The random circuits by kind, `context.controls` of each.

    Number i of a kind is drawn by `Random("SEED/controls/KIND/i")`: for the same layers, layer by
    layer from 0, one `sample` of all its heads that are not kept, what each is exchanged for; for
    the same size, position by position in order of name, one `sample` of the model's heads that
    are not kept there.
    """
    kinds = KINDS if ablation.by == "nodes" else KINDS[:1]
    return {
        kind: tuple(
            _drawn(context, kind, Random(f"{context.seed}/controls/{kind}/{number}"))
            for number in range(context.controls)
        )
        for kind in kinds
    }


def _drawn(context: Context, kind: str, random: Random) -> Circuit:
    circuit, shape = context.circuit, context.engine.weights.shape
    if kind == "same layers":
        kept = {element.node for element in circuit.kept}
        exchanged: dict[Node, Head] = {}
        for layer in range(shape.n_layers):
            heads = [Head(Layer(layer), HeadIndex(i)) for i in range(shape.n_heads)]
            free = [head for head in heads if head not in kept]
            exchanged.update(zip(free, random.sample(free, len(free)), strict=True))

        def other(node: N) -> N | Head:
            return exchanged.get(node, node)

        def between_others(edges: frozenset[Edge]) -> frozenset[Edge]:
            return frozenset(
                Edge(other(e.sender), other(e.receiver), e.channel, e.position) for e in edges
            )

        return replace(
            circuit,
            members=frozenset(Element(other(e.node), e.position) for e in circuit.members),
            edges=between_others(circuit.edges),
            kept_edges=between_others(circuit.kept_edges),
        )
    places: dict[Position, int] = {}
    for element in sorted(circuit.members, key=element_key):
        if isinstance(element.node, Head):
            places[element.position] = places.get(element.position, 0) + 1
    heads = [
        Head(Layer(layer), HeadIndex(index))
        for layer in range(shape.n_layers)
        for index in range(shape.n_heads)
    ]
    members = {e for e in circuit.members if not isinstance(e.node, Head)}
    for position in sorted(places, key=str):
        free = [head for head in heads if Element(head, position) not in circuit.kept]
        drawn = random.sample(free, places[position])
        members |= {Element(head, position) for head in drawn}
    return replace(circuit, members=frozenset(members))


def runs(claim: Claim, context: Context, ablation: Ablation) -> dict[str, list[tuple[Run, ...]]]:
    """The runs of every random circuit, by kind."""
    given = context.given(claim)
    return {
        kind: [
            replace(context, circuit=circuit).circuit_runs(ablation, given=given)
            for circuit in circuits
        ]
        for kind, circuits in random_circuits(context, ablation).items()
    }


def measure(claim: Claim, context: Context, ablation: Ablation, arm: Arm) -> Mapping[str, Any]:
    """What the controls gave: m of each, and how many come as near to the model as the circuit.

    `closer` counts circuits whose mean error a prompt, |m_i − m_i(M)|, is at most the circuit's:
    what brings the mean back without following the model does not come near.
    """
    asked = runs(claim, context, ablation)
    done = {kind: [context.evaluate(each) for each in listed] for kind, listed in asked.items()}
    found: dict[str, Any] = {}
    for metric in context.metrics:
        model = arm.series[f"model.{metric}"].values
        own = arm.series[f"error({metric})"].mean
        entry: dict[str, Any] = {
            "empty": arm.series[f"empty.{metric}"].mean,
            "full": float(model.mean()),
        }
        for kind, listed in done.items():
            values = [averaged(readings, metric) for readings in listed]
            errors = [float(np.abs(each - model).mean()) for each in values]
            entry[kind] = {
                "n": len(values),
                metric: [float(each.mean()) for each in values],
                "error": errors,
                "closer": sum(error <= own for error in errors),
            }
        found[metric] = entry
    return found


def note(controls: Mapping[str, Any], metrics: Sequence[str]) -> tuple[str, ...]:
    """For people: what other circuits give of `metrics`, and how many random ones do as well."""
    found = []
    for metric in metrics if controls else ():
        entry = controls[metric]
        drawn = {kind: entry[kind] for kind in KINDS if entry.get(kind, {}).get("n")}
        beside = [f"{metric} of the empty circuit {entry['empty']:.3g}"]
        for kind, each in drawn.items():
            low, high = min(each[metric]), max(each[metric])
            beside.append(f"of {each['n']} random ones of the {kind} {low:.3g} to {high:.3g}")
        found.append(", ".join(beside))
        found += [
            f"{each['closer']} of {each['n']} random circuits of the {kind} are as near to "
            f"the model's {metric} as this one"
            for kind, each in drawn.items()
            if each["closer"]
        ]
    return tuple(found)
