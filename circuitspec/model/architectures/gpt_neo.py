"""GPT-Neo: GPT-2's block without q, k, v biases; scores unscaled, some layers see a window."""

from __future__ import annotations

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.architectures import Config, Reading, common
from circuitspec.model.problems import BAD_CONFIG, ModelError


def read(config: Config) -> Reading:
    """GPT-Neo's config: `attention_layers`, or `attention_types` from which it is spelled out."""
    n_layers = common.size(config, "num_layers", "num_hidden_layers")
    n_heads = common.size(config, "num_heads", "num_attention_heads")
    d_model = common.size(config, "hidden_size")
    d_vocab = common.size(config, "vocab_size")
    window = common.size(config, "window_size", default=256)
    return Reading(
        shape=ModelShape(
            architecture="gpt_neo",
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=n_heads,
            d_model=d_model,
            d_head=common.share(config, "hidden_size", d_model, n_heads),
            d_mlp=common.size(config, "intermediate_size", default=4 * d_model),
            d_vocab=d_vocab,
            d_vocab_out=d_vocab,
            n_ctx=common.size(config, "max_position_embeddings", default=2048),
        ),
        activation=common.activation(config, "activation_function", "gelu_new"),
        eps=common.number(config, "layer_norm_epsilon", 1e-5),
        scales=(1.0,) * n_layers,
        windows=tuple(window if kind == "local" else None for kind in _kinds(config, n_layers)),
        final_norm="layer",
    )


def _kinds(config: Config, n_layers: int) -> tuple[str, ...]:
    kinds = config.get("attention_layers")
    if kinds is None:
        types = config.get("attention_types") or [[["global", "local"], n_layers // 2]]
        kinds = [kind for pattern, times in types for _ in range(times) for kind in pattern]
    if len(kinds) != n_layers or not set(kinds) <= {"global", "local"}:
        raise ModelError(
            BAD_CONFIG,
            f"config.json: the attention types of {n_layers} layers cannot be read from {kinds!r}",
        )
    return tuple(kinds)
