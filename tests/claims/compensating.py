"""A model in which heads step in for another: with it in, they work against the answer.

Two layers, attention only, no norm. Head a0.h0 attends evenly, writes `MAIN` times what it reads,
and raises a flag. Heads a1.h0 to a1.h2 write `OTHERS[h]` times the token that they look at: where
the flag is up, the second one (the wrong answer); where it is down, the first (the right one). So
after "A B A 7" the logit difference is MAIN / 4 − Σ OTHERS; without a0.h0 it is Σ OTHERS. As found
for induction in GPT-Neo (6.1; 6.0, 6.6, 6.11), only with signs and sizes that are known.
"""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

import torch

from circuitspec.model.load import LoadedModel, load
from tests.claims.by_hand import TASK, VOCAB
from tests.claims.worlds import World, bound
from tests.reference import tiny
from tests.reference.architectures import SlowModel, from_directory

MAIN = 16.0
OTHERS = (0.75, 0.5, 0.25)
BODY = """
  role main   = a0.h0 @ END
  role others = a1.h0, a1.h1, a1.h2 @ END
"""


@cache
def compensating() -> tuple[LoadedModel, SlowModel]:
    """The model, loaded by the package and read by the reference."""
    heads, width = len(OTHERS), 3 * VOCAB
    sizes = {"n_layers": 2, "n_heads": heads, "d_head": VOCAB, "d_model": width}
    cfg = {**tiny.TOYS["toy_plain"], **sizes, "d_vocab": VOCAB, "d_vocab_out": VOCAB}
    one = torch.eye(VOCAB)
    read, written = slice(0, VOCAB), slice(VOCAB, 2 * VOCAB)
    first, second, flag = 2 * VOCAB, 2 * VOCAB + 1, 2 * VOCAB + 2
    state = {
        "embed.W_E": torch.zeros(VOCAB, width),
        "pos_embed.W_pos": torch.zeros(cfg["n_ctx"], width),
        "unembed.W_U": torch.zeros(width, VOCAB),
        "unembed.b_U": torch.zeros(VOCAB),
    }
    for layer in range(2):
        at = f"blocks.{layer}.attn"
        state[f"{at}.b_O"] = torch.zeros(width)
        state[f"{at}.W_O"] = torch.zeros(heads, VOCAB, width)
        for channel in "QKV":
            state[f"{at}.W_{channel}"] = torch.zeros(heads, width, VOCAB)
            state[f"{at}.b_{channel}"] = torch.zeros(heads, VOCAB)
    state["embed.W_E"][:, read] = one
    state["pos_embed.W_pos"][0, first] = state["pos_embed.W_pos"][1, second] = 1
    state["unembed.W_U"][written] = one
    state["blocks.0.attn.W_V"][0, read] = one
    state["blocks.0.attn.W_O"][0][:, written] = MAIN * one
    state["blocks.0.attn.W_O"][0][:, flag] = 1
    for head, gain in enumerate(OTHERS):
        state["blocks.1.attn.W_V"][head, read] = one
        state["blocks.1.attn.W_O"][head][:, written] = gain * one
        state["blocks.1.attn.W_K"][head, first, 0] = 1
        state["blocks.1.attn.W_K"][head, second, 1] = 1
        state["blocks.1.attn.b_Q"][head, 0] = 200
        state["blocks.1.attn.W_Q"][head, flag, 0] = -400
        state["blocks.1.attn.W_Q"][head, flag, 1] = 200
    with tempfile.TemporaryDirectory() as place:
        directory = tiny.save_toy(Path(place) / "compensating", cfg, state)
        reference = from_directory(directory, torch.float64)
        loaded, found = load(str(directory))
    assert loaded is not None, found
    return loaded, reference


def compensating_world(claims: str) -> World:
    """`claims` said of the two roles of the compensating model."""
    loaded, reference = compensating()
    return bound(f'{{ model "compensating" {TASK} {BODY} {claims} }}', loaded, reference)
