"""Whatever a claim is read off, a wrong value of it is seen by the self-checks of the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from circuitspec.claims import readings as claim_readings
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import Noised, Readings, Run
from circuitspec.engine.scrubbing import draws
from circuitspec.engine.scrubbing.scrub import Scrubbing
from circuitspec.judge.records import HypothesisResult
from circuitspec.verification import Job, Options, decide
from tests.claims.scrub_replay import story
from tests.claims.worlds import TASK, model, world

RUNS = "interventions agree with TransformerLens's hooks"
SCRUBS = "causal scrubs agree with TransformerLens's hooks"
SCORES = "head scores agree with TransformerLens's patterns"

MEAN = "by nodes with mean from abc over template"
NOISE = TASK.replace("sample evaluation", "baseline noised = noise(1, A2)\n    sample evaluation")


UNTIL = TASK.replace("evaluation 10,", "evaluation 256,")


def decided(claim: str, body: str = TASK, name: str = "gpt2", **options: Any) -> HypothesisResult:
    """The result of a hypothesis with one claim."""
    context = world(f"expect c {{ {claim} }}", name=name, body=body, dtype="float32").context
    job = Job(
        hypothesis=context.hypothesis,
        circuit=context.circuit,
        task=replace(context.task, stated=10),
        model=model(name)[0],
        claims=context.hypothesis.claims,
    )
    return decide(job, Options(controls=0, **options)).result


def failed(result: HypothesisResult) -> set[str]:
    return {check.name for check in result.self_checks if not check.passed}


def plant(
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[Run], Run] = lambda run: run,
    done: Callable[[Readings], Readings] = lambda done: done,
    only: Callable[[Engine], bool] = lambda engine: True,
) -> None:
    """An engine that does another run, or gives other readings, and says nothing of it."""
    honest = Engine.evaluate

    def evaluate(self: Engine, runs: Any, progress: Any = None) -> list[Readings]:
        runs = list(runs)
        if not only(self):
            return honest(self, runs, progress)
        return [done(r) for r in honest(self, [run(one) for one in runs], progress)]

    monkeypatch.setattr(Engine, "evaluate", evaluate)


def scaled(name: str) -> Callable[[Readings], Readings]:
    def wrong(done: Readings) -> Readings:
        return replace(done, **{name: {k: v * 1.01 + 0.01 for k, v in getattr(done, name).items()}})

    return wrong


def other_top(done: Readings) -> Readings:
    return replace(done, top={k: (v + 1) % 37 for k, v in done.top.items()})


FAITHFUL = f"ablate complement {MEAN} require agreement >= 0.1 ci 95 require kl <= 9 ci 95"

READ = {
    "attention": ("require attention(late) >= 0.1 ci 95", scaled("attention")),
    "attribution": ("require dla(late) >= 0.1 ci 95", scaled("attribution")),
    "lens": ("require logit_lens(1) >= 0 ci 95", scaled("residual")),
    "copying": ("require copying(late) >= 0.1 ci 95", scaled("residual")),
    "negative copying": ("require negative_copying(late) >= 0.1 ci 95", scaled("residual")),
    "attention by edges": (
        "ablate complement by edges with zero require attention(late) >= 0.1 ci 95",
        scaled("attention"),
    ),
    "attribution by edges": (
        "ablate complement by edges with zero require dla(late) >= 0.1 ci 95",
        scaled("attribution"),
    ),
    "attention of a path": (
        "patch all early -> middle.q from abc direct require attention(late) >= 0.1 ci 95",
        scaled("attention"),
    ),
    "KL": (FAITHFUL, scaled("kl")),
    "agreement": (FAITHFUL, other_top),
    "accuracy of the model": ("require accuracy >= 0.1 ci 95", other_top),
    "blind": (f"ablate complement {MEAN} require recovered >= 1% ci 95", other_top),
}


@pytest.mark.parametrize("what", READ)
def test_a_wrong_reading(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, wrong = READ[what]
    honest = decided(claim)
    assert failed(honest) == set()
    plant(monkeypatch, done=wrong)
    result = decided(claim)
    assert RUNS in failed(result)
    assert result.claims[0].verdict == "invalid"
    assert RUNS in str(result.claims[0].reason)


def without_noise(run: Run) -> Run:
    """Noise of another draw."""

    def other(source: Any) -> Any:
        return replace(source, seed=source.seed + 1) if isinstance(source, Noised) else source

    writes = tuple(replace(w, source=other(w.source)) for w in run.writes)
    path = run.path and replace(run.path, source=other(run.path.source))
    return replace(run, writes=writes, path=path)


def one_edge_less(run: Run) -> Run:
    if run.edges is None or len(run.edges.edges) < 2:
        return run
    fewer = frozenset(sorted(run.edges.edges, key=str)[1:])
    return replace(run, edges=replace(run.edges, edges=fewer))


DONE: dict[str, tuple[str, str, Callable[[Run], Run]]] = {
    "restore": (
        TASK,
        "run from abc restore late require recovered >= 1% ci 95",
        lambda run: replace(run, writes=run.writes[:1]),
    ),
    "noise": (NOISE, "run from noised restore late require recovered >= 1% ci 95", without_noise),
    "a patch from noise": (
        NOISE,
        "patch late from noised require logit_diff >= 0 ci 95",
        without_noise,
    ),
    "a path from noise": (
        NOISE,
        "patch all input -> early.q from noised direct require logit_diff >= 0 ci 95",
        without_noise,
    ),
    "a path of several hops": (
        TASK,
        "patch all early -> middle.q -> late.kv -> logits from abc direct "
        "require logit_diff >= 0 ci 95",
        lambda run: replace(run, onward=run.onward[:-1]),
    ),
    "given": (
        TASK,
        f"ablate middle {MEAN} given ablated early require logit_diff >= 0 ci 95",
        lambda run: replace(run, given=()),
    ),
    "an effect that is given": (
        TASK,
        f"ablate {MEAN} given ablated early require effect(middle) >= 0 ci 95",
        lambda run: replace(run, given=()),
    ),
    "minimality of each edge": (
        TASK,
        "ablate by edges with mean from abc over template each edge require effect >= 0 ci 95",
        one_edge_less,
    ),
    "completeness by edges": (
        TASK,
        "ablate by edges with mean from abc over template knockouts roles, random 2, greedy 1x2x2 "
        "require incompleteness <= 9 ci 95",
        one_edge_less,
    ),
}


@pytest.mark.parametrize("what", DONE)
def test_another_intervention(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body, claim, wrong = DONE[what]
    assert failed(decided(claim, body)) == set()
    plant(monkeypatch, run=wrong)
    result = decided(claim, body)
    assert RUNS in failed(result)
    assert result.claims[0].verdict == "invalid"


def test_what_is_measured_until_decided_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its prompts are more than the others', and so it has an engine of its own."""
    claim = f"ablate late {MEAN} until decided, at most 256 require logit_diff >= 1 ci 95"
    assert failed(decided(claim, UNTIL)) == set()
    plant(
        monkeypatch,
        done=scaled("metrics"),
        only=lambda engine: len(engine.sets.get("evaluation", ())) > 100,
    )
    assert RUNS in failed(decided(claim, UNTIL))


