"""GPT-2: learned positions, LayerNorm, biases everywhere, attention then MLP."""

from __future__ import annotations

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.architectures import Config, Reading, common


def read(config: Config) -> Reading:
    """GPT-2's config, with the options of the Stanford CRFM runs (scores divided by layer)."""
    common.refuse_if(
        bool(config.get("add_cross_attention")), "add_cross_attention", "there is no encoder here"
    )
    common.refuse_if(
        not config.get("scale_attn_weights", True),
        "scale_attn_weights: false",
        "TransformerLens divides the scores all the same; fold the scale into the query weights",
    )
    n_layers = common.size(config, "n_layer", "num_hidden_layers")
    n_heads = common.size(config, "n_head", "num_attention_heads")
    d_model = common.size(config, "n_embd", "hidden_size")
    d_head = common.share(config, "n_embd", d_model, n_heads)
    d_vocab = common.size(config, "vocab_size")
    by_layer = bool(config.get("scale_attn_by_inverse_layer_idx", False))
    base = d_head**-0.5
    return Reading(
        shape=ModelShape(
            architecture="gpt2",
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=n_heads,
            d_model=d_model,
            d_head=d_head,
            d_mlp=common.size(config, "n_inner", default=4 * d_model),
            d_vocab=d_vocab,
            d_vocab_out=d_vocab,
            n_ctx=common.size(config, "n_positions", "max_position_embeddings"),
        ),
        activation=common.activation(config, "activation_function", "gelu_new"),
        eps=common.number(config, "layer_norm_epsilon", 1e-5),
        scales=tuple(base / (layer + 1) if by_layer else base for layer in range(n_layers)),
        windows=(None,) * n_layers,
        final_norm="layer",
    )
