"""GPT-NeoX and Pythia: rotary on part of each head, attention and MLP in parallel."""

from __future__ import annotations

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.architectures import Config, Reading, common


def read(config: Config) -> Reading:
    """GPT-NeoX's config; `use_parallel_residual` false gives sequential blocks."""
    common.refuse_moving_rotary(config)
    n_layers = common.size(config, "num_hidden_layers")
    n_heads = common.size(config, "num_attention_heads")
    d_model = common.size(config, "hidden_size")
    d_head = common.share(config, "hidden_size", d_model, n_heads)
    d_vocab = common.size(config, "vocab_size")
    return Reading(
        shape=ModelShape(
            architecture="gpt_neox",
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=n_heads,
            d_model=d_model,
            d_head=d_head,
            d_mlp=common.size(config, "intermediate_size"),
            d_vocab=d_vocab,
            d_vocab_out=d_vocab,
            n_ctx=common.size(config, "max_position_embeddings", default=2048),
            parallel=bool(config.get("use_parallel_residual", True)),
            positional="rotary",
        ),
        activation=common.activation(config, "hidden_act", "gelu"),
        eps=common.number(config, "layer_norm_eps", 1e-5),
        scales=(d_head**-0.5,) * n_layers,
        windows=(None,) * n_layers,
        final_norm="layer",
        rotary_style="half",
    )
