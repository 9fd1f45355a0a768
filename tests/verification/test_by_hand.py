"""Figures recomputed by hand: from the prompts that a run prints, and the checkpoint alone.

Nothing of the package takes part in the arithmetic: prompts are read from `prompts --format jsonl`,
the model from its Hugging Face directory, the interventions are those of `tests/reference`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from circuitspec.judge.records import RunResult
from tests.reference import architectures, slow

from .conftest import ROOT, claim

SPEC = ROOT / "specs" / "ioi_mini.circuit"
MODEL = ROOT / "circuitspec" / "model" / "zoo" / "ioi-mini"
TOLERANCE = 1e-4

pytestmark = pytest.mark.slow

ENCODER, SUBJECT = range(8), (0, 1, 5)
AT_END = [(0, 2), (0, 3), (0, 4), (0, 6), (0, 7), *((1, h) for h in range(8))]
AT_END += [(2, 0), (3, 1), (3, 2), (3, 5)]


@pytest.fixture(scope="module")
def sets() -> dict[str, list[dict[str, Any]]]:
    from typer.testing import CliRunner

    from circuitspec.cli.app import app

    done = CliRunner().invoke(app, ["prompts", str(SPEC), "--format", "jsonl"])
    assert done.exit_code == 0
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in done.stdout.splitlines():
        prompt = json.loads(line)
        found[prompt["set"]].append(prompt)
    return found


@pytest.fixture(scope="module")
def model() -> architectures.SlowModel:
    hf = transformers.AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    return architectures.from_hf(hf)


def by_template(prompts: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for prompt in prompts:
        groups[prompt["template"]].append(prompt)
    return groups


def tokens(prompts: list[dict[str, Any]]) -> Tensor:
    return torch.tensor([p["tokens"] for p in prompts])


def logit_diff(logits: Tensor, prompts: list[dict[str, Any]]) -> list[float]:
    """logit(IO) − logit(S1) at the last token; the names' ids are read off where they stand."""
    values = []
    for row, prompt in zip(logits, prompts, strict=True):
        io = prompt["tokens"][prompt["positions"]["IO"][0]]
        s1 = prompt["tokens"][prompt["positions"]["S1"][0]]
        values.append(float(row[-1, io] - row[-1, s1]))
    return values


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_the_model_itself(sets, model, verified: Callable[[Path], RunResult]) -> None:
    values: list[float] = []
    for prompts in by_template(sets["evaluation"]).values():
        values += logit_diff(slow.run(model, tokens(prompts)).logits, prompts)
    measured = claim(verified(SPEC), "faithful_by_nodes").measures["model.logit_diff"]
    assert measured == pytest.approx(mean(values), abs=TOLERANCE)


def test_the_circuit_by_nodes(sets, model, verified: Callable[[Path], RunResult]) -> None:
    reference = by_template(sets["reference:abc"])
    values: list[float] = []
    for template, prompts in by_template(sets["evaluation"]).items():
        x = tokens(prompts)
        means = slow.mean_values(model, {template: tokens(reference[template])}, "template")
        live = {slow.mlp(layer): slow.everywhere(x) for layer in range(4)}
        for layer in range(4):
            for index in range(8):
                mask = torch.zeros(x.shape, dtype=torch.bool)
                for row, prompt in enumerate(prompts):
                    at = prompt["positions"]
                    if layer == 0 and index in ENCODER:
                        mask[row, at["IO"]] = True
                        mask[row, at["S1"]] = True
                    if layer == 0 and index in SUBJECT:
                        mask[row, at["S2"]] = True
                    if (layer, index) in AT_END:
                        mask[row, -1] = True
                live[slow.head(layer, index)] = mask
        spread = slow.spread(means, [template] * len(prompts))
        values += logit_diff(slow.ablate_by_nodes(model, x, live, spread), prompts)
    measured = claim(verified(SPEC), "faithful_by_nodes").measures["circuit.logit_diff"]
    assert measured == pytest.approx(mean(values), abs=TOLERANCE)


def test_a_path(sets, model, verified: Callable[[Path], RunResult]) -> None:
    """`patch all last_mention -> suppressor.q from abc direct`."""
    pairs = {p["pair"]: p for p in sets["counterfactual:abc"]}
    values: list[float] = []
    for prompts in by_template(sets["evaluation"]).values():
        x = tokens(prompts)
        x_prime = tokens([pairs[p["index"]] for p in prompts])
        end = torch.zeros(x.shape, dtype=torch.bool)
        end[:, -1] = True
        senders = {slow.head(0, 7): end} | {slow.head(1, h): end for h in range(8)}
        receivers = [
            (slow.head(layer, h), "q", end) for layer, h in ((2, 0), (3, 1), (3, 2), (3, 5))
        ]
        logits = slow.path_patch(model, x, x_prime, senders, receivers, "direct")
        values += logit_diff(logits, prompts)
    measured = claim(verified(SPEC), "last_mention_steers_suppressor").measures["logit_diff"]
    assert measured == pytest.approx(mean(values), abs=TOLERANCE)
