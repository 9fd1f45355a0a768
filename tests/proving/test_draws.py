"""Of enumerated prompts, what rests on random draws is a sample all the same."""

from __future__ import annotations

import pytest

from circuitspec.judge.records import RequirementResult
from circuitspec.verification import Options, verify
from proving.catalogue import catalogue
from proving.label import Hypothesis
from proving.machine import save
from proving.run import spec

CLAIMS = {
    "resampled": "ablate complement by nodes with resample from strangers draws 1"
    "  require logit_diff <= 2 * model.logit_diff ci 95",
    "noised": "run from noised restore previous  require recovered <= 90% ci 95",
    "redrawn": "patch previous from strangers  require logit_diff <= 2 * model.logit_diff ci 95",
    "minimal": "ablate by nodes with resample from strangers draws 1  each role"
    "  require effect <= 3 * model.logit_diff ci 95",
    "paired": "patch previous from swapped  require logit_diff <= 2 * model.logit_diff ci 95",
    "averaged": "ablate complement by nodes with mean from strangers over template"
    "  require logit_diff <= 2 * model.logit_diff ci 95",
}
EXACT = {"paired", "averaged", "redrawn"}
"""A prompt's counterfactual is its own and printed with it: it belongs to the population."""


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, RequirementResult]:
    entry = next(e for e in catalogue() if e.name == "induction")
    folder = tmp_path_factory.mktemp("draws")
    save(entry.world.machine, folder / "model")
    story = Hypothesis(name="h", story=entry.story, claims=())
    text = spec(entry, [story], "sample all, reference all, seed 0")
    baselines = "  baseline strangers = shuffle()\n  baseline noised = noise(2, A)\n"
    text = text.replace("  sample all", f"{baselines}  sample all")
    claims = "\n".join(f"expect {name} {{ {body} }}" for name, body in CLAIMS.items())
    end = text.rindex("}")
    (folder / "draws.circuit").write_text(f"{text[:end]}{claims}\n}}\n", encoding="utf-8")
    result, diagnostics = verify(folder / "draws.circuit", options=Options())
    assert result is not None, diagnostics
    return {claim.name: claim.requirements[0] for claim in result.hypotheses[0].claims}


@pytest.mark.parametrize("name", CLAIMS)
def test_only_what_is_no_draw_is_exact(judged: dict[str, RequirementResult], name: str) -> None:
    requirement = judged[name]
    assert requirement.verdict == "holds", requirement.reason
    assert requirement.exact == (name in EXACT)
    assert (requirement.interval is None) == (name in EXACT)
