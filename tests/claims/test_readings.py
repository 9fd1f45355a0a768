"""Lens, copying and token scores, and named effects, against the reference."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from circuitspec.claims import kinds
from circuitspec.claims.measured import Measured
from circuitspec.engine.repeated import OffsetKind, offset_scores, repeated_tokens
from circuitspec.engine.runs import EngineError
from circuitspec.language.nodes import Head, HeadIndex, Layer
from circuitspec.model.load import load
from tests.claims.by_hand import GAINS, MODEL, hand_world
from tests.claims.worlds import TASK, Reference, World, bound, model, node_of, world
from tests.reference import measures, slow, tiny

MEAN = "by nodes with mean from abc over template"


def measured(
    requirement: str, action: str = "", name: str = "gpt2", body: str = TASK
) -> tuple[World, Measured]:
    place = world(f"expect c {{ {action} require {requirement} ci 95 }}", name=name, body=body)
    return place, kinds.measure(place.claims["c"], place.context)


def plain(place: World) -> list[slow.Run]:
    prompts = place.context.task.evaluation
    return [slow.run(place.slow, torch.tensor([p.tokens])) for p in prompts]


@pytest.mark.parametrize("layer", [0, 1, 2])
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama"])
def test_logit_lens(name: str, layer: int) -> None:
    place, got = measured(f"logit_lens({layer}) >= 0", name=name)
    reference = Reference(place, None)
    want = [
        reference.metric(measures.logit_lens(place.slow, run, layer), prompt)
        for run, prompt in zip(plain(place), place.context.task.evaluation, strict=True)
    ]
    series = got.arms[0].series
    np.testing.assert_allclose(series[f"logit_lens({layer})"].values, want, atol=1e-8)
    if layer == 2:  # after the last block it is the model
        np.testing.assert_allclose(want, series["model.logit_diff"].values, atol=1e-8)


def test_logit_lens_of_a_run_with_heads_out() -> None:
    place, got = measured("logit_lens(1) >= 0", f"ablate early {MEAN}")
    claim = place.claims["c"]
    assert claim.ablation is not None
    reference = Reference(place, claim.ablation)
    for row, prompt in enumerate(place.context.task.evaluation):
        masks = reference.masks(prompt, place.context.hypothesis.roles["early"].elements)
        values = reference.values(prompt)
        cut = slow.Replace({node: (mask, values[node]) for node, mask in masks.items()})
        run = slow.run(place.slow, torch.tensor([prompt.tokens]), cut)
        want = reference.metric(measures.logit_lens(place.slow, run, 1), prompt)
        assert got.arms[0].series["logit_lens(1)"].values[row] == pytest.approx(want, abs=1e-8)


@pytest.mark.parametrize("function", ["copying", "negative_copying"])
@pytest.mark.parametrize("name", ["gpt2", "qwen2"])
def test_copying(name: str, function: str) -> None:
    place, got = measured(f"{function}(lower) >= 0.1", name=name)
    sign = -1 if function.startswith("negative") else 1
    found = got.arms[0].series
    heads = [n for r in ("early", "middle") for n in place.context.hypothesis.roles[r].nodes]
    scores = []
    for head in heads:
        per_prompt = []
        for prompt, run in zip(place.context.task.evaluation, plain(place), strict=True):
            places = [prompt.positions[label][0] for label in ("A", "B", "A2")]
            # a fixed token of the template that happens to be an answer counts as a name too
            answers = {prompt.tokens[p] for p in places}
            places = [p for p, token in enumerate(prompt.tokens) if token in answers]
            own = torch.tensor([[prompt.tokens[p] for p in places]])
            per_prompt.append(
                measures.copying_score(
                    place.slow, run, node_of(head), torch.tensor([places]), own, sign
                )
            )
        np.testing.assert_allclose(found[f"{function}({head})"].values, per_prompt, atol=1e-12)
        scores.append(np.mean(per_prompt))
    assert got.numbers[f"{function}(lower)"] == pytest.approx(np.mean(scores))
    assert max(scores) > 0


def test_a_head_that_writes_nothing_copies_nothing(tmp_path: Path) -> None:
    # all its logits are equal: none of them is among the top five
    cfg, state = tiny.toy_state("toy_plain")
    state["blocks.0.attn.W_O"][0] = 0.0
    state["unembed.b_U"][:] = 0.0
    loaded, found = load(str(tiny.save_toy(tmp_path / "mute", cfg, state)))
    assert loaded is not None, found
    text = f'{{ model "mute" {SMALL} expect c {{ require copying(mute) >= 0 ci 95 }} }}'
    place = bound(text, loaded, None)
    got = kinds.measure(place.claims["c"], place.context)
    assert got.numbers["copying(mute)"] == 0.0


SMALL = TASK[: TASK.index("  role")] + "role mute = a0.h0 @ END"


def test_scores_on_repeated_tokens() -> None:
    place, got = measured(
        "previous_token(late) >= 0 ci 95 require duplicate_token(late) >= 0 ci 95 "
        "require induction(late) >= 0"
    )
    heads = place.context.hypothesis.roles["late"].nodes
    vocab, context = 41, 24
    period = context // 2
    rows = []
    for i in range(len(place.context.task.evaluation)):
        block = Random(f"3/repeated/{i}").sample(list(range(vocab)), period)
        rows.append(block + block)
    assert got.draws["repeated"] == rows
    run = slow.run(place.slow, torch.tensor(rows))
    for head in heads:
        node = node_of(head)
        want = {
            "previous_token": measures.previous_token_score(run, node),
            "duplicate_token": measures.duplicate_token_score(run, node, period),
            "induction": measures.induction_score(run, node, period),
        }
        for function, value in want.items():
            assert got.numbers[f"{function}({head})"] == pytest.approx(value, abs=1e-9)
    both = np.mean([got.numbers[f"induction({head})"] for head in heads])
    assert got.numbers["induction(late)"] == pytest.approx(both)


@pytest.mark.parametrize("kind", ["previous_token", "duplicate_token", "induction"])
def test_scores_after_a_beginning_of_sequence(kind: OffsetKind) -> None:
    loaded, reference = model("gpt_neo")
    weights = loaded.weights.to(dtype=torch.float64)
    prompts = repeated_tokens(weights, 3, 7, bos=0)
    assert prompts.start == 1
    assert all(row[0] == 0 and 0 not in row[1:] for row in prompts.tokens)
    assert all(row[1:12] == row[12:] and len(set(row)) == 12 for row in prompts.tokens)
    head = Head(Layer(1), HeadIndex(2))
    found = offset_scores(weights, prompts, [head], kind, batch_size=2)
    run = slow.run(reference, torch.tensor(prompts.tokens))
    score = getattr(measures, f"{kind}_score")
    where = () if kind == "previous_token" else (11, 1)
    assert np.mean(found[head]) == pytest.approx(score(run, slow.head(1, 2), *where), abs=1e-9)


def test_a_sample_stays_one_where_the_task_is_enumerated() -> None:
    body = TASK.replace("sample evaluation 10, reference 6 each template", "sample all")
    body = body.replace("0..36\n    template", "0..5\n    template").replace("baseline abc", "# ")
    place = world(
        "expect c { require induction(late) >= 0.9 ci 95 require logit_diff >= 0 }", body=body
    )
    drawn, task = place.judged("c").result.requirements
    assert task.exact
    assert not drawn.exact
    assert drawn.interval is not None


def test_each_head_of_a_score_is_a_requirement() -> None:
    place, _ = measured("induction(late) >= 0.5")
    stated = place.judged("c").result.requirements
    assert len(stated) == 1
    place = world("expect c { require each induction(late) >= 0.5 ci 95 }")
    stated = place.judged("c").result.requirements
    assert [r.arm for r in stated] == ["induction(a2.h1)", "induction(a2.h2)"]


def test_scores_on_repeated_tokens_cannot_be_of_an_ablated_model() -> None:
    with pytest.raises(EngineError, match="of the unmodified model"):
        measured("induction(late) >= 0", f"ablate early {MEAN}")


@pytest.mark.parametrize("requirement", ["logit_lens(3) >= 0", "copying(mlp) >= 0"])
def test_what_the_model_does_not_have_is_refused(requirement: str) -> None:
    with pytest.raises(EngineError):
        measured(requirement, body=TASK + " role mlp = m1 @ END ")


def test_named_effects_are_signed_losses() -> None:
    place, got = measured("effect(late) >= 2 * effect(early)", f"ablate {MEAN}")
    claim = place.claims["c"]
    assert claim.ablation is not None
    reference = Reference(place, claim.ablation)
    whole = reference.model(frozenset())
    for role in ("late", "early"):
        without = reference.model(frozenset(place.context.hypothesis.roles[role].elements))
        values = got.arms[0].series[f"effect({role})"].values
        np.testing.assert_allclose(values, np.subtract(whole, without), atol=1e-8)


ROLES = "role adders = a0.h0, a0.h1 @ END  role remover = a0.h2 @ END  role mute = a0.h4 @ END"


@pytest.mark.parametrize(
    ("requirement", "verdict"),
    [
        ("2 * effect(adders) >= 5.9", "holds"),
        ("effect(adders) >= 6 * -effect(remover)", "holds"),
        ("effect(adders) >= 6.1 * -effect(remover)", "refuted"),
        ("effect(remover) < 0", "holds"),
        ("effect(a0.h0) == 2 +- 0.001", "holds"),
        ("effect(adders) >= 3 * effect(mute)", "invalid"),
    ],
)
def test_effects_can_be_compared(requirement: str, verdict: str) -> None:
    claim = f"expect c under zeroed {{ require {requirement} }}"
    result = hand_world(ROLES, claim).judged("c").result
    assert result.verdict == verdict, result.reason
    assert result.measures.get("effect(adders)", 3.0) == pytest.approx(3.0, abs=1e-6)


def test_effects_under_a_further_knockout() -> None:
    claim = (
        "expect c under zeroed { given ablated remover require logit_diff == 3 +- 0.001 "
        "require effect(a0.h1) == 1 +- 0.001 }"
    )
    place = hand_world(ROLES, claim)
    result = place.judged("c").result
    assert result.verdict == "holds", result.reason
    assert result.measures["model.logit_diff"] == pytest.approx(MODEL - GAINS[2] / 4, abs=1e-6)


def test_a_further_knockout_takes_one_draw() -> None:
    """With several, each would be another condition, and one draw of it no draw of the rest."""
    places = [
        world(
            f"expect c {{ ablate early by nodes with resample from abc draws {draws} "
            "given ablated middle require logit_diff >= -100 ci 95 }"
        )
        for draws in (1, 2)
    ]
    assert places[0].judged("c").result.verdict != "invalid"
    with pytest.raises(EngineError, match="one draw a prompt"):
        places[1].judged("c")


def test_a_node_without_a_role_is_read_where_it_is_kept() -> None:
    kept = TASK.replace("  group lower", "  keep m1 @ END\n  group lower")
    roles = TASK.replace("  group lower", "  role other = m1 @ END\n  group lower")
    _, of_kept = measured("dla(m1) >= 0", body=kept)
    _, of_role = measured("dla(m1) >= 0", body=roles)
    got, want = (m.arms[0].series["dla(m1)"].values for m in (of_kept, of_role))
    np.testing.assert_array_equal(got, want)


def test_recovered_of_a_knock_out_is_between_the_empty_circuit_and_the_model() -> None:
    _, got = measured("recovered(logit_diff) >= -100", f"ablate early {MEAN}")
    series = got.arms[0].series
    assert {"logit_diff", "model.logit_diff", "empty.logit_diff"} <= set(series)
    assert series["empty.logit_diff"].mean != series["logit_diff"].mean
