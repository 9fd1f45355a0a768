"""What can be wrong with a model is said in words, with a stable code, and never as a traceback."""

from __future__ import annotations

import json
import pickle
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from circuitspec.language.diagnostics import Severity, Span
from circuitspec.model import hub, problems
from circuitspec.model.load import load
from circuitspec.model.source import find

from . import checkpoints

HERE = Span(file="a.circuit", start=3, end=9, line=2, column=1, end_line=2, end_column=7)


def edit_config(directory: Path, **changes: Any) -> None:
    file = directory / "config.json"
    config = json.loads(file.read_text())
    config.update(changes)
    file.write_text(json.dumps({k: v for k, v in config.items() if v != "absent"}))


def edit_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    file = directory / "model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file, metadata={"format": "pt"})


def shorten(directory: Path) -> None:
    file = directory / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def spoil(directory: Path, value: float) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        name = "transformer.h.1.attn.c_attn.bias"
        name = name if name in state else "blocks.1.attn.b_K"
        state[name].flatten()[2] = value

    edit_weights(directory, change)


def drop(key: str) -> Callable[[Path], None]:
    return lambda directory: edit_weights(directory, lambda state: state.__delitem__(key))


def put(key: str, *shape: int) -> Callable[[Path], None]:
    return lambda d: edit_weights(d, lambda state: state.update({key: torch.ones(*shape)}))


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda directory: edit_config(directory, **changes)


def replace_weights(name: str, value: object) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        (directory / "model.safetensors").unlink()
        with (directory / name).open("wb") as file:
            if isinstance(value, bytes):
                file.write(value)
            else:
                torch.save(value, file)

    return damage


class Rude:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("unpickled"),))


HF_CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no config": (lambda d: (d / "config.json").unlink(), "M002", "has no config.json"),
    "config is not JSON": (
        lambda d: (d / "config.json").write_text("{"), "M002", "cannot be read"
    ),
    "config is a list": (lambda d: (d / "config.json").write_text("[]"), "M002", "not an object"),
    "config says nothing": (
        lambda d: (d / "config.json").write_text("{}"), "M002", "neither Hugging Face's"
    ),
    "no width": (config(n_embd="absent"), "M002", "does not say n_embd"),
    "width is text": (config(n_embd="wide"), "M002", "n_embd = 'wide'"),
    "heads do not divide": (config(n_head=5), "M002", "cannot be shared among 5 heads"),
    "another architecture": (config(model_type="mamba"), "M003", "'mamba' model"),
    "another activation": (
        config(activation_function="quick_gelu"), "M004", "activation 'quick_gelu'"
    ),
    "cross attention": (config(add_cross_attention=True), "M004", "add_cross_attention"),
    "unscaled scores": (config(scale_attn_weights=False), "M004", "scale_attn_weights"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "M005", "no weights"),
    "truncated": (shorten, "M006", "model.safetensors cannot be read"),
    "empty file": (lambda d: (d / "model.safetensors").write_bytes(b""), "M006", "cannot be read"),
    "pickle that runs code": (
        replace_weights("pytorch_model.bin", pickle.dumps(Rude())), "M006", "cannot be read"
    ),
    "a parameter missing": (
        drop("transformer.h.2.mlp.c_fc.weight"), "M007", "transformer.h.2.mlp.c_fc.weight"
    ),
    "more layers than weights": (config(n_layer=4), "M007", "lack 12 parameters"),
    "a great many layers": (config(n_layer=10**12), "M002", "no model comes near"),
    "too many layers": (config(n_layer=99_999), "M007", "describes a model of at least"),
    "wider than the weights": (config(n_embd=64), "M007", ""),
    "NaN": (lambda d: spoil(d, float("nan")), "M008", "1 of the 32 numbers in blocks.1.b_q"),
    "infinity": (lambda d: spoil(d, float("inf")), "M008", "NaN or infinite"),
}  # fmt: skip


