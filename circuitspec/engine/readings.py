"""What is read off a run: metrics, top tokens, KL, attention, direct logit attribution."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine import kernels
from circuitspec.engine.batches import Batch, indices_at
from circuitspec.engine.runs import AttentionReading, AttributionReading, EngineError
from circuitspec.language.nodes import Position
from circuitspec.model.weights import NormWeights, Weights
from circuitspec.task.records import Metric, MetricTerm, Prompt
from circuitspec.task.registered import Registered


def at(batch: Batch, position: Position, x: Tensor) -> Tensor:
    """The vectors of `x` [B, T, W] at a position of one token: [B, W]."""
    return x[torch.arange(x.shape[0], device=x.device), batch.index(position)]


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where a metric is read in a batch: row and token index of each of P places, int64 [P].

    `prompts` are those of the places; `counts`, where any prompt has several places, say how many
    each has: the metric is the mean over them.
    """

    rows: Tensor
    indices: Tensor
    prompts: tuple[Prompt, ...]
    counts: tuple[int, ...] | None = None

    def pick(self, x: Tensor) -> Tensor:
        """The vectors of `x` [B, T, W] at every place: [P, W]."""
        return x[self.rows, self.indices]

    def mean(self, values: Tensor) -> Tensor:
        """One value a prompt [B] from one a place [P]."""
        if self.counts is None:
            return values
        return torch.stack([part.mean(0) for part in torch.split(values, list(self.counts))])


def is_plain(metric: Metric, prompts: Iterable[Prompt]) -> bool:
    """Whether a metric is read at one token of each prompt, and of answers of the prompt."""
    if metric.until is not None or any(term.next_token for term in metric.terms):
        return False
    return all(len(indices_at(prompt, metric.at)) == 1 for prompt in prompts)


def places_of(batch: Batch, metric: Metric) -> Places:
    """Where `metric` is read in `batch`."""
    return places_among(batch.prompts, metric, batch.tokens.device)


def places_among(prompts: Sequence[Prompt], metric: Metric, device: torch.device) -> Places:
    """Where `metric` is read in `prompts`, which may differ in length."""
    if is_plain(metric, prompts):
        rows = torch.arange(len(prompts), device=device)
        indices = [indices_at(prompt, metric.at)[0] for prompt in prompts]
        return Places(rows, torch.tensor(indices, device=device), tuple(prompts))
    found = [metric_places(metric, prompt) for prompt in prompts]
    return Places(
        torch.tensor([i for i, indices in enumerate(found) for _ in indices], device=device),
        torch.tensor([index for indices in found for index in indices], device=device),
        tuple(p for p, indices in zip(prompts, found, strict=True) for _ in indices),
        tuple(len(indices) for indices in found),
    )


def metric_places(metric: Metric, prompt: Prompt) -> tuple[int, ...]:
    """`metric.places(prompt)`, with what only the data can show turned into EngineError."""
    indices_at(prompt, metric.at)
    if metric.until is not None:
        indices_at(prompt, metric.until)
    found = metric.places(prompt)
    if not found:
        raise EngineError(
            f"{metric.name} is read from {metric.at} to {metric.until}, which is no token of "
            f"prompt {prompt.index}"
        )
    last = len(prompt.tokens) - 1
    if any(term.next_token for term in metric.terms) and found[-1] >= last:
        raise EngineError(
            f"{metric.name} is of the token that follows, and nothing follows the last token of "
            f"prompt {prompt.index}"
        )
    return found


def metric_values(weights: Weights, batch: Batch, metric: Metric, final: Tensor) -> Tensor:
    """The metric on each prompt from final residuals [B, T, W]: float64 [B].

    A metric of plain logits computes only the logits of the tokens it names.
    """
    places = places_of(batch, metric)
    return values_at(weights, metric, places, places.pick(final))


def values_at(weights: Weights, metric: Metric, places: Places, residual: Tensor) -> Tensor:
    """The metric on each prompt from final residuals at its places [P, W]: float64 [B]."""
    total = torch.zeros(len(places.prompts), dtype=torch.float64, device=residual.device)
    whole: Tensor | None = None
    if any(term.quantity != "logit" for term in metric.terms):
        whole = kernels.logits(weights, residual).double()
    for term in metric.terms:
        tokens, counted = answers_at(places, term)
        if whole is None:
            named = kernels.logits(weights, residual, tokens).double()
        else:
            named = _quantity(term, whole, tokens)
        total = total + term.coefficient * torch.where(counted, named, 0.0).sum(-1)
    return places.mean(total)


