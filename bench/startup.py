"""How long `circuitspec verify` takes on a toy model from an empty process, and what of it is ours.

    python bench/startup.py [SPEC]

Without SPEC, of five claims about a model of two layers and width 64, with random weights, on 100
prompts with 200 for means. By the clock, medians of five in turn: the command as a user gives it,
and a process that only imports torch and TransformerLens. What lies between them is ours. Then,
within one process, where that goes.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

REPEATS = 5
OTHERS = (
    "from circuitspec.importing import importing\n"
    "with importing(): import torch, transformer_lens.model_bridge"
)
"""As the command imports them: what that saves is then not counted as ours."""

LAYERS, HEADS, WIDTH, D_HEAD, D_MLP, TOKENS, LENGTH = 2, 4, 64, 16, 256, 26, 8
SPEC = """circuitspec 1

task induction {
  tokens integer 0..25
  words letters = 0..25
  template at_0 "{A} {B} {C} {D} {E} {F} {G} {A2}"
  template at_1 "{C} {A} {B} {D} {E} {F} {G} {A2}"
  template at_2 "{C} {D} {A} {B} {E} {F} {G} {A2}"
  template at_3 "{C} {D} {E} {A} {B} {F} {G} {A2}"
  slot A, B, C, D, E, F, G from 0..25 distinct
  slot A2                  from A
  metric right = log_prob(B)
  baseline fresh = resample(A, B, C, D, E, F, G, A2)
  sample evaluation 100, reference 200, seed 0
  bos no
}
protocol nodes { ablate by nodes with mean from fresh over template }

hypothesis finds {
  model "model"
  task induction
  role previous  = a0.h0 @ B
  role induction = a1.h0, a1.h1 @ END attends B
  keep mlps @ *
  edge input     -> previous.qkv
  edge previous  -> induction.k
  edge input     -> induction.qv
  edge induction -> logits

  expect able { require right >= -1 ci 95 }
  expect faithful under nodes { ablate complement require right within 20% of model.right ci 95 }
  expect needed under nodes { ablate induction require right <= model.right - 1 ci 95 }
  expect previous_needed under nodes { ablate previous require right <= model.right - 1 ci 95 }
  expect attends { require attention(induction) >= 0.5 ci 95 }
}
"""


def toy(directory: Path) -> Path:
    """The model and the spec, written to a folder; the spec's path."""
    import torch
    from safetensors.torch import save_file

    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (TOKENS, WIDTH),
        "pos_embed.W_pos": (LENGTH, WIDTH),
        "unembed.W_U": (WIDTH, TOKENS),
        "unembed.b_U": (TOKENS,),
    }
    for layer in range(LAYERS):
        at = f"blocks.{layer}"
        for channel in "QKV":
            shapes[f"{at}.attn.W_{channel}"] = (HEADS, WIDTH, D_HEAD)
            shapes[f"{at}.attn.b_{channel}"] = (HEADS, D_HEAD)
        shapes |= {
            f"{at}.attn.W_O": (HEADS, D_HEAD, WIDTH),
            f"{at}.attn.b_O": (WIDTH,),
            f"{at}.mlp.W_in": (WIDTH, D_MLP),
            f"{at}.mlp.b_in": (D_MLP,),
            f"{at}.mlp.W_out": (D_MLP, WIDTH),
            f"{at}.mlp.b_out": (WIDTH,),
        }
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.randn(s, generator=generator) / 8 for name, s in shapes.items()}
    config = {
        "n_layers": LAYERS,
        "d_model": WIDTH,
        "n_heads": HEADS,
        "d_head": D_HEAD,
        "d_mlp": D_MLP,
        "n_ctx": LENGTH,
        "d_vocab": TOKENS,
        "d_vocab_out": TOKENS,
        "attn_only": False,
        "act_fn": "gelu",
        "normalization_type": None,
        "attention_dir": "causal",
        "positional_embedding_type": "standard",
    }
    model = directory / "model"
    model.mkdir()
    save_file(state, model / "model.safetensors")
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")
    spec = directory / "toy.circuit"
    spec.write_text(SPEC, encoding="utf-8")
    return spec


def taken(command: Sequence[str], *codes: int) -> float:
    """Seconds by the clock; the command must end with one of `codes`."""
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in codes or "Traceback" in done.stderr:
        raise SystemExit(done.stdout + done.stderr)
    return time.perf_counter() - start


def whole(spec: Path) -> None:
    """The command, and importing alone, in turn."""
    verify = (sys.executable, "-m", "circuitspec", "verify", str(spec))
    imports = (sys.executable, "-c", OTHERS)
    verdicts = (0, 1, 3)
    taken(verify, *verdicts)  # what is read from disk is then in memory
    pairs = [(taken(verify, *verdicts), taken(imports, 0)) for _ in range(REPEATS)]
    command, others = (median(each) for each in zip(*pairs, strict=True))
    ours = median(both - alone for both, alone in pairs)
    print(f"{'circuitspec verify':36} {command:6.2f} s by the clock")
    print(f"{'torch and TransformerLens alone':36} {others:6.2f} s")
    print(f"{'what is ours':36} {ours:6.2f} s")


def within(spec: Path) -> None:
    """Verify a spec in this process, and say what each piece took."""
    from circuitspec.importing import importing

    marks = [time.perf_counter()]
    with importing():
        import_module("torch")
        import_module("transformer_lens.model_bridge")
        marks.append(time.perf_counter())
        verification = import_module("circuitspec.verification")
    marks.append(time.perf_counter())
    result, diagnostics = verification.verify(spec)
    marks.append(time.perf_counter())
    if result is None:
        raise SystemExit("\n".join(d.message for d in diagnostics))
    names = (
        "importing torch and TransformerLens",
        "importing circuitspec",
        "loading and verifying",
    )
    print(f"\nin one process, {len(result.hypotheses[0].claims)} claims:")
    for name, before, after in zip(names, marks, marks[1:], strict=False):
        print(f"{name:36} {after - before:6.2f} s")


def main(arguments: Sequence[str]) -> int:
    """Of the spec that is named, or of the toy."""
    if len(arguments) > 1 or any(each.startswith("-") for each in arguments):
        print("usage: python bench/startup.py [SPEC]")
        return 2
    if arguments:
        whole(Path(arguments[0]))
        within(Path(arguments[0]))
        return 0
    with TemporaryDirectory() as folder:
        # in a process of its own: this one must not have imported anything yet
        code = "import pathlib, startup, sys; startup.toy(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, folder], check=True, cwd=Path(__file__).parent)
        whole(Path(folder) / "toy.circuit")
        within(Path(folder) / "toy.circuit")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
