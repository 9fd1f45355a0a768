"""What is read off a pass through hooks, to audit readings by: each with how far rounding moves it.

Worked out anew from the definitions, one prompt at a time. Nothing of `readings` or `lens` is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import torch
from torch import Tensor

from circuitspec.engine.audit.through_hooks import Handlers
from circuitspec.engine.runs import AttentionReading, AttributionReading, CopyingReading
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import Head
from circuitspec.task.records import Metric, Prompt
from circuitspec.task.registered import Registered

MASS_TOLERANCE = 1e-4
"""Of attention, whose weights sum to 1: what logits may be off by is relative to their scale."""
COPIED = 5
"""A name is copied if it is among so many most likely tokens."""

Figure = tuple[float, float]
"""A value, and how far it moves, at most, when every logit moves by some margin."""


@dataclass(slots=True, eq=False)
class Seen:
    """What a pass showed: residuals [B, T, W] before blocks (from 1 on) and before the final norm,
    its divisor [B, T, 1], patterns [B, H, T, T] by layer."""

    before: dict[int, Tensor] = field(default_factory=dict)
    final: Tensor | None = None
    scale: Tensor | None = None
    patterns: dict[int, Tensor] = field(default_factory=dict)

    def after(self, layer: int) -> Tensor:
        """The residual after a block: what the next one reads, or the final norm."""
        if layer + 1 in self.before:
            return self.before[layer + 1]
        assert self.final is not None
        return self.final


def watching(handlers: Handlers, seen: Seen) -> Handlers:
    """`handlers`, with what passes by put down in `seen`."""
    change = handlers.final

    def final(x: Tensor) -> Tensor:
        seen.final = x if change is None else change(x)
        return seen.final

    def scale(x: Tensor) -> None:
        seen.scale = x

    return replace(
        handlers,
        final=final,
        scale=scale,
        before=seen.before.__setitem__,
        pattern=seen.patterns.__setitem__,
    )


# ── off the logits ───────────────────────────────────────────────────────────────────────────────


def mean_figure(figures: Iterable[Figure]) -> Figure:
    """The mean over the places where something is read."""
    listed = list(figures)
    values, slips = zip(*listed, strict=True)
    return sum(values) / len(listed), sum(slips) / len(listed)


def kl_figure(model: Tensor, logits: Tensor, margin: float) -> Figure:
    """KL(model ‖ run) in nats, from logits [V]."""
    log_m, log_p = model.double().log_softmax(-1), logits.double().log_softmax(-1)
    kl = float((log_m.exp() * (log_m - log_p)).sum())
    # the slope in the model's own logits is p (log p − log q − KL): it grows with KL
    return kl, 4 * margin * (1 + kl)


def metric_figure(
    metric: Metric,
    prompt: Prompt,
    logits: Tensor,
    model: Tensor | None,
    margin: float,
) -> Figure:
    """A metric from logits [T, V] of a run, and of the model where the metric compares them."""
    return mean_figure(
        _score(metric, prompt, at, logits[at], None if model is None else model[at], margin)
        for at in metric.places(prompt)
    )


def top_tokens(metric: Metric, prompt: Prompt, logits: Tensor, margin: float) -> frozenset[int]:
    """Every token that may be the most likely one, at the last place where a metric is read."""
    last = logits[metric.places(prompt)[-1]]
    return frozenset(torch.nonzero(last >= last.max() - 2 * margin)[:, 0].tolist())


def _score(
    metric: Metric, prompt: Prompt, place: int, logits: Tensor, model: Tensor | None, margin: float
) -> Figure:
    if metric.kl:
        assert model is not None
        return kl_figure(model, logits, margin)
    logits = logits.double()
    log_p = logits.log_softmax(-1)
    value = slack = 0.0
    for term in metric.terms:
        answers = (
            [prompt.tokens[place + 1]] if term.next_token else list(prompt.answers[term.answer])
        )
        for answer in answers:
            if isinstance(term.quantity, Registered):
                # How far it moves with the logits is its author's to know: no value is an error.
                named = torch.tensor([[answer]], device=logits.device)
                value += term.coefficient * float(term.quantity.load()(logits[None], named))
                slack = inf
                continue
            near = (logits - logits[answer]).abs() <= 2 * margin
            one, slip = {
                "logit": (float(logits[answer]), margin),
                "prob": (float(log_p[answer].exp()), 2 * margin * float(log_p[answer].exp())),
                "log_prob": (float(log_p[answer]), 2 * margin),
                "rank": (float((logits > logits[answer]).sum()), float(near.sum()) - 1),
            }[term.quantity]
            value += term.coefficient * one
            slack += abs(term.coefficient) * slip
    return value, slack


# ── off patterns and residuals ───────────────────────────────────────────────────────────────────


def attention_figure(reading: AttentionReading, prompt: Prompt, pattern: Tensor) -> Figure:
    """Attention from the query to every token that a key position names, of a pattern [T, T]."""
    (query,) = prompt.at(reading.query)
    keys = sorted({key for position in reading.keys for key in prompt.at(position)})
    return float(pattern[query, keys].double().sum()), MASS_TOLERANCE


def attribution_figure(
    model: ReadOut,
    reading: AttributionReading,
    metric: Metric,
    prompt: Prompt,
    sent: Tensor,
    scale: Tensor | None,
    margin: float,
) -> Figure:
    """What an element's output `sent` [T, W] adds to a metric of logits, all else left as it is.

    It goes through the final norm as that scaled this run (`scale` [T, 1]).
    """
    lives = set(prompt.at(reading.element.position))
    figures = []
    for at in metric.places(prompt):
        value = slack = 0.0
        added = model.added(sent[at], None if scale is None else scale[at])
        for term in metric.terms:
            answers = [prompt.tokens[at + 1]] if term.next_token else prompt.answers[term.answer]
            shares = added[list(answers)].double()
            value += term.coefficient * float(shares.sum())
            slack += abs(term.coefficient) * float((margin + margin * shares.abs()).sum())
        figures.append((value, slack) if at in lives else (0.0, 0.0))
    return mean_figure(figures)


def copying_figure(
    model: ReadOut,
    reading: CopyingReading,
    prompt: Prompt,
    metrics: Mapping[str, Metric],
    after: Tensor,
    tolerance: float,
) -> Figure:
    """The share of a prompt's names that a head copies, from the residual after block 0 [T, W]."""
    names = {
        token
        for metric in metrics.values()
        for term in metric.terms
        for token in prompt.answers.get(term.answer, ())
    }
    places = [at for at, token in enumerate(prompt.tokens) if token in names]
    sign = -1 if reading.negative else 1
    low = high = 0
    for at in places:
        logits = model.unembed(sign * model.written(reading.head, after[at])).double()
        own, near = logits[prompt.tokens[at]], 2 * tolerance * float(logits.square().mean().sqrt())
        low += int((logits >= own - near).sum()) <= COPIED
        high += int((logits > own + near).sum()) < COPIED
    return (low + high) / 2 / len(places), (high - low) / 2 / len(places)


