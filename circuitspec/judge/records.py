"""Results as records, in the shape of `verify --format json` (schema `circuitspec.result/1`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = "circuitspec.result/1"

VerdictName = Literal["holds", "refuted", "inconclusive", "invalid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequirementResult:
    """One `require`, judged.

    `estimate`, `interval` and `threshold` are on the contrast that was judged, in the metric's
    units; of the two contrasts of a band, the one nearer to failing (`contrasts` has both). A band
    around a constant has one contrast and two thresholds. `shown` is the same comparison in the
    author's words (`2.84 against 80% of 3.30 (ratio 0.86)`). `interval` is `None` where the whole
    population is enumerated (`exact`). `arm` names the pair or head where a claim has several.
    """

    text: str
    verdict: VerdictName
    reason: str | None
    estimate: float | None
    interval: tuple[float, float] | None
    level: float
    threshold: float | tuple[float, float] | None
    n: int
    exact: bool = False
    method: str | None = None
    shown: str | None = None
    n_to_settle: int | None = None
    arm: str | None = None
    contrasts: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimResult:
    """One `expect`, judged. `measures` holds every plain number the claim used, unrounded.

    `warnings` say what leaves the verdict saying nothing: every output shows them beside it.
    """

    name: str
    verdict: VerdictName
    reason: str | None
    measures: Mapping[str, Any]
    draws: Mapping[str, Any]
    requirements: tuple[RequirementResult, ...]
    expected_refuted: bool = False
    doc: str | None = None
    kind: str | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfCheck:
    """A check the run made on itself before reporting."""

    name: str
    passed: bool
    value: float | None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """What was explained, and how it was computed."""

    name: str
    revision: str | None
    architecture: str
    dtype: str
    processing: str
    transformer_lens: str
    torch: str
    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicateResult:
    """The verdicts of one further seed (`--replicate`)."""

    seed: int
    verdict: VerdictName
    claims: Mapping[str, VerdictName]


@dataclass(frozen=True, slots=True, kw_only=True)
class HypothesisResult:
    """One hypothesis, judged. `competence` has, per metric, the model's mean and interval, and its
    accuracy with interval; `prompts` is the hash of their token ids (`task.export`)."""

    name: str
    file: str
    verdict: VerdictName
    model: ModelRecord
    n_nodes: int
    n_edges: int
    competence: Mapping[str, Any]
    claims: tuple[ClaimResult, ...]
    self_checks: tuple[SelfCheck, ...]
    prompts: str | None = None
    doc: str | None = None
    notes: tuple[str, ...] = ()
    open_nodes: tuple[str, ...] = ()
    replicates: tuple[ReplicateResult, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """Everything one `verify` decided."""

    verdict: VerdictName
    hypotheses: tuple[HypothesisResult, ...]
    seed: int
    seconds: float
    cost: Mapping[str, float]
    batch_size: int
    schema: str = field(default=SCHEMA)
