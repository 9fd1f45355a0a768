"""Tiny random models, each loaded by the package and read by the reference from one checkpoint."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from circuitspec.model.load import LoadedModel, load
from circuitspec.model.weights import Weights
from tests.reference import tiny
from tests.reference.architectures import SlowModel, from_directory, from_hf

# name -> key of tiny.MODELS or tiny.TOYS, and settings that differ
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in (*tiny.MODELS, *tiny.TOYS) if name != "llama_biased"},
    "llama_biased": ("llama_biased", {"mlp_bias": False}),
    "toy_one_layer": ("toy_mlp_layer_norm", {"n_layers": 1}),
}
NAMES = tuple(VARIANTS)
# One of each kind, where a test needs no more.
PLAIN = ("gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2", "qwen3", "toy_plain", "toy_mlp")


@dataclass(frozen=True, slots=True)
class Model:
    """One checkpoint: as the package has it, and as the reference has it (float64)."""

    name: str
    loaded: LoadedModel
    slow: SlowModel

    def weights(self, dtype: torch.dtype) -> Weights:
        return self.loaded.weights.to(dtype=dtype)


@cache
def model(name: str) -> Model:
    """The model called `name`, made once a session."""
    key, settings = VARIANTS[name]
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / name
        if key in tiny.TOYS:
            tiny.save_toy(directory, *tiny.toy_state(key, **settings))
            slow = from_directory(directory, torch.float64)
        else:
            tiny.save(tiny.build(key, **settings), directory)
            slow = from_hf(tiny.build(key, dtype=torch.float64, **settings))
        loaded, found = load(str(directory))
    assert loaded is not None, found
    return Model(name, loaded, slow)
