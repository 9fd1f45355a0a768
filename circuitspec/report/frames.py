"""Results as flat rows, and as data frames where pandas is installed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from circuitspec.hypothesis.expand import ablation_text
from circuitspec.judge.records import RunResult

if TYPE_CHECKING:
    import pandas

    from circuitspec.comparing.records import Comparison

Row = dict[str, Any]


def rows(result: RunResult | Comparison) -> list[Row]:
    """One row a requirement of a run, one a paired difference of a comparison; unrounded."""
    return list(_requirements(result) if isinstance(result, RunResult) else _differences(result))


def frame(result: RunResult | Comparison) -> pandas.DataFrame:
    """The rows as a data frame. Raises ImportError, saying what to install, without pandas."""
    try:
        import pandas
    except ImportError as error:
        advice = "a frame needs pandas. Run:\n    pip install 'circuitspec[pandas]'"
        raise ImportError(advice) from error
    return pandas.DataFrame(rows(result))


def _requirements(result: RunResult) -> Iterator[Row]:
    for hypothesis in result.hypotheses:
        for claim in hypothesis.claims:
            for requirement in claim.requirements:
                low, high = requirement.interval or (requirement.estimate, requirement.estimate)
                yield {
                    "hypothesis": hypothesis.name,
                    "model": hypothesis.model.name,
                    "claim": claim.name,
                    "kind": claim.kind,
                    "requirement": requirement.text,
                    "arm": requirement.arm,
                    "verdict": requirement.verdict,
                    "claim_verdict": claim.verdict,
                    "reason": requirement.reason,
                    "estimate": requirement.estimate,
                    "low": low,
                    "high": high,
                    "level": requirement.level,
                    "threshold": requirement.threshold,
                    "n": requirement.n,
                    "method": requirement.method,
                }


def _differences(result: Comparison) -> Iterator[Row]:
    for pair in result.pairs:
        for difference in pair.differences:
            first, second = difference.values
            yield {
                "first": pair.first,
                "second": pair.second,
                "outcome": pair.outcome,
                "ablation": ablation_text(difference.question.ablation),
                "without": difference.question.name or None,
                "metric": difference.metric,
                "measure": difference.measure,
                "first_value": first.estimate,
                "second_value": second.estimate,
                "nearer": difference.nearer.estimate,
                "low": difference.nearer.low,
                "high": difference.nearer.high,
                "level": difference.nearer.level,
                "called": difference.called,
            }
