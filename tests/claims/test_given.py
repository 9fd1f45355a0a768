"""`given ablated`: every claim that can be is under it, and compensation is sayable."""

from __future__ import annotations

import pytest

from circuitspec.claims import kinds
from circuitspec.engine.runs import EngineError
from tests.claims.compensating import MAIN, OTHERS, compensating_world
from tests.claims.worlds import world

TOTAL = sum(OTHERS)


# ── compensation ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("requirement", "figure"),
    [
        ("logit_diff == {} +- 0.001", MAIN / 4 - TOTAL),
        ("effect(main) == {} +- 0.001", MAIN / 4 - 2 * TOTAL),
        ("effect(others) == {} +- 0.001", -TOTAL),
        ("given ablated main require logit_diff == {} +- 0.001", TOTAL),
        ("given ablated main require effect(others) == {} +- 0.001", TOTAL),
        ("given ablated main require effect(a1.h1) == {} +- 0.001", OTHERS[1]),
        ("given ablated others require effect(main) == {} +- 0.001", MAIN / 4),
        ("given ablated others require logit_diff == {} +- 0.001", MAIN / 4),
    ],
)
def test_heads_that_step_in_for_another(requirement: str, figure: float) -> None:
    """Figures from the weights: `compensating` says how."""
    given, _, requirement = requirement.rpartition("require ")
    claim = f"expect c under zeroed {{ {given} require {requirement.format(figure)} }}"
    result = compensating_world(claim).judged("c").result
    assert result.verdict == "holds", (result.reason, result.measures)


def test_that_an_effect_turns_round_can_be_claimed_and_refuted() -> None:
    """With the main head out, taking the others out reverses what it did with it in."""
    claims = """
      expect work_against under zeroed { require effect(others) <= -1 }
      expect step_in under zeroed { given ablated main require effect(others) >= 1 }
      expect no_turn under zeroed { given ablated main require effect(others) <= -1 }
      expect main_hidden under zeroed { require effect(main) <= 30% * {main} }
    """.replace("{main}", str(MAIN / 4))
    place = compensating_world(claims)
    verdicts = {name: place.judged(name).result.verdict for name in place.claims}
    assert verdicts == {
        "work_against": "holds",
        "step_in": "holds",
        "no_turn": "refuted",
        "main_hidden": "holds",
    }


# ── which claims are under it ────────────────────────────────────────────────────────────────────

CUT = "with mean from abc over template"
UNDER = {
    "faithful": f"ablate complement by nodes {CUT} given ablated early require gap <= 1 ci 95",
    "by edges": f"ablate complement by edges {CUT} given ablated early require kl <= 1 ci 95",
    "knock-out": f"ablate late by nodes {CUT} given ablated early require logit_diff >= 0 ci 95",
    "effect": f"ablate by nodes {CUT} given ablated early require effect(late) >= 0 ci 95",
    "complete": f"ablate by nodes {CUT} given ablated early knockouts roles, greedy 1x1x2 "
    "require incompleteness <= 1 ci 95",
    "minimal": f"ablate by nodes {CUT} given ablated early each role require effect >= 0 ci 95",
    "each edge": f"ablate by edges {CUT} given ablated early each edge require effect >= 0 ci 95",
    "patch": f"patch late from abc ablate by nodes {CUT} given ablated early "
    "require logit_diff >= 0 ci 95",
    "path": f"patch all middle -> late.kv from abc direct ablate by nodes {CUT} "
    "given ablated early require logit_diff >= 0 ci 95",
    "hops": f"patch all middle -> late.kv -> logits from abc direct ablate by nodes {CUT} "
    "given ablated early require logit_diff >= 0 ci 95",
    "restore": f"run from abc restore late ablate by nodes {CUT} given ablated early "
    "require recovered >= 1% ci 95",
    **{
        call: f"ablate by nodes {CUT} given ablated early require {call} >= 0 ci 95"
        for call in ("attention(late)", "dla(late)", "logit_lens(1)", "copying(late)")
    },
}


@pytest.mark.parametrize("what", UNDER)
def test_every_run_of_a_claim_is_under_its_knock_outs(what: str) -> None:
    place = world(f"expect c {{ {UNDER[what]} }}")
    claim, context = place.claims["c"], place.context
    given = context.given(claim)
    assert given
    kinds.measure(claim, context)
    # competence is of the model as it is, and asked for before any claim
    asked = [run for run in context.computed.runs if run != context.model_run()]
    assert asked
    assert all(run.given == given for run in asked)


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ("induction(late) >= 0.1 ci 95", "so nothing can be ablated"),
        ("previous_token(late) >= 0.1 ci 95", "so nothing can be ablated"),
    ],
)
def test_what_has_no_knock_outs_says_so(claim: str, message: str) -> None:
    place = world(f"expect c {{ ablate by nodes {CUT} given ablated early require {claim} }}")
    with pytest.raises(EngineError, match=message):
        kinds.measure(place.claims["c"], place.context)
