"""Train the two packaged toy models from nothing: `brackets` and `digit-addition`.

    OMP_NUM_THREADS=1 python scripts/train_toys.py brackets --out circuitspec/model/zoo/brackets
    OMP_NUM_THREADS=1 python scripts/train_toys.py digit-addition \
        --out circuitspec/model/zoo/digit-addition
    python scripts/train_toys.py prompts --out specs/models/brackets.jsonl

The last line writes the prompts that `specs/models/brackets.circuit` scrubs over.

Each is a causal transformer of two layers on integer tokens. `brackets` reads sixteen brackets and
says whether they balance; `digit-addition` reads two numbers of three digits and writes their sum.
Everything random is drawn from one seed; on one machine with one thread the file is reproduced.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

Tokens = NDArray[np.int64]

OPEN, CLOSE, START, ASK, BALANCED, UNBALANCED = range(6)
PAIRS = 8
PLUS, EQUALS = 10, 11
DIGITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Toy:
    """What a model is trained on, and its size. Its answers are the last `answers` tokens."""

    draw: Callable[[np.random.Generator, int], Tokens]
    length: int
    vocabulary: int
    answers: int
    width: int
    heads: int
    hidden: int
    layers: int
    steps: int


# ── brackets ─────────────────────────────────────────────────────────────────────────────────────


def balanced(rng: np.random.Generator, n: int) -> Tokens:
    """Balanced strings of PAIRS pairs, uniform: [n, 2·PAIRS].

    Of the 2·PAIRS + 1 rotations of a shuffled row with one opening bracket too many, the one that
    starts after its last lowest point never falls to its start again (the cycle lemma); its first
    bracket is the one too many.
    """
    row = np.array([1] * (PAIRS + 1) + [-1] * PAIRS)
    rows = rng.permuted(np.tile(row, (n, 1)), axis=1)
    heights = rows.cumsum(1)
    start = rows.shape[1] - np.argmin(heights[:, ::-1], axis=1)
    turned = np.take_along_axis(
        rows, (start[:, None] + np.arange(rows.shape[1])) % rows.shape[1], 1
    )
    return np.where(turned[:, 1:] > 0, OPEN, CLOSE)


def brackets(rng: np.random.Generator, n: int) -> Tokens:
    """START, brackets, ASK and the answer: half balanced, a quarter as many opened as closed, an
    eighth a balanced string with one bracket turned round, an eighth any string."""
    kind = rng.integers(0, 8, n)
    strings = balanced(rng, n)
    equal = rng.permuted(np.tile(np.array([OPEN, CLOSE] * PAIRS), (n, 1)), axis=1)
    turned = strings.copy()
    at = (np.arange(n), rng.integers(0, 2 * PAIRS, n))
    turned[at] = OPEN + CLOSE - turned[at]
    choices = np.stack([strings, equal, turned, rng.integers(0, 2, strings.shape)])
    which = np.select([kind < 4, kind < 6, kind < 7], [0, 1, 2], 3)
    strings = choices[which, np.arange(n)]
    heights = np.where(strings == OPEN, 1, -1).cumsum(1)
    fine = (heights[:, -1] == 0) & (heights.min(1) >= 0)
    ends = np.full((n, 1), ASK), np.where(fine, BALANCED, UNBALANCED)[:, None]
    return np.concatenate([np.full((n, 1), START), strings, *ends], axis=1)


# ── addition ─────────────────────────────────────────────────────────────────────────────────────


def digits(numbers: Tokens, count: int) -> Tokens:
    """The decimal digits of `numbers`, the highest first: [n, count]."""
    return numbers[:, None] // 10 ** np.arange(count)[::-1] % 10


def addition(rng: np.random.Generator, n: int) -> Tokens:
    """A + B = S, of DIGITS digits and one more.

    In a third of the rows every lower pair of digits is made to add up to 9 with probability ½:
    carries that run through several digits are rare among random numbers.
    """
    a, b = (digits(rng.integers(0, 10**DIGITS, n), DIGITS) for _ in "ab")
    nines = (rng.random((n, 1)) < 1 / 3) & (rng.random((n, DIGITS)) < 1 / 2)
    b = np.where(nines, 9 - a, b)
    powers = 10 ** np.arange(DIGITS)[::-1]
    total = digits((a + b) @ powers, DIGITS + 1)
    plus, equals = np.full((n, 1), PLUS), np.full((n, 1), EQUALS)
    return np.concatenate([a, plus, b, equals, total], axis=1)


TOYS = {
    "brackets": Toy(
        draw=brackets,
        length=2 * PAIRS + 2,
        vocabulary=6,
        answers=1,
        width=32,
        heads=2,
        hidden=128,
        layers=2,
        steps=1500,
    ),
    "digit-addition": Toy(
        draw=addition,
        length=3 * DIGITS + 2,
        vocabulary=12,
        answers=DIGITS + 1,
        width=64,
        heads=4,
        hidden=256,
        layers=1,
        steps=2000,
    ),
}


# ── the transformer ──────────────────────────────────────────────────────────────────────────────


def initial(toy: Toy) -> dict[str, Tensor]:
    """Parameters under HookedTransformer's names and shapes."""
    size, head = toy.width, toy.width // toy.heads

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape) / math.sqrt(shape[-2])

    found = {
        "embed.W_E": torch.randn(toy.vocabulary, size) / math.sqrt(size),
        "pos_embed.W_pos": torch.randn(toy.length, size) / math.sqrt(size),
    }
    for layer in range(toy.layers):
        block = f"blocks.{layer}"
        for norm in ("ln1", "ln2"):
            found[f"{block}.{norm}.w"] = torch.ones(size)
            found[f"{block}.{norm}.b"] = torch.zeros(size)
        for kind in "QKV":
            found[f"{block}.attn.W_{kind}"] = normal(toy.heads, size, head)
            found[f"{block}.attn.b_{kind}"] = torch.zeros(toy.heads, head)
        found[f"{block}.attn.W_O"] = normal(toy.heads, head, size) / math.sqrt(toy.heads)
        found[f"{block}.attn.b_O"] = torch.zeros(size)
        found[f"{block}.mlp.W_in"] = normal(size, toy.hidden)
        found[f"{block}.mlp.b_in"] = torch.zeros(toy.hidden)
        found[f"{block}.mlp.W_out"] = normal(toy.hidden, size)
        found[f"{block}.mlp.b_out"] = torch.zeros(size)
    found["ln_final.w"], found["ln_final.b"] = torch.ones(size), torch.zeros(size)
    found["unembed.W_U"] = normal(size, toy.vocabulary)
    found["unembed.b_U"] = torch.zeros(toy.vocabulary)
    return {name: weight.requires_grad_() for name, weight in found.items()}


