"""Transformers with hand-set weights: a residual stream of named parts, heads that move them.

A part is a block of residual dimensions with one meaning: `token` and `position` are one-hot and
written by the embedding, others by heads. A weight is set by saying which part is read, and by what
matrix. Nothing here imports the package that is put to the proof.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

Array = NDArray[np.float64]
Reads = Mapping[str, Array]
"""A matrix [dimension of the part, d_head] by the name of the part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A finished model. `weights` has HookedTransformer's names and shapes, float64.

    They are what float32 can hold, so that the checkpoint and every figure reckoned from `weights`
    are of the same numbers. Scores are q·k, not divided by anything.
    """

    name: str
    n_layers: int
    n_heads: int
    d_model: int
    d_head: int
    d_mlp: int | None
    d_vocab: int
    n_ctx: int
    norm: bool
    layout: Literal["toy", "gpt2"]
    weights: Mapping[str, Array]
    eps: float = 1e-5


@dataclass(slots=True, kw_only=True)
class Builder:
    """Sets the weights of a machine, part by part.

    With `norm`, every part stands in the stream twice, once negated: LayerNorm then finds a mean of
    0, and a large constant makes its divisor nearly the same everywhere.
    """

    name: str
    layers: int
    heads: int
    d_head: int
    vocab: int
    context: int
    parts: Mapping[str, int] = field(default_factory=dict)
    d_mlp: int | None = None
    norm: bool = False
    layout: Literal["toy", "gpt2"] = "toy"
    constant: float = 6.0
    _at: dict[str, slice] = field(default_factory=dict)
    _w: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sizes = {"token": self.vocab, "position": self.context, "one": 1, **self.parts}
        start = 0
        for part, size in sizes.items():
            self._at[part] = slice(start, start + size)
            start += size
        width = start
        if self.layout == "gpt2":  # there d_model is heads × d_head
            width = self.heads * self.d_head // 2
            assert width >= start, f"{self.name} needs {start} dimensions and has {width}"
        self._w["embed.W_E"] = np.zeros((self.vocab, width))
        self._w["embed.W_E"][:, self._at["token"]] = np.eye(self.vocab)
        self._w["pos_embed.W_pos"] = np.zeros((self.context, width))
        self._w["pos_embed.W_pos"][:, self._at["position"]] = np.eye(self.context)
        self._w["pos_embed.W_pos"][:, self._at["one"]] = self.constant if self.norm else 1.0
        self._w["unembed.W_U"] = np.zeros((width, self.vocab))
        self._w["unembed.b_U"] = np.zeros(self.vocab)
        for layer in range(self.layers):
            block = f"blocks.{layer}"
            for kind in "QKV":
                self._w[f"{block}.attn.W_{kind}"] = np.zeros((self.heads, width, self.d_head))
                self._w[f"{block}.attn.b_{kind}"] = np.zeros((self.heads, self.d_head))
            self._w[f"{block}.attn.W_O"] = np.zeros((self.heads, self.d_head, width))
            self._w[f"{block}.attn.b_O"] = np.zeros(width)
            if self.d_mlp is not None:
                self._w[f"{block}.mlp.W_in"] = np.zeros((width, self.d_mlp))
                self._w[f"{block}.mlp.b_in"] = np.zeros(self.d_mlp)
                self._w[f"{block}.mlp.W_out"] = np.zeros((self.d_mlp, width))
                self._w[f"{block}.mlp.b_out"] = np.zeros(width)

    @property
    def width(self) -> int:
        """Residual dimensions before mirroring."""
        return int(self._w["unembed.W_U"].shape[0])

    def head(self, node: str, *, q: Reads, k: Reads, v: Reads, o: Reads) -> None:
        """Adds to a head `aL.hH`: what q, k and v read, and where z is written ([d_head, part]).

        Matrices narrower than d_head fill its first dimensions.
        """
        layer, head = (int(word[1:]) for word in node.split("."))
        for kind, reads in (("Q", q), ("K", k), ("V", v)):
            weight = self._w[f"blocks.{layer}.attn.W_{kind}"]
            for part, matrix in reads.items():
                weight[head, self._at[part], : matrix.shape[1]] += matrix
        out = self._w[f"blocks.{layer}.attn.W_O"]
        for part, matrix in o.items():
            out[head, : matrix.shape[0], self._at[part]] += matrix

    def mlp(self, layer: int, *, reads: Reads, bias: Array, writes: Reads) -> None:
        """The MLP of a layer, ReLU: `reads` [part, d_mlp], `writes` [d_mlp, part]."""
        for part, matrix in reads.items():
            self._w[f"blocks.{layer}.mlp.W_in"][self._at[part], : matrix.shape[1]] += matrix
        self._w[f"blocks.{layer}.mlp.b_in"][: bias.size] += bias
        for part, matrix in writes.items():
            self._w[f"blocks.{layer}.mlp.W_out"][: matrix.shape[0], self._at[part]] += matrix

    def unembed(self, part: str, matrix: Array) -> None:
        """What the logits read of a part: [part, vocab]."""
        self._w["unembed.W_U"][self._at[part]] += matrix

    def distract(self, *nodes: str, seed: int, size: float = 1.0) -> None:
        """Heads that attend to something, and write it to `junk`, which nothing but they reads."""
        for node in nodes:
            rng = np.random.default_rng([seed, *node.encode()])
            junk = self._at["junk"].stop - self._at["junk"].start

            def matrix(part: str, rng: np.random.Generator = rng) -> Array:
                rows = self._at[part].stop - self._at[part].start
                return np.asarray(rng.normal(0, size * self.d_head**-0.25, (rows, self.d_head)))

            parts = ("token", "position", "junk")
            self.head(
                node,
                q={part: matrix(part) for part in parts},
                k={part: matrix(part) for part in parts},
                v={part: matrix(part) for part in parts},
                o={"junk": rng.normal(0, size * self.d_head**-0.5, (self.d_head, junk))},
            )

    def noise(self, sd: float, seed: int) -> None:
        """Gaussian noise on every weight."""
        rng = np.random.default_rng(seed)
        for name, weight in sorted(self._w.items()):
            if ".b_" not in name:
                weight += rng.normal(0, sd, weight.shape)

    def finished(self) -> Machine:
        """The machine, mirrored if it has norms."""
        weights = {name: weight.copy() for name, weight in self._w.items()}
        width = self.width
        if self.norm:
            weights = {name: _mirrored(name, weight) for name, weight in weights.items()}
            # the divisor of a stream that holds the constant, a token, a position, and some more
            typical = ((self.constant**2 + 3.0) / width) ** 0.5
            norms = [f"blocks.{layer}.ln1" for layer in range(self.layers)] + ["ln_final"]
            if self.d_mlp is not None:
                norms += [f"blocks.{layer}.ln2" for layer in range(self.layers)]
            for norm in norms:
                weights[f"{norm}.w"] = np.full(2 * width, typical)
                weights[f"{norm}.b"] = np.zeros(2 * width)
        return Machine(
            name=self.name,
            n_layers=self.layers,
            n_heads=self.heads,
            d_model=2 * width if self.norm else width,
            d_head=self.d_head,
            d_mlp=self.d_mlp,
            d_vocab=self.vocab,
            n_ctx=self.context,
            norm=self.norm,
            layout=self.layout,
            weights={n: w.astype(np.float32).astype(np.float64) for n, w in weights.items()},
        )


def _mirrored(name: str, weight: Array) -> Array:
    """A weight for a stream that holds everything twice, once negated."""
    kind = name.rsplit(".", 1)[-1]
    if kind in ("W_E", "W_pos", "W_O", "W_out", "b_O", "b_out"):
        return np.concatenate([weight, -weight], axis=-1)
    if kind in ("W_Q", "W_K", "W_V", "W_in", "W_U"):
        return np.concatenate([weight, -weight], axis=-2) / 2
    return weight


def save(machine: Machine, folder: Path) -> None:
    """A checkpoint: `config.json` and `model.safetensors`, in float32."""
    folder.mkdir(parents=True, exist_ok=True)
    config, state = _gpt2(machine) if machine.layout == "gpt2" else _toy(machine)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
    tensors = {
        name: torch.tensor(weight, dtype=torch.float32).contiguous()
        for name, weight in state.items()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _toy(machine: Machine) -> tuple[dict[str, object], Mapping[str, Array]]:
    config: dict[str, object] = {
        "n_layers": machine.n_layers,
        "d_model": machine.d_model,
        "n_heads": machine.n_heads,
        "d_head": machine.d_head,
        "n_ctx": machine.n_ctx,
        "d_vocab": machine.d_vocab,
        "attn_only": machine.d_mlp is None,
        "d_mlp": machine.d_mlp,
        "act_fn": None if machine.d_mlp is None else "relu",
        "normalization_type": "LN" if machine.norm else None,
        "eps": machine.eps,
        "attention_dir": "causal",
        "positional_embedding_type": "standard",
        "use_attn_scale": False,
    }
    return config, machine.weights


def _gpt2(machine: Machine) -> tuple[dict[str, object], Mapping[str, Array]]:
    """Hugging Face's GPT-2: heads side by side in one matrix, the unembedding without a bias."""
    config: dict[str, object] = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "n_layer": machine.n_layers,
        "n_head": machine.n_heads,
        "n_embd": machine.d_model,
        "n_inner": machine.d_mlp,
        "n_positions": machine.n_ctx,
        "vocab_size": machine.d_vocab,
        "activation_function": "relu",
        "layer_norm_epsilon": machine.eps,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
    }
    w = machine.weights
    assert machine.norm
    assert machine.d_mlp is not None
    assert not w["unembed.b_U"].any()
    state = {
        "transformer.wte.weight": w["embed.W_E"],
        "transformer.wpe.weight": w["pos_embed.W_pos"],
        "transformer.ln_f.weight": w["ln_final.w"],
        "transformer.ln_f.bias": w["ln_final.b"],
        "lm_head.weight": w["unembed.W_U"].T,
    }
    for layer in range(machine.n_layers):
        mine, theirs = f"blocks.{layer}", f"transformer.h.{layer}"
        # GPT-2 divides scores by √d_head
        sizes = {"Q": machine.d_head**0.5, "K": 1.0, "V": 1.0}
        qkv = [size * w[f"{mine}.attn.W_{kind}"] for kind, size in sizes.items()]
        state[f"{theirs}.attn.c_attn.weight"] = np.concatenate(
            [np.concatenate(list(each), axis=1) for each in qkv], axis=1
        )
        state[f"{theirs}.attn.c_attn.bias"] = np.concatenate(
            [size * w[f"{mine}.attn.b_{kind}"].reshape(-1) for kind, size in sizes.items()]
        )
        state[f"{theirs}.attn.c_proj.weight"] = np.concatenate(list(w[f"{mine}.attn.W_O"]), axis=0)
        state[f"{theirs}.attn.c_proj.bias"] = w[f"{mine}.attn.b_O"]
        for norm, name in (("ln1", "ln_1"), ("ln2", "ln_2")):
            state[f"{theirs}.{name}.weight"] = w[f"{mine}.{norm}.w"]
            state[f"{theirs}.{name}.bias"] = w[f"{mine}.{norm}.b"]
        state[f"{theirs}.mlp.c_fc.weight"] = w[f"{mine}.mlp.W_in"]
        state[f"{theirs}.mlp.c_fc.bias"] = w[f"{mine}.mlp.b_in"]
        state[f"{theirs}.mlp.c_proj.weight"] = w[f"{mine}.mlp.W_out"]
        state[f"{theirs}.mlp.c_proj.bias"] = w[f"{mine}.mlp.b_out"]
    return config, state
