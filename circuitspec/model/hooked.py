"""Toy models stored as a HookedTransformer state dict: into a native TransformerLens bridge."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.model_bridge import TransformerBridge

# importing it gives TransformerBridge its boot_native
from transformer_lens.model_bridge.sources import native as _native  # noqa: F401

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.architectures import Config, Reading, native
from circuitspec.model.problems import (
    DAMAGED_WEIGHTS,
    NO_WEIGHTS,
    WEIGHTS_DO_NOT_FIT,
    ModelError,
)

_PICKLED = ("*.pt", "*.pth")
# Masks and tables that HookedTransformer stores beside its parameters.
_BUFFERS = (".mask", ".IGNORE")


def weight_file(directory: Path) -> Path:
    """The one file of weights in `directory`: safetensors if there is any, else .pt or .pth."""
    for patterns in (("*.safetensors",), _PICKLED):
        found = sorted(file for pattern in patterns for file in directory.glob(pattern))
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(file.name for file in found)
            raise ModelError(NO_WEIGHTS, f"{directory} has several files of weights: {names}")
    raise ModelError(
        NO_WEIGHTS,
        f"{directory} has a config.json and no weights",
        "a toy model's directory holds config.json and model.safetensors (or a .pt state dict)",
    )


def read_state(file: Path) -> dict[str, Tensor]:
    """The tensors of a state dict file; pickled ones are read without running what is in them."""
    try:
        if file.suffix == ".safetensors":
            state = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            DAMAGED_WEIGHTS,
            f"the weights in {file.name} cannot be read: {reason}",
            "the file is truncated, or holds more than tensors; save a plain state dict",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise ModelError(
            DAMAGED_WEIGHTS,
            f"{file.name} holds something other than a state dict of tensors",
            "save model.state_dict(), preferably as safetensors",
        )
    return {key: value for key, value in state.items() if not key.endswith(_BUFFERS)}


def boot(config: Config, reading: Reading, state: Mapping[str, Tensor]) -> TransformerBridge:
    """A bridge that computes what the HookedTransformer with `config` and `state` computed.

    Every parameter must be there with its shape, except that a bias may be missing from all layers
    at once (it is zero then). Raises ModelError M007.
    """
    shape = reading.shape
    kind = native.norm_name(config)
    # construction draws random weights; the caller's random state stays as it was
    with torch.random.fork_rng(devices=[]):
        bridge = TransformerBridge.boot_native(
            TransformerBridgeConfig(
                n_layers=shape.n_layers,
                d_model=shape.d_model,
                n_ctx=shape.n_ctx,
                d_head=shape.d_head,
                n_heads=shape.n_heads,
                n_key_value_heads=shape.n_kv_heads if shape.n_kv_heads != shape.n_heads else None,
                d_vocab=shape.d_vocab,
                d_vocab_out=shape.d_vocab_out,
                d_mlp=shape.d_mlp,
                act_fn=reading.activation,
                attn_only=not shape.has_mlps,
                gated_mlp=bool(config.get("gated_mlp", False)),
                normalization_type=kind,
                final_rms=bool(config.get("final_rms", False)),
                eps=reading.eps,
                attention_dir="causal" if shape.causal else "bidirectional",
                init_weights=False,
            )
        ).eval()
    for block, scale in zip(bridge.blocks, reading.scales, strict=True):
        # TransformerLens divides by √d_head whatever `use_attn_scale` and `attn_scale` = 1 say
        block.attn.original_component.scale = 1 / scale
    wanted = {key: tuple(value.shape) for key, value in bridge.state_dict().items()}
    bridge.load_state_dict(_converted(wanted, state, reading), strict=True)
    return bridge


def _converted(
    wanted: Mapping[str, tuple[int, ...]], state: Mapping[str, Tensor], reading: Reading
) -> dict[str, Tensor]:
    """`state` under the bridge's names and in nn.Linear's layout [out, in]."""
    used: set[str] = set()
    absent: list[str] = []
    result: dict[str, Tensor] = {}
    for target, target_shape in wanted.items():
        if target == "pos_embed.weight" and reading.shape.positional == "none":
            result[target] = torch.zeros(target_shape)
            continue
        name = _hooked_name(target)
        # under grouped queries HookedTransformer stores the groups as _W_K and so on
        grouped = name.replace("attn.", "attn._")
        tensor = state.get(name, state.get(grouped))
        if tensor is None:
            absent.append(name)
            result[target] = torch.zeros(target_shape)
            continue
        used |= {name, grouped}
        expected = _hooked_shape(name, target_shape, reading.shape)
        if tuple(tensor.shape) != expected:
            raise ModelError(
                WEIGHTS_DO_NOT_FIT,
                f"{name} is {list(tensor.shape)}, and the config says {list(expected)}",
            )
        result[target] = _as_linear(name, tensor.to(torch.float32)).reshape(target_shape)
    _complain_of(absent, reading.shape.n_layers)
    # a model without positions may be stored with the weights it does not use, if they are zero
    left = [key for key in state if key not in used]
    left = [k for k in left if not (k == "pos_embed.W_pos" and not state[k].any())]
    if left:
        raise ModelError(
            WEIGHTS_DO_NOT_FIT,
            f"the state dict has weights that the config has no place for: {_some(left)}",
            "check attn_only, normalization_type and gated_mlp in config.json",
        )
    return result


def _hooked_shape(name: str, linear: tuple[int, ...], shape: ModelShape) -> tuple[int, ...]:
    """The shape under which HookedTransformer stores what nn.Linear has as `linear`."""
    match name.rsplit(".", 1)[-1]:
        case "W_Q":
            return (shape.n_heads, shape.d_model, shape.d_head)
        case "W_K" | "W_V":
            return (shape.n_kv_heads, shape.d_model, shape.d_head)
        case "W_O":
            return (shape.n_heads, shape.d_head, shape.d_model)
        case "b_Q":
            return (shape.n_heads, shape.d_head)
        case "b_K" | "b_V":
            return (shape.n_kv_heads, shape.d_head)
        case "W_in" | "W_gate" | "W_out" | "W_U":
            return linear[::-1]
        case _:
            return linear


def _as_linear(name: str, tensor: Tensor) -> Tensor:
    """`tensor` with its axes in nn.Linear's order [out, in], heads still apart."""
    match name.rsplit(".", 1)[-1]:
        case "W_Q" | "W_K" | "W_V":
            return tensor.permute(0, 2, 1)
        case "W_O":
            return tensor.permute(2, 0, 1)
        case "W_in" | "W_gate" | "W_out" | "W_U":
            return tensor.T
        case _:
            return tensor