@pytest.mark.parametrize("case", HF_CASES)
def test_a_damaged_checkpoint_is_refused_in_words(case: str, tmp_path: Path) -> None:
    damage, code, words = HF_CASES[case]
    damage(checkpoints.save("gpt2", tmp_path))
    model, found = load(str(tmp_path), span=HERE)
    assert model is None
    (problem,) = found
    assert problem.code == code
    assert words in problem.message
    assert problem.span == HERE
    assert problem.severity is Severity.ERROR
    assert not Path("unpickled").exists()


TOY_CASES: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "rotary": (config(positional_embedding_type="rotary"), "M004", "'rotary'"),
    "a norm nobody knows": (config(normalization_type="batch"), "M004", "'batch'"),
    "parallel": (config(parallel_attn_mlp=True), "M004", "parallel_attn_mlp"),
    "soft cap": (config(output_logits_soft_cap=30.0), "M004", "output_logits_soft_cap"),
    "solu": (config(attn_only=False, act_fn="solu_ln"), "M004", "'solu_ln'"),
    "no weights": (lambda d: (d / "model.safetensors").unlink(), "M005", "no weights"),
    "two files of weights": (
        lambda d: (d / "b.safetensors").write_bytes(b""), "M005", "several files"
    ),
    "truncated": (shorten, "M006", "cannot be read"),
    "a module pickled whole": (
        replace_weights("model.pt", torch.nn.Linear(2, 2)), "M006", "cannot be read"
    ),
    "pickle that runs code": (
        replace_weights("model.pt", pickle.dumps(Rude())), "M006", "cannot be read"
    ),
    "not a state dict": (replace_weights("model.pt", [1, 2]), "M006", "other than a state dict"),
    "a weight missing": (drop("blocks.1.attn.W_V"), "M007", "lacks blocks.1.attn.W_V"),
    "a bias missing in one layer": (drop("blocks.1.attn.b_V"), "M007", "lacks blocks.1.attn.b_V"),
    "no positional weights": (drop("pos_embed.W_pos"), "M007", "lacks pos_embed.W_pos"),
    "a norm missing": (config(normalization_type="LN"), "M007", "and 2 more"),
    "an MLP too many": (put("blocks.0.mlp.W_in", 12, 48), "M007", "no place for: blocks.0.mlp"),
    "heads of another size": (
        config(d_head=6), "M007", "blocks.0.attn.W_Q is [3, 12, 4], and the config says [3, 12, 6]"
    ),
    "a great many layers": (config(n_layers=10**12), "M002", "no model comes near"),
    "too many layers": (config(n_layers=99_999), "M007", "describes a model of at least"),
    "heads regrouped": (config(n_heads=4, d_head=3), "M007", "is [3, 12, 4]"),
    "NaN": (lambda d: spoil(d, float("nan")), "M008", "blocks.1.b_k"),
}  # fmt: skip


@pytest.mark.parametrize("case", TOY_CASES)
def test_a_damaged_toy_is_refused_in_words(case: str, tmp_path: Path) -> None:
    damage, code, words = TOY_CASES[case]
    damage(checkpoints.save_toy(tmp_path))
    model, found = load(str(tmp_path), span=HERE)
    assert model is None
    (problem,) = found
    assert (problem.code, problem.span) == (code, HERE)
    assert words in problem.message
    assert not Path("unpickled").exists()


