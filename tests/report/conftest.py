"""Results made by hand: every verdict, every kind of number, names that are long or wide."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from circuitspec.judge.records import (
    ClaimResult,
    HypothesisResult,
    ModelRecord,
    ReplicateResult,
    RequirementResult,
    RunResult,
    SelfCheck,
    VerdictName,
)

MODEL = ModelRecord(
    name="ioi-mini",
    revision="3f2a91c",
    architecture="gpt2",
    dtype="float32",
    processing="none",
    transformer_lens="4.3.0",
    torch="2.13.0",
    device="cpu",
)


def requirement(
    text: str,
    verdict: VerdictName = "holds",
    *,
    estimate: float | None = 0.93,
    interval: tuple[float, float] | None = (0.885, 0.961),
    threshold: float | tuple[float, float] | None = 0.8,
    n: int = 200,
    reason: str | None = None,
    shown: str | None = None,
    level: float = 95.0,
    exact: bool = False,
    n_to_settle: int | None = None,
    arm: str | None = None,
    contrasts: tuple[Mapping[str, object], ...] = (),
) -> RequirementResult:
    return RequirementResult(
        text=text,
        verdict=verdict,
        reason=reason,
        estimate=estimate,
        interval=interval,
        level=level,
        threshold=threshold,
        n=n,
        exact=exact,
        method="bca",
        shown=shown,
        n_to_settle=n_to_settle,
        arm=arm,
        contrasts=contrasts,
    )


def claim(
    name: str, verdict: VerdictName, *requirements: RequirementResult, **more: object
) -> ClaimResult:
    values = {"reason": None, "measures": {}, "draws": {}, **more}
    return ClaimResult(name=name, verdict=verdict, requirements=requirements, **values)


FAITHFUL = claim(
    "faithful",
    "holds",
    requirement(
        "logit_diff within 20% of model.logit_diff ci 95",
        estimate=0.1964,
        interval=(0.0577, 0.3482),
        threshold=0.0,
        shown="2.838 against 3.302 (85.9% of it)",
        contrasts=(
            {"relation": ">=", "threshold": 0.0, "estimate": 0.1964},
            {"relation": "<=", "threshold": 0.0, "estimate": -1.1244},
        ),
    ),
    requirement("agreement >= 0.8 ci 95"),
    measures={"logit_diff": 2.8381234567890123, "model.logit_diff": 3.302},
    draws={"reference:abc": [3, 1, 2]},
    kind="faithfulness",
)
USED = claim(
    "s_inhibition_is_used",
    "refuted",
    requirement(
        "logit_diff <= 50% * model.logit_diff ci 95",
        "refuted",
        estimate=0.731,
        interval=(0.522, 0.940),
        threshold=0.0,
        shown="2.382 against 50% of 3.302 (ratio 0.72)",
        reason="the whole interval lies above the threshold",
    ),
)
UNDECIDED = claim(
    "compensation",
    "inconclusive",
    requirement(
        "logit_diff >= 80% * model.logit_diff ci 95",
        "inconclusive",
        estimate=0.011,
        interval=(-0.0304, 0.0521),
        threshold=0.0,
        shown="2.653 against 80% of 3.302 (ratio 0.80)",
        reason="the interval contains the threshold",
        n_to_settle=2900,
    ),
)
BLIND = claim(
    "subject_is_pushed_down",
    "invalid",
    requirement(
        "logit_diff >= 80% * model.logit_diff ci 95",
        "invalid",
        estimate=1.9,
        interval=(1.62, 2.2),
        threshold=0.0,
        reason="blind: agreement is 0.08, below one half",
    ),
    reason="blind: agreement is 0.08, below one half",
    notes=("error is 3.1, more than half of |m(M)| = 3.302",),
)
RIVAL = claim(
    "early_layers_suffice",
    "holds",
    requirement(
        "agreement >= 0.5 ci 95",
        "refuted",
        estimate=0.02,
        interval=(0.0055, 0.0504),
        threshold=0.5,
        reason="the whole interval lies below the threshold",
    ),
    expected_refuted=True,
)


ATTENDS = claim(
    "each_mover_attends",
    "refuted",
    *(
        requirement(
            "attention(name_mover) >= 0.5 ci 95", verdict, estimate=mean,
            interval=(mean - 0.04, mean + 0.04), threshold=0.5, arm=head, reason=reason,
        )
        for head, verdict, mean, reason in (
            ("a9.h9", "holds", 0.81, None),
            ("a9.h6", "holds", 0.62, None),
            ("a10.h0", "refuted", 0.31, "the whole interval lies below the threshold"),
        )
    ),
)  # fmt: skip


def hypothesis(
    *claims: ClaimResult, name: str = "ioi_mini", verdict: VerdictName = "holds", **more: object
) -> HypothesisResult:
    values: dict[str, object] = {
        "file": "specs/ioi_mini.circuit",
        "n_nodes": 26,
        "n_edges": 182,
        "competence": {
            "n": 200,
            "level": 95.0,
            "metrics": {
                "logit_diff": {
                    "mean": 3.3021,
                    "interval": [3.0954, 3.5122],
                    "accuracy": {"mean": 0.99, "interval": [0.9643, 0.9988]},
                }
            },
        },
        "self_checks": (
            SelfCheck(name="patching with itself", passed=True, value=0.0),
            SelfCheck(name="full circuit equals model", passed=True, value=3.1e-6),
        ),
        "model": MODEL,
        **more,
    }
    return HypothesisResult(name=name, verdict=verdict, claims=claims, **values)


def run(*hypotheses: HypothesisResult, verdict: VerdictName = "holds") -> RunResult:
    return RunResult(
        verdict=verdict,
        hypotheses=hypotheses,
        seed=0,
        seconds=12.345,
        cost={"plain_forwards": 27.14},
        batch_size=64,
    )


@pytest.fixture
def held() -> RunResult:
    """Everything holds."""
    return run(
        hypothesis(
            FAITHFUL,
            RIVAL,
            doc="Indirect object identification in ioi-mini.\n\nA longer story, not printed.",
        )
    )


@pytest.fixture
def every_verdict() -> RunResult:
    """Two hypotheses, all four verdicts, a failed self-check, replicates, notes, open nodes."""
    first = hypothesis(
        FAITHFUL,
        USED,
        UNDECIDED,
        BLIND,
        ATTENDS,
        RIVAL,
        verdict="refuted",
        open_nodes=("a7.h1 @ S2 (unclear)",),
        notes=("dropped: backup_mover",),
        replicates=(
            ReplicateResult(seed=1, verdict="refuted", claims={"faithful": "holds"}),
            ReplicateResult(seed=2, verdict="inconclusive", claims={"faithful": "inconclusive"}),
        ),
    )
    second = hypothesis(
        FAITHFUL,
        name="naive",
        verdict="invalid",
        file="specs/rivals/naive.circuit",
        self_checks=(
            SelfCheck(name="patching with itself", passed=True, value=0.0),
            SelfCheck(name="hooks fired", passed=False, value=3.0, detail="planned 4, fired 3"),
        ),
    )
    return run(first, second, verdict="refuted")


@pytest.fixture
def awkward() -> RunResult:
    """Wide characters, long names, markup, mixed levels, NaN, infinities, a whole population."""
    words = " + ".join(f"attention(role_with_a_rather_long_name_{i})" for i in range(6))
    return run(
        hypothesis(
            claim(
                "名前を動かすヘッド",
                "holds",
                requirement(
                    "copying(名前を動かすヘッド) >= 0.95 ci 99",
                    level=99.0,
                    estimate=0.9721,
                    interval=(0.9512, 0.9843),
                    threshold=0.95,
                ),
                requirement(
                    "agreement == 1 +- 0 ci 95",
                    estimate=1.0,
                    interval=None,
                    threshold=(1.0, 1.0),
                    exact=True,
                    n=4096,
                ),
            ),
            claim(
                "a_claim_whose_name_goes_on_and_on_" * 4,
                "invalid",
                requirement(
                    f"{words} >= 1 ci 95",
                    "invalid",
                    estimate=math.nan,
                    interval=(-math.inf, math.inf),
                    threshold=1.0,
                    reason="NaN in the [bold]logits[/bold] | of 3 prompts <b>",
                ),
                measures={"kl": math.nan, "per_head": {"a0.h1": [1.0, math.inf]}},
            ),
            claim("no_requirements", "inconclusive", reason="no requirement was decided"),
            name="a_hypothesis_with_a_name_" * 6,
            verdict="invalid",
            file="specs/with, comma: and 100%.circuit",
            competence={},
            self_checks=(),
        ),
        run_empty(),
        verdict="invalid",
    )


def run_empty() -> HypothesisResult:
    return hypothesis(name="no_claims", verdict="holds")
