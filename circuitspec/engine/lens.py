"""What is read off the residual stream between blocks: the logit lens, copying scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch
from circuitspec.engine.forward import Trace
from circuitspec.engine.runs import CopyingReading, EngineError, LensReading, ResidualReading
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, Prompt

TOP = 5
"""A name is copied if it is among so many most likely tokens (Wang et al. 2022, section 3.1)."""

Measure = Callable[[Metric, Tensor], Tensor]
"""From a metric and residuals [B, T, W], to be read as the final ones are, to its values [B]."""


def refuse_reading(reading: ResidualReading, shape: ModelShape, metrics: Collection[str]) -> None:
    """Raise EngineError for a reading that this model does not have."""
    match reading:
        case LensReading(layer=layer, metric=metric):
            if not 0 <= layer < shape.n_layers:
                raise EngineError(
                    f"there is no residual after block {layer}: the model has {shape.n_layers}, "
                    "counted from 0"
                )
            if metric not in metrics:
                raise EngineError(f"there is no metric {metric} to read through a lens")
        case CopyingReading(head=head):
            if head.layer >= shape.n_layers or head.index >= shape.n_heads:
                raise EngineError(f"the model has no {head}")
            if shape.n_layers < 2:
                raise EngineError("a copying score reads what block 1 reads: the model has one")


def between(trace: Trace) -> tuple[Tensor, ...]:
    """The residual after every block, [B, T, W] each."""
    return (*trace.pre[1:], trace.final)


def read_residual(
    weights: Weights,
    batch: Batch,
    reading: ResidualReading,
    after: Sequence[Tensor],
    metrics: Mapping[str, Metric],
    measure: Measure,
) -> Tensor:
    """One reading on every prompt, from the residuals `after` each block: float64 [B]."""
    match reading:
        case LensReading(layer=layer, metric=metric):
            # nostalgebraist (2020): final norm, recomputed, and unembedding, as of the last block's
            return measure(metrics[metric], after[layer])
        case CopyingReading():
            return copying(weights, batch, reading, after[0], metrics)


def copying(
    weights: Weights,
    batch: Batch,
    reading: CopyingReading,
    after: Tensor,
    metrics: Mapping[str, Metric],
) -> Tensor:
    """The share of a prompt's names that a head's OV circuit copies: float64 [B].

    Wang et al. (2022), appendix, and their code: the residual after block 0, in context, through
    block 1's norm, W_V (and b_V), W_O, the final norm and the unembedding; a name is copied if it
    is among its own `TOP` highest logits. Names are the tokens of the prompt that the metrics name
    as answers. `negative` turns the head's output round first. A token of which more than `TOP` are
    at least as likely is not copied: a head that writes nothing makes all of them equal.
    """
    block = weights.blocks[reading.head.layer]
    heads = torch.tensor([reading.head.index], device=weights.device)
    value = kernels.project(block, "v", weights.blocks[1].ln1(after), heads)
    out = kernels.head_outputs(block, value, heads)[:, :, 0]
    if reading.negative:
        out = -out
    shares = torch.full((len(batch.prompts),), torch.nan, dtype=torch.float64)
    for i, prompt in enumerate(batch.prompts):
        places = name_places(prompt, metrics)
        if not places:
            raise EngineError(
                f"prompt {prompt.index} holds none of the tokens that the metrics name: "
                "there is no name to copy"
            )
        logits = kernels.logits(weights, out[i, places])
        own = torch.tensor([prompt.tokens[p] for p in places], device=logits.device)
        reached = (logits >= logits.gather(1, own[:, None])).sum(-1)
        shares[i] = (reached <= TOP).double().mean()
    return shares


def name_places(prompt: Prompt, metrics: Mapping[str, Metric]) -> list[int]:
    """Where the tokens stand that the metrics name as answers, in order."""
    named = {
        token
        for metric in metrics.values()
        for term in metric.terms
        for token in prompt.answers.get(term.answer, ())
    }
    return [place for place, token in enumerate(prompt.tokens) if token in named]
