"""What is read off a run: metrics, top tokens, KL, attention, direct logit attribution."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch
from circuitspec.engine.forward import Trace
from circuitspec.engine.runs import AttentionReading, AttributionReading, EngineError
from circuitspec.engine.sources import Outputs
from circuitspec.language.nodes import Position
from circuitspec.model.weights import NormWeights, Weights
from circuitspec.task.records import Metric, MetricTerm, Prompt


def at(batch: Batch, position: Position, x: Tensor) -> Tensor:
    """The vectors of `x` [B, T, W] at a position of one token: [B, W]."""
    return x[torch.arange(x.shape[0], device=x.device), batch.index(position)]


def metric_values(weights: Weights, batch: Batch, metric: Metric, final: Tensor) -> Tensor:
    """The metric on each prompt from final residuals [B, T, W]: float64 [B].

    A metric of plain logits computes only the logits of the tokens it names.
    """
    residual = at(batch, metric.at, final)
    total = torch.zeros(len(batch.prompts), dtype=torch.float64, device=final.device)
    whole: Tensor | None = None
    if any(term.quantity != "logit" for term in metric.terms):
        whole = kernels.logits(weights, residual).double()
    for term in metric.terms:
        tokens, counted = answer_tokens(batch.prompts, term, final.device)
        if whole is None:
            named = kernels.logits(weights, residual, tokens).double()
        else:
            named = _quantity(term, whole, tokens)
        total = total + term.coefficient * (named * counted).sum(-1)
    return total


def _quantity(term: MetricTerm, whole: Tensor, tokens: Tensor) -> Tensor:
    """`term.quantity` of named tokens [B, A] from all logits [B, V]."""
    match term.quantity:
        case "logit":
            return whole.gather(1, tokens)
        case "prob":
            return whole.softmax(-1).gather(1, tokens)
        case "log_prob":
            return whole.log_softmax(-1).gather(1, tokens)
        case "rank":
            named = whole.gather(1, tokens)
            return (whole[:, None, :] > named[:, :, None]).sum(-1).double()


def answer_tokens(
    prompts: Sequence[Prompt], term: MetricTerm, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The tokens a term sums over, int64 [B, A], and which of them count (sets differ in size)."""
    sets = [prompt.answers[term.answer] for prompt in prompts]
    width = max((len(s) for s in sets), default=0)
    if width == 0:
        raise EngineError(f"the answer {term.answer} names no token")
    tokens = torch.tensor([[*s, *[0] * (width - len(s))] for s in sets], device=device)
    counted = torch.tensor([[1.0] * len(s) + [0.0] * (width - len(s)) for s in sets], device=device)
    return tokens, counted.double()


def top_tokens(weights: Weights, batch: Batch, position: Position, final: Tensor) -> Tensor:
    """The most likely token over the whole vocabulary at a position: int64 [B]."""
    return kernels.logits(weights, at(batch, position, final)).argmax(-1)


def kl_from(
    weights: Weights, batch: Batch, position: Position, model: Tensor, run: Tensor
) -> Tensor:
    """KL(model ‖ run) over the vocabulary, in nats, from final residuals [B, T, W]: float64 [B]."""
    p = kernels.logits(weights, at(batch, position, model)).double().log_softmax(-1)
    q = kernels.logits(weights, at(batch, position, run)).double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def attention_mass(batch: Batch, reading: AttentionReading, trace: Trace) -> Tensor:
    """Attention of a head from its query position to its key positions: float64 [B]."""
    pattern = trace.patterns[reading.head.layer][:, reading.head.index]
    query = batch.index(reading.query)
    keys = batch.union_mask(reading.keys)
    rows = pattern[torch.arange(len(batch.prompts), device=pattern.device), query]
    return (rows.double() * keys).sum(-1)


def attribution(
    weights: Weights, batch: Batch, reading: AttributionReading, metric: Metric, trace: Trace
) -> Tensor:
    """An element's share of a metric of logits: float64 [B], in logits.

    Its output through the final norm, centred where the norm centres, with the scale frozen at the
    run's own, onto the metric's direction in the unembedding. Summed over all senders (and
    constants) this is the metric, up to the norm's and the unembedding's biases.
    """
    if metric.kl or any(term.quantity != "logit" for term in metric.terms):
        raise EngineError(f"{metric.name} is not a sum of logits, so nothing can be attributed")
    # The element's place need not be the metric's: only what is written there reaches it directly.
    output = Outputs.of(trace).contribution(weights, reading.element.node)
    here = batch.index(metric.at)
    lives = batch.mask(reading.element.position)[torch.arange(len(here)), here]
    value = at(batch, metric.at, output) * lives[:, None]
    scaled = frozen_norm(weights.ln_final, value, at(batch, metric.at, trace.final))
    direction = torch.zeros_like(scaled, dtype=torch.float64)
    for term in metric.terms:
        tokens, counted = answer_tokens(batch.prompts, term, scaled.device)
        columns = weights.unembed.T[tokens].double()
        direction = direction + term.coefficient * (columns * counted[..., None]).sum(1)
    return (scaled.double() * direction).sum(-1)


def frozen_norm(norm: NormWeights, value: Tensor, residual: Tensor) -> Tensor:
    """`value` [B, W] through `norm` with its scale taken from `residual` [B, W]; no bias."""
    if norm.kind == "none":
        return value
    if norm.kind == "layer":
        value = value - value.mean(-1, keepdim=True)
        residual = residual - residual.mean(-1, keepdim=True)
    scale = residual.square().mean(-1, keepdim=True).add(norm.eps).rsqrt()
    weight = 1.0 if norm.weight is None else norm.weight
    return value * scale * weight


def by_name(metrics: Mapping[str, Metric]) -> list[Metric]:
    """Metrics in a fixed order, the KL ones last (they need the model's own run)."""
    return sorted(metrics.values(), key=lambda m: (m.kl, m.name))
