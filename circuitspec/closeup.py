"""A close look at single prompts for a report: where roles look, where a circuit goes astray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from circuitspec.claims.context import Context, averaged
from circuitspec.engine.forward import forward
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.records import AblateComplement, Claim
from circuitspec.language.nodes import Head, Layer
from circuitspec.model.load import LoadedModel, Loader, load
from circuitspec.task.records import Prompt
from circuitspec.verification import Job, Options, context_of, prepare

PROMPTS = 3
"""Prompts whose attention is shown, of as many templates as there are."""
WORST = 5
"""Prompts listed of those on which a circuit is furthest from the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a head of a role attends from one token: `weights` [token], which sum to 1."""

    role: str
    head: str
    query: int
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A prompt in the unmodified model: its tokens as text, and where every role looks."""

    template: str
    text: str
    tokens: tuple[str, ...]
    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Astray:
    """A prompt with the model's metric and the circuit's."""

    index: int
    text: str
    model: float
    circuit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeup:
    """One hypothesis on single prompts. `worst` are the furthest from the model under `claim`."""

    seen: tuple[Seen, ...]
    metric: str = ""
    claim: str = ""
    worst: tuple[Astray, ...] = ()


def closeups(
    path: str | Path, *, options: Options | None = None, loader: Loader = load
) -> Mapping[str, Closeup]:
    """A look at each hypothesis of a spec that `verify` has verified, by its name."""
    options = options or Options()
    jobs, _ = prepare(Path(path), options, loader)
    return {job.hypothesis.name: _closeup(job, options) for job in jobs or ()}


def _closeup(job: Job, options: Options) -> Closeup:
    task = job.task.first(job.task.stated)
    first: dict[str, Prompt] = {}
    for prompt in task.evaluation:
        first.setdefault(prompt.template, prompt)
    chosen = list(first.values())[:PROMPTS]
    seen = tuple(_seen(prompt, job) for prompt in chosen)
    context = context_of(job, task, options, options.dtype)
    for claim in job.claims:
        if isinstance(claim.intervention, AblateComplement) and claim.ablation is not None:
            try:
                return _astray(claim, context, seen)
            except EngineError:  # the claim is invalid, and its row says why
                continue
    return Closeup(seen=seen)


def _seen(prompt: Prompt, job: Job) -> Seen:
    roles = [
        (role, place, head)
        for role in job.hypothesis.roles.values()
        for place in role.places
        for head in role.nodes
        if isinstance(head, Head)
    ]
    layers: set[Layer] = {head.layer for _, _, head in roles}
    weights = job.model.weights
    tokens = torch.tensor([prompt.tokens], device=weights.device)
    patterns = forward(weights, tokens, patterns=layers).patterns
    looks = tuple(
        Look(
            role=role.name,
            head=str(head),
            query=query,
            weights=tuple(patterns[head.layer][0, head.index, query].tolist()),
        )
        for role, place, head in roles
        for query in prompt.at(place.query)
    )
    texts = tuple(_texts(prompt, job.model))
    return Seen(template=prompt.template, text=prompt.text, tokens=texts, looks=looks)


def _texts(prompt: Prompt, model: LoadedModel) -> Iterator[str]:
    for token in prompt.tokens:
        known = model.tokenizer is not None
        yield model.tokenizer.decode([token], skip_special_tokens=False) if known else str(token)


def _astray(claim: Claim, context: Context, seen: tuple[Seen, ...]) -> Closeup:
    assert claim.ablation is not None
    metric = next(iter(context.metrics))
    runs = context.circuit_runs(claim.ablation, given=context.given(claim))
    model, *circuit = context.evaluate((context.model_run(claim), *runs))
    own, kept = model.metrics[metric], averaged(circuit, metric)
    order = np.argsort(-np.abs(own - kept), kind="stable")[:WORST]
    prompts = context.task.evaluation.prompts
    return Closeup(
        seen=seen,
        metric=metric,
        claim=claim.name,
        worst=tuple(
            Astray(index=int(i), text=prompts[i].text, model=float(own[i]), circuit=float(kept[i]))
            for i in order
        ),
    )
