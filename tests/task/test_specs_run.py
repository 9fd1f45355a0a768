"""The shipped task specs run through: on a random GPT-2 of their heads' shape, to the last figure.

The verdicts say nothing of a random model; that each claim comes to one, with an estimate, an
interval and passed self-checks, says that the spec can be verified where the real model is.
"""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from circuitspec.task.tokenizer import FileTokenizer, TaskTokenizer
from circuitspec.verification import Options, verify

FOLDER = Path(__file__).parents[2] / "specs" / "tasks"
SPECS = sorted(path.stem for path in FOLDER.glob("*.circuit"))
MODEL = re.compile(r'model "[^"]*"')
WHOLE = "memorised_fact"
"""It says `sample all`."""
FEW = 80
"""Evaluation prompts of the others: enough for every claim to have an interval."""
REAL = {"gpt2": ("counting", "emails"), "attn-only-4l": ("docstring",)}


@pytest.fixture(scope="module")
def folder(bpe: TaskTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The task specs beside two random models: one with text, one with GPT-2's token ids."""
    torch = pytest.importorskip("torch", reason="verify computes with torch")
    transformers = pytest.importorskip("transformers", reason="it makes the random models")
    root = tmp_path_factory.mktemp("tasks")
    shutil.copytree(FOLDER, root, dirs_exist_ok=True)
    assert isinstance(bpe, FileTokenizer)
    for name, vocabulary in (("text", bpe.vocab_size), ("ids", 50257)):
        torch.manual_seed(0)
        config = transformers.GPT2Config(
            vocab_size=vocabulary, n_positions=128, n_embd=24, n_layer=12, n_head=12
        )
        transformers.GPT2LMHeadModel(config).eval().save_pretrained(root / name)
    bpe._backend.save(str(root / "text" / "tokenizer.json"))
    (root / "text" / "tokenizer_config.json").write_text('{"bos_token": "<|endoftext|>"}')
    return root


@pytest.fixture(scope="module")
def on_a_random_model(folder: Path) -> Callable[[str], Path]:
    """A task spec with nothing changed but the model's name."""

    def of(name: str) -> Path:
        text = (folder / f"{name}.circuit").read_text("utf-8")
        model = "ids" if "tokens integer" in text else "text"
        path = folder / f"{name}_random.circuit"
        path.write_text(MODEL.sub(f'model "./{model}"', text), "utf-8")
        return path

    return of


@pytest.mark.slow
@pytest.mark.parametrize("name", SPECS)
def test_it_runs_to_the_last_figure(name: str, on_a_random_model: Callable[[str], Path]) -> None:
    n = {WHOLE: None, "induction": 24}.get(name, FEW)  # its metric reads all logits at 19 places
    result, diagnostics = verify(on_a_random_model(name), options=Options(n=n, controls=0))
    assert result is not None, [d.message for d in diagnostics]
    (hypothesis,) = result.hypotheses
    assert hypothesis.claims
    assert all(check.passed for check in hypothesis.self_checks)
    for claim in hypothesis.claims:
        assert claim.requirements, claim.reason
        for requirement in claim.requirements:
            assert requirement.verdict in {"holds", "refuted", "inconclusive", "invalid"}
            assert requirement.n is not None
            assert requirement.n >= 12
            assert requirement.estimate is not None
            assert math.isfinite(requirement.estimate)
            if requirement.interval is None:  # a whole population: exact, no interval
                assert name == WHOLE
            else:
                assert all(math.isfinite(end) for end in requirement.interval)


def test_the_real_models_stay_in_the_files() -> None:
    named = {name: MODEL.findall((FOLDER / f"{name}.circuit").read_text("utf-8")) for name in SPECS}
    for model, specs in REAL.items():
        assert all(named[spec] == [f'model "{model}"'] for spec in specs)
    assert all(len(models) == 1 for models in named.values())
