"""From a TransformerLens bridge and a reading of its config to the engine's weights.

TransformerLens exposes every architecture's weights under the same names, stacked over layers; each
access stacks a fresh copy, so each is read once and the layers are views of it. What its own config
gets wrong or leaves out comes from the `Reading`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformer_lens.model_bridge import TransformerBridge

from circuitspec.model.architectures import Reading
from circuitspec.model.problems import NOT_FINITE, WEIGHTS_DO_NOT_FIT, ModelError
from circuitspec.model.weights import BlockWeights, MlpWeights, NormWeights, Rotary, Weights


def extract(bridge: TransformerBridge, reading: Reading) -> Weights:
    """The raw weights of `bridge`, checked to be finite and of the shapes that `reading` says.

    Raises ModelError. Tensors are detached and share memory with the stacks read here, or with
    the bridge; nobody may write to them.
    """
    with torch.no_grad():
        weights = _read(bridge, reading)
    for name, tensor in weights.tensors():
        if not torch.isfinite(tensor).all():
            count = int((~torch.isfinite(tensor)).sum())
            raise ModelError(
                NOT_FINITE,
                f"{count} of the {tensor.numel()} numbers in {name} are NaN or infinite",
                "the checkpoint is damaged or its training diverged: no result would mean anything",
            )
    for name, tensor, expected in _expected(weights):
        if tuple(tensor.shape) != expected:
            raise ModelError(
                WEIGHTS_DO_NOT_FIT,
                f"{name} is {list(tensor.shape)}, and the config says {list(expected)}",
            )
    return weights


def _read(bridge: TransformerBridge, reading: Reading) -> Weights:
    shape = reading.shape
    rotary = _rotary(bridge, reading)
    stacked = {
        name: _stacked(bridge, name, shape.n_layers)
        for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")
    }
    mlps: dict[str, Tensor | None] = {}
    if shape.has_mlps:
        mlps = {
            name: _stacked(bridge, name, shape.n_layers)
            for name in ("W_in", "W_gate", "W_out", "b_in", "b_out")
        }

    def block(layer: int) -> BlockWeights:
        part = bridge.blocks[layer]
        attention = {name: _layer(stack, layer) for name, stack in stacked.items()}
        inside = {name: _layer(stack, layer) for name, stack in mlps.items()}
        mlp = None
        if shape.has_mlps:
            mlp = MlpWeights(
                w_in=_present(inside, "W_in"),
                w_out=_present(inside, "W_out"),
                w_gate=inside["W_gate"],
                b_in=inside["b_in"],
                b_out=inside["b_out"],
                activation=reading.activation,
            )
        return BlockWeights(
            ln1=_norm(part.ln1, shape.norm, reading),
            w_q=_present(attention, "W_Q"),
            w_k=_present(attention, "W_K"),
            w_v=_present(attention, "W_V"),
            w_o=_present(attention, "W_O"),
            b_q=attention["b_Q"],
            b_k=attention["b_K"],
            b_v=attention["b_V"],
            b_o=attention["b_O"],
            q_norm=_norm(part.attn.q_norm, "rms", reading) if reading.qk_norm else None,
            k_norm=_norm(part.attn.k_norm, "rms", reading) if reading.qk_norm else None,
            ln2=_norm(part.ln2, shape.norm, reading) if shape.has_mlps else None,
            mlp=mlp,
            scale=reading.scales[layer],
            window=reading.windows[layer],
            rotary=rotary,
        )

    b_unembed = _optional(bridge, "b_U")
    return Weights(
        shape=shape,
        embed=bridge.W_E.detach(),
        pos_embed=bridge.W_pos.detach() if shape.positional == "learned" else None,
        blocks=tuple(block(layer) for layer in range(shape.n_layers)),
        ln_final=_norm(bridge.ln_final, reading.final_norm, reading),
        unembed=bridge.W_U.detach(),
        # the bridge answers with zeros where the architecture has no such bias
        b_unembed=b_unembed if b_unembed is not None and b_unembed.any() else None,
    )


def _optional(bridge: TransformerBridge, name: str) -> Tensor | None:
    """A weight of the bridge, None where the architecture has none (it raises AttributeError)."""
    try:
        value = getattr(bridge, name)
    except AttributeError:
        return None
    return value.detach() if isinstance(value, Tensor) else None


def _stacked(bridge: TransformerBridge, name: str, n_layers: int) -> Tensor | None:
    stack = _optional(bridge, name)
    if stack is not None and stack.shape[0] != n_layers:
        raise ModelError(
            WEIGHTS_DO_NOT_FIT,
            f"the checkpoint has {stack.shape[0]} layers of {name}, the config says {n_layers}",
        )
    return stack


def _layer(stack: Tensor | None, layer: int) -> Tensor | None:
    return None if stack is None else stack[layer]


def _present(parts: dict[str, Tensor | None], name: str) -> Tensor:
    tensor = parts[name]
    if tensor is None:
        raise ModelError(WEIGHTS_DO_NOT_FIT, f"TransformerLens finds no {name} in this model")
    return tensor


def _norm(module: Any, kind: str, reading: Reading) -> NormWeights:
    if kind == "none":
        return NormWeights(kind="none")
    if not reading.norm_affine:
        return NormWeights(kind="rms" if kind == "rms" else "layer", eps=reading.eps)
    if kind == "rms":
        return NormWeights(kind="rms", weight=module.weight.detach(), eps=reading.eps)
    return NormWeights(
        kind="layer", weight=module.weight.detach(), bias=module.bias.detach(), eps=reading.eps
    )


def _rotary(bridge: TransformerBridge, reading: Reading) -> Rotary | None:
    """The tables as the model's own module makes them, in float32 as it makes them.

    Asking the module gives partial dimensions, base and static scalings (llama3, yarn) at once.
    """
    if reading.rotary_style is None:
        return None
    module = bridge.rotary_emb.original_component
    positions = torch.arange(reading.shape.n_ctx)[None, :]
    cos, sin = module(torch.zeros(1, 1, 1), positions)
    return Rotary(cos=cos[0], sin=sin[0], dim=cos.shape[-1], style=reading.rotary_style)


def _expected(weights: Weights) -> Iterator[tuple[str, Tensor, tuple[int, ...]]]:
    """Every tensor that the engine multiplies with, by name, with the shape it must have."""
    shape = weights.shape
    d_model, d_head, d_mlp = shape.d_model, shape.d_head, shape.d_mlp or 0
    query, group = shape.n_heads, shape.n_kv_heads
    by_suffix: dict[str, tuple[int, ...]] = {
        "w_q": (query, d_model, d_head),
        "w_k": (group, d_model, d_head),
        "w_v": (group, d_model, d_head),
        "w_o": (query, d_head, d_model),
        "b_q": (query, d_head),
        "b_k": (group, d_head),
        "b_v": (group, d_head),
        "b_o": (d_model,),
        "w_in": (d_model, d_mlp),
        "w_gate": (d_model, d_mlp),
        "w_out": (d_mlp, d_model),
        "b_in": (d_mlp,),
        "b_out": (d_model,),
        "q_norm.weight": (d_head,),
        "k_norm.weight": (d_head,),
        "ln1.weight": (d_model,),
        "ln1.bias": (d_model,),
        "ln2.weight": (d_model,),
        "ln2.bias": (d_model,),
        "ln_final.weight": (d_model,),
        "ln_final.bias": (d_model,),
        "pos_embed": (shape.n_ctx, d_model),
        "unembed": (d_model, shape.d_vocab_out),
        "b_unembed": (shape.d_vocab_out,),
    }
    for name, tensor in weights.tensors():
        if name == "embed":
            yield name, tensor, (shape.d_vocab, d_model)
            continue
        parts = name.split(".")
        for suffix in (parts[-1], ".".join(parts[-2:])):
            if suffix in by_suffix:
                yield name, tensor, by_suffix[suffix]
