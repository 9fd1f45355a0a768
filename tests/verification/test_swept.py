"""A hypothesis that sweeps over models or open nodes is decided on every one of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from circuitspec.model import source
from circuitspec.verification import verify

from .test_two_metrics import HEAD

CLAIM = """
  expect able { require logit_diff >= 2 ci 95 }
  expect faithful under nodes { ablate complement
    require agreement(logit_diff) >= 0.1 ci 95 }
}
"""


def deaf(folder: Path) -> None:
    """The packaged model with its unembedding a hundredth as large."""
    shutil.copytree(Path(source.__file__).parent / "zoo" / "ioi-mini", folder)
    (weights,) = folder.glob("*.safetensors")
    state = load_file(weights)
    largest = [name for name in state if name.endswith(("W_U", "head.weight", "wte.weight"))]
    assert largest
    for name in largest:
        state[name] = state[name] / 100
    save_file(state, weights)


def test_a_model_that_fails_fails_the_spec(tmp_path: Path) -> None:
    deaf(tmp_path / "deaf")
    path = tmp_path / "spec.circuit"
    path.write_text(HEAD + '  sweep model "ioi-mini", "./deaf"\n' + CLAIM)
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    assert [h.name.partition(" ")[2] for h in result.hypotheses] == ["[ioi-mini]", "[./deaf]"]
    first, second = ({c.name: c for c in h.claims} for h in result.hypotheses)
    assert first["able"].verdict == "holds"
    assert second["able"].verdict in ("refuted", "invalid")
    assert result.verdict != "holds"


def test_open_nodes_are_swept_in(tmp_path: Path) -> None:
    path = tmp_path / "spec.circuit"
    path.write_text(HEAD + '  open a2.h3 @ END "who knows"\n  sweep open\n' + CLAIM)
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    without, with_it = result.hypotheses
    assert with_it.name.endswith("[a2.h3 @ END in]")
    assert with_it.n_edges > without.n_edges
    of = [next(c for c in h.claims if c.name == "faithful") for h in (without, with_it)]
    assert of[0].measures["circuit.logit_diff"] != of[1].measures["circuit.logit_diff"]
    assert of[0].measures["model.logit_diff"] == of[1].measures["model.logit_diff"]
