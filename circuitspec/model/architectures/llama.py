"""Llama: RMSNorm, rotary, grouped queries, gated MLP. Qwen's readers start from this one."""

from __future__ import annotations

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.architectures import Config, Reading, common


def read(config: Config) -> Reading:
    """Llama's config; `head_dim` need not be hidden_size / heads."""
    return read_as("llama", config)


def read_as(architecture: str, config: Config) -> Reading:
    """The block that Llama, Qwen2 and Qwen3 share, under the name of one of them."""
    common.refuse_moving_rotary(config)
    common.refuse_if(bool(config.get("mlp_bias")), "mlp_bias", "a gate's bias is not computed")
    n_layers = common.size(config, "num_hidden_layers")
    n_heads = common.size(config, "num_attention_heads")
    d_model = common.size(config, "hidden_size")
    if config.get("head_dim") is None:
        d_head = common.share(config, "hidden_size", d_model, n_heads)
    else:
        d_head = common.size(config, "head_dim")
    d_vocab = common.size(config, "vocab_size")
    return Reading(
        shape=ModelShape(
            architecture=architecture,
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=common.groups(config, n_heads),
            d_model=d_model,
            d_head=d_head,
            d_mlp=common.size(config, "intermediate_size"),
            d_vocab=d_vocab,
            d_vocab_out=d_vocab,
            n_ctx=common.size(config, "max_position_embeddings"),
            norm="rms",
            positional="rotary",
        ),
        activation=common.activation(config, "hidden_act", "silu"),
        eps=common.number(config, "rms_norm_eps", 1e-6),
        scales=(d_head**-0.5,) * n_layers,
        windows=(None,) * n_layers,
        final_norm="rms",
        rotary_style="half",
    )
