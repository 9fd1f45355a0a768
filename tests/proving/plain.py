"""A toy checkpoint or a GPT-2 computed as plainly as can be, from what is on disk."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file
from torch import Tensor


def logits(folder: Path, tokens: Tensor) -> Tensor:
    """Float32 logits [n, T, vocab] of the checkpoint in `folder`."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") == "gpt2":
        model = transformers.GPT2LMHeadModel.from_pretrained(folder, attn_implementation="eager")
        with torch.no_grad():
            return model.eval()(tokens).logits
    w = load_file(folder / "model.safetensors")
    length = tokens.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][:length]

    def norm(x: Tensor, name: str) -> Tensor:
        if config["normalization_type"] is None:
            return x
        size = x.shape[-1:]
        return torch.nn.functional.layer_norm(
            x, size, w[f"{name}.w"], w[f"{name}.b"], config["eps"]
        )

    for layer in range(config["n_layers"]):
        block = f"blocks.{layer}"
        read = norm(x, f"{block}.ln1")
        q, k, v = (
            torch.einsum("ntd,hde->nhte", read, w[f"{block}.attn.W_{kind}"])
            + w[f"{block}.attn.b_{kind}"][None, :, None]
            for kind in "QKV"
        )
        scores = (q @ k.transpose(-1, -2)).masked_fill(~causal, -torch.inf)
        z = scores.softmax(-1) @ v
        x = x + torch.einsum("nhte,hed->ntd", z, w[f"{block}.attn.W_O"]) + w[f"{block}.attn.b_O"]
        if not config["attn_only"]:
            hidden = norm(x, f"{block}.ln2") @ w[f"{block}.mlp.W_in"] + w[f"{block}.mlp.b_in"]
            x = x + hidden.relu() @ w[f"{block}.mlp.W_out"] + w[f"{block}.mlp.b_out"]
    return norm(x, "ln_final") @ w["unembed.W_U"] + w["unembed.b_U"]
