"""Every kind of run on every architecture gives what the slow reference gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.engine.runs import Readings

from .models import NAMES, model
from .oracle import Expected, expected
from .strategies import KINDS, Kind, runs, tries
from .worlds import world

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}


def agree(got: Readings, want: Expected, tolerance: float) -> None:
    """Everything read, to `tolerance`; what is decided by order, unless it is nearly a tie."""
    for name, values in want.metrics.items():
        clear = want.margins[name] > 4 * tolerance
        if name == "rank":
            close(got.metrics[name], values, 0, name, clear)
        else:
            close(got.metrics[name], values, tolerance, name)
        if name in want.top:
            close(got.top[name], want.top[name], 0, f"top {name}", clear)
        if name in want.kl:
            close(got.kl[name], want.kl[name], tolerance, f"kl {name}")
    for reading, values in want.attention.items():
        close(got.attention[reading], values, tolerance, str(reading))
    for share, values in want.attribution.items():
        close(got.attribution[share], values, tolerance, str(share))
    assert set(got.metrics) == set(want.metrics)
    assert got.touched.written == got.touched.planned


def close(
    got: Any, want: torch.Tensor, tolerance: float, what: str, where: Any = slice(None)
) -> None:
    torch.testing.assert_close(
        torch.as_tensor(got).double()[where],
        want.double()[where],
        rtol=tolerance,
        atol=tolerance,
        msg=lambda message: f"{what}: {message}",
    )


def examples(make_engine: Callable[..., Any], name: str, kinds: Iterable[Kind], count: int) -> None:
    """`count` worlds, and in each a run of every kind on one engine, in one precision."""
    subject = model(name)

    @tries(count)
    @given(data=st.data(), seed=st.integers(0, 99), double=st.booleans())
    def holds(data: st.DataObject, seed: int, double: bool) -> None:
        place, dtype = world(seed), torch.float64 if double else torch.float32
        asked = [data.draw(runs(place, subject.loaded.shape, kind)) for kind in kinds]
        engine = make_engine(subject.weights(dtype), place.sets, place.metrics, batch_size=2)
        for run, got in zip(asked, engine.evaluate(asked), strict=True):
            agree(got, expected(subject.slow, place, run), TOLERANCE[dtype])

    holds()


@pytest.mark.parametrize("name", NAMES)
def test_random_runs(make_engine: Callable[..., Any], name: str) -> None:
    examples(make_engine, name, KINDS, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_many_random_runs(make_engine: Callable[..., Any], name: str, kind: Kind) -> None:
    examples(make_engine, name, [kind], 100)
