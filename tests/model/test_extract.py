"""The extracted weights stand for the model: a plain forward from them gives its logits."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from circuitspec.model.extract import extract
from circuitspec.model.load import LoadedModel, load
from circuitspec.model.problems import ModelError
from circuitspec.model.source import read_config, understand
from circuitspec.model.weights import Rotary

from . import checkpoints
from .forward import forward, turned

# Longer than every window and past the local layers' reach; two rows, so that rows do not mix.
TOKENS = torch.randint(
    0, checkpoints.VOCABULARY, (2, 17), generator=torch.Generator().manual_seed(3)
)


def loaded(directory: Path) -> LoadedModel:
    model, found = load(str(directory))
    assert model is not None, found
    assert found == ()
    return model


def exact(hf: nn.Module) -> nn.Module:
    """The model in float64 throughout: Hugging Face's RMSNorm rounds to float32 inside."""

    def rms(self: Any, x: Tensor) -> Tensor:
        variance = x.pow(2).mean(-1, keepdim=True)
        scaled: Tensor = self.weight * (x * torch.rsqrt(variance + self.variance_epsilon))
        return scaled

    hf = copy.deepcopy(hf).double()
    for module in hf.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = MethodType(rms, module)
    return hf


@pytest.mark.parametrize("name", checkpoints.NAMES)
def test_a_forward_from_the_weights_gives_hugging_face_logits(name: str, tmp_path: Path) -> None:
    checkpoints.save(name, tmp_path)
    # SDPA keeps float64, where eager attention rounds its softmax to float32
    own = "eager" if name == "gpt_neo" else "sdpa"
    hf = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation=own).eval()
    model = loaded(tmp_path)
    with torch.no_grad():
        single, double = hf(TOKENS).logits, exact(hf)(TOKENS).logits
        ours, ours64 = (
            forward(model.weights, TOKENS),
            forward(model.weights.to(dtype=torch.float64), TOKENS),
        )
        bridged = model.bridge(TOKENS)
    assert single.std() > 0.3
    assert ours.dtype == torch.float32
    assert ours64.dtype == torch.float64
    torch.testing.assert_close(ours, single, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours, bridged, atol=1e-5, rtol=0)
    # GPT-Neo's scores are float32 in any model
    limit = 1e-5 if own == "eager" else 1e-10
    torch.testing.assert_close(ours64, double, atol=limit, rtol=0)


def test_only_the_architectures_that_have_a_part_get_it(tmp_path: Path) -> None:
    parts = {
        name: loaded(checkpoints.save(name, tmp_path / name)).weights
        for name in ("gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2", "qwen3")
    }
    has = {
        name: (
            w.pos_embed is not None,
            w.blocks[0].rotary is not None,
            w.blocks[0].b_q is not None,
            w.blocks[0].b_o is not None,
            w.blocks[0].q_norm is not None,
            w.blocks[0].mlp is not None and w.blocks[0].mlp.w_gate is not None,
        )
        for name, w in parts.items()
    }
    assert has == {
        "gpt2": (True, False, True, True, False, False),
        "gpt_neo": (True, False, False, True, False, False),
        "gpt_neox": (False, True, True, True, False, False),
        "llama": (False, True, False, False, False, True),
        "qwen2": (False, True, True, False, False, True),
        "qwen3": (False, True, False, False, True, True),
    }
    assert [block.window for block in parts["gpt_neo"].blocks] == [None, 4, None, 4]
    assert [block.scale for block in parts["gpt_neo"].blocks] == [1.0] * 4
    rotary = parts["gpt_neox"].blocks[0].rotary
    assert rotary is not None
    assert rotary.dim == 4  # half of a head of 8
    assert parts["llama"].blocks[0].w_k.shape == (2, 32, 8)


def test_moving_weights_changes_precision_and_shares_what_was_shared(tmp_path: Path) -> None:
    weights = loaded(checkpoints.save("llama", tmp_path)).weights
    double = weights.to(dtype=torch.float64)
    names = [name for name, _ in weights.tensors()]
    assert [name for name, _ in double.tensors()] == names
    assert "blocks.2.mlp.w_gate" in names
    assert len(names) == len(set(names))
    for (_, a), (_, b) in zip(weights.tensors(), double.tensors(), strict=True):
        assert b.dtype == torch.float64
        assert torch.equal(a, b.float())
    first, last = double.blocks[0].rotary, double.blocks[2].rotary
    assert first is not None
    assert last is not None
    assert first.cos is last.cos
    assert not any(tensor.requires_grad for _, tensor in weights.tensors())


def test_rotation_turns_pairs_of_features_halves_or_neighbours() -> None:
    angles = torch.rand(5, 3, dtype=torch.float64)
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    half = Rotary(cos=angles.repeat(1, 2).cos(), sin=angles.repeat(1, 2).sin(), dim=6, style="half")
    adjacent = Rotary(
        cos=angles.repeat_interleave(2, 1).cos(),
        sin=angles.repeat_interleave(2, 1).sin(),
        dim=6,
        style="adjacent",
    )
    order = torch.tensor([0, 3, 1, 4, 2, 5, 6, 7])  # halves interleaved
    there = torch.arange(5)
    for rotary in (half, adjacent):
        torch.testing.assert_close(rotary.rotate(x, there), turned(rotary, x))
        later = rotary.rotate(x[:, 2:4], torch.tensor([4, 1]))
        torch.testing.assert_close(later[:, 0], turned(rotary, x[:, [0, 1, 2, 3, 2]])[:, 4])
    torch.testing.assert_close(
        adjacent.rotate(x[..., order], there), half.rotate(x, there)[..., order]
    )


