"""What decides between two rivals: which of their differences, and on which prompts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuitspec.comparing import reading
from circuitspec.comparing.differences import change
from circuitspec.comparing.moves import differing, moved
from circuitspec.comparing.questions import Answer, answer, facts_for, runs_of
from circuitspec.comparing.records import Difference, Disagreement, Move
from circuitspec.comparing.sides import Answers, Models, Side, Terms, compute_together
from circuitspec.judge.intervals import Interval

SHOWN_PROMPTS = 5


def deciding_of(differences: Sequence[Difference]) -> Difference | None:
    """The difference to be explained: the largest that is called, else the largest of all.

    Where the whole circuits are told apart, no knock-out is needed to say by what.
    """

    def clearest(difference: Difference) -> tuple[bool, bool, float]:
        told = difference.called in reading.SIDES
        whole = difference.question.cuts is None
        return told, told and whole, abs(difference.family.estimate) / difference.scale

    largest = max((d for d in differences if d.scale), key=clearest, default=None)
    return largest if largest is not None and largest.family.estimate else None


def moves_of(
    deciding: Difference,
    own_answers: tuple[Answer, Answer],
    first: Side,
    second: Side,
    terms: Terms,
) -> tuple[Move, ...]:
    """Every difference of the two circuits moved across, the most telling first."""
    question, metric, measure = deciding.question, deciding.metric, deciding.measure
    pieces = differing(first.context.circuit, second.context.circuit, question.ablation)
    sides = [
        (number, answers, [moved(side.context, piece.parts) for piece in pieces])
        for number, (side, answers) in enumerate(zip((first, second), own_answers, strict=True))
    ]
    compute_together(
        (context, runs_of(question, number, context))
        for number, _, contexts in sides
        for context in contexts
    )
    facts = facts_for(question, first.facts)
    found: list[list[Interval]] = []
    for number, before, contexts in sides:
        series = before.series(measure, metric)
        found.append(
            [
                change(answer(question, number, c).series(measure, metric), series, facts)(
                    terms.level
                )
                for c in contexts
            ]
        )
    moves = [
        Move(
            name=piece.name,
            parts=tuple(map(str, piece.parts)),
            held_by=piece.held_by,
            in_first=in_first,
            in_second=in_second,
        )
        for piece, in_first, in_second in zip(pieces, *found, strict=True)
    ]
    return tuple(
        sorted(moves, key=lambda m: -max(abs(m.in_first.estimate), abs(m.in_second.estimate)))
    )


def disagreements_of(
    deciding: Difference | None, answers: Answers, models: Models, first: Side
) -> tuple[Disagreement, ...]:
    """The prompts on which the two circuits are furthest apart, each as a share of its model."""
    if deciding is None:
        return ()
    metric = deciding.metric
    pair = answers[deciding.question]
    values = [each.value(metric) for each in pair]
    targets = [each.target(metric) for each in pair]
    whole, other = (float(values.mean()) for values in models[metric])
    distance = np.abs(values[0] / whole - values[1] / other)
    prompts = first.context.task.evaluation.prompts
    if deciding.question.rows is not None:
        prompts = tuple(prompts[row] for row in deciding.question.rows)
    return tuple(
        Disagreement(
            index=prompts[i].index,
            template=prompts[i].template,
            text=prompts[i].text,
            circuits=(float(values[0][i]), float(values[1][i])),
            models=(float(targets[0][i]), float(targets[1][i])),
        )
        for i in np.argsort(-distance, kind="stable")[:SHOWN_PROMPTS]
        if distance[i] > 0
    )
