"""Two rivals put to the same questions: paired differences, and who is ahead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitspec.claims.measured import Arm, Series
from circuitspec.comparing import reading
from circuitspec.comparing.asking import Runs, answered
from circuitspec.comparing.deciding import deciding_of, disagreements_of, moves_of
from circuitspec.comparing.differences import called, change, nearer, own, size_bounds
from circuitspec.comparing.moves import apart
from circuitspec.comparing.questions import facts_for, measures
from circuitspec.comparing.records import (
    Called,
    ClaimDifference,
    Difference,
    Move,
    Pair,
    Worst,
)
from circuitspec.comparing.sides import (
    Answers,
    Models,
    Side,
    Terms,
    model_of,
    same_model,
)
from circuitspec.engine.runs import EngineError
from circuitspec.hypothesis.records import Ablation, Requirement
from circuitspec.judge.contrast import statement
from circuitspec.judge.facts import Facts
from circuitspec.judge.many import is_over_many


def pair_of(
    first: Side, second: Side, ablations: Sequence[Ablation], terms: Terms
) -> tuple[Pair, Runs]:
    """The comparison of two rivals, and what was computed for it."""
    names = (first.name, second.name)
    alike = same_model(first.job, second.job)
    differ = apart(first.context, second.context, alike=alike)
    problem = obstacle(first, second, ablations)
    if problem:
        sentence = f"{first.name} and {second.name} cannot be put to one test: {problem}"
        pair = Pair(
            first=first.name,
            second=second.name,
            outcome="unpaired",
            reading=(sentence,),
            apart=differ,
        )
        return pair, ((), ())
    models = {
        metric: (model_of(first).metrics[metric], model_of(second).metrics[metric])
        for metric in _metrics(first, second)
    }
    asked = answered((first, second), ablations, models.keys())
    answers = asked.answers
    differences = differences_of(answers, models, first.facts, terms, alike=alike)
    worst = tuple(worst_of(differences))
    deciding = deciding_of(differences)
    moves: tuple[Move, ...] = ()
    if deciding is not None and alike:
        moves = moves_of(deciding, answers[deciding.question], first, second, terms)
    found = reading.outcome(differences, worst)
    pair = Pair(
        first=first.name,
        second=second.name,
        outcome=found,
        reading=reading.reading(names, found, differences, worst, differ, first.facts.n),
        apart=differ,
        claims=tuple(_claims(first, second, terms)) if alike else (),
        differences=differences,
        worst=worst,
        deciding=deciding,
        moves=moves,
        disagreements=disagreements_of(deciding, answers, models, first),
        notes=asked.notes,
    )
    return pair, asked.runs


def obstacle(first: Side, second: Side, ablations: Sequence[Ablation]) -> str:
    """Why two rivals cannot be compared at all; empty where they can."""
    prompts = [
        [(prompt.template, prompt.text) for prompt in side.context.task.evaluation]
        for side in (first, second)
    ]
    if prompts[0] != prompts[1]:
        return "their evaluation prompts are not the same"
    if not _metrics(first, second):
        return "they have no metric in common that both models clearly can do"
    if not ablations:
        return "no claim of theirs says what cutting means"
    return ""


def _metrics(first: Side, second: Side) -> tuple[str, ...]:
    """The metrics of both that are clearly not 0 for either model, so that shares have a sense."""
    return tuple(
        metric
        for metric in first.facts.metrics
        if first.facts.competent[metric] and second.facts.competent.get(metric, False)
    )


# ── Differences ──────────────────────────────────────────────────────────────────────────────────


def differences_of(
    answers: Answers, models: Models, facts: Facts, terms: Terms, *, alike: bool
) -> tuple[Difference, ...]:
    """Every question by every measure, called at the level that holds for all of them at once.

    `models` has the unmodified models' values by metric, float64 [n]; `alike`: both are one model.
    """
    posed = [(q, metric, measure) for q in answers for metric in models for measure in measures(q)]
    family = 100.0 - (100.0 - terms.level) / max(len(posed), 1)
    found = []
    for question, metric, measure in posed:
        mine, theirs = (
            one.series(measure, metric, per=None if alike else values)
            for one, values in zip(answers[question], models[metric], strict=True)
        )
        in_units = alike and measure != "agreement"
        scale = abs(float(models[metric][0].mean())) if in_units else 1.0
        margin = scale * terms.margin / 100.0
        sample = facts_for(question, facts)
        at = nearer(mine, theirs, measure, sample)
        values = own(mine, sample), own(theirs, sample)
        found.append(
            Difference(
                question=question,
                metric=metric,
                measure=measure,
                values=(values[0](terms.level), values[1](terms.level)),
                within=(values[0](family), values[1](family)),
                nearer=at(terms.level),
                family=at(family),
                scale=scale,
                margin=margin,
                called=called(at(family), margin),
            )
        )
    return tuple(found)


def worst_of(differences: Sequence[Difference]) -> Iterator[Worst]:
    """Either rival's largest miss over every set, by ablation and metric."""
    grouped: dict[tuple[Ablation, str], list[Difference]] = {}
    for each in differences:
        if each.measure == "miss":
            grouped.setdefault((each.question.ablation, each.metric), []).append(each)
    for (ablation, metric), misses in grouped.items():
        margin = misses[0].margin
        largest = []
        for side in (0, 1):
            sizes = [size_bounds(each.within[side]) for each in misses]
            at = max(
                range(len(misses)),
                key=lambda i: (sizes[i][0], abs(misses[i].within[side].estimate)),
            )
            largest.append((misses[at], sizes[at][0], max(high for _, high in sizes)))
        (one, one_at_least, one_at_most), (two, two_at_least, two_at_most) = largest
        ahead: Called = "undecided"
        if two_at_least - one_at_most > margin:
            ahead = "first"
        elif one_at_least - two_at_most > margin:
            ahead = "second"
        yield Worst(
            ablation=ablation,
            metric=metric,
            sets=(one.question.name, two.question.name),
            misses=(one.within[0], two.within[1]),
            at_least=(one_at_least, two_at_least),
            at_most=(one_at_most, two_at_most),
            margin=margin,
            called=ahead,
        )


