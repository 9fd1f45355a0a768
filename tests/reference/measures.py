"""Every measure as its definition reads. Logits are [batch, vocab] at the position of interest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .architectures import SlowModel
from .slow import INPUT, LOGITS, Node, Run, constant, head, mlp

# ------------------------------------------------------------------ of logits, a number a prompt


def at(values: Tensor, positions: Tensor) -> Tensor:
    """[batch, pos, ...] at one position a prompt [batch] -> [batch, ...]."""
    return torch.stack([values[i, p] for i, p in enumerate(positions.tolist())])


def pick(logits: Tensor, answers: Tensor) -> Tensor:
    """The entry of one token a prompt: [batch, vocab], [batch] -> [batch]."""
    return torch.stack([logits[i, t] for i, t in enumerate(answers.tolist())])


def logit_difference(logits: Tensor, correct: Tensor, wrong: Tensor) -> Tensor:
    return pick(logits, correct) - pick(logits, wrong)


def probability(logits: Tensor, answers: Tensor) -> Tensor:
    return pick(logits.softmax(-1), answers)


def probability_difference(
    logits: Tensor, correct: Sequence[Tensor], wrong: Sequence[Tensor]
) -> Tensor:
    """Sum of p over one set of tokens less the sum over another; sets by prompt."""
    p = logits.softmax(-1)
    return torch.stack([p[i, correct[i]].sum() - p[i, wrong[i]].sum() for i in range(len(p))])


def cross_entropy(logits: Tensor, answers: Tensor) -> Tensor:
    """-log p(answer), in nats."""
    return -pick(logits.log_softmax(-1), answers)


def rank(logits: Tensor, answers: Tensor) -> Tensor:
    """How many tokens have a larger logit than the answer: 0 where it is the top token."""
    return (logits > pick(logits, answers)[:, None]).sum(-1)


def top_token(logits: Tensor) -> Tensor:
    return logits.argmax(-1)


def agreement(logits: Tensor, model_logits: Tensor) -> float:
    """Share of prompts where the two have the same top token."""
    return float((top_token(logits) == top_token(model_logits)).double().mean())


def kl(model_logits: Tensor, circuit_logits: Tensor) -> Tensor:
    """KL(model || circuit) = sum over the vocabulary of p (log p - log q), in nats: [batch]."""
    log_p, log_q = model_logits.log_softmax(-1), circuit_logits.log_softmax(-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1)


# ------------------------------------------------------------------ of attention


def attention_mass(run: Run, node: Node, query: Tensor, key: Tensor) -> Tensor:
    """A head's attention from position query[i] to position key[i] of prompt i: [batch]."""
    pattern = run.patterns[node]
    return torch.stack(
        [
            pattern[i, q, k]
            for i, (q, k) in enumerate(zip(query.tolist(), key.tolist(), strict=True))
        ]
    )


def offset_score(run: Run, node: Node, offset: int, first_query: int) -> float:
    """Mean attention mass from q to q - offset, over prompts and queries q >= first_query."""
    pattern, n = run.patterns[node], run.tokens.shape[1]
    return float(
        torch.stack([pattern[:, q, q - offset] for q in range(first_query, n)]).double().mean()
    )


def previous_token_score(run: Run, node: Node) -> float:
    """To the token before, from every position that has one."""
    return offset_score(run, node, 1, 1)


def duplicate_token_score(run: Run, node: Node, period: int, start: int = 0) -> float:
    """To the same token one period before, on x[k + period] = x[k]; ``start``: 1 after a BOS."""
    return offset_score(run, node, period, start + period)


def induction_score(run: Run, node: Node, period: int, start: int = 0) -> float:
    """To the token after the same token one period before, from the second period on."""
    return offset_score(run, node, period - 1, start + period)


# ------------------------------------------------------------------ of the residual


def unembedding_direction(model: SlowModel, correct: Tensor, wrong: Tensor | None) -> Tensor:
    """The metric's direction, W_U of the correct less W_U of the wrong token: [batch, d_model]."""
    direction = model.W_U.T[correct]
    return direction if wrong is None else direction - model.W_U.T[wrong]


def direct_logit_attribution(
    model: SlowModel, run: Run, vectors: Tensor, positions: Tensor, direction: Tensor
) -> Tensor:
    """A sender's output ``vectors`` [batch, d_model] through the final norm onto the direction.

    Centred where the norm centres, divided by the run's own divisor at that position (frozen),
    times the norm's weight; its bias belongs to no sender. -> [batch]
    """
    norm = model.final_norm
    y = norm.centre(vectors) / norm.divisor(at(run.final_residual, positions))
    if norm.weight is not None:
        y = y * norm.weight
    return (y * direction).sum(-1)


def residual_after(model: SlowModel, run: Run, layer: int) -> Tensor:
    """The residual after block ``layer``: input, heads, MLPs and b_O up to it, [batch, pos, d]."""
    total = constant(model, LOGITS if layer == model.n_layers - 1 else head(layer + 1, 0))
    total = total + run.senders[INPUT]
    for lower in range(layer + 1):
        for h in range(model.n_heads):
            total = total + run.senders[head(lower, h)]
        if model.layers[lower].mlp is not None:
            total = total + run.senders[mlp(lower)]
    return total


def logit_lens(model: SlowModel, run: Run, layer: int) -> Tensor:
    """Final norm (recomputed) and unembedding of the residual after block ``layer``: logits."""
    return model.unembed(residual_after(model, run, layer))


def copying_score(
    model: SlowModel,
    run: Run,
    node: Node,
    positions: Tensor,
    answers: Tensor,
    sign: int = 1,
    k: int = 5,
) -> float:
    """Copying score of a head's OV circuit (the IOI paper's code).

    The residual after block 0, in context, through block 1's attention norm, W_V and b_V, W_O, the
    final norm and the unembedding; the share of (prompt, name) whose own token answers[i, j], read
    at positions[i, j], is among the k largest. ``sign=-1`` for negative heads.
    """
    _, layer, h = node
    block = model.layers[layer]
    x = model.layers[1].attention_norm(residual_after(model, run, 0))
    out = sign * ((x @ block.W["v"][h] + block.b["v"][h]) @ block.W_O[h])
    logits = model.unembed(out)
    hits = [
        answers[i, j].item() in logits[i, positions[i, j]].topk(k).indices.tolist()
        for i in range(positions.shape[0])
        for j in range(positions.shape[1])
    ]
    return sum(hits) / len(hits)
