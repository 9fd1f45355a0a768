"""Shapes and tokenizers without torch: the zoo, directories, the cache, well known names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from circuitspec.language.diagnostics import Severity
from circuitspec.model.shapes import shape_of
from circuitspec.model.source import find, zoo
from circuitspec.model.tokenizer import tokenizer_of

from . import checkpoints


@pytest.mark.parametrize("name", checkpoints.NAMES)
def test_the_shape_from_the_config_is_the_shape_of_the_weights(name: str, tmp_path: Path) -> None:
    from circuitspec.model.load import load

    checkpoints.save(name, tmp_path)
    shape, found = shape_of(str(tmp_path))
    model, _ = load(str(tmp_path))
    assert found == ()
    assert shape is not None
    assert model is not None
    assert shape == model.shape == model.weights.shape
    block = model.weights.blocks[-1]
    assert (shape.n_heads, shape.d_model, shape.d_head) == tuple(block.w_q.shape)
    assert shape.n_kv_heads == len(block.w_k)
    assert block.mlp is not None
    assert shape.d_mlp == block.mlp.w_in.shape[1]
    assert shape.n_layers == len(model.weights.blocks)
    assert shape.parallel == (name == "gpt_neox")


def test_a_config_that_leaves_out_its_defaults_has_them(tmp_path: Path) -> None:
    """Older checkpoints name only what differs from the architecture's defaults."""
    minimal = {
        "gpt_neo": {"vocab_size": 9, "hidden_size": 8, "num_layers": 2, "num_heads": 2},
        "qwen3": {
            "vocab_size": 9,
            "hidden_size": 8,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "intermediate_size": 5,
            "max_position_embeddings": 16,
        },
    }
    for kind, config in minimal.items():
        (tmp_path / "config.json").write_text(json.dumps({"model_type": kind, **config}))
        shape, found = shape_of(str(tmp_path))
        assert found == ()
        assert shape is not None
        if kind == "gpt_neo":
            assert (shape.d_mlp, shape.n_ctx, shape.d_head) == (32, 2048, 4)
        else:
            assert (shape.d_head, shape.n_kv_heads, shape.norm) == (128, 1, "rms")


def test_well_known_models_have_a_shape_without_being_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name, expected in {
        "gpt2": (12, 12, 768, 64, 50257),
        "gpt2-small": (12, 12, 768, 64, 50257),
        "attn-only-4l": (4, 8, 512, 64, 48262),
        "openai-community/gpt2-xl": (48, 25, 1600, 64, 50257),
        "EleutherAI/gpt-neo-125m": (12, 12, 768, 64, 50257),
        "EleutherAI/pythia-70m-deduped": (6, 8, 512, 64, 50304),
        "stanford-crfm/alias-gpt2-small-x21": (12, 12, 768, 64, 50257),
    }.items():
        shape, found = shape_of(name)
        assert found == ()
        assert shape is not None
        sizes = (shape.n_layers, shape.n_heads, shape.d_model, shape.d_head, shape.d_vocab)
        assert sizes == expected
    shape, (problem,) = shape_of("someone/unheard-of")
    assert shape is None
    assert (problem.code, problem.severity) == ("M016", Severity.WARNING)


def cached(root: Path, name: str, commit: str, tag: str) -> Path:
    """A model in the layout of Hugging Face's cache."""
    folder = root / f"models--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / tag).write_text(commit)
    snapshot = folder / "snapshots" / commit
    snapshot.mkdir(parents=True)
    return snapshot


def test_the_cache_of_an_earlier_run_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = cached(tmp_path, "someone/small", "607a30d783dfa663caf39e06633721c8d4cfcd7e", "main")
    checkpoints.save("gpt_neox", snapshot)
    for revision in (None, "main", "607a30d", "607a30d783dfa663caf39e06633721c8d4cfcd7e"):
        shape, found = shape_of("someone/small", revision)
        assert found == ()
        assert shape is not None
        assert shape.architecture == "gpt_neox"
        tokenizer, found = tokenizer_of("someone/small", revision)
        assert found == ()
        assert tokenizer is not None
        assert tokenizer.bos_id == 0
    for revision in ("607a30", "step1000", "../../main"):
        assert shape_of("someone/small", revision)[0] is None


def test_a_cached_model_loads_without_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    from circuitspec.model.load import load

    commit = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    checkpoints.save("gpt2", cached(tmp_path, "someone/small", commit, "main"))
    for revision in (None, "main", "607a30d", commit):
        model, found = load("someone/small", revision=revision)
        assert found == ()
        assert model is not None
        assert (model.name, model.revision) == ("someone/small", commit)
        assert model.provenance.source == "hub"
        assert model.tokenizer is not None