def answers_at(places: Places, term: MetricTerm) -> tuple[Tensor, Tensor]:
    """The tokens that a term sums over at each place, and which count: as `answer_tokens`."""
    if not term.next_token:
        return answer_tokens(places.prompts, term, places.rows.device)
    following = [p.tokens[i + 1] for p, i in zip(places.prompts, places.indices, strict=True)]
    tokens = torch.tensor(following, device=places.rows.device)[:, None]
    return tokens, torch.ones_like(tokens, dtype=torch.bool)


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
            # one answer at a time: all at once is [B, A, V]
            better = [(whole > named[:, None]).sum(-1) for named in whole.gather(1, tokens).T]
            return torch.stack(better, dim=1).double()
        case Registered() as measure:
            values: Tensor = measure.load()(whole, tokens)
            return values.double()


def answer_tokens(
    prompts: Sequence[Prompt], term: MetricTerm, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The tokens a term sums over, int64 [B, A], and which of them count, bool [B, A].

    Sets differ in size, and may be empty: the sum over nothing is 0.
    """
    sets = [prompt.answers[term.answer] for prompt in prompts]
    width = max(1, *(len(s) for s in sets))
    tokens = torch.tensor([[*s, *[0] * (width - len(s))] for s in sets], device=device)
    counted = torch.tensor([[i < len(s) for i in range(width)] for s in sets], device=device)
    return tokens, counted


def top_tokens(weights: Weights, batch: Batch, metric: Metric, final: Tensor) -> Tensor:
    """The most likely token over the whole vocabulary where a metric is read, at the last place if
    there are several: int64 [B]."""
    places = places_of(batch, metric)
    return top_at(weights, places, places.pick(final))


def top_at(weights: Weights, places: Places, residual: Tensor) -> Tensor:
    """The same from final residuals at the metric's places [P, W]."""
    if places.counts is not None:
        residual = torch.stack([part[-1] for part in torch.split(residual, list(places.counts))])
    return kernels.logits(weights, residual).argmax(-1)


def kl_from(weights: Weights, model: Tensor, run: Tensor) -> Tensor:
    """KL(model ‖ run) over the vocabulary, in nats, from final residuals [P, W]: float64 [P]."""
    p = kernels.logits(weights, model).double().log_softmax(-1)
    q = kernels.logits(weights, run).double().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def attention_mass(batch: Batch, reading: AttentionReading, pattern: Tensor) -> Tensor:
    """Attention from the query position to the key positions, of a head's `pattern` [B, T, T]:
    float64 [B]."""
    rows = at(batch, reading.query, pattern)
    return torch.where(batch.union_mask(reading.keys), rows.double(), 0.0).sum(-1)


def attribution(
    weights: Weights,
    batch: Batch,
    reading: AttributionReading,
    metric: Metric,
    sent: Tensor,
    final: Tensor,
) -> Tensor:
    """An element's share of a metric of logits: float64 [B], in logits.

    `sent` [B, T, W], what the logits read of the element's node, through the final norm, centred
    where the norm centres, with the scale frozen at that of the run's `final` residual, onto the
    metric's direction in the unembedding. Summed over all senders (and constants) this is the
    metric, up to the norm's and the unembedding's biases.
    """
    if metric.kl or any(term.quantity != "logit" for term in metric.terms):
        raise EngineError(f"{metric.name} is not a sum of logits, so nothing can be attributed")
    # The element's place need not be the metric's: only what is written there reaches it directly.
    lives = batch.mask(reading.element.position)
    places = places_of(batch, metric)
    value = places.pick(torch.where(lives[..., None], sent, 0.0))
    scaled = frozen_norm(weights.ln_final, value, places.pick(final))
    direction = torch.zeros_like(scaled, dtype=torch.float64)
    for term in metric.terms:
        tokens, counted = answers_at(places, term)
        columns = torch.where(counted[..., None], weights.unembed.T[tokens].double(), 0.0)
        direction = direction + term.coefficient * columns.sum(1)
    return places.mean((scaled.double() * direction).sum(-1))


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
