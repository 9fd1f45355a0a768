"""What a restoration changes: clean values against those of the corrupted run they are put into.

The engine counts writes against the run without any; a clean value never differs from that one.
What a restoration replaces is what the corrupted run has there.
"""

from __future__ import annotations

import torch

from circuitspec.engine.batches import batches
from circuitspec.engine.engine import Engine
from circuitspec.engine.forward import Edits, forward
from circuitspec.engine.runs import Replace, Run, Touched
from circuitspec.engine.sources import Outputs, Sources
from circuitspec.engine.writes import edits_for, masks_by_node, planned_writes


def restoration(engine: Engine, corrupted: Run, restored: Replace) -> Touched:
    """How many activations `restored` puts into `corrupted`, and how many are other there."""
    prompts = engine.sets[corrupted.prompts]
    sources = Sources(
        engine.weights,
        engine.sets,
        engine.batch_size,
        lambda batch, given, writes: edits_for(sources, batch, given, writes),
    )
    edits = Edits()
    written = 0
    with torch.inference_mode():
        for batch in batches(prompts, engine.batch_size, engine.weights.device):
            clean = sources.values(restored.source, batch, corrupted.given)
            bad = Outputs.of(
                forward(
                    engine.weights,
                    batch.tokens,
                    edits_for(sources, batch, corrupted.given, corrupted.writes),
                )
            )
            for node, mask in masks_by_node(batch, restored.elements).items():
                written += int(mask.sum())
                edits.compare(mask, clean.value(node), bad.value(node))
    planned = planned_writes(prompts, engine.weights.shape, (restored,))
    return edits.touched + Touched(planned=planned, written=written)
