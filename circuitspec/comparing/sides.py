"""What each rival is measured with, and by what terms differences are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from circuitspec.claims.context import Context
from circuitspec.claims.measured import Measured
from circuitspec.comparing.questions import Answer
from circuitspec.comparing.records import Question
from circuitspec.engine.runs import EngineError, Floats, Readings, Run
from circuitspec.judge.facts import Facts
from circuitspec.verification import Job

LEVEL = 95.0
MARGIN = 1.0
"""Percent of the model's metric below which a difference between rivals does not matter."""

Answers = Mapping[Question, tuple[Answer, Answer]]
Models = Mapping[str, tuple[Floats, Floats]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What differences are called by: the level in percent, the margin in percent of the metric."""

    level: float = LEVEL
    margin: float = MARGIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One rival with all that it is measured with, and what its claims measured, by name."""

    name: str
    job: Job
    context: Context
    facts: Facts
    measured: Mapping[str, Measured]


def same_model(one: Job, other: Job) -> bool:
    """Whether two hypotheses explain the same weights."""
    return (one.model.name, one.model.revision) == (other.model.name, other.model.revision)


def model_of(side: Side) -> Readings:
    """The unmodified model on a rival's prompts."""
    return side.context.evaluate([side.context.model_run()])[0]


def compute_together(asked: Iterable[tuple[Context, Sequence[Run]]]) -> None:
    """All runs of an engine in one go, so that they share what they have in common.

    Where one of them is refused they are computed as they are asked for, and it alone is missing.
    """
    by_engine: dict[int, tuple[Context, list[Run]]] = {}
    for context, runs in asked:
        by_engine.setdefault(id(context.engine), (context, []))[1].extend(runs)
    for context, listed in by_engine.values():
        with suppress(EngineError):
            context.evaluate(listed)
