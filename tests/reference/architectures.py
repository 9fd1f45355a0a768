"""Plain tensors for every model that the reference knows, read off Hugging Face modules or files.

Nothing here runs a model: it only says, architecture by architecture, which numbers are the
weights of head ``h`` of layer ``l``, which norm a block uses, and what a score is divided by.
``slow.run`` is the one forward pass. All arithmetic is in the dtype of the weights; Hugging Face
rounds some intermediate values to float32 even in a float64 model (RMSNorm, the softmax of eager
attention, all of GPT-Neo's scores), and there the reference is the more exact of the two. Rotary
cosines and sines are the module's own table (made in float32, then cast), because they are
constants of the model.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "gelu_new": lambda x: nn.functional.gelu(x, approximate="tanh"),
}


@dataclass(frozen=True, kw_only=True)
class Norm:
    """``none``, ``layer`` (centre, divide by the sd, scale, shift) or ``rms`` (no centre)."""

    kind: str
    weight: Tensor | None = None  # [width]
    bias: Tensor | None = None  # [width]
    eps: float = 0.0

    def centre(self, x: Tensor) -> Tensor:
        """``x`` minus its mean over the width, where the norm centres."""
        return x - x.mean(-1, keepdim=True) if self.kind == "layer" else x

    def divisor(self, x: Tensor) -> Tensor:
        """What the centred ``x`` is divided by: [..., 1]."""
        if self.kind == "none":
            return torch.ones_like(x[..., :1])
        return (self.centre(x).pow(2).mean(-1, keepdim=True) + self.eps).sqrt()

    def __call__(self, x: Tensor) -> Tensor:
        y = self.centre(x) / self.divisor(x)
        if self.weight is not None:
            y = y * self.weight
        if self.bias is not None:
            y = y + self.bias
        return y


NO_NORM = Norm(kind="none")


@dataclass(kw_only=True)
class Layer:
    """One block. Under grouped queries W["k"], W["v"] hold each query head's own copy."""

    attention_norm: Norm
    W: dict[str, Tensor]  # "q", "k", "v" -> [heads, d_model, d_head]
    b: dict[str, Tensor]  # "q", "k", "v" -> [heads, d_head]
    W_O: Tensor  # [heads, d_head, d_model]
    b_O: Tensor  # [d_model]  # noqa: N815 - the field's own name
    score_scale: float  # scores are multiplied by it
    window: int | None = None  # a query sees this many tokens, itself included; None: all
    q_norm: Norm = NO_NORM  # after the projection, before rotary (Qwen3)
    k_norm: Norm = NO_NORM
    mlp_norm: Norm = NO_NORM
    mlp: Callable[[Tensor], Tensor] | None = None  # of the normed input; its own biases included