def test_a_bias_that_no_layer_has_is_zero(tmp_path: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        for key in [k for k in state if k.endswith(("b_O", "b_U"))]:
            del state[key]

    checkpoints.save_toy(tmp_path)
    edit_weights(tmp_path, change)
    model, found = load(str(tmp_path))
    assert model is not None
    assert found == ()
    assert model.weights.b_unembed is None
    bias = model.weights.blocks[0].b_o
    assert bias is None or not bias.any()


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("llama", {"mlp_bias": True}, "mlp_bias"),
        ("llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        ("gpt_neox", {"hidden_act": "mish"}, "'mish'"),
    ],
)
def test_an_option_the_engine_would_compute_wrongly_is_refused(
    name: str, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    edit_config(checkpoints.save(name, tmp_path), **changes)
    _, (problem,) = load(str(tmp_path))
    assert problem.code == "M004"
    assert words in problem.message


def test_weights_without_a_place_are_a_warning(tmp_path: Path) -> None:
    checkpoints.save("llama", tmp_path)
    put("score.weight", 2, 2)(tmp_path)
    model, (problem,) = load(str(tmp_path))
    assert model is not None
    assert (problem.code, problem.severity) == ("M009", Severity.WARNING)
    assert "score.weight" in problem.message


def test_no_such_directory(tmp_path: Path) -> None:
    for reference in ("./nowhere", "../nowhere/at/all", "", "two words", "a/b/c", "x\0y"):
        model, (problem,) = load(reference, base_dir=tmp_path, span=HERE)
        assert model is None
        assert problem.code == "M001"
        assert "ioi-mini" in (problem.hint or "") or "\0" in reference


def test_a_file_is_not_a_model(tmp_path: Path) -> None:
    (tmp_path / "weights").write_text("")
    _, (problem,) = load("weights", base_dir=tmp_path)
    assert problem.code == "M001"
    assert "is a file" in problem.message


def test_without_network_the_hub_is_given_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def unreachable(request: Any, timeout: float) -> None:
        asked.append(request.full_url)
        assert timeout <= 10
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    model, (problem,) = load("some-owner/a-model-nobody-has", revision="607a30d", span=HERE)
    assert model is None
    assert (problem.code, problem.span) == ("M010", HERE)
    assert asked == ["https://huggingface.co"]


def test_offline_mode_does_not_even_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked the network in offline mode")

    monkeypatch.setattr(urllib.request, "urlopen", never)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, (problem,) = load("some-owner/a-model-nobody-has")
    assert problem.code == "M010"


def test_an_http_error_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(request: Any, timeout: float) -> None:
        raise urllib.error.HTTPError(request.full_url, 403, "no", None, None)  # type: ignore[arg-type]

    monkeypatch.setattr(urllib.request, "urlopen", refused)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert hub.reachable()


def test_a_directory_is_pinned_by_its_content(tmp_path: Path) -> None:
    checkpoints.save_toy(tmp_path)
    first, _ = load(str(tmp_path))
    assert first is not None
    assert first.revision.startswith("sha256:")
    again, found = load(str(tmp_path), revision=first.revision)
    assert again is not None
    assert found == ()
    checkpoints.save_toy(tmp_path, seed=1)
    changed, (problem,) = load(str(tmp_path), revision=first.revision)
    assert changed is None
    assert problem.code == "M012"
    assert first.revision in problem.message


def test_every_code_has_its_own_title() -> None:
    codes = [v for k, v in vars(problems).items() if k.isupper() and isinstance(v, str)]
    assert sorted(codes) == [f"M{n:03}" for n in (*range(1, 15), 16)]
    assert set(problems.TITLES) == set(codes)
    assert len(set(problems.TITLES.values())) == len(codes)


@pytest.mark.parametrize("name", ["Ioi-mini", "ioi_mini", "ioimini", "ioi-mini2"])
def test_a_packaged_model_that_is_nearly_named(name: str) -> None:
    model, (problem,) = load(name, span=HERE)
    assert model is None
    assert (problem.code, problem.span) == ("M001", HERE)
    assert problem.hint == "did you mean the packaged model 'ioi-mini'?"


@pytest.mark.parametrize("name", ["gpt2", "mini", "owner/ioi_mini", "ioi-maximal"])
def test_a_name_of_the_hub_is_taken_as_it_is(name: str) -> None:
    assert find(name).kind == "hub"
