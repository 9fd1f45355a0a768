"""The scrub of weight algebra and the package's come to the same, on draws of their own each."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.verification import Options, verify
from proving.catalogue import catalogue
from proving.label import Hypothesis
from proving.machine import save
from proving.run import spec
from proving.scrub import DRAWS, scrub

CLAIM = f"expect scrubbed {{ scrub over task draws {DRAWS}  require logit_diff >= 0 ci 95 }}"
MACHINES = (
    "maximum",
    "induction",
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("layered", "movers_gpt2")),
)


@pytest.mark.parametrize("name", MACHINES)
def test_the_true_story_scrubbed(name: str, tmp_path: Path) -> None:
    entry = next(e for e in catalogue() if e.name == name)
    save(entry.world.machine, tmp_path / "model")
    story = Hypothesis(name="h", story=entry.story, claims=())
    text = spec(entry, [story], "sample all, reference all, seed 0")
    end = text.rindex("}")
    (tmp_path / "h.circuit").write_text(f"{text[:end]}{CLAIM}\n}}\n", encoding="utf-8")
    result, found = verify(tmp_path / "h.circuit", options=Options())
    assert result is not None, found
    measures = result.hypotheses[0].claims[0].measures
    known = scrub(entry.world, entry.story)
    # both are means over as many draws, so the error of their difference is √2 of one's
    assert abs(measures["logit_diff"] - known.scrubbed.mean()) < 4 * 2**0.5 * known.error
    model = entry.world.metric(entry.world.clean().logits).mean()
    assert abs(measures["logit_diff"] - model) > 10 * known.error, "scrubbing should cost something"