def test_a_cached_hooked_transformer_loads_with_the_tokenizer_it_borrows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub.constants

    from circuitspec.model.load import load

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    name = "NeelNanda/Attn_Only_4L512W_C4_Code"
    snapshot = cached(tmp_path, name, "a" * 40, "main")
    checkpoints.save_toy(snapshot, pickled=True, tokenizer_name="someone/words", n_layers=4)
    (snapshot / "model.pt").rename(snapshot / "model_final.pth")
    (snapshot / "model_early.pth").write_bytes(b"")
    checkpoints.save_tokenizer(cached(tmp_path, "someone/words", "b" * 40, "main"))
    model, found = load("attn-only-4l")
    assert found == ()
    assert model is not None
    assert (model.name, model.revision) == (name, "a" * 40)
    assert (model.shape.architecture, model.shape.n_layers) == ("native", 4)
    assert model.tokenizer.encode("Mary").ids == [checkpoints.WORDS.index("Mary")]
    light, found = tokenizer_of("attn-only-4l")
    assert found == ()
    assert light is not None
    shape, found = shape_of("attn-only-4l")
    assert (shape, found) == (model.shape, ())
    (snapshot / "model_final.pth").unlink()
    (snapshot / "model_late.pth").write_bytes(b"")
    model, (problem,) = load("attn-only-4l")
    assert model is None
    assert problem.code == "M005"
    assert "model_early.pth" in problem.message


def test_paths_are_relative_to_the_spec(tmp_path: Path) -> None:
    checkpoints.save_toy(tmp_path / "models" / "toy")
    (tmp_path / "specs").mkdir()
    assert shape_of("models/toy", base_dir=tmp_path)[0] is not None
    shape, found = shape_of("../models/toy", base_dir=tmp_path / "specs")
    assert found == ()
    assert shape is not None
    assert shape.architecture == "native"
    assert find("../models/toy", tmp_path / "specs").kind == "hooked"
    assert find("models/toy", tmp_path / "specs").kind == "hub"


def test_the_zoo_goes_before_directories(tmp_path: Path) -> None:
    checkpoints.save_toy(tmp_path / "ioi-mini")
    source = find("ioi-mini", tmp_path)
    assert source.kind == "zoo"
    assert find("./ioi-mini", tmp_path).kind == "hooked"
    assert "ioi-mini" in zoo()


def test_a_tokenizer_in_gpt2_files(tmp_path: Path) -> None:
    vocabulary = {"a": 0, "b": 1, "Ġ": 2, "Ġa": 3, "<|endoftext|>": 4}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "merges.txt").write_text("#version: 0.2\nĠ a\n")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2", "bos_token_id": 4}))
    found, problems = tokenizer_of(str(tmp_path))
    assert problems == ()
    assert found is not None
    assert found.tokenizer.encode("a ab", add_special_tokens=False).ids == [0, 3, 1]
    assert found.bos_id == 4


def test_the_bos_token_by_name_goes_before_the_id_in_the_config(tmp_path: Path) -> None:
    checkpoints.save("gpt2", tmp_path)
    for named in ("<unk>", {"content": "<unk>"}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": named}))
        found, _ = tokenizer_of(str(tmp_path))
        assert found is not None
        assert found.bos_id == 1


def test_no_tokenizer_and_a_damaged_one(tmp_path: Path) -> None:
    from circuitspec.model.load import load

    checkpoints.save("gpt2", tmp_path, tokenizer=False)
    found, (problem,) = tokenizer_of(str(tmp_path))
    assert found is None
    assert problem.code == "M013"
    model, problems = load(str(tmp_path))
    assert model is not None
    assert (model.tokenizer, problems) == (None, ())
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0"')
    found, (problem,) = tokenizer_of(str(tmp_path))
    assert found is None
    assert problem.code == "M014"
    model, (problem,) = load(str(tmp_path))
    assert model is not None
    assert (problem.code, problem.severity) == ("M014", Severity.WARNING)


def test_shapes_and_tokenizers_need_no_torch(tmp_path: Path) -> None:
    checkpoints.save("gpt2", tmp_path)
    program = f"""
import sys
from circuitspec.model.shapes import shape_of
from circuitspec.model.tokenizer import tokenizer_of
assert shape_of("gpt2")[0] is not None
assert shape_of({str(tmp_path)!r})[0] is not None
assert tokenizer_of({str(tmp_path)!r})[0] is not None
heavy = {{"torch", "transformers", "transformer_lens", "numpy", "huggingface_hub"}}
print(sorted(heavy & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stdout, run.stderr) == (0, "[]\n", "")
