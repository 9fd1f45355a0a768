"""Paths of several hops: what they mean where the answer is known without computing them."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.judge.records import ClaimResult
from circuitspec.verification import verify

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "specs" / "ioi_mini.circuit").read_text("utf-8")
HEAD = TEXT[: TEXT.index('  """These heads at these positions')]

PATCHES = {
    "one_hop": "patch all subject_mlp -> suppressor.k from abc direct",
    "onward": "patch all subject_mlp -> suppressor.k -> logits from abc direct",
    "deep": "patch all subject_encoder -> subject_mlp.in -> suppressor.k -> logits from abc direct",
}


@pytest.fixture(scope="module")
def claims(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ClaimResult]:
    path = tmp_path_factory.mktemp("hops") / "spec.circuit"
    expects = "".join(
        f"  expect {name} {{\n    {patch}\n"
        "    require logit_diff <= 99% * model.logit_diff ci 95\n  }\n"
        for name, patch in PATCHES.items()
    )
    path.write_text(HEAD + expects + "}\n", "utf-8")
    result, diagnostics = verify(path)
    assert result is not None, diagnostics
    (hypothesis,) = result.hypotheses
    return {claim.name: claim for claim in hypothesis.claims}


def test_heads_that_reach_the_logits_directly_lose_what_they_do_by_others(
    claims: dict[str, ClaimResult],
) -> None:
    """Suppressors of layer 3 are followed by no head: what is left out is by MLPs and layer 2."""
    model = claims["one_hop"].measures["model.logit_diff"]
    all_routes = model - claims["one_hop"].measures["logit_diff"]
    direct = model - claims["onward"].measures["logit_diff"]
    assert 0.2 < direct < all_routes + 0.5


def test_a_longer_path_carries_less(claims: dict[str, ClaimResult]) -> None:
    model = claims["onward"].measures["model.logit_diff"]
    through_all = model - claims["onward"].measures["logit_diff"]
    through_one = model - claims["deep"].measures["logit_diff"]
    assert 0 < through_one < through_all
