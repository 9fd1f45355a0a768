"""What each architecture computes that its weights alone do not say: one module an architecture.

A module here reads a config (parsed JSON, Hugging Face's names) and answers with a `Reading`. It
imports no torch, so that `check` and `plan` can ask for a shape. The weights themselves come under
uniform names through TransformerLens, and `extract` puts the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from circuitspec.hypothesis.shape import ModelShape

Config = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A config understood: the shape, and what the forward pass does that weights cannot show.

    `scales` multiply the scores of each layer, `windows` bound how far back it sees (tokens, None
    where unbounded). `norm_affine` is false for norms without weight and bias.
    """

    shape: ModelShape
    activation: str
    eps: float
    scales: tuple[float, ...]
    windows: tuple[int | None, ...]
    final_norm: Literal["layer", "rms", "none"]
    norm_affine: bool = True
    qk_norm: bool = False
    rotary_style: Literal["half", "adjacent"] | None = None


def architectures() -> Mapping[str, Callable[[Config], Reading]]:
    """The readers by Hugging Face's `model_type`; each raises ModelError for what it cannot do."""
    from circuitspec.model.architectures import gpt2, gpt_neo, gpt_neox, llama, qwen2, qwen3

    return {
        "gpt2": gpt2.read,
        "gpt_neo": gpt_neo.read,
        "gpt_neox": gpt_neox.read,
        "llama": llama.read,
        "qwen2": qwen2.read,
        "qwen3": qwen3.read,
    }
