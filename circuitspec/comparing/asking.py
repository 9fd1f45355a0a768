"""Questions put to both rivals of a pair: which can be, what that needs, and the answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from circuitspec.comparing.further import greedy_questions, random_questions, stated
from circuitspec.comparing.questions import (
    Answer,
    answer,
    measurable,
    questions,
    runs_of,
    title,
)
from circuitspec.comparing.records import Question
from circuitspec.comparing.sides import Answers, Side, compute_together, same_model
from circuitspec.engine.runs import EngineError, Run
from circuitspec.hypothesis.expand import ablation_text
from circuitspec.hypothesis.records import Ablation

Sides = tuple[Side, Side]
Runs = tuple[tuple[Run, ...], tuple[Run, ...]]
"""What a pair computes, of either rival."""

OF_ONE_MODEL = "random and greedy sets are of one model's nodes, and are not asked across models"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a pair answered, the runs this took, and what could not be asked and why."""

    answers: Answers
    runs: Runs
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Posed:
    """Questions that are known before anything is computed; notes on what cannot be asked."""

    questions: tuple[Question, ...]
    notes: tuple[str, ...] = ()


def posed(sides: Sides, ablations: Sequence[Ablation]) -> Posed:
    """K = ∅, every set with a name, and random ones: all but what has to be searched for."""
    alike = same_model(sides[0].job, sides[1].job)
    found: list[Question] = []
    notes: list[str] = []
    for ablation in _of_both(sides, ablations):
        further = stated(ablation, sides)
        notes += further.problems
        found += questions(ablation, sides[0].context, sides[1].context, same_model=alike)
        if alike:
            found += random_questions(further.random, ablation, sides, tuple(found))
        elif further.anything:
            notes.append(f"{ablation_text(ablation)}: {OF_ONE_MODEL}")
    return Posed(questions=tuple(found), notes=tuple(notes))


def runs_for(sides: Sides, asked: Sequence[Question]) -> Runs:
    """What both answers to questions need computed, as far as they can be asked at all."""
    found: tuple[list[Run], list[Run]] = [], []
    for question in asked:
        try:
            both = [runs_of(question, number, side.context) for number, side in enumerate(sides)]
        except EngineError:
            continue  # told when it is asked
        for runs, listed in zip(both, found, strict=True):
            listed += runs
    return tuple(found[0]), tuple(found[1])


def answered(sides: Sides, ablations: Sequence[Ablation], metrics: Collection[str]) -> Answered:
    """Both rivals' answers to every question that can be put to both."""
    begun = posed(sides, ablations)
    notes = list(begun.notes)
    _compute(sides, begun.questions)
    searched, problems = _searched(sides, ablations, metrics, begun.questions)
    notes += problems
    _compute(sides, searched)
    answers: dict[Question, tuple[Answer, Answer]] = {}
    for question in (*begun.questions, *searched):
        try:
            answers[question] = (
                answer(question, 0, sides[0].context),
                answer(question, 1, sides[1].context),
            )
        except EngineError as error:
            notes.append(f"{title(question)}: {error}")
    return Answered(answers=answers, runs=runs_for(sides, tuple(answers)), notes=tuple(notes))


def _compute(sides: Sides, asked: Sequence[Question]) -> None:
    runs = runs_for(sides, asked)
    compute_together((side.context, each) for side, each in zip(sides, runs, strict=True))


def _searched(
    sides: Sides,
    ablations: Sequence[Ablation],
    metrics: Collection[str],
    known: tuple[Question, ...],
) -> tuple[tuple[Question, ...], list[str]]:
    """Sets that greedy searches find, by metrics that both models can do."""
    found: list[Question] = []
    notes: list[str] = []
    if not same_model(sides[0].job, sides[1].job):
        return (), notes
    for ablation in _of_both(sides, ablations):
        for metric, size in stated(ablation, sides).greedy.items():
            if metric not in metrics:
                continue
            try:
                found += greedy_questions(size, metric, ablation, sides, (*known, *found))
            except EngineError as error:
                notes.append(f"{ablation_text(ablation)}, greedy sets: {error}")
    return tuple(found), notes


def _of_both(sides: Sides, ablations: Sequence[Ablation]) -> list[Ablation]:
    return [a for a in ablations if all(measurable(a, side.context) for side in sides)]
