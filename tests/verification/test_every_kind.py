"""Every kind of claim on ioi-mini: a false one is refuted, a cut that does nothing is invalid.

The baseline `same` exchanges the subject's two mentions, which are one name: each prompt is its own
counterfactual, so that whatever is cut or patched from it is replaced by itself.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.judge.records import ClaimResult
from circuitspec.verification import Options, verify

from .conftest import ROOT

TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
HEAD = TEXT[: TEXT.index('  """These heads at these positions')].replace(
    "  baseline abc", "  baseline same = swap(S1, S2)\n  baseline abc"
)
MODEL = "model.logit_diff"

# name: what is done ({cut}: the ablation, {pair}: the baseline), and what is false of it
KINDS = {
    "faithful_by_nodes": ("ablate complement by nodes {cut}", f"logit_diff >= 110% * {MODEL}"),
    "faithful_by_edges": ("ablate complement by edges {cut}", f"logit_diff >= 120% * {MODEL}"),
    "knocked_out": ("ablate suppressor by nodes {cut}", f"logit_diff >= 90% * {MODEL}"),
    "edges_out": ("ablate suppressor by edges {cut}", f"logit_diff >= 90% * {MODEL}"),
    "patched": ("patch suppressor from {pair}", f"logit_diff >= 99% * {MODEL}"),
    "path_direct": (
        "patch all subject_mlp -> suppressor.k from {pair} direct",
        f"logit_diff >= 99% * {MODEL}",
    ),
    "path_through_mlps": (
        "patch all subject_encoder -> suppressor.k from {pair} through mlps",
        f"logit_diff >= 99.9% * {MODEL}",
    ),
    "path_onward": (
        "patch all subject_mlp -> suppressor.k -> logits from {pair} direct",
        f"logit_diff >= 99% * {MODEL}",
    ),
    "under_another": (
        "ablate suppressor by nodes {cut}\n    given ablated last_mention",
        f"logit_diff >= 90% * {MODEL}",
    ),
    "complete": ("ablate by nodes {cut}\n    knockouts roles", f"incompleteness <= 1% * {MODEL}"),
    "minimal": ("ablate by nodes {cut}\n    each role", f"effect >= 150% * {MODEL}"),
    "restored": ("run from {pair} restore name_reader", "recovered >= 120%"),
    "sampled_on": (
        "ablate suppressor by nodes {cut}\n    until decided, at most 256",
        f"logit_diff >= 90% * {MODEL}",
    ),
}
UNCUT = {
    "attends": "attention(suppressor) <= 0.5",
    "attributed": "dla(suppressor) <= 0",
    "legible_early": f"logit_lens(0) >= 90% * {MODEL}",
    "copies": "copying(suppressor) >= 0.9",
    "is_induction": "induction(suppressor) >= 0.5",
}


def judged(folder: Path, baseline: str) -> dict[str, ClaimResult]:
    cut = "with mean from abc over template"
    if baseline == "same":
        cut = "with counterfactual from same"
    claims = "".join(
        f"  expect {name} {{\n    {what.format(cut=cut, pair=baseline)}\n"
        f"    require {false} ci 95\n  }}\n"
        for name, (what, false) in KINDS.items()
    )
    if baseline == "abc":
        claims += "".join(
            f"  expect {n} {{ require {false} ci 95 }}\n" for n, false in UNCUT.items()
        )
    path = folder / f"{baseline}.circuit"
    path.write_text(f"{HEAD}{claims}}}\n", "utf-8")
    result, diagnostics = verify(path, options=Options(controls=0))
    assert result is not None, [d for d in diagnostics if d.severity.value == "error"]
    (hypothesis,) = result.hypotheses
    return {claim.name: claim for claim in hypothesis.claims}


@pytest.fixture(scope="module")
def false(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClaimResult]:
    return judged(tmp_path_factory.mktemp("false"), "abc")


@pytest.fixture(scope="module")
def inert(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClaimResult]:
    return judged(tmp_path_factory.mktemp("inert"), "same")


@pytest.mark.parametrize("name", [*KINDS, *UNCUT])
def test_what_is_false_is_refuted(false: dict[str, ClaimResult], name: str) -> None:
    assert false[name].verdict == "refuted", false[name].reason


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_that_does_nothing_is_invalid(inert: dict[str, ClaimResult], name: str) -> None:
    claim = inert[name]
    assert claim.verdict == "invalid", (claim.verdict, claim.measures)
    assert "inert" in str(claim.reason) or "degenerate" in str(claim.reason), claim.reason
