"""Which prompts go together; side by side they have the figures that each has alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.engine import kernels
from circuitspec.engine.engine import Engine
from circuitspec.engine.plan.goes import SMALL, goes, token_rows
from circuitspec.engine.plan.layout import GAP, Layout
from circuitspec.engine.runs import Means, ReplaceAllBut, Run
from circuitspec.hypothesis.records import Element
from circuitspec.language.nodes import ALL_POSITIONS, END, Head, HeadIndex, Layer, Mlp

from .models import model
from .worlds import world


def layout(first: int, count: int, tokens: int) -> Layout:
    rows = np.arange(first, first + count)
    return Layout((GAP,), rows, np.zeros((1, count), np.int64), np.full((1, count), tokens))


@given(
    sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 200)), max_size=8),
    batch_size=st.integers(1, 256),
    runs=st.integers(1, 50),
)
def test_every_prompt_goes_once_and_never_too_many_at_once(
    sizes: list[tuple[int, int]], batch_size: int, runs: int
) -> None:
    layouts, first = [], 0
    for count, tokens in sizes:
        layouts.append(layout(first, count, tokens))
        first += count
    found = goes(layouts, batch_size, runs)
    assert sorted(row for go in found for part in go for row in part.rows) == list(range(first))
    for go in found:
        assert sum(len(part.rows) for part in go) <= batch_size
        assert len(go) == 1 or token_rows(go, runs) <= SMALL


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama", "toy_bidirectional_mlp"])
def test_side_by_side_is_as_one_by_one_in_fewer_products(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    place, weights = world(3), model(name).weights(torch.float64)
    shape = weights.shape
    live = {Element(Mlp(Layer(n)), ALL_POSITIONS) for n in range(shape.n_layers)}
    live |= {Element(Head(Layer(n), HeadIndex(0)), END) for n in range(shape.n_layers)}
    mean = Means("reference:abc", "template")
    run = Run("evaluation", writes=(ReplaceAllBut(frozenset(live), mean),))
    nothing = Run("evaluation", writes=(ReplaceAllBut(frozenset(), mean),))
    honest = kernels.mlp_output

    def evaluated(small: int) -> tuple[dict[str, Any], int, float]:
        products: list[int] = []

        def counted(mlp: Any, x: torch.Tensor) -> torch.Tensor:
            products.append(len(x))
            return honest(mlp, x)

        engine = Engine(weights, place.sets, place.metrics)
        engine._compiled.small = small
        engine.evaluate([Run("evaluation"), nothing])  # the model's own runs are not counted
        with monkeypatch.context() as patched:
            patched.setattr(kernels, "mlp_output", counted)
            (got,) = engine.evaluate([run])
        return dict(got.metrics), len(products), engine._compiled.cost.flops

    alone, many, cost = evaluated(0)
    together, few, same_cost = evaluated(1 << 15)
    assert few == shape.n_layers < many
    assert cost == same_cost
    for metric, values in alone.items():
        np.testing.assert_allclose(together[metric], values, rtol=1e-12, atol=1e-12)
