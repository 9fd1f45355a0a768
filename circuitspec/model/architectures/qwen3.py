"""Qwen3: Llama's block with an RMSNorm on every head's query and key before they are rotated."""

from __future__ import annotations

from dataclasses import replace

from circuitspec.model.architectures import Config, Reading, common, llama


def read(config: Config) -> Reading:
    """Qwen3's config; heads are 128 wide where it does not say."""
    reading = llama.read_as("qwen3", {"head_dim": 128, **config})
    windows = common.sliding_windows(config, reading.shape.n_layers)
    return replace(reading, windows=windows, qk_norm=True)
