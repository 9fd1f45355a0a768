"""Tiny random models of every architecture, deterministic by seed, with nothing left at zero.

Biases and norm weights are random too, so that a forgotten one shows; weights are scaled so that
attention is far from uniform and logits vary by about one. A model is made in float32 and then
cast, so that both dtypes have the same weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import Tensor, nn

VOCAB = 41
CONTEXT = 24

_LLAMA_LIKE = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_GPT2 = {
    "vocab_size": VOCAB,
    "n_positions": CONTEXT,
    "n_embd": 24,
    "n_layer": 3,
    "n_head": 4,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
_NEOX = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
    "bos_token_id": 0,
    "eos_token_id": 0,
}

# name -> (model class, configuration class, settings)
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", _GPT2),
    # the scaling of the Stanford CRFM checkpoints
    "gpt2_layer_scaled": (
        "GPT2LMHeadModel",
        "GPT2Config",
        {**_GPT2, "scale_attn_by_inverse_layer_idx": True, "tie_word_embeddings": False},
    ),
    # a window of 4, so that the local layer is local at the lengths tests use
    "gpt_neo": (
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        {
            "vocab_size": VOCAB,
            "max_position_embeddings": CONTEXT,
            "hidden_size": 24,
            "num_layers": 3,
            "num_heads": 4,
            "attention_types": [[["global", "local", "global"], 1]],
            "window_size": 4,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
    "gpt_neox": (
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        {
            **_NEOX,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "partial_rotary_factor": 0.5,
            },
        },
    ),
    "gpt_neox_sequential": (
        "GPTNeoXForCausalLM",
        "GPTNeoXConfig",
        {**_NEOX, "use_parallel_residual": False},
    ),
    "llama": ("LlamaForCausalLM", "LlamaConfig", _LLAMA_LIKE),
    "llama_biased": (
        "LlamaForCausalLM",
        "LlamaConfig",
        {**_LLAMA_LIKE, "attention_bias": True, "mlp_bias": True, "num_key_value_heads": 1},
    ),
    "qwen2": ("Qwen2ForCausalLM", "Qwen2Config", _LLAMA_LIKE),
    "qwen2_sliding": (
        "Qwen2ForCausalLM",
        "Qwen2Config",
        {
            **_LLAMA_LIKE,
            "use_sliding_window": True,
            "sliding_window": 3,
            "max_window_layers": 1,
        },
    ),
    "qwen3": ("Qwen3ForCausalLM", "Qwen3Config", {**_LLAMA_LIKE, "head_dim": 8}),
}

# The six plain ones, one for each class of model.
ARCHITECTURES = ("gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2", "qwen3")


def _fill(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """Random values for a parameter: by what its name and shape say it is."""
    noise = torch.randn(shape, generator=generator)
    if len(shape) == 1:
        is_gain = name.endswith((".w", "weight"))
        return 1 + 0.3 * noise if is_gain else 0.3 * noise
    if any(part in name for part in ("wte", "wpe", "embed", "W_E", "W_pos")):
        return 0.3 * noise  # also the unembedding, where the two are tied
    fan_in = min(shape)  # the smaller side: a little large where a matrix narrows, on purpose
    return noise / fan_in**0.5


def build(
    name: str, *, seed: int = 0, dtype: torch.dtype = torch.float32, **overrides: Any
) -> nn.Module:
    """A tiny random Hugging Face model in eval mode. ``name`` is a key of ``MODELS``."""
    model_class, config_class, settings = MODELS[name]
    config = getattr(transformers, config_class)(**{**settings, **overrides})
    for dropout in ("resid_pdrop", "embd_pdrop", "attn_pdrop"):
        if hasattr(config, dropout):
            setattr(config, dropout, 0.1)  # live unless the model is in eval mode
    model = getattr(transformers, model_class)(config).float()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(_fill(parameter_name, parameter.shape, generator))
    return model.to(dtype).eval()


def save(model: nn.Module, directory: str | Path) -> Path:
    """Write a checkpoint directory (config.json, model.safetensors) without a tokenizer."""
    model.save_pretrained(directory)
    return Path(directory)


def tokens(batch: int, length: int, *, seed: int = 0, vocab: int = VOCAB) -> Tensor:
    """Random prompts: integers [batch, length]."""
    return torch.randint(vocab, (batch, length), generator=torch.Generator().manual_seed(seed))


def mask(batch: int, length: int, *, seed: int = 0, share: float = 0.5) -> Tensor:
    """A random mask, bool [batch, length], true in about ``share`` of its entries."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((batch, length), generator=generator) < share