def _complain_of(absent: list[str], n_layers: int) -> None:
    """Refuse missing parameters, but for a bias that is missing from every layer."""
    kinds = Counter(name.rsplit(".", 1)[-1] for name in absent)
    everywhere = {
        kind
        for kind, count in kinds.items()
        if kind.startswith("b_") and (kind == "b_U" or count == n_layers)
    }
    lacking = [name for name in absent if name.rsplit(".", 1)[-1] not in everywhere]
    if lacking:
        raise ModelError(
            WEIGHTS_DO_NOT_FIT,
            f"the state dict lacks {_some(lacking)}",
            "check n_layers, normalization_type and positional_embedding_type in config.json",
        )


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:4])
    return shown if len(names) <= 4 else f"{shown} and {len(names) - 4} more"


_WHOLE = {
    "embed.weight": "embed.W_E",
    "pos_embed.weight": "pos_embed.W_pos",
    "unembed.weight": "unembed.W_U",
    "unembed.bias": "unembed.b_U",
    "ln_final.weight": "ln_final.w",
    "ln_final.bias": "ln_final.b",
}
_LETTERS = {"q": "Q", "k": "K", "v": "V", "o": "O"}


def _hooked_name(target: str) -> str:
    """HookedTransformer's name of a bridge parameter: blocks.0.attn.q.weight, blocks.0.attn.W_Q."""
    if target in _WHOLE:
        return _WHOLE[target]
    head, part, what = target.rsplit(".", 2)
    if part in ("ln1", "ln2"):
        return f"{head}.{part}.{what[0]}"
    kind = "W" if what == "weight" else "b"
    return f"{head}.{kind}_{_LETTERS.get(part, part)}"
