"""A comparison as JSON: `circuitspec.comparison/1`, every number unrounded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from circuitspec.hypothesis.expand import ablation_text
from circuitspec.report.json import Json, hypothesis_document, plain, self_check_document

if TYPE_CHECKING:
    from circuitspec.comparing.records import Comparison, Difference, Pair, Question, Rival, Score
    from circuitspec.judge.intervals import Interval


def document(result: Comparison) -> Json:
    """The comparison as plain values, keys in the schema's order."""
    found: Json = plain(
        {
            "schema": result.schema,
            "reading": result.reading,
            "level": result.level,
            "margin": result.margin,
            "n": result.n,
            "rivals": [_rival(rival) for rival in result.rivals],
            "pairs": [_pair(pair) for pair in result.pairs],
            "self_checks": [self_check_document(c) for c in result.self_checks],
            "seed": result.seed,
            "seconds": result.seconds,
            "cost": result.cost,
            "batch_size": result.batch_size,
        }
    )
    return found


def _rival(rival: Rival) -> Json:
    return {
        "name": rival.name,
        "n_elements": rival.n_elements,
        "scores": [_score(score) for score in rival.scores],
        "result": hypothesis_document(rival.result),
    }


def _score(score: Score) -> Json:
    return {
        "ablation": ablation_text(score.ablation),
        "metric": score.metric,
        "model": score.model,
        **{
            name: _interval(getattr(score, name))
            for name in ("circuit", "ratio", "recovered", "agreement")
        },
    }


def _pair(pair: Pair) -> Json:
    return {
        "first": pair.first,
        "second": pair.second,
        "outcome": pair.outcome,
        "reading": pair.reading,
        "differences": [_difference(difference) for difference in pair.differences],
        "largest_misses": [
            {
                "ablation": ablation_text(worst.ablation),
                "metric": worst.metric,
                "without": worst.sets,
                "misses": [_interval(miss) for miss in worst.misses],
                "at_least": worst.at_least,
                "at_most": worst.at_most,
                "called": worst.called,
            }
            for worst in pair.worst
        ],
        "claims": [
            {
                "claim": c.claim,
                "arm": c.arm,
                "requirement": c.requirement,
                "difference": _interval(c.difference),
            }
            for c in pair.claims
        ],
        "only_first": _only(pair, 0),
        "only_second": _only(pair, 1),
        "other_differences": pair.apart.others,
        "deciding": None if pair.deciding is None else _difference(pair.deciding),
        "moves": [
            {
                "name": move.name,
                "parts": move.parts,
                "held_by": move.held_by,
                "in_first": _interval(move.in_first),
                "in_second": _interval(move.in_second),
            }
            for move in pair.moves
        ],
        "disagreements": [
            {
                "index": prompt.index,
                "template": prompt.template,
                "text": prompt.text,
                "circuits": prompt.circuits,
                "models": prompt.models,
            }
            for prompt in pair.disagreements
        ],
        "notes": pair.notes,
    }


def _only(pair: Pair, side: int) -> Json:
    apart = pair.apart
    return {
        "nodes": apart.elements[side],
        "edges": apart.edges[side],
        "features": [{"text": s.text, "nodes": s.elements} for s in apart.features[side]],
    }


def _difference(difference: Difference) -> Json:
    return {
        "ablation": ablation_text(difference.question.ablation),
        "without": difference.question.name or None,
        **_set(difference.question),
        "metric": difference.metric,
        "measure": difference.measure,
        "values": [_interval(value) for value in difference.values],
        "nearer": _interval(difference.nearer),
        "family": _interval(difference.family),
        "margin": difference.margin,
        "called": difference.called,
    }


def _set(question: Question) -> Json:
    """How K was found, what is in it, and the prompts that judge it where not all of them do."""
    if question.cuts is None:
        return {}
    found: Json = {"kind": question.kind, "parts": [question.parts(side) for side in (0, 1)]}
    return found if question.rows is None else {**found, "prompts": question.rows}


def _interval(interval: Interval) -> Json:
    return {
        "estimate": interval.estimate,
        "interval": None if interval.exact else [interval.low, interval.high],
        "level": interval.level,
        "method": interval.method,
        "n": interval.n,
    }