TOYS = {
    "attention only, no norm": {},
    "attention only, LayerNorm": {"normalization_type": "LN"},
    "with MLP, no norm": {"attn_only": False, "d_mlp": 10, "act_fn": "relu"},
    "with MLP, LayerNorm": {
        "attn_only": False,
        "d_mlp": 10,
        "act_fn": "gelu",
        "normalization_type": "LN",
    },
    "norm without weights": {"attn_only": False, "act_fn": "gelu", "normalization_type": "LNPre"},
    "RMS, gated, grouped": {
        "attn_only": False,
        "act_fn": "silu",
        "gated_mlp": True,
        "normalization_type": "RMS",
        "n_heads": 4,
        "n_key_value_heads": 2,
    },
    "no positions": {"positional_embedding_type": None},
    "RMS at the end": {"normalization_type": "LN", "final_rms": True},
    "bidirectional": {"attention_dir": "bidirectional"},
    "unscaled scores": {"use_attn_scale": False},
    "scores divided by 3": {"attn_scale": 3.0},
}
PICKLED = "with MLP, LayerNorm"


def plain_toy(config: dict[str, Any], state: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """The HookedTransformer forward, from its state dict alone."""

    def norm(name: str, x: Tensor) -> Tensor:
        kind = config["normalization_type"]
        if kind is None:
            return x
        if kind.startswith("LN") and not (config.get("final_rms") and name == "ln_final"):
            x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + config.get("eps", 1e-5)).sqrt()
        return x * state.get(f"{name}.w", torch.ones(1)) + state.get(f"{name}.b", torch.zeros(1))

    acts = {"relu": torch.relu, "gelu": nn.functional.gelu, "silu": nn.functional.silu}
    x = state["embed.W_E"][tokens]
    if config["positional_embedding_type"] == "standard":
        x = x + state["pos_embed.W_pos"][: tokens.shape[1]]
    divisor = config.get("attn_scale", config["d_head"] ** 0.5)
    if not config.get("use_attn_scale", True):
        divisor = 1.0
    for layer in range(config["n_layers"]):
        at = f"blocks.{layer}.attn."
        heads = config["n_heads"]
        y = norm(f"blocks.{layer}.ln1", x)
        parts = {}
        for letter in "QKV":
            w = state.get(f"{at}W_{letter}", state.get(f"{at}_W_{letter}"))
            b = state.get(f"{at}b_{letter}", state.get(f"{at}_b_{letter}"))
            assert w is not None
            assert b is not None
            parts[letter] = torch.einsum("btd,hde->bhte", y, w) + b[:, None]
            parts[letter] = parts[letter].repeat_interleave(heads // len(w), 1)
        scores = parts["Q"] @ parts["K"].transpose(2, 3) / divisor
        if config["attention_dir"] == "causal":
            scores = scores + torch.full(scores.shape[2:], float("-inf")).triu(1)
        z = scores.softmax(-1) @ parts["V"]
        x = x + torch.einsum("bhte,hed->btd", z, state[f"{at}W_O"]) + state[f"{at}b_O"]
        if not config["attn_only"]:
            m = f"blocks.{layer}.mlp."
            y = norm(f"blocks.{layer}.ln2", x)
            inner = y @ state[f"{m}W_in"] + state.get(f"{m}b_in", torch.zeros(1))
            act = acts[config["act_fn"]]
            gated = config.get("gated_mlp")
            inner = act(y @ state[f"{m}W_gate"]) * inner if gated else act(inner)
            x = x + inner @ state[f"{m}W_out"] + state.get(f"{m}b_out", torch.zeros(1))
    return norm("ln_final", x) @ state["unembed.W_U"] + state["unembed.b_U"]


@pytest.mark.parametrize(("toy", "pickled"), [*((toy, False) for toy in TOYS), (PICKLED, True)])
def test_a_toy_computes_what_its_state_dict_says(toy: str, pickled: bool, tmp_path: Path) -> None:
    config = {"d_mlp": 48, **checkpoints.TOY, **TOYS[toy]}
    checkpoints.save_toy(tmp_path, pickled=pickled, **{k: config[k] for k in config})
    state = checkpoints.toy_state(config)
    tokens = torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(1))
    model = loaded(tmp_path)
    with torch.no_grad():
        expected, ours = plain_toy(config, state, tokens), forward(model.weights, tokens)
        theirs = model.bridge(tokens)
    assert expected.std() > 0.3
    # without a norm logits are in the tens
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(theirs, expected, atol=1e-5, rtol=1e-5)


def test_loading_a_toy_leaves_the_random_state_alone(tmp_path: Path) -> None:
    checkpoints.save_toy(tmp_path)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    loaded(tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_weights_of_another_shape_than_the_config_says_are_refused(tmp_path: Path) -> None:
    model = loaded(checkpoints.save("gpt2", tmp_path))
    reading = understand(read_config(tmp_path), "it")
    assert extract(model.bridge, reading).shape == model.shape
    for field, value, words in (
        ("d_mlp", 99, "blocks.0.mlp.w_in is [32, 128], and the config says [32, 99]"),
        ("n_ctx", 7, "pos_embed is [24, 32]"),
        ("d_vocab", 5, "embed is"),
        ("n_layers", 2, "3 layers of W_Q, the config says 2"),
        ("n_kv_heads", 2, "blocks.0.w_k is [4, 32, 8]"),
    ):
        wrong = replace(reading, shape=replace(reading.shape, **{field: value}))
        with pytest.raises(ModelError) as raised:
            extract(model.bridge, wrong)
        assert raised.value.code == "M007"
        assert words in raised.value.message