# ------------------------------------------------------------------ toy state dicts

_TOY = {
    "n_layers": 2,
    "d_model": 16,
    "n_heads": 2,
    "d_head": 12,
    "n_ctx": CONTEXT,
    "d_vocab": VOCAB,
    "d_vocab_out": VOCAB,
    "attn_only": True,
    "act_fn": None,
    "normalization_type": None,
    "attention_dir": "causal",
    "positional_embedding_type": "standard",
}
_TOY_MLP = {"attn_only": False, "act_fn": "relu", "d_mlp": 20}
TOYS: dict[str, dict[str, Any]] = {
    "toy_plain": _TOY,
    "toy_layer_norm": {**_TOY, "normalization_type": "LN", "eps": 1e-5},
    "toy_mlp": {**_TOY, **_TOY_MLP},
    "toy_mlp_layer_norm": {
        **_TOY,
        **_TOY_MLP,
        "normalization_type": "LN",
        "eps": 1e-5,
        "act_fn": "gelu",
        "n_layers": 3,
        "d_vocab_out": VOCAB - 4,
    },
    "toy_bidirectional": {**_TOY, "attention_dir": "bidirectional"},
    "toy_bidirectional_mlp": {**_TOY, **_TOY_MLP, "attention_dir": "bidirectional"},
}


def toy_state(
    name: str, *, seed: int = 0, **overrides: Any
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and float32 state dict in HookedTransformer's layout. ``name``: in ``TOYS``."""
    cfg = {**TOYS[name], **overrides}
    n, d, d_head = cfg["n_heads"], cfg["d_model"], cfg["d_head"]
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (cfg["d_vocab"], d),
        "pos_embed.W_pos": (cfg["n_ctx"], d),
        "unembed.W_U": (d, cfg["d_vocab_out"]),
        "unembed.b_U": (cfg["d_vocab_out"],),
    }
    norms = ["ln_final"]
    for layer in range(cfg["n_layers"]):
        at = f"blocks.{layer}"
        for channel in "QKV":
            shapes[f"{at}.attn.W_{channel}"] = (n, d, d_head)
            shapes[f"{at}.attn.b_{channel}"] = (n, d_head)
        shapes[f"{at}.attn.W_O"] = (n, d_head, d)
        shapes[f"{at}.attn.b_O"] = (d,)
        norms.append(f"{at}.ln1")
        if not cfg["attn_only"]:
            norms.append(f"{at}.ln2")
            shapes[f"{at}.mlp.W_in"] = (d, cfg["d_mlp"])
            shapes[f"{at}.mlp.b_in"] = (cfg["d_mlp"],)
            shapes[f"{at}.mlp.W_out"] = (cfg["d_mlp"], d)
            shapes[f"{at}.mlp.b_out"] = (d,)
    if cfg["normalization_type"] == "LN":
        for norm in norms:
            shapes[f"{norm}.w"], shapes[f"{norm}.b"] = (d,), (d,)
    generator = torch.Generator().manual_seed(seed)
    state = {key: _fill_toy(key, shape, generator) for key, shape in sorted(shapes.items())}
    return cfg, state


def _fill_toy(name: str, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    if name in ("embed.W_E", "pos_embed.W_pos"):
        return 0.7 * torch.randn(shape, generator=generator)
    if len(shape) == 3:  # [heads, in, out]
        return torch.randn(shape, generator=generator) / min(shape[1:]) ** 0.5
    if name.endswith(("b_Q", "b_K", "b_V")):  # [heads, d_head]
        return 0.3 * torch.randn(shape, generator=generator)
    return _fill(name, torch.Size(shape), generator)


def save_toy(directory: str | Path, cfg: dict[str, Any], state: dict[str, Tensor]) -> Path:
    """Write ``config.json`` and ``model.safetensors``."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(cfg, indent=1))
    save_file(state, directory / "model.safetensors")
    return directory