@pytest.mark.parametrize("function", ["previous_token", "duplicate_token", "induction"])
def test_a_wrong_head_score(function: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = f"require {function}(late) >= 0.01 ci 95"
    assert failed(decided(claim)) == set()
    honest = claim_readings.offset_scores

    def wrong(*given: Any) -> Any:
        return {head: values + 1e-3 for head, values in honest(*given).items()}

    monkeypatch.setattr(claim_readings, "offset_scores", wrong)
    assert failed(decided(claim)) == {SCORES}


# ── causal scrubs ────────────────────────────────────────────────────────────────────────────────

SCRUB = "scrub over task draws 2 require scrub_recovered(logit_diff) >= 0.1 ci 95"


def scrub_fails(**options: Any) -> bool:
    result = decided(SCRUB, story(8), **options)
    assert failed(result) <= {SCRUBS}
    if failed(result):
        assert result.claims[0].verdict == "invalid"
    return bool(failed(result))


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("audit", [False, True])
def test_an_honest_scrub_passes(audit: bool, pooled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if pooled:
        monkeypatch.setattr("circuitspec.claims.scrubbing.MOST_PATHS", 0)
    result = decided(SCRUB, story(8), audit=audit)
    (check,) = (c for c in result.self_checks if c.name == SCRUBS)
    assert check.passed, check.detail
    assert check.value is not None
    assert 0 < check.value < 1e-5
    # the scrub, that of no role, and one of each of the three roles; 6 prompts, 2 draws
    assert check.detail.startswith("5 of 5 scrubs, 60 trees" if audit else "2 of 5 scrubs, 4 trees")


def test_a_scrub_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it gives is the model, whatever was drawn."""
    honest = Scrubbing.finals

    def nothing(self: Scrubbing, tree: Any) -> Any:
        scrubbed, random = honest(self, tree)
        return self.model_finals(tree)[:, None].expand_as(scrubbed), random

    monkeypatch.setattr(Scrubbing, "finals", nothing)
    assert scrub_fails()


def test_floors_that_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """m_rand is read on the prompt itself."""
    honest = Scrubbing.finals

    def floored(self: Scrubbing, tree: Any) -> Any:
        scrubbed, random = honest(self, tree)
        return scrubbed, self.model_finals(tree)[:, None].expand_as(random)

    monkeypatch.setattr(Scrubbing, "finals", floored)
    assert scrub_fails()


def test_a_scrub_of_one_prompt_that_is_wrong_is_found_where_all_are_audited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = Scrubbing.finals

    def wrong(self: Scrubbing, tree: Any) -> Any:
        scrubbed, random = honest(self, tree)
        if 3 in tree.rows:
            scrubbed[tree.rows.index(3), 1] *= torch.linspace(0.9, 1.1, scrubbed.shape[-1])
        return scrubbed, random

    monkeypatch.setattr(Scrubbing, "finals", wrong)
    assert scrub_fails(audit=True)


def test_draws_that_do_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role is read on any prompt of the pool that is as long, as if it carried nothing."""

    def read(self: draws.Chooser, carries: Any, position: Any, length: int, x: Any, u: Any) -> Any:
        drawn = self.other(length, u)
        return drawn, drawn, np.zeros(x.shape, dtype=np.bool_)

    monkeypatch.setattr(draws.Chooser, "read", read)
    assert scrub_fails()


def test_keys_that_are_not_those_of_the_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel reads on o what it should read along its edges: no difference if all are one."""
    from circuitspec.engine.scrubbing import states

    honest = states._Computation._terms

    def terms(self: Any, node: Any, channel: str, at: int | None = None) -> Any:
        return () if channel == "v" else honest(self, node, channel, at)

    monkeypatch.setattr(states._Computation, "_terms", terms)
    assert scrub_fails()


def test_a_sample_says_which_scrubs_it_leaves_to_a_full_audit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("circuitspec.engine.audit.checks.MOST_STATES", 1)
    (check,) = (c for c in decided(SCRUB, story(8)).self_checks if c.name == SCRUBS)
    assert check.detail.startswith("0 of 5 scrubs, 0 trees; 5 left to --audit, with more than 1 ")
