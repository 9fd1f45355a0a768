"""Reading fields of a config: sizes that must be there, activations, options that must be off."""

from __future__ import annotations

from circuitspec.model.architectures import Config
from circuitspec.model.problems import BAD_CONFIG, UNSUPPORTED_OPTION, ModelError

# Hugging Face has several names for one function; the values are keys of `weights.ACTIVATIONS`.
_ACTIVATION_NAMES = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_fast": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}

# Tables of these depend on the length of the prompt, or on more than position and frequency.
STATIC_ROTARY = ("default", "linear", "llama3", "yarn")


LARGEST, MOST_LAYERS = 10**9, 10**5
"""Sizes beyond which a config is damaged: what a layer has is listed before weights are read."""


def size(config: Config, *names: str, default: int | None = None) -> int:
    """A positive whole number under the first of `names` that is there and not null."""
    for name in names:
        value = config.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ModelError(
                BAD_CONFIG, f"config.json says {name} = {value!r}, which is not a positive number"
            )
        if value > LARGEST or ("layer" in name and value > MOST_LAYERS):
            raise ModelError(
                BAD_CONFIG, f"config.json says {name} = {value}, which no model comes near"
            )
        return value
    if default is None:
        raise ModelError(BAD_CONFIG, f"config.json does not say {names[0]}")
    return default


def number(config: Config, name: str, default: float) -> float:
    """A number, `default` where it is absent or null."""
    value = config.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ModelError(BAD_CONFIG, f"config.json says {name} = {value!r}, which is not a number")
    return float(value)


def share(config: Config, whole: str, total: int, parts: int) -> int:
    """`total` / `parts`, where the architecture splits `whole` evenly over its heads."""
    if total % parts:
        raise ModelError(
            BAD_CONFIG, f"config.json: {whole} = {total} cannot be shared among {parts} heads"
        )
    return total // parts


def groups(config: Config, n_heads: int) -> int:
    """The number of key/value heads, which must divide the number of query heads."""
    n_kv_heads = size(config, "num_key_value_heads", default=n_heads)
    share(config, "num_attention_heads", n_heads, n_kv_heads)
    return n_kv_heads


def activation(config: Config, name: str, default: str) -> str:
    """The activation under `name`, by our name for it."""
    value = config.get(name) or default
    if value not in _ACTIVATION_NAMES:
        known = ", ".join(_ACTIVATION_NAMES)
        raise ModelError(
            UNSUPPORTED_OPTION,
            f"the model's activation {value!r} is not one that circuitspec computes",
            f"activations it computes: {known}",
        )
    return _ACTIVATION_NAMES[value]


def refuse_if(condition: bool, option: str, why: str) -> None:
    """Refuse a model that sets an option which the engine would compute wrongly."""
    if condition:
        raise ModelError(UNSUPPORTED_OPTION, f"the model sets {option}: {why}")


def refuse_moving_rotary(config: Config) -> None:
    """Refuse rotary scalings whose angles depend on the length of the prompt."""
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    refuse_if(
        kind not in STATIC_ROTARY,
        f"rope_type {kind!r}",
        "circuitspec computes rotary positions of types " + ", ".join(STATIC_ROTARY),
    )


def sliding_windows(config: Config, n_layers: int) -> tuple[int | None, ...]:
    """Qwen's per-layer windows: `layer_types` where given, else layers from `max_window_layers`."""
    if not config.get("use_sliding_window") or config.get("sliding_window") is None:
        return (None,) * n_layers
    window = size(config, "sliding_window")
    kinds = config.get("layer_types")
    if kinds is None:
        first = size(config, "max_window_layers", default=28)
        return tuple(window if layer >= first else None for layer in range(n_layers))
    if len(kinds) != n_layers:
        raise ModelError(
            BAD_CONFIG, f"config.json: layer_types has {len(kinds)} entries for {n_layers} layers"
        )
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)
