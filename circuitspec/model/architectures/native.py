"""Toy models in the layout of TransformerLens's HookedTransformer, and that configuration's names.

Most toy models of the field are stored so. Attention-only or with MLPs, LayerNorm, RMSNorm or no
norm, learned positions or none; no rotary, parallel blocks, windows or soft caps.
"""

from __future__ import annotations

from typing import Literal

from circuitspec.hypothesis.shape import ModelShape
from circuitspec.model.architectures import Config, Reading, common

# normalization_type -> kind, and whether it has a weight and a bias of its own
_NORMS: dict[str | None, tuple[Literal["layer", "rms", "none"], bool]] = {
    None: ("none", False),
    "LN": ("layer", True),
    "LNPRE": ("layer", False),
    "RMS": ("rms", True),
    "RMSPRE": ("rms", False),
}


def read(config: Config) -> Reading:
    """A HookedTransformer configuration."""
    kind = norm_name(config)
    norm = _NORMS.get(kind.upper() if isinstance(kind, str) else kind)
    common.refuse_if(norm is None, f"normalization_type {kind!r}", "no such norm is known here")
    assert norm is not None
    common.refuse_if(
        bool(config.get("final_rms")) and norm[0] == "none", "final_rms", "there is no other norm"
    )
    positions = (config.get("positional_embedding_type", "standard") or "none").lower()
    common.refuse_if(
        positions not in ("standard", "none"),
        f"positional_embedding_type {positions!r}",
        "circuitspec reads such checkpoints with learned positions or none",
    )
    for option in (
        "parallel_attn_mlp",
        "use_local_attn",
        "post_embedding_ln",
        "use_qk_norm",
        "scale_attn_by_inverse_layer_idx",
        "use_normalization_before_and_after",
        "shortformer_pos",
    ):
        common.refuse_if(bool(config.get(option)), option, "the engine would compute it wrongly")
    for option in ("attn_scores_soft_cap", "output_logits_soft_cap"):
        common.refuse_if(common.number(config, option, -1.0) > 0, option, "no soft cap is computed")
    n_layers = common.size(config, "n_layers")
    n_heads = common.size(config, "n_heads")
    d_model = common.size(config, "d_model")
    d_vocab = common.size(config, "d_vocab")
    if config.get("d_head") is None:
        d_head = common.share(config, "d_model", d_model, n_heads)
    else:
        d_head = common.size(config, "d_head")
    n_kv_heads = common.size(config, "n_key_value_heads", default=n_heads)
    common.share(config, "n_heads", n_heads, n_kv_heads)
    has_mlps = not config.get("attn_only", False)
    d_vocab_out = config.get("d_vocab_out")
    return Reading(
        shape=ModelShape(
            architecture="native",
            n_layers=n_layers,
            n_heads=n_heads,
            n_kv_heads=n_kv_heads,
            d_model=d_model,
            d_head=d_head,
            d_mlp=common.size(config, "d_mlp", default=4 * d_model) if has_mlps else None,
            d_vocab=d_vocab,
            # -1 is HookedTransformer's "as many as d_vocab"
            d_vocab_out=d_vocab
            if d_vocab_out in (None, -1)
            else common.size(config, "d_vocab_out"),
            n_ctx=common.size(config, "n_ctx"),
            has_mlps=has_mlps,
            causal=config.get("attention_dir", "causal") == "causal",
            norm=norm[0],
            positional="learned" if positions == "standard" else "none",
        ),
        activation=common.activation(config, "act_fn", "relu") if has_mlps else "relu",
        eps=common.number(config, "eps", 1e-5),
        scales=(1 / _divisor(config, d_head),) * n_layers,
        windows=(None,) * n_layers,
        # HookedTransformer forces RMS on the last norm with `final_rms`, LN models included
        final_norm="rms" if config.get("final_rms") else norm[0],
        norm_affine=norm[1],
    )


def norm_name(config: Config) -> str | None:
    """HookedTransformer's name of the norm; older checkpoints have it under `normalization`."""
    name: str | None = config.get("normalization_type", config.get("normalization", "LN"))
    return name


def _divisor(config: Config, d_head: int) -> float:
    """What scores are divided by: `attn_scale`, by default √d_head; 1 without `use_attn_scale`."""
    if not config.get("use_attn_scale", True):
        return 1.0
    scale = common.number(config, "attn_scale", -1.0)
    return scale if scale > 0 else d_head**0.5
