"""circuitspec from Python: what the commands do, as functions on plain records.

    import circuitspec

    result = circuitspec.verify("spec.circuit", seed=1)
    result.verdict, [claim.name for h in result.hypotheses for claim in h.claims]

`load`, `check` and `prompts` are light. `verify`, `compare` and `plan` import torch when they are
called, and raise ImportError, saying what to install, where it is missing. What is wrong with a
spec is raised as `SpecError`, but for `load` and `check`, which return it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from circuitspec.extras import missing_extras
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.loading import Loaded, load_spec, sources_of
from circuitspec.report.frames import frame, rows

if TYPE_CHECKING:
    from circuitspec.comparing.records import Comparison
    from circuitspec.judge.records import RunResult
    from circuitspec.planning import Plan

__all__ = [
    "SpecError",
    "check",
    "compare",
    "frame",
    "load",
    "plan",
    "prompts",
    "rows",
    "verify",
]

Spec = str | Path
"""A path to a spec file."""

Progress = Callable[[float, float, str], None]
"""Called with what is done, of how much, and what is under way; units grow evenly with time."""


class RunOptions(TypedDict, total=False):
    """What is not in a spec. Of these `seed`, `n` and `dtype` can change a verdict."""

    device: str | None
    dtype: Literal["float32", "float64"]
    batch_size: int | None
    seed: int | None
    n: int | None


class VerifyOptions(RunOptions, total=False):
    """For `verify` also: which claims, how many further seeds, whether to audit every run."""

    only: tuple[str, ...]
    replicate: int
    audit: bool
    controls: int


class SpecError(Exception):
    """A spec that cannot be used. `diagnostics` says why; as text, with the lines they point at."""

    def __init__(
        self, diagnostics: tuple[Diagnostic, ...], sources: Mapping[str, str] | None = None
    ) -> None:
        self.diagnostics = tuple(d for d in diagnostics if d.severity is Severity.ERROR)
        self.sources = sources_of(self.diagnostics, sources or {})
        super().__init__(self.diagnostics)

    def __str__(self) -> str:
        from circuitspec.language.rendering import render

        return "\n" + render(self.diagnostics, self.sources, color=False, width=100)


def load(spec: Spec, *, text: str | None = None, seed: int | None = None) -> Loaded:
    """A spec's hypotheses, resolved, with their prompts drawn; its mistakes in `diagnostics`.

    `text` stands for the file's contents, where they are not on disk. `seed` replaces the spec's.
    """
    return load_spec(spec, text=text, seed=seed)


def check(spec: Spec, *, text: str | None = None) -> tuple[Diagnostic, ...]:
    """Everything that is found wrong with a spec without a model, in the order of the text."""
    return load_spec(spec, text=text, prompts="few").diagnostics


def prompts(
    spec: Spec, *, hypothesis: str | None = None, seed: int | None = None
) -> list[dict[str, object]]:
    """Every prompt that verifying a spec can use, as `circuitspec prompts` prints them.

    Raises ValueError for a hypothesis that is not in the spec.
    """
    from circuitspec.listing import listed

    loaded = load_spec(spec, seed=seed, foreign=True)
    if not loaded.ok:
        raise SpecError(loaded.diagnostics, loaded.sources)
    bound = [b for b in loaded.bound if hypothesis in (None, b.hypothesis.name)]
    if hypothesis is not None and not bound:
        known = ", ".join(b.hypothesis.name for b in loaded.bound) or "none"
        raise ValueError(f"{spec} has no hypothesis {hypothesis!r}; it has: {known}")
    return listed(bound, loaded.not_checked)


def verify(
    spec: Spec, *, progress: Progress | None = None, **options: Unpack[VerifyOptions]
) -> RunResult:
    """Decide every claim of a spec on its model: the record behind `verify --format json`."""
    _needs("verify")
    from circuitspec.verification import Options
    from circuitspec.verification import verify as decide

    result, diagnostics = decide(spec, options=Options(**options), progress=progress)
    if result is None:
        raise SpecError(diagnostics)
    return result


def compare(
    *specs: Spec,
    level: float = 95.0,
    margin: float = 1.0,
    progress: Progress | None = None,
    **options: Unpack[RunOptions],
) -> Comparison:
    """The first hypothesis against each of the others: files, or `FILE::HYPOTHESIS`.

    `level`: the confidence in percent; `margin`: the percentage of the model's metric below which
    a difference does not matter.
    """
    _needs("compare")
    from circuitspec.comparing.compare import compare as decide
    from circuitspec.comparing.sides import Terms
    from circuitspec.verification import Options

    result, diagnostics = decide(
        specs,
        options=Options(**options),
        terms=Terms(level=level, margin=margin),
        progress=progress,
    )
    if result is None:
        raise SpecError(diagnostics)
    return result


def plan(spec: Spec, *, batch_size: int | None = None) -> tuple[Plan, ...]:
    """What verifying a spec would compute, a plan a hypothesis; no weights are loaded."""
    _needs("plan")
    from circuitspec.planning import plan as look

    plans, diagnostics = look(spec, batch_size=batch_size)
    if plans is None:
        raise SpecError(diagnostics)
    return plans


def _needs(what: str) -> None:
    refusal = missing_extras(what)
    if refusal is not None:
        raise ImportError(refusal)