def forward(toy: Toy, w: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Logits [n, T, vocabulary]."""

    def norm(x: Tensor, name: str) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.w"], w[f"{name}.b"], 1e-5)

    x = w["embed.W_E"][tokens] + w["pos_embed.W_pos"][: tokens.shape[1]]
    for layer in range(toy.layers):
        attn, mlp = f"blocks.{layer}.attn", f"blocks.{layer}.mlp"
        read = norm(x, f"blocks.{layer}.ln1")
        q, k, v = (
            torch.einsum("ntd,hde->nhte", read, w[f"{attn}.W_{c}"]) + w[f"{attn}.b_{c}"][:, None]
            for c in "QKV"
        )
        z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + torch.einsum("nhte,hed->ntd", z, w[f"{attn}.W_O"]) + w[f"{attn}.b_O"]
        hidden = norm(x, f"blocks.{layer}.ln2") @ w[f"{mlp}.W_in"] + w[f"{mlp}.b_in"]
        x = x + hidden.relu() @ w[f"{mlp}.W_out"] + w[f"{mlp}.b_out"]
    return norm(x, "ln_final") @ w["unembed.W_U"] + w["unembed.b_U"]


def answered(toy: Toy, w: dict[str, Tensor], rows: Tokens) -> tuple[Tensor, Tensor]:
    """Logits where answers are due [n, answers, vocabulary], and the answers [n, answers]."""
    tokens = torch.from_numpy(rows)
    return forward(toy, w, tokens[:, :-1])[:, -toy.answers :], tokens[:, -toy.answers :]


def config_of(toy: Toy) -> dict[str, object]:
    """`config.json`, in HookedTransformer's words."""
    return {
        "n_layers": toy.layers,
        "d_model": toy.width,
        "n_heads": toy.heads,
        "d_head": toy.width // toy.heads,
        "d_mlp": toy.hidden,
        "n_ctx": toy.length,
        "d_vocab": toy.vocabulary,
        "d_vocab_out": toy.vocabulary,
        "attn_only": False,
        "act_fn": "relu",
        "normalization_type": "LN",
        "eps": 1e-5,
        "attention_dir": "causal",
        "positional_embedding_type": "standard",
    }


def prompts(out: Path, seed: int) -> None:
    """Strings of brackets, half of them balanced, with what can be said of them at every token.

    `height` is how many more have been opened than closed up to there, `lowest` the least height so
    far, `prefix` all brackets up to there as one number.
    """
    lines = []
    for row in brackets(np.random.default_rng(seed), 800):
        tokens, answer = row[:-1], int(row[-1])
        heights = np.cumsum((tokens == OPEN).astype(int) - (tokens == CLOSE))
        bits = "".join("1" if token == OPEN else "0" for token in tokens)
        entry = {
            "text": " ".join(map(str, tokens)),
            "ANSWER": answer,
            "OTHER": BALANCED + UNBALANCED - answer,
            "height": heights.tolist(),
            "lowest": np.minimum.accumulate(heights).tolist(),
            "prefix": [int(bits[: end + 1], 2) for end in range(len(bits))],
        }
        lines.append(json.dumps(entry) + "\n")
    out.write_text("".join(lines), encoding="utf-8")


def train(name: str, out: Path, options: argparse.Namespace) -> None:
    toy = TOYS[name]
    steps = options.steps or toy.steps
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    held_out = toy.draw(np.random.default_rng(options.seed + 1), 10_000)
    w = initial(toy)
    optimizer = torch.optim.AdamW(w.values(), lr=options.learning_rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, options.learning_rate, total_steps=steps, pct_start=0.05
    )
    started, curve = time.monotonic(), []
    for step in range(steps):
        logits, right = answered(toy, w, toy.draw(rng, options.batch))
        loss = functional.cross_entropy(logits.flatten(0, 1), right.flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(w.values(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 499 or step == steps - 1:
            with torch.no_grad():
                logits, right = answered(toy, w, held_out)
            hits = (logits.argmax(-1) == right).float()
            entry = {
                "step": step + 1,
                "loss": loss.item(),
                "accuracy": hits.prod(1).mean().item(),
                "by_answer": hits.mean(0).tolist(),
            }
            curve.append(entry)
            print(f"{time.monotonic() - started:5.0f}s {entry}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    state = {name: weight.detach().contiguous() for name, weight in w.items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    (out / "model.safetensors").chmod(0o644)
    record = {
        "seed": options.seed,
        "steps": steps,
        "batch": options.batch,
        "learning_rate": options.learning_rate,
        "torch": torch.__version__,
        "curve": curve,
    }
    for file, content in (("config.json", config_of(toy)), ("training.json", record)):
        (out / file).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=(*TOYS, "prompts"))
    parser.add_argument("--out", required=True, type=Path, help="what is written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=None)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    options = parser.parse_args()
    if options.what == "prompts":
        prompts(options.out, options.seed)
    else:
        train(options.what, options.out, options)


if __name__ == "__main__":
    main()
