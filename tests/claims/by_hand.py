"""A model whose every figure can be worked out on paper: heads that count tokens and add up.

One layer, attention only, no norm, queries and keys zero: each head attends evenly to all tokens so
far, reads which they are, and writes `GAINS[h]` times that count. After "A B A 7" the logit of A is
thus Σ gains · 2/4, that of B Σ gains · 1/4, and their difference Σ gains / 4. Head 3 writes where
nothing reads; head 4 writes nothing at all.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import torch

from circuitspec.model.load import LoadedModel, load
from tests.claims.worlds import World, bound
from tests.reference import tiny
from tests.reference.architectures import SlowModel, from_directory

GAINS = (8.0, 4.0, -2.0, 0.0, 0.0)
MODEL = sum(GAINS) / 4  # 2.5
VOCAB = 8

TASK = """
  task counts {
    tokens integer 0..7
    words any = 0..5
    template only "{A} {B} {A2} 7"
    slot A, B from any distinct
    slot A2 from A
    metric logit_diff = logit(A) - logit(B)
    sample all, seed 0
    bos no
  }
  protocol zeroed { ablate by nodes with zero }
"""


@cache
def counting() -> tuple[LoadedModel, SlowModel]:
    """The model, loaded by the package and read by the reference."""
    cfg = {
        **tiny.TOYS["toy_plain"],
        "n_layers": 1,
        "d_model": 3 * VOCAB,
        "n_heads": len(GAINS),
        "d_head": VOCAB,
        "d_vocab": VOCAB,
        "d_vocab_out": VOCAB,
    }
    one, heads, width = torch.eye(VOCAB), len(GAINS), 3 * VOCAB
    state = {
        "embed.W_E": torch.zeros(VOCAB, width),
        "pos_embed.W_pos": torch.zeros(cfg["n_ctx"], width),
        "unembed.W_U": torch.zeros(width, VOCAB),
        "unembed.b_U": torch.zeros(VOCAB),
        "blocks.0.attn.b_O": torch.zeros(width),
        "blocks.0.attn.W_O": torch.zeros(heads, VOCAB, width),
    }
    for channel in "QKV":
        state[f"blocks.0.attn.W_{channel}"] = torch.zeros(heads, width, VOCAB)
        state[f"blocks.0.attn.b_{channel}"] = torch.zeros(heads, VOCAB)
    read, written, unread = (slice(i * VOCAB, (i + 1) * VOCAB) for i in range(3))
    state["embed.W_E"][:, read] = one
    state["unembed.W_U"][written] = one
    state["blocks.0.attn.W_V"][:, read] = one
    for head, gain in enumerate(GAINS):
        state["blocks.0.attn.W_O"][head][:, written] = gain * one
    state["blocks.0.attn.W_O"][3][:, unread] = one
    state["blocks.0.attn.W_V"][4] = 0.0
    with tempfile.TemporaryDirectory() as place:
        directory = tiny.save_toy(Path(place) / "counting", cfg, state)
        reference = from_directory(directory, torch.float64)
        loaded, found = load(str(directory))
    assert loaded is not None, found
    return loaded, reference


def hand_world(circuit: str, claims: str, body: str = TASK) -> World:
    """`claims` said of `circuit` (roles) on the counting model."""
    loaded, reference = counting()
    return bound(f'{{ model "counting" {body} {circuit} {claims} }}', loaded, reference)
