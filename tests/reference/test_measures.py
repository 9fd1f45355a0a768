"""The measures on numbers small enough to check by hand, and on identities of real runs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from . import tiny
from .architectures import NO_NORM, SlowModel, from_state
from .measures import (
    agreement,
    at,
    attention_mass,
    copying_score,
    cross_entropy,
    direct_logit_attribution,
    duplicate_token_score,
    induction_score,
    kl,
    logit_difference,
    logit_lens,
    previous_token_score,
    probability,
    probability_difference,
    rank,
    residual_after,
    top_token,
    unembedding_direction,
)
from .slow import LOGITS, Run, constant, head, run, senders
from .test_slow import differ, make, same

LOGITS_2 = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
A, B = torch.tensor([2, 0]), torch.tensor([0, 1])


def ids(*values: int) -> Tensor:
    return torch.tensor(values)


def test_measures_of_logits_by_hand() -> None:
    assert logit_difference(LOGITS_2, A, B).tolist() == [3.0, 0.0]
    e = [math.exp(v) for v in (1, 2, 4)]
    assert probability(LOGITS_2, A).tolist() == pytest.approx([e[2] / sum(e), 1 / 3])
    assert cross_entropy(LOGITS_2, A).tolist() == pytest.approx(
        [-math.log(e[2] / sum(e)), math.log(3)]
    )
    assert top_token(LOGITS_2)[0] == 2
    assert rank(LOGITS_2, B).tolist() == [2, 0]
    sets = probability_difference(LOGITS_2, [ids(1, 2), ids(0, 1)], [ids(0), ids(2)])
    assert sets.tolist() == pytest.approx([(e[1] + e[2] - e[0]) / sum(e), 1 / 3])
    assert at(torch.arange(12).reshape(2, 3, 2), ids(2, 0)).tolist() == [[4, 5], [6, 7]]


def test_kl_by_hand() -> None:
    p, q = [0.5, 0.25, 0.25], [0.8, 0.1, 0.1]
    log_p, log_q = (torch.tensor([v], dtype=torch.float64).log() for v in (p, q))
    expected = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert kl(log_p + 3, log_q - 1).tolist() == pytest.approx([expected])  # summed, not averaged
    assert kl(log_p, log_p).abs().max() < 1e-15
    assert abs(kl(log_p, log_q) - kl(log_q, log_p)) > 0.01  # so the order above was tested


def test_agreement_is_a_share_of_prompts() -> None:
    other = torch.tensor([[0.0, 9.0, 1.0], [3.0, 0.0, 0.0]], dtype=torch.float64)
    assert agreement(LOGITS_2, other) == 0.5  # ties go to the first token, so the second agrees
    assert agreement(other, other) == 1.0


def fixed_pattern(length: int, key_of: dict[int, int]) -> Run:
    """A run whose head 0.0 attends 0.75 to one chosen key, 0.25 to position 0."""
    pattern = torch.zeros(2, length, length, dtype=torch.float64)
    for q in range(length):
        pattern[:, q, 0] += 0.25
        pattern[:, q, key_of.get(q, 0)] += 0.75
    result = Run(tokens=torch.zeros(2, length, dtype=torch.long))
    result.patterns[head(0, 0)] = pattern
    return result


def test_attention_scores_by_hand() -> None:
    node, period = head(0, 0), 3
    induction = fixed_pattern(6, {q: q - period + 1 for q in range(3, 6)})
    assert induction_score(induction, node, period) == pytest.approx(0.75)
    # at q = 3 the duplicate is position 0, which has 0.25 of every query
    assert duplicate_token_score(induction, node, period) == pytest.approx(0.25 / 3)
    assert previous_token_score(induction, node) == pytest.approx((1.0 + 0.0 * 4) / 5)
    duplicate = fixed_pattern(7, {q: q - period for q in range(4, 7)})
    assert duplicate_token_score(duplicate, node, period, start=1) == pytest.approx(0.75)
    assert induction_score(duplicate, node, period, start=1) == pytest.approx(0.0)
    previous = fixed_pattern(6, {q: q - 1 for q in range(1, 6)})
    assert previous_token_score(previous, node) == pytest.approx((1.0 + 0.75 * 4) / 5)
    mass = attention_mass(induction, node, ids(4, 5), ids(2, 1))
    assert mass.tolist() == pytest.approx([0.75, 0.0])


@pytest.fixture(params=[*tiny.ARCHITECTURES, "toy_mlp_layer_norm", "toy_plain"])
def model(request: pytest.FixtureRequest) -> SlowModel:
    return make(request.param)


def test_attributions_add_up_to_the_metric(model: SlowModel) -> None:
    tokens, positions = tiny.tokens(3, 6, seed=1), ids(5, 2, 4)
    correct, wrong = ids(1, 2, 3), ids(4, 5, 6)
    out = run(model, tokens)
    direction = unembedding_direction(model, correct, wrong)
    vectors = [at(out.senders[node], positions) for node in senders(model)]
    vectors.append(constant(model, LOGITS).expand(3, -1))
    total = sum(direct_logit_attribution(model, out, v, positions, direction) for v in vectors)
    if model.final_norm.bias is not None:
        total = total + direction @ model.final_norm.bias
    total = total + model.b_U[correct] - model.b_U[wrong]
    same(total, logit_difference(at(out.logits, positions), correct, wrong))
    single = unembedding_direction(model, correct, None)
    same(single - unembedding_direction(model, wrong, None), direction)


def test_attribution_is_centred_only_where_the_norm_centres(model: SlowModel) -> None:
    tokens, positions = tiny.tokens(2, 6, seed=1), ids(5, 2)
    out = run(model, tokens)
    direction = unembedding_direction(model, ids(1, 2), ids(3, 4))
    flat = torch.ones(2, model.d_model, dtype=torch.float64)
    value = direct_logit_attribution(model, out, flat, positions, direction)
    if model.final_norm.kind == "layer":
        assert value.abs().max() < 1e-12
    else:
        assert value.abs().min() > 1e-6


def test_the_lens_after_the_last_block_is_the_model(model: SlowModel) -> None:
    tokens = tiny.tokens(3, 6, seed=2)
    out = run(model, tokens)
    last = model.n_layers - 1
    same(logit_lens(model, out, last), out.logits)
    same(residual_after(model, out, 0), out.residuals[head(1, 0), "q"])
    same(residual_after(model, out, last), out.final_residual)
    differ(logit_lens(model, out, 0), out.logits)


def test_copying_score_by_hand() -> None:
    """No norm, identity embedding and OV circuit: every token copies itself, or the reverse."""
    n = 16
    cfg, state = tiny.toy_state("toy_plain", d_model=n, d_vocab=n, d_vocab_out=n, d_head=n)
    zeros = {k: torch.zeros_like(v) for k, v in state.items()}
    eye = torch.eye(n)
    zeros |= {"embed.W_E": eye, "unembed.W_U": eye}
    zeros["blocks.1.attn.W_V"] = torch.stack([eye, -eye])
    zeros["blocks.1.attn.W_O"] = torch.stack([eye, eye])
    model = from_state(cfg, zeros)
    assert model.final_norm is NO_NORM
    tokens = torch.tensor([[3, 9, 12, 5], [6, 1, 9, 2]])
    out = run(model, tokens)
    positions, answers = torch.tensor([[0, 2], [1, 3]]), torch.tensor([[3, 12], [1, 2]])
    assert copying_score(model, out, head(1, 0), positions, answers) == 1.0
    assert copying_score(model, out, head(1, 1), positions, answers) == 0.0
    assert copying_score(model, out, head(1, 1), positions, answers, sign=-1) == 1.0
    wrong = torch.tensor([[3, 12], [1, 15]])  # 15 is at no position: beaten by 2 and by earlier
    assert copying_score(model, out, head(1, 0), positions, wrong, k=1) == 0.75


def test_copying_score_is_the_ov_circuit_of_the_run() -> None:
    """Where attention is all on one position, a layer-1 head's output is its OV circuit's."""
    model = make("gpt2")
    tokens = tiny.tokens(20, 2, seed=3)
    out = run(model, tokens)
    first = torch.zeros(20, 1, dtype=torch.long)  # position 0 attends only to itself
    for node in (head(1, 0), head(1, 3)):
        logits = model.unembed(out.senders[node][:, 0])
        ranks = rank(logits, tokens[:, 0])
        for k in range(1, tiny.VOCAB):
            score = copying_score(model, out, node, first, tokens[:, :1], k=k)
            assert score == pytest.approx(float((ranks < k).double().mean()))


def test_copying_score_of_a_later_head_reads_after_block_0() -> None:
    """Through block 1's norm, then the later head's own W_V, b_V and W_O."""
    model = make("gpt2")
    tokens = tiny.tokens(20, 3, seed=4)
    out = run(model, tokens)
    block = model.layers[2]
    x = model.layers[1].attention_norm(out.residuals[head(1, 2), "k"][:, 1])
    logits = model.unembed((x @ block.W["v"][3] + block.b["v"][3]) @ block.W_O[3])
    ranks = rank(logits, tokens[:, 1])
    second = torch.ones(20, 1, dtype=torch.long)
    for k in range(1, tiny.VOCAB):
        score = copying_score(model, out, head(2, 3), second, tokens[:, 1:2], k=k)
        assert score == pytest.approx(float((ranks < k).double().mean()))
