"""Interventions by PyTorch hooks on an untouched Hugging Face module: a check on the reference.

Coarser than ``slow`` (values of heads are z, before W_O; under grouped queries k and v are one
per group) but nothing of the model's arithmetic is written anew: the module itself runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import torch
import transformers
from torch import Tensor, nn


def parts(hf: nn.Module, layer: int) -> tuple[nn.Module, nn.Module]:
    """(the attention's output projection, the MLP) of a layer."""
    name = type(hf).__name__
    if name == "GPT2LMHeadModel":
        block = hf.transformer.h[layer]
        return block.attn.c_proj, block.mlp
    if name == "GPTNeoForCausalLM":
        block = hf.transformer.h[layer]
        return block.attn.attention.out_proj, block.mlp
    if name == "GPTNeoXForCausalLM":
        block = hf.gpt_neox.layers[layer]
        return block.attention.dense, block.mlp
    block = hf.model.layers[layer]
    return block.self_attn.o_proj, block.mlp


def projection(hf: nn.Module, layer: int, h: int, channel: str) -> tuple[nn.Module, slice]:
    """The module that computes a channel of query head ``h``, and where in its output it is."""
    name, cfg, i = type(hf).__name__, hf.config, "qkv".index(channel)
    if name == "GPT2LMHeadModel":
        d = cfg.n_embd // cfg.n_head
        start = i * cfg.n_embd + h * d
        return hf.transformer.h[layer].attn.c_attn, slice(start, start + d)
    if name == "GPTNeoXForCausalLM":
        d = cfg.hidden_size // cfg.num_attention_heads
        start = (3 * h + i) * d
        return hf.gpt_neox.layers[layer].attention.query_key_value, slice(start, start + d)
    if name == "GPTNeoForCausalLM":
        attention, d, at = (
            hf.transformer.h[layer].attn.attention,
            cfg.hidden_size // cfg.num_heads,
            h,
        )
    else:
        attention = hf.model.layers[layer].self_attn
        d = attention.head_dim
        at = h if channel == "q" else h // attention.num_key_value_groups
    return getattr(attention, f"{channel}_proj"), slice(at * d, (at + 1) * d)


def head_slice(hf: nn.Module, h: int) -> slice:
    """Where head ``h`` is in the input of the output projection."""
    module, _ = parts(hf, 0)
    width = module.weight.shape[0 if type(module).__name__ == "Conv1D" else 1]
    n = getattr(hf.config, "num_attention_heads", None) or hf.config.num_heads
    return slice(h * width // n, (h + 1) * width // n)


def final_norm(hf: nn.Module) -> nn.Module:
    for path in ("transformer.ln_f", "gpt_neox.final_layer_norm", "model.norm"):
        with contextlib.suppress(AttributeError):
            return hf.get_submodule(path)
    raise AssertionError(type(hf).__name__)


@torch.no_grad()
def forward(
    hf: nn.Module, tokens: Tensor, write: Mapping | None = None
) -> tuple[Tensor, dict[tuple, Tensor]]:
    """Run the module; -> (logits, everything read).

    ``write`` {key: (mask [batch, pos], value)}, keys: ("head", l, h) z, ("mlp", l) output,
    ("head", l, h, c) projected channel, ("mlp", l, "in") its normed input, ("logits",) residual.
    """
    write, seen, handles = dict(write or {}), {}, []
    written = set()

    def pre(keys: dict[tuple, slice]):  # of a module's input
        def hook(module: nn.Module, args: tuple) -> tuple:
            return (edit(args[0], keys), *args[1:])

        return hook

    def post(keys: dict[tuple, slice]):  # of a module's output
        def hook(module: nn.Module, args: tuple, output: Tensor) -> Tensor:
            return edit(output, keys)

        return hook

    def edit(x: Tensor, keys: dict[tuple, slice]) -> Tensor:
        x = x.clone()
        for key, part in keys.items():
            if key in write:
                mask, value = write[key]
                x[..., part][mask] = value[mask]
                written.add(key)
            seen[key] = x[..., part].clone()
        return x

    n = getattr(hf.config, "num_attention_heads", None) or hf.config.num_heads
    for layer in range(hf.config.num_hidden_layers):
        out, mlp = parts(hf, layer)
        heads = {("head", layer, h): head_slice(hf, h) for h in range(n)}
        handles.append(out.register_forward_pre_hook(pre(heads)))
        handles.append(mlp.register_forward_hook(post({("mlp", layer): slice(None)})))
        handles.append(mlp.register_forward_pre_hook(pre({("mlp", layer, "in"): slice(None)})))
        by_module: dict[nn.Module, dict[tuple, slice]] = {}
        for h in range(n):
            for c in "qkv":
                module, part = projection(hf, layer, h, c)
                by_module.setdefault(module, {})[("head", layer, h, c)] = part
        handles += [m.register_forward_hook(post(keys)) for m, keys in by_module.items()]
    handles.append(final_norm(hf).register_forward_pre_hook(pre({("logits",): slice(None)})))
    try:
        logits = hf(tokens).logits
    finally:
        for handle in handles:
            handle.remove()
    assert written == set(write), "a hook did not fire"
    return logits, seen


@contextlib.contextmanager
def without_casts() -> Iterator[None]:
    """Take out Hugging Face's roundings to float32 (RMSNorm, GPT-Neo's scores), by class."""

    def rms(self: nn.Module, x: Tensor) -> Tensor:
        return self.weight * (
            x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        )

    def attn(self: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask=None):
        n = query.shape[-2]
        scores = (query @ key.transpose(-1, -2)).masked_fill(~self.bias[:, :, :n, :n], -torch.inf)
        weights = scores.softmax(-1)
        return weights @ value, weights

    neo = transformers.models.gpt_neo.modeling_gpt_neo.GPTNeoSelfAttention
    changes = [
        (transformers.models.llama.modeling_llama.LlamaRMSNorm, "forward", rms),
        (transformers.models.qwen2.modeling_qwen2.Qwen2RMSNorm, "forward", rms),
        (transformers.models.qwen3.modeling_qwen3.Qwen3RMSNorm, "forward", rms),
        (neo, "_attn", attn),
    ]
    old = [(cls, name, getattr(cls, name)) for cls, name, _ in changes]
    try:
        for cls, name, function in changes:
            setattr(cls, name, function)
        yield
    finally:
        for cls, name, function in old:
            setattr(cls, name, function)
