"""What must not matter: batch size, the order of prompts and of runs, what was computed before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.engine.runs import Readings, Rows, Run, Write
from circuitspec.task.records import PromptSet

from .models import Model, model
from .strategies import KINDS, runs, tries
from .worlds import World, world


def ask(
    make_engine: Callable[..., Any],
    subject: Model,
    place: World,
    asked: Sequence[Run],
    size: int = 3,
) -> list[Readings]:
    engine = make_engine(subject.weights(torch.float32), place.sets, place.metrics, batch_size=size)
    return list(engine.evaluate(asked))


def series(readings: Readings) -> dict[Any, np.ndarray]:
    """Every series of a run by what was read."""
    return {
        **readings.metrics,
        **{("top", name): values for name, values in readings.top.items()},
        **{("kl", name): values for name, values in readings.kl.items()},
        **readings.attention,
        **readings.attribution,
    }


def same_bits(one: Readings, other: Readings) -> None:
    a, b = series(one), series(other)
    assert a.keys() == b.keys()
    for key in a:
        assert a[key].tobytes() == b[key].tobytes(), key
    assert one.touched == other.touched


def close(one: Readings, other: Readings, tolerance: float = 1e-5) -> None:
    a, b = series(one), series(other)
    for key in a:
        if key in ("rank", ("top", "rank")):  # a tie may fall either way
            continue
        np.testing.assert_allclose(a[key], b[key], rtol=tolerance, atol=tolerance, err_msg=str(key))


def drawn(data: st.DataObject, place: World, subject: Model) -> list[Run]:
    """A run of every kind, and each without the readings that only the dense executor has."""
    asked = [data.draw(runs(place, subject.loaded.shape, kind)) for kind in KINDS]
    return asked + [replace(run, attention=(), attribution=()) for run in asked]


@pytest.mark.parametrize("name", ["gpt2", "gpt_neo", "gpt_neox", "llama", "toy_plain"])
def test_batch_size_moves_figures_by_rounding_only(
    make_engine: Callable[..., Any], name: str
) -> None:
    subject = model(name)

    @tries(2)
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        place = world(3, size=6)
        asked = drawn(data, place, subject)
        whole, *others = (ask(make_engine, subject, place, asked, n) for n in (64, 1, 4))
        for other in others:
            for run, a, b in zip(asked, whole, other, strict=True):
                close(a, b)
                assert (a.touched.planned, a.touched.written) == (
                    b.touched.planned,
                    b.touched.written,
                ), run

    holds()


@pytest.mark.parametrize("name", ["gpt2", "llama", "toy_plain"])
def test_the_same_batch_size_gives_the_same_bits(make_engine: partial[Any], name: str) -> None:
    """And so it does, one run at a time, whatever the order of runs and what was computed before.
    Runs that are computed together differ by rounding when they are asked for otherwise."""
    subject = model(name)
    otherwise = same_bits if make_engine.keywords["executor"] == "dense" else close

    @tries(2)
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        place = world(5, size=6)
        asked = drawn(data, place, subject)
        first = ask(make_engine, subject, place, asked)
        for one, other in zip(first, ask(make_engine, subject, place, asked), strict=True):
            same_bits(one, other)
        backwards = ask(make_engine, subject, place, asked[::-1])[::-1]
        for one, other in zip(first, backwards, strict=True):
            otherwise(one, other)
        for run, one in zip(asked, first, strict=True):
            otherwise(one, ask(make_engine, subject, place, [run])[0])

    holds()


def test_equal_runs_are_computed_once(make_engine: Callable[..., Any]) -> None:
    subject, place = model("gpt2"), world(1)
    engine = make_engine(subject.weights(torch.float32), place.sets, place.metrics)
    one, two = engine.evaluate([Run("evaluation"), Run("evaluation")])
    (three,) = engine.evaluate([Run("evaluation")])
    assert one is two is three


@pytest.mark.parametrize("name", ["gpt_neo", "llama"])
def test_readings_are_in_the_order_of_the_prompts(
    make_engine: Callable[..., Any], name: str
) -> None:
    """Prompts shuffled, with everything that is paired with them: readings shuffled alike."""
    subject = model(name)

    @tries(2)
    @given(data=st.data(), seed=st.integers(0, 9))
    def holds(data: st.DataObject, seed: int) -> None:
        place = world(seed, size=7)
        order = list(range(7))
        Random(seed).shuffle(order)
        sets = {
            name: PromptSet(name=name, prompts=tuple(of.prompts[i] for i in order))
            if name in ("evaluation", "counterfactual:abc")
            else of
            for name, of in place.sets.items()
        }
        for kind in KINDS:
            # noise is drawn by row, so it does not move with the prompt
            run = data.draw(runs(place, subject.loaded.shape, kind, noise=False))
            run = replace(run, rows=None)
            bare = replace(run, attention=(), attribution=())
            moved = replace(place, sets=sets)
            for each in (run, bare):
                (straight,) = ask(make_engine, subject, place, [each])
                (shuffled,) = ask(make_engine, subject, moved, [_reordered(each, order)])
                for key, values in series(straight).items():
                    np.testing.assert_allclose(
                        series(shuffled)[key], values[order], rtol=1e-5, atol=1e-5, err_msg=str(key)
                    )

    holds()


def _reordered(run: Run, order: list[int]) -> Run:
    def source(of: Any) -> Any:
        if not isinstance(of, Rows):
            return of
        rows = tuple(of.rows[i] for i in order)
        if of.prompts == "counterfactual:abc":
            rows = tuple(order.index(row) for row in rows)
        return Rows(of.prompts, rows)

    def writes(of: tuple[Write, ...]) -> tuple[Write, ...]:
        return tuple(replace(write, source=source(write.source)) for write in of)

    return replace(
        run,
        given=writes(run.given),
        writes=writes(run.writes),
        edges=run.edges and replace(run.edges, source=source(run.edges.source)),
        path=run.path and replace(run.path, source=source(run.path.source)),
    )