class ReadOut:
    """How TransformerLens's model writes and reads out: its own modules, given a value at once."""

    def __init__(self, bridge: Any, shape: ModelShape) -> None:
        self.bridge, self.shape = bridge, shape

    def unembed(self, residual: Tensor) -> Tensor:
        """Logits [..., V] of residuals [..., W], as of the last block's."""
        logits: Tensor = self.bridge.unembed(self.bridge.ln_final(self._rows(residual)))
        return logits.reshape(*residual.shape[:-1], logits.shape[-1])

    def added(self, sent: Tensor, scale: Tensor | None) -> Tensor:
        """What a part `sent` [W] of a residual adds to the logits [V], the norm's divisor given."""
        if scale is not None:
            if self.shape.norm == "layer":
                sent = sent - sent.mean(-1, keepdim=True)
            sent = sent / scale * self.bridge.ln_final.weight
        nothing = torch.zeros_like(sent)
        both: Tensor = self.bridge.unembed(torch.stack([sent, nothing])[None])[0]
        return both[0] - both[1]

    def written(self, head: Head, residual: Tensor) -> Tensor:
        """What a head writes [W] that attends to a token alone whose residual [W] block 1 reads."""
        bridge, group = self.bridge, self.shape.n_heads // self.shape.n_kv_heads
        normed: Tensor = bridge.blocks[1].ln1(self._rows(residual))[0, 0]
        index = head.index // group
        value = normed @ bridge.W_V[head.layer, index]
        bias = getattr(bridge, "b_V", None)
        if isinstance(bias, Tensor):
            value = value + bias[head.layer].reshape(self.shape.n_kv_heads, -1)[index]
        out: Tensor = value @ bridge.W_O[head.layer, head.index]
        return out

    @staticmethod
    def _rows(residual: Tensor) -> Tensor:
        """As the modules want it: [1, N, W]."""
        return residual.reshape(1, -1, residual.shape[-1])


def rows_of(lengths: Sequence[int], at_once: int) -> Iterable[list[int]]:
    """Indices in groups of one length, at most `at_once` each."""
    by_length: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_length.setdefault(length, []).append(i)
    for members in by_length.values():
        for start in range(0, len(members), at_once):
            yield members[start : start + at_once]
