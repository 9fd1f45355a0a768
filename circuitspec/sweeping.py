"""`sweep`: which verdicts turn when cutting means something else.

How faithful a circuit is depends on what a cut output becomes, on whether nodes or edges are cut,
and on the prompts that means are taken over (Miller, Chughtai & Saunders 2024, "Transformer circuit
faithfulness metrics are not robust"). Every claim that cuts is decided again under every other
ablation that the task allows, on the same prompts, in one run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from circuitspec.hypothesis.expand import ablation_text
from circuitspec.hypothesis.records import AblateComplement, AblateSet, Ablation, Claim
from circuitspec.judge.records import ClaimResult, VerdictName
from circuitspec.language.diagnostics import Diagnostic
from circuitspec.task.records import TaskData
from circuitspec.verification import Options, Progress, verify

OVER: tuple[Literal["template", "position", "batch"], ...] = ("template", "position", "batch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A claim decided under one ablation. `measured` are its plain figures (ratio, agreement)."""

    ablation: str
    verdict: VerdictName
    reason: str | None
    measured: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """A claim of a hypothesis under every ablation; `stated` is the spec's own."""

    hypothesis: str
    claim: str
    stated: Cell
    others: tuple[Cell, ...]

    @property
    def turned(self) -> tuple[Cell, ...]:
        """Where the verdict is not the stated one's. What cannot be measured turns nothing."""
        return tuple(
            c for c in self.others if c.verdict != self.stated.verdict and not unmeasured(c)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """Everything one `sweep` decided. `passed_over` names the claims that cut nothing."""

    swept: tuple[Swept, ...]
    passed_over: tuple[str, ...]
    seed: int
    seconds: float
    forwards: float


def unmeasured(cell: Cell) -> bool:
    """Whether nothing was measured at all (`mean over position` of templates of other lengths)."""
    return cell.verdict == "invalid" and not cell.measured


def ablations(claim: Claim, task: TaskData) -> Iterator[Ablation]:
    """The claim's own ablation, then every other one that the task has prompts for.

    Nodes and edges are exchanged where the claim is about a circuit or a set; what a minimality or
    completeness claim cuts stays of the kind it is written in. Noise is no value for an output, but
    its corrupted run is a counterfactual.
    """
    stated = claim.ablation
    if stated is None:
        return
    yield stated
    movable = isinstance(claim.intervention, AblateComplement | AblateSet)
    for by in ("nodes", "edges") if movable else (stated.by,):
        every = [Ablation(by=by, kind="zero")]
        for name in task.references:
            if name not in task.noise:
                every += [Ablation(by=by, kind="mean", baseline=name, over=over) for over in OVER]
                every.append(
                    Ablation(by=by, kind="resample", baseline=name, draws=max(stated.draws, 1))
                )
        every += [
            Ablation(by=by, kind="counterfactual", baseline=name) for name in task.counterfactuals
        ]
        yield from (each for each in every if each != stated)


def sweep(
    path: str | Path, *, options: Options | None = None, progress: Progress | None = None
) -> tuple[SweepResult | None, tuple[Diagnostic, ...]]:
    """Decide every claim that cuts under every ablation. None with diagnostics where it cannot be.

    Figures are those of `verify` for a spec that states that ablation; `progress` as there.
    """
    passed_over: list[str] = []

    def vary(claim: Claim, task: TaskData) -> Iterator[Claim]:
        if claim.ablation is None or not _cuts(claim):
            passed_over.append(claim.name)
            return
        for ablation in ablations(claim, task):
            yield replace(
                claim, name=f"{claim.name}{SEPARATOR}{ablation_text(ablation)}", ablation=ablation
            )

    chosen = replace(options or Options(), controls=0, replicate=0)
    result, diagnostics = verify(path, options=chosen, progress=progress, vary=vary)
    if result is None:
        return None, diagnostics
    swept = []
    for hypothesis in result.hypotheses:
        found: dict[str, list[Cell]] = {}
        for each in hypothesis.claims:
            name, _, ablation = each.name.partition(SEPARATOR)
            found.setdefault(name, []).append(_cell(ablation, each))
        swept += [
            Swept(hypothesis=hypothesis.name, claim=name, stated=cells[0], others=tuple(cells[1:]))
            for name, cells in found.items()
        ]
    swept_result = SweepResult(
        swept=tuple(swept),
        passed_over=tuple(dict.fromkeys(passed_over)),
        seed=result.seed,
        seconds=result.seconds,
        forwards=result.cost["plain_forwards"],
    )
    return swept_result, diagnostics


SEPARATOR = " under "


def _cuts(claim: Claim) -> bool:
    """Whether the claim measures what remains when something is cut."""
    return (
        isinstance(claim.intervention, AblateComplement | AblateSet)
        or claim.completeness is not None
        or claim.minimality is not None
    )


SHOWN = ("ratio", "recovered", "agreement")


def _cell(ablation: str, result: ClaimResult) -> Cell:
    measured = {
        name: float(value)
        for name, value in result.measures.items()
        if isinstance(value, int | float) and name.split("(")[0] in SHOWN
    }
    if not measured:  # a knock-out: what is left of the model's metric
        measured = {
            f"{name} / model": float(value) / float(whole)
            for name, value in result.measures.items()
            if isinstance(value, int | float)
            and isinstance(whole := result.measures.get(f"model.{name}"), int | float)
            and whole
        }
    return Cell(ablation=ablation, verdict=result.verdict, reason=result.reason, measured=measured)
