"""Tiny random checkpoints of every architecture, saved as their owners would save them.

Biases and norm weights are random too, so that nothing is trivially right. `save(name, directory)`
serves other tests; `NAMES` are its names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

_TEXT = """
<bos> <unk> When and went to the , gave a After met at said Mary John Tom James Anna
Emma Paul Mark store park school office ring book ball drink one two three four five six
"""
WORDS = tuple(_TEXT.split())
VOCABULARY = len(WORDS)
CONTEXT = 24

_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "bos_token_id": 0,
    "eos_token_id": 0,
}


def _gpt2(**options: Any) -> transformers.PreTrainedConfig:
    return transformers.GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=CONTEXT,
        n_embd=32,
        n_layer=3,
        n_head=4,
        bos_token_id=0,
        eos_token_id=0,
        **options,
    )


CONFIGS: dict[str, Callable[[], transformers.PreTrainedConfig]] = {
    "gpt2": _gpt2,
    "gpt2-crfm": lambda: _gpt2(scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True),
    "gpt2-narrow-mlp": lambda: _gpt2(n_inner=20, activation_function="relu"),
    "gpt_neo": lambda: transformers.GPTNeoConfig(
        vocab_size=VOCABULARY,
        max_position_embeddings=CONTEXT,
        hidden_size=32,
        num_layers=4,
        num_heads=4,
        attention_types=[[["global", "local"], 2]],
        window_size=4,
        bos_token_id=0,
        eos_token_id=0,
    ),
    "gpt_neox": lambda: transformers.GPTNeoXConfig(
        **_SMALL,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 100.0,
            "partial_rotary_factor": 0.5,
        },
    ),
    "gpt_neox-sequential": lambda: transformers.GPTNeoXConfig(
        **_SMALL, use_parallel_residual=False
    ),
    "llama": lambda: transformers.LlamaConfig(**_SMALL, num_key_value_heads=2),
    "llama-biased": lambda: transformers.LlamaConfig(
        **_SMALL, num_key_value_heads=1, head_dim=16, attention_bias=True
    ),
    "llama3-rope": lambda: transformers.LlamaConfig(
        **_SMALL,
        num_key_value_heads=4,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 1000.0,
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8,
        },
    ),
    "qwen2": lambda: transformers.Qwen2Config(**_SMALL, num_key_value_heads=2),
    "qwen2-window": lambda: transformers.Qwen2Config(
        **_SMALL,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=3,
        max_window_layers=1,
        tie_word_embeddings=True,
    ),
    "qwen3": lambda: transformers.Qwen3Config(**_SMALL, num_key_value_heads=2, head_dim=16),
}
NAMES = tuple(CONFIGS)


def build(name: str, seed: int = 0) -> transformers.PreTrainedModel:
    """A random model with eager attention; rows of every parameter differ from init's 0 and 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(
            CONFIGS[name](), attn_implementation="eager"
        )
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.3 * torch.randn_like(parameter))
                else:
                    parameter.copy_(0.2 * torch.randn_like(parameter))
    return model.eval()


def save(name: str, directory: Path, seed: int = 0, tokenizer: bool = True) -> Path:
    """Save the random checkpoint `name` in `directory`, with a word-level tokenizer."""
    build(name, seed).save_pretrained(directory)
    if tokenizer:
        save_tokenizer(directory)
    return directory


def save_tokenizer(directory: Path) -> None:
    """One token a word of `WORDS`, as tokenizer.json."""
    ids = {word: index for index, word in enumerate(WORDS)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.add_special_tokens(["<bos>", "<unk>"])
    tokenizer.save(str(directory / "tokenizer.json"))


TOY: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 12,
    "n_heads": 3,
    "d_head": 4,
    "n_ctx": 7,
    "d_vocab": 11,
    "d_vocab_out": 9,
    "attn_only": True,
    "normalization_type": None,
    "attention_dir": "causal",
    "positional_embedding_type": "standard",
}


def toy_state(config: dict[str, Any], seed: int = 0) -> dict[str, torch.Tensor]:
    """A random HookedTransformer state dict for `config`."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> torch.Tensor:
        return 0.3 * torch.randn(*shape, generator=generator)

    width, heads, d_head = config["d_model"], config["n_heads"], config["d_head"]
    groups = config.get("n_key_value_heads") or heads
    under = "_" if groups != heads else ""
    norm = config["normalization_type"]
    state = {
        "embed.W_E": random(config["d_vocab"], width),
        "unembed.W_U": random(width, config["d_vocab_out"]),
        "unembed.b_U": random(config["d_vocab_out"]),
    }
    if config["positional_embedding_type"] == "standard":
        state["pos_embed.W_pos"] = random(config["n_ctx"], width)

    def add_norm(name: str) -> None:
        if norm in ("LN", "RMS"):
            state[f"{name}.w"] = 1 + random(width)
        if norm == "LN":
            state[f"{name}.b"] = random(width)

    for layer in range(config["n_layers"]):
        block = f"blocks.{layer}"
        add_norm(f"{block}.ln1")
        for letter, count in (("Q", heads), ("K", groups), ("V", groups)):
            prefix = "" if letter == "Q" else under
            state[f"{block}.attn.{prefix}W_{letter}"] = random(count, width, d_head)
            state[f"{block}.attn.{prefix}b_{letter}"] = random(count, d_head)
        state[f"{block}.attn.W_O"] = random(heads, d_head, width)
        state[f"{block}.attn.b_O"] = random(width)
        state[f"{block}.attn.mask"] = torch.ones(config["n_ctx"], config["n_ctx"]).tril().bool()
        state[f"{block}.attn.IGNORE"] = torch.tensor(float("-inf"))
        if not config["attn_only"]:
            add_norm(f"{block}.ln2")
            state[f"{block}.mlp.W_in"] = random(width, config["d_mlp"])
            state[f"{block}.mlp.W_out"] = random(config["d_mlp"], width)
            if config.get("gated_mlp"):
                state[f"{block}.mlp.W_gate"] = random(width, config["d_mlp"])
            else:
                state[f"{block}.mlp.b_in"] = random(config["d_mlp"])
                state[f"{block}.mlp.b_out"] = random(width)
    add_norm("ln_final")
    if config.get("final_rms"):
        del state["ln_final.b"]
    return state


def save_toy(directory: Path, pickled: bool = False, seed: int = 0, **changes: Any) -> Path:
    """Save a HookedTransformer checkpoint: `TOY` with `changes`, as safetensors or as .pt."""
    directory.mkdir(parents=True, exist_ok=True)
    config = {**TOY, **changes}
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    state = toy_state(config, seed)
    if pickled:
        torch.save(state, directory / "model.pt")
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, directory / "model.safetensors")
    return directory