def _claims(first: Side, second: Side, terms: Terms) -> Iterator[ClaimDifference]:
    """What claims of one name and requirement judge, the first rival's less the second's."""
    also = {
        (claim.name, requirement.text)
        for claim in second.job.claims
        for requirement in claim.requirements
        if claim.name in second.measured
    }
    for claim in first.job.claims:
        for requirement in claim.requirements:
            if claim.name not in first.measured or (claim.name, requirement.text) not in also:
                continue
            mine, theirs = first.measured[claim.name], second.measured[claim.name]
            if is_over_many(requirement, mine):
                continue  # it has as many contrasts as there are sets
            arms = {arm.name: arm for arm in theirs.arms}
            for arm in mine.arms:
                try:
                    one = _contrast(requirement, arm, first.facts)
                    other = _contrast(requirement, arms[arm.name], first.facts)
                except (EngineError, KeyError):
                    continue  # invalid, and said so with the claim; or an arm of one of them alone
                yield ClaimDifference(
                    claim=claim.name,
                    arm=arm.name if len(mine.arms) > 1 else None,
                    requirement=requirement.text,
                    difference=change(one, other, first.facts)(terms.level),
                )


def _contrast(requirement: Requirement, arm: Arm, facts: Facts) -> Series:
    """What a requirement judges, prompt by prompt; of a band, against its lower end."""
    contrast = statement(requirement, arm.series, facts.metrics).parts[0].contrast
    of = [arm.series[name] for name in contrast.terms]
    return Series(
        values=contrast.values(arm.series, facts.n),
        share=tuple(contrast.terms.values()) == (1.0,) and of[0].share,
        drawn=any(series.drawn for series in of),
    )