@dataclass(kw_only=True)
class SlowModel:
    """A pre-norm residual-stream decoder as a list of plain tensors."""

    n_heads: int
    d_model: int
    d_head: int
    d_vocab: int
    layers: list[Layer]
    W_E: Tensor  # [vocab, d_model]
    W_pos: Tensor | None  # [context, d_model]
    final_norm: Norm
    W_U: Tensor  # [d_model, vocab]
    b_U: Tensor  # [vocab]  # noqa: N815 - the field's own name
    sequential: bool = True  # False: the MLP does not see its own layer's heads
    causal: bool = True
    rotary: Callable[[int], tuple[Tensor, Tensor]] | None = None  # n -> cos, sin, each [n, dims]

    @property
    def n_layers(self) -> int:
        return len(self.layers)

    @property
    def dtype(self) -> torch.dtype:
        return self.W_E.dtype

    def embed(self, tokens: Tensor) -> Tensor:
        """Token embedding plus positional embedding: [batch, pos] -> [batch, pos, d_model]."""
        x = self.W_E[tokens]
        return x if self.W_pos is None else x + self.W_pos[: tokens.shape[1]]

    def unembed(self, residual: Tensor) -> Tensor:
        """Final norm and unembedding: [..., d_model] -> [..., vocab]."""
        return self.final_norm(residual) @ self.W_U + self.b_U

    def pattern(self, layer: int, q: Tensor, k: Tensor) -> Tensor:
        """Attention of one head: q, k [batch, pos, d_head] -> [batch, query, key]."""
        block, n = self.layers[layer], q.shape[1]
        q, k = block.q_norm(q), block.k_norm(k)
        if self.rotary is not None:
            cos, sin = self.rotary(n)
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        scores = q @ k.transpose(1, 2) * block.score_scale
        query, key = torch.arange(n)[:, None], torch.arange(n)[None, :]
        if self.causal:
            scores = scores.masked_fill(key > query, -torch.inf)
        if block.window is not None:
            scores = scores.masked_fill(key <= query - block.window, -torch.inf)
        return scores.softmax(-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding of the first ``cos.shape[-1]`` dimensions, first half against second."""
    dims = cos.shape[-1]
    first, second, rest = x[..., : dims // 2], x[..., dims // 2 : dims], x[..., dims:]
    turned = torch.cat([-second, first], -1)
    return torch.cat([x[..., :dims] * cos + turned * sin, rest], -1)


# ------------------------------------------------------------------ Hugging Face modules


def from_hf(hf: nn.Module) -> SlowModel:
    """Read a ``transformers`` causal LM. Raises ValueError for an architecture not known here."""
    readers = {
        "GPT2LMHeadModel": _gpt2,
        "GPTNeoForCausalLM": _gpt_neo,
        "GPTNeoXForCausalLM": _gpt_neox,
        "LlamaForCausalLM": _llama_like,
        "Qwen2ForCausalLM": _llama_like,
        "Qwen3ForCausalLM": _llama_like,
    }
    if type(hf).__name__ not in readers:
        raise ValueError(f"the reference does not know {type(hf).__name__}")
    if hf.training:
        raise ValueError("call .eval() first: dropout is live")
    own = copy.deepcopy(hf).requires_grad_(False)  # wrappers change a module in place
    return readers[type(hf).__name__](own)


def _layer_norm(module: nn.LayerNorm) -> Norm:
    return Norm(kind="layer", weight=module.weight, bias=module.bias, eps=module.eps)


def _rms_norm(module: nn.Module) -> Norm:
    return Norm(kind="rms", weight=module.weight, eps=module.variance_epsilon)


def _in_heads(weight: Tensor, bias: Tensor | None, n_heads: int) -> tuple[Tensor, Tensor]:
    """[d_model, heads * d_head] with heads side by side -> [heads, d_model, d_head] and bias."""
    d_head = weight.shape[1] // n_heads
    slices = [slice(h * d_head, (h + 1) * d_head) for h in range(n_heads)]
    if bias is None:
        bias = weight.new_zeros(weight.shape[1])
    return torch.stack([weight[:, s] for s in slices]), torch.stack([bias[s] for s in slices])


def _out_heads(weight: Tensor, n_heads: int) -> Tensor:
    """[heads * d_head, d_model] -> [heads, d_head, d_model]."""
    d_head = weight.shape[0] // n_heads
    return torch.stack([weight[h * d_head : (h + 1) * d_head] for h in range(n_heads)])


def _unembedding(head: nn.Linear) -> tuple[Tensor, Tensor]:
    W_U = head.weight.T
    return W_U, W_U.new_zeros(W_U.shape[1]) if head.bias is None else head.bias


def _gpt2(hf: nn.Module) -> SlowModel:
    cfg, body = hf.config, hf.transformer
    n, d = cfg.n_head, cfg.n_embd
    layers = []
    for index, block in enumerate(body.h):
        scale = (d // n) ** -0.5 if cfg.scale_attn_weights else 1.0
        if cfg.scale_attn_by_inverse_layer_idx:
            scale = scale / (index + 1)
        W, b = {}, {}
        for i, channel in enumerate("qkv"):  # Conv1D weight is [in, out]: q, k, v side by side
            part = slice(i * d, (i + 1) * d)
            W[channel], b[channel] = _in_heads(
                block.attn.c_attn.weight[:, part], block.attn.c_attn.bias[part], n
            )
        layers.append(
            Layer(
                attention_norm=_layer_norm(block.ln_1),
                W=W,
                b=b,
                W_O=_out_heads(block.attn.c_proj.weight, n),
                b_O=block.attn.c_proj.bias,
                score_scale=scale,
                mlp_norm=_layer_norm(block.ln_2),
                mlp=block.mlp,
            )
        )
    W_U, b_U = _unembedding(hf.lm_head)
    return SlowModel(
        n_heads=n,
        d_model=d,
        d_head=d // n,
        d_vocab=cfg.vocab_size,
        layers=layers,
        W_E=body.wte.weight,
        W_pos=body.wpe.weight,
        final_norm=_layer_norm(body.ln_f),
        W_U=W_U,
        b_U=b_U,
    )


def _gpt_neo(hf: nn.Module) -> SlowModel:
    cfg, body = hf.config, hf.transformer
    n, d = cfg.num_heads, cfg.hidden_size
    layers = []
    for index, block in enumerate(body.h):
        attention = block.attn.attention
        W, b = {}, {}
        for channel in "qkv":
            W[channel], b[channel] = _in_heads(
                getattr(attention, f"{channel}_proj").weight.T, None, n
            )
        layers.append(
            Layer(
                attention_norm=_layer_norm(block.ln_1),
                W=W,
                b=b,
                W_O=_out_heads(attention.out_proj.weight.T, n),
                b_O=attention.out_proj.bias,
                score_scale=1.0,  # GPT-Neo does not divide by sqrt(d_head)
                window=cfg.window_size if cfg.attention_layers[index] == "local" else None,
                mlp_norm=_layer_norm(block.ln_2),
                mlp=block.mlp,
            )
        )
    W_U, b_U = _unembedding(hf.lm_head)
    return SlowModel(
        n_heads=n,
        d_model=d,
        d_head=d // n,
        d_vocab=cfg.vocab_size,
        layers=layers,
        W_E=body.wte.weight,
        W_pos=body.wpe.weight,
        final_norm=_layer_norm(body.ln_f),
        W_U=W_U,
        b_U=b_U,
    )


def _rotary_table(module: nn.Module, like: Tensor) -> Callable[[int], tuple[Tensor, Tensor]]:
    def table(n: int) -> tuple[Tensor, Tensor]:
        cos, sin = module(like, torch.arange(n)[None])
        return cos[0], sin[0]

    return table


def _gpt_neox(hf: nn.Module) -> SlowModel:
    cfg, body = hf.config, hf.gpt_neox
    n, d = cfg.num_attention_heads, cfg.hidden_size
    d_head = d // n
    layers = []
    for block in body.layers:
        fused = block.attention.query_key_value
        W, b = {}, {}
        for i, channel in enumerate("qkv"):  # rows: for each head its q, then its k, then its v
            rows = [slice((3 * h + i) * d_head, (3 * h + i + 1) * d_head) for h in range(n)]
            W[channel] = torch.stack([fused.weight[r].T for r in rows])
            b[channel] = torch.stack(
                [
                    fused.weight.new_zeros(d_head) if fused.bias is None else fused.bias[r]
                    for r in rows
                ]
            )
        dense = block.attention.dense
        layers.append(
            Layer(
                attention_norm=_layer_norm(block.input_layernorm),
                W=W,
                b=b,
                W_O=_out_heads(dense.weight.T, n),
                b_O=dense.weight.new_zeros(d) if dense.bias is None else dense.bias,
                score_scale=d_head**-0.5,
                mlp_norm=_layer_norm(block.post_attention_layernorm),
                mlp=block.mlp,
            )
        )
    W_U, b_U = _unembedding(hf.lm_head)
    return SlowModel(
        n_heads=n,
        d_model=d,
        d_head=d_head,
        d_vocab=cfg.vocab_size,
        layers=layers,
        W_E=body.embed_in.weight,
        W_pos=None,
        final_norm=_layer_norm(body.final_layer_norm),
        W_U=W_U,
        b_U=b_U,
        sequential=not cfg.use_parallel_residual,
        rotary=_rotary_table(body.rotary_emb, body.embed_in.weight),
    )


def _llama_like(hf: nn.Module) -> SlowModel:
    """Llama, Qwen2 (q, k, v biases, sliding layers), Qwen3 (q and k norms, free d_head)."""
    cfg, body = hf.config, hf.model
    n, n_groups = cfg.num_attention_heads, cfg.num_key_value_heads
    layers = []
    for block in body.layers:
        attention = block.self_attn
        W, b = {}, {}
        for channel, heads in (("q", n), ("k", n_groups), ("v", n_groups)):
            module = getattr(attention, f"{channel}_proj")
            weight, bias = _in_heads(module.weight.T, module.bias, heads)
            # query head h reads group h // (n / heads); it gets a copy of its own
            W[channel] = torch.stack([weight[h // (n // heads)] for h in range(n)])
            b[channel] = torch.stack([bias[h // (n // heads)] for h in range(n)])
        out = attention.o_proj
        d_head = W["q"].shape[2]
        sliding = getattr(attention, "sliding_window", None)
        has_qk_norm = hasattr(attention, "q_norm")
        layers.append(
            Layer(
                attention_norm=_rms_norm(block.input_layernorm),
                W=W,
                b=b,
                W_O=_out_heads(out.weight.T, n),
                b_O=out.weight.new_zeros(cfg.hidden_size) if out.bias is None else out.bias,
                score_scale=d_head**-0.5,
                window=sliding,
                q_norm=_rms_norm(attention.q_norm) if has_qk_norm else NO_NORM,
                k_norm=_rms_norm(attention.k_norm) if has_qk_norm else NO_NORM,
                mlp_norm=_rms_norm(block.post_attention_layernorm),
                mlp=block.mlp,
            )
        )
    W_U, b_U = _unembedding(hf.lm_head)
    return SlowModel(
        n_heads=n,
        d_model=cfg.hidden_size,
        d_head=d_head,
        d_vocab=cfg.vocab_size,
        layers=layers,
        W_E=body.embed_tokens.weight,
        W_pos=None,
        final_norm=_rms_norm(body.norm),
        W_U=W_U,
        b_U=b_U,
        rotary=_rotary_table(body.rotary_emb, body.embed_tokens.weight),
    )


# ------------------------------------------------------------------ HookedTransformer state dicts

TOY_KEYS = {
    "n_layers", "d_model", "n_heads", "d_head", "d_mlp", "n_ctx", "d_vocab", "d_vocab_out",
    "attn_only", "act_fn", "normalization_type", "eps", "attention_dir",
    "positional_embedding_type",
}  # fmt: skip


def from_directory(directory: str | Path, dtype: torch.dtype = torch.float32) -> SlowModel:
    """Read ``config.json`` and ``model.safetensors`` in HookedTransformer's layout."""
    directory = Path(directory)
    cfg = json.loads((directory / "config.json").read_text())
    state = load_file(directory / "model.safetensors")
    return from_state(cfg, {name: tensor.to(dtype) for name, tensor in state.items()})


def from_state(cfg: dict, state: dict[str, Tensor]) -> SlowModel:
    """The same from a configuration and a state dict. Raises ValueError for what it cannot do."""
    if unknown := set(cfg) - TOY_KEYS:
        raise ValueError(f"the reference does not know these settings: {sorted(unknown)}")
    if cfg.get("positional_embedding_type", "standard") not in ("standard", None):
        raise ValueError("the reference knows no rotary toy models")
    read: set[str] = set()

    def get(name: str, *shape: int) -> Tensor:
        """A tensor of the file, or zeros of that shape where the file leaves a bias out."""
        read.add(name)
        if name not in state and name.rpartition(".")[2].startswith("b"):
            return state["embed.W_E"].new_zeros(shape)
        return state[name]

    n, d, d_head = cfg["n_heads"], cfg["d_model"], cfg["d_head"]

    def norm(name: str) -> Norm:
        kind, eps = cfg["normalization_type"], cfg.get("eps", 1e-5)
        if kind is None:
            return NO_NORM
        if kind in ("LNPre", "RMSPre"):
            return Norm(kind="layer" if kind == "LNPre" else "rms", eps=eps)
        if kind == "RMS":
            return Norm(kind="rms", weight=get(f"{name}.w"), eps=eps)
        if kind == "LN":
            return Norm(kind="layer", weight=get(f"{name}.w"), bias=get(f"{name}.b", d), eps=eps)
        raise ValueError(f"the reference does not know the norm {kind!r}")

    def mlp(name: str) -> Callable[[Tensor], Tensor]:
        W_in, b_in = get(f"{name}.W_in"), get(f"{name}.b_in", cfg["d_mlp"])
        W_out, b_out = get(f"{name}.W_out"), get(f"{name}.b_out", d)
        act = ACTIVATIONS[cfg["act_fn"]]
        return lambda x: act(x @ W_in + b_in) @ W_out + b_out

    layers = []
    for index in range(cfg["n_layers"]):
        at = f"blocks.{index}"
        layers.append(
            Layer(
                attention_norm=norm(f"{at}.ln1"),
                W={c: get(f"{at}.attn.W_{c.upper()}") for c in "qkv"},
                b={c: get(f"{at}.attn.b_{c.upper()}", n, d_head) for c in "qkv"},
                W_O=get(f"{at}.attn.W_O"),
                b_O=get(f"{at}.attn.b_O", d),
                score_scale=d_head**-0.5,
                mlp_norm=NO_NORM if cfg["attn_only"] else norm(f"{at}.ln2"),
                mlp=None if cfg["attn_only"] else mlp(f"{at}.mlp"),
            )
        )
    has_positions = cfg.get("positional_embedding_type", "standard") is not None
    model = SlowModel(
        n_heads=n,
        d_model=d,
        d_head=d_head,
        d_vocab=cfg["d_vocab_out"],
        layers=layers,
        W_E=get("embed.W_E"),
        W_pos=get("pos_embed.W_pos") if has_positions else None,
        final_norm=norm("ln_final"),
        W_U=get("unembed.W_U"),
        b_U=get("unembed.b_U", cfg["d_vocab_out"]),
        causal=cfg.get("attention_dir", "causal") == "causal",
    )
    if unread := set(state) - read:
        raise ValueError(f"the file has tensors that the configuration has no use for: {unread}")
    return model
