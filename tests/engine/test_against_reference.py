"""Every kind of run on every architecture gives what the slow reference gives."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.engine.runs import Readings, Run

from .executors import EXECUTORS
from .models import NAMES, PLAIN, model
from .oracle import Expected, expected
from .strategies import KINDS, Kind, runs, tries
from .worlds import world

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def agree(run: Run, got: Readings, want: Expected, tolerance: float) -> None:
    """Everything read, to `tolerance`; what is decided by order, unless it is nearly a tie."""
    asked = np.arange(len(want.metrics["rank"])) if run.rows is None else np.array(run.rows)

    def close(got: Any, want: torch.Tensor, what: str, within: float = tolerance) -> None:
        np.testing.assert_allclose(
            got[asked], want.numpy()[asked], rtol=within, atol=within, err_msg=f"{what} of {run}"
        )

    for name, values in want.metrics.items():
        tied = want.margins[name] <= 4 * tolerance
        if name == "rank":
            values = torch.where(tied, torch.as_tensor(got.metrics[name]), values)
        close(got.metrics[name], values, name, 0 if name == "rank" else tolerance)
        top = torch.where(tied, torch.as_tensor(got.top[name]).double(), want.top[name])
        close(got.top[name], top, f"top at {name}", 0)
        close(got.kl[name], want.kl[name], f"KL at {name}")
        left = np.setdiff1d(np.arange(len(values)), asked)
        assert np.isnan(got.metrics[name][left]).all()
        assert (got.top[name][left] == -1).all()
    for reading in run.attention:
        close(got.attention[reading], want.attention[reading], str(reading))
    for share in run.attribution:
        close(got.attribution[share], want.attribution[share], str(share))
    assert set(got.metrics) == set(want.metrics)
    assert got.touched.written == got.touched.planned


def examples(name: str, kinds: Iterable[Kind], count: int) -> None:
    """`count` worlds, and in each a run of every kind, all asked of every executor at once."""
    subject = model(name)

    @tries(count)
    @given(data=st.data(), seed=st.integers(0, 99), double=st.booleans())
    def holds(data: st.DataObject, seed: int, double: bool) -> None:
        place = world(seed, plain=seed % 3 != 0)
        dtype = torch.float64 if double else torch.float32
        drawn = [data.draw(runs(place, subject.loaded.shape, kind)) for kind in kinds]
        wanted = [expected(subject.slow, place, run) for run in drawn] * 2
        # what else is read decides which executor computes a run: each is asked with it and without
        asked = [*drawn, *(replace(run, attention=(), attribution=()) for run in drawn)]
        for make_engine in EXECUTORS.values():
            for size in (2, 64):  # in parts, and all prompts side by side
                engine = make_engine(
                    subject.weights(dtype), place.sets, place.metrics, batch_size=size
                )
                for run, got, want in zip(asked, engine.evaluate(asked), wanted, strict=True):
                    agree(run, got, want, TOLERANCE[dtype])

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_random_runs(name: str) -> None:
    examples(name, KINDS, 3 if name in PLAIN else 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_many_random_runs(name: str, kind: Kind) -> None:
    examples(name, [kind], 16)
