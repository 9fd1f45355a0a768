"""A lock compares equal to the run that wrote it, and says what another run has otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from circuitspec.judge.records import ClaimResult, HypothesisResult, RunResult
from circuitspec.report.lock import differences, parse, path_beside, render

Change = Callable[[HypothesisResult], HypothesisResult]


def of_claim(change: Callable[[ClaimResult], ClaimResult]) -> Change:
    return lambda h: replace(h, claims=(change(h.claims[0]), *h.claims[1:]))


def of_requirement(**changes: object) -> Change:
    return of_claim(
        lambda c: replace(
            c, requirements=(replace(c.requirements[0], **changes), *c.requirements[1:])
        )
    )


def moved(by: float) -> Change:
    """The first estimate moved by so much of its interval's width."""

    def change(claim: ClaimResult) -> ClaimResult:
        first = claim.requirements[0]
        assert first.interval is not None
        assert first.estimate is not None
        low, high = first.interval
        estimate = first.estimate + by * (high - low)
        return replace(
            claim, requirements=(replace(first, estimate=estimate), *claim.requirements[1:])
        )

    return of_claim(change)


def changed(result: RunResult, change: Change) -> RunResult:
    return replace(result, hypotheses=(change(result.hypotheses[0]), *result.hypotheses[1:]))


def lock_of(result: RunResult) -> dict:
    lock = parse(render(result))
    assert lock is not None
    return lock


@pytest.mark.parametrize("name", ["held", "every_verdict", "awkward"])
def test_a_run_is_what_its_own_lock_says(name: str, request: pytest.FixtureRequest) -> None:
    result = request.getfixturevalue(name)
    assert differences(lock_of(result), result) == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda h: replace(h, prompts="sha256:0"), "the prompts are others"),
        (lambda h: replace(h, model=replace(h.model, revision="other")), "revision is other"),
        (lambda h: replace(h, model=replace(h.model, name="gpt3")), "the model is gpt3"),
        (lambda h: replace(h, name="another"), "another is not in the lock"),
        (of_claim(lambda c: replace(c, name="another")), "another is not in the lock"),
        (of_claim(lambda c: replace(c, verdict="refuted")), "refuted, in the lock holds"),
        (of_requirement(text="x >= 7"), "x >= 7 is not in the lock"),
        (of_requirement(estimate=None), "measures nothing"),
        (moved(0.02), "in the lock"),
    ],
)
def test_what_differs_is_said(held: RunResult, change: Change, said: str) -> None:
    found = differences(lock_of(held), changed(held, change))
    assert any(said in sentence for sentence in found), found


def test_rounding_has_not_moved(held: RunResult) -> None:
    assert differences(lock_of(held), changed(held, moved(0.005))) == ()


def test_what_left_the_spec_is_said_where_the_whole_ran(held: RunResult) -> None:
    fewer = changed(held, lambda h: replace(h, claims=h.claims[1:]))
    (gone,) = differences(lock_of(held), fewer)
    assert gone.endswith("is in the lock alone")
    assert differences(lock_of(held), fewer, whole=False) == ()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": "circuitspec.lock/2", "hypotheses": {}}', "\x00"]
    + [
        f'{{"schema": "circuitspec.lock/1", "hypotheses": {broken}}}'
        for broken in ("[]", '{"a": 1}', '{"a": {"claims": {"c": {"requirements": {"r": {}}}}}}')
    ],
)
def test_what_is_no_lock_is_none(text: str) -> None:
    assert parse(text) is None


def test_the_lock_lies_beside_the_spec() -> None:
    assert path_beside(Path("specs/ioi.circuit")) == Path("specs/ioi.circuit.lock")
