"""Declared writes made concrete on a batch: which activations, and with what values."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from circuitspec.engine.batches import Batch, indices_at
from circuitspec.engine.forward import Edits, Written
from circuitspec.engine.runs import Replace, ReplaceAllBut, Touched, Write
from circuitspec.engine.sources import Outputs, Sources
from circuitspec.hypothesis.records import Element
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Channel, Head, Input, Layer, Logits, Mlp, Position
from circuitspec.task.records import Prompt


def edits_for(
    sources: Sources, batch: Batch, given: tuple[Write, ...], writes: tuple[Write, ...]
) -> Edits:
    """The edits of `given` and then `writes` on a batch, sources included."""
    edits = Edits()
    for write in given:
        values = sources.values(write.source, batch, ())
        _add_write(edits, sources.weights.shape, batch, write, values, None)
    for write in writes:
        values = sources.values(write.source, batch, given)
        without = sources.without_writes(batch, given)
        _add_write(edits, sources.weights.shape, batch, write, values, without)
    return edits


def _add_write(
    edits: Edits,
    shape: ModelShape,
    batch: Batch,
    write: Write,
    values: Outputs,
    without: Outputs | None,
) -> None:
    """Add a write; it is counted against the outputs `without` it, unless there are none."""
    counted = without is not None
    listed = masks_by_node(batch, write.elements if isinstance(write, Replace) else write.live)
    heads: dict[int, Tensor] = {}
    mlps: dict[int, Tensor] = {}
    for node, mask in listed.items():
        match node:
            case Head(layer=layer, index=index):
                if layer not in heads:
                    heads[layer] = mask.new_zeros(*mask.shape, shape.n_heads)
                heads[layer][:, :, index] = mask
            case Mlp(layer=layer):
                mlps[layer] = mask
            case Input():
                if isinstance(write, Replace):
                    edits.inputs.append(Written(mask, values.input, counted))
                    if without is not None:
                        edits.compare(mask, values.input, without.input)
    if isinstance(write, ReplaceAllBut):
        nothing = torch.zeros_like(batch.tokens, dtype=torch.bool)
        none = nothing[..., None].expand(-1, -1, shape.n_heads)
        heads = {layer: ~heads.get(layer, none) for layer in range(shape.n_layers)}
        if shape.has_mlps:
            mlps = {layer: ~mlps.get(layer, nothing) for layer in range(shape.n_layers)}
    for number, mask in heads.items():
        edits.heads.setdefault(number, []).append(Written(mask, values.z[number], counted))
        if without is not None:
            edits.compare(mask, values.z[number], without.z[number])
    for number, mask in mlps.items():
        value = values.value(Mlp(Layer(number)))
        edits.mlps.setdefault(number, []).append(Written(mask, value, counted))
        if without is not None:
            edits.compare(mask, value, without.value(Mlp(Layer(number))))


def masks_by_node(batch: Batch, elements: Iterable[Element]) -> dict[Head | Mlp | Input, Tensor]:
    """Where each node is named: bool [B, T] a node."""
    positions: dict[Head | Mlp | Input, set[Position]] = {}
    for element in sorted(elements, key=str):
        positions.setdefault(element.node, set()).add(element.position)
    return {node: batch.union_mask(sorted(where, key=str)) for node, where in positions.items()}


def planned_writes(prompts: Iterable[Prompt], shape: ModelShape, writes: Iterable[Write]) -> int:
    """How many activations `writes` are to replace, counted from positions alone.

    Reckoned apart from the executor, so that a write which resolves to the wrong places, or never
    happens, shows as a difference (self-check `writes as planned`).
    """
    total = 0
    for prompt in prompts:
        for write in writes:
            elements = write.elements if isinstance(write, Replace) else write.live
            places = {(e.node, index) for e in elements for index in indices_at(prompt, e.position)}
            if isinstance(write, Replace):
                total += len(places)
            else:
                nodes = shape.n_layers * (shape.n_heads + shape.has_mlps)
                live = {place for place in places if not isinstance(place[0], Input)}
                total += nodes * len(prompt.tokens) - len(live)
    return total


def planned_receivers(
    prompts: Iterable[Prompt],
    receivers: Iterable[tuple[Head | Mlp | Logits, Channel, Position]],
) -> int:
    """How many channel inputs path patching is to hold in its second pass."""
    listed = list(receivers)
    return sum(
        len({(node, channel, index) for node, channel, at in listed for index in indices_at(p, at)})
        for p in prompts
    )


def with_plan(touched: Touched, planned: int) -> Touched:
    """The count with what was planned filled in."""
    return Touched(
        planned=planned, written=touched.written, changed=touched.changed, largest=touched.largest
    )
