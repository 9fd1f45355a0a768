"""The slow path through TransformerLens's hooks gives what the engine and the reference give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.engine.audit.audit import Audit, Audited
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import (
    CopyingReading,
    LensReading,
    Readings,
    Replace,
    ResidualReading,
    Run,
)
from circuitspec.hypothesis.records import Element
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import END, Head, HeadIndex, Layer, Mlp

from .models import NAMES, model
from .oracle import expected
from .strategies import KINDS, counterfactual, runs, tries
from .worlds import World, world

ROWS = [2, 0, 3]


def examples(name: str, count: int, *, by_reference: bool) -> None:
    """Runs of every kind by the slow path, against the reference or (quicker) the engine, which the
    reference has its own tests for."""
    subject = model(name)

    @tries(count)
    @given(data=st.data(), seed=st.integers(0, 99))
    def holds(data: st.DataObject, seed: int) -> None:
        place = named(world(seed, plain=seed % 3 != 0))
        audit = Audit(subject.loaded, place.sets, place.metrics)
        engine = Engine(subject.weights(torch.float64), place.sets, place.metrics)
        for kind in KINDS:
            run = replace(data.draw(runs(place, subject.loaded.shape, kind)), rows=None)
            run = replace(run, residual=residuals(subject.loaded.shape, run))
            got = audit.evaluate(run, ROWS, margin=1e-4)
            as_read(engine.evaluate([run])[0], got, run)
            if by_reference:
                wanted = {
                    n: v.numpy() for n, v in expected(subject.slow, place, run).metrics.items()
                }
            else:
                wanted = dict(engine.evaluate([run])[0].metrics)
            assert got.metrics.keys() == wanted.keys()
            for metric, values in got.metrics.items():
                off = np.abs(values - wanted[metric][ROWS])
                assert (off <= got.slack[metric] + 1e-6).all(), (kind, metric, off, run)

    holds()


def named(place: World) -> World:
    """The same, with the answer IO the first token of every prompt: there is a name to copy."""
    prompts = tuple(replace(p, answers={**p.answers, "IO": p.tokens[:1]}) for p in place.prompts())
    return replace(
        place, sets={**place.sets, "evaluation": replace(place.sets["evaluation"], prompts=prompts)}
    )


def residuals(shape: ModelShape, run: Run) -> tuple[ResidualReading, ...]:
    """What can be read between the blocks of a run: nothing where every channel has its own."""
    if run.edges is not None:
        return ()
    lenses = [LensReading(layer, "logit_diff") for layer in range(shape.n_layers)]
    head = Head(Layer(shape.n_layers - 1), HeadIndex(1))
    copied = [CopyingReading(head, negative) for negative in (True, False)]
    return (*lenses, *(copied if shape.n_layers > 1 else []))


def as_read(done: Readings, got: Audited, run: Run) -> None:
    """Whatever else the engine reads off a run, the slow path does."""
    for metric, candidates in got.top.items():
        assert all(int(done.top[metric][r]) in c for r, c in zip(ROWS, candidates, strict=True))
    ours = {(metric, "kl"): values for metric, values in done.kl.items()}
    ours |= {**done.attention, **done.attribution, **done.residual}
    assert got.read.keys() == ours.keys()
    for key, (values, slack) in got.read.items():
        assert (np.abs(values - ours[key][ROWS]) <= slack + 1e-6).all(), (key, run)
        if isinstance(key, CopyingReading):
            assert (slack == 0).any()  # not every share is a near-tie, so shares are compared


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_run_through_hooks(name: str) -> None:
    examples(name, 2, by_reference=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_runs_through_hooks(name: str) -> None:
    examples(name, 2, by_reference=True)


def test_slack_is_how_far_a_metric_moves_when_logits_do() -> None:
    """So that a comparison of probabilities, ranks or KL is one of logits."""
    subject, place = model("gpt2"), world(5)
    audit = Audit(subject.loaded, place.sets, place.metrics)
    engine = Engine(subject.weights(torch.float64), place.sets, place.metrics)
    knocked = frozenset({Element(Mlp(Layer(0)), END)})
    run = Run("evaluation", writes=(Replace(knocked, counterfactual(place)),))
    exact = engine.evaluate([run])[0].metrics
    none, some, more = (audit.evaluate(run, [0, 1, 2, 3], margin=m) for m in (0.0, 1e-3, 1e-2))
    for metric in place.metrics:
        assert (none.slack[metric] == 0).all()
        assert (some.slack[metric] <= more.slack[metric]).all()
    # a model whose every logit is a little off stays within the slack, and not far within
    for margin, audited in ((1e-3, some), (1e-2, more)):
        generator = torch.Generator().manual_seed(0)
        moved = subject.weights(torch.float64)
        bias = torch.where(torch.rand(41, generator=generator) < 0.5, -margin, margin).double()
        moved = replace(moved, b_unembed=bias)
        off = Engine(moved, place.sets, place.metrics).evaluate([run])[0].metrics
        for metric in place.metrics:
            gap = np.abs(off[metric] - exact[metric])
            if metric != "divergence":  # both arms of a KL move alike here
                assert (gap <= audited.slack[metric] + 1e-9).all(), metric
        assert np.abs(off["logit_diff"] - exact["logit_diff"]).max() == pytest.approx(2 * margin)
