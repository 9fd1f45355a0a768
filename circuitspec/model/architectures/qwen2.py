"""Qwen2 and Qwen2.5: Llama's block with q, k, v biases, and windows on some layers if asked for."""

from __future__ import annotations

from dataclasses import replace

from circuitspec.model.architectures import Config, Reading, common, llama


def read(config: Config) -> Reading:
    """Qwen2's config."""
    reading = llama.read_as("qwen2", config)
    return replace(reading, windows=common.sliding_windows(config, reading.shape.n_layers))
