"""What is kept from call to call saves work, keeps within its bound, and changes no figure."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from circuitspec.engine.compiled.memo import Memo
from circuitspec.engine.compiled.values import Pool, Values
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import Means, Replace, ReplaceAllBut, Run
from circuitspec.hypothesis.records import Element
from circuitspec.language.nodes import END, Head, HeadIndex, Layer, Position

from .models import model
from .worlds import world

PLACE = world(4)
MEAN = Means("reference:abc", "template")
MEMBERS = [
    Element(Head(Layer(layer), HeadIndex(head)), place)
    for layer in (0, 1)
    for head in (0, 1)
    for place in (Position("S1"), END)
]


def engine_of(name: str = "gpt2") -> Engine:
    return Engine(model(name).weights(torch.float64), PLACE.sets, PLACE.metrics)


def steps(seed: int, count: int = 4) -> list[list[Run]]:
    """A greedy search's calls: at each step a set and each of some elements more."""
    drawn, held, found = Random(seed), frozenset[Element](), []
    for _ in range(count):
        tried = [held | {element} for element in drawn.sample(MEMBERS, 4)]
        found.append(
            [
                run
                for cut in tried
                for run in (
                    Run("evaluation", writes=(ReplaceAllBut(frozenset(MEMBERS) - cut, MEAN),)),
                    Run("evaluation", writes=(Replace(cut, MEAN),)),
                )
            ]
        )
        held = drawn.choice(tried)
    return found


@pytest.mark.parametrize("most", [0, 20_000, 1 << 30])
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox"])
def test_a_search_gives_what_its_steps_give_alone(name: str, most: int) -> None:
    engine = engine_of(name)
    memo = engine._compiled._kept.memo
    memo.most = most
    alone = 0
    for asked in steps(seed=most):
        fresh = engine_of(name)
        for got, want in zip(engine.evaluate(asked), fresh.evaluate(asked), strict=True):
            for metric, values in want.metrics.items():
                np.testing.assert_allclose(got.metrics[metric], values, rtol=1e-9, atol=1e-9)
            assert got.touched == want.touched
        assert memo.size <= most
        alone += fresh._compiled.cost.mlps
    saved = alone - engine._compiled.cost.mlps
    assert saved > 0 if most == 1 << 30 else saved >= 0


def test_what_was_used_longest_ago_goes_first() -> None:
    engine = engine_of()
    memo = engine._compiled._kept.memo
    first, second, third = (Run("evaluation", writes=(Replace(cut, MEAN),)) for cut in CUTS)
    engine.evaluate([first])
    each = memo.size
    engine.evaluate([second])
    assert memo.size > each > 0
    memo.most = memo.size
    engine.evaluate([Run("evaluation", writes=first.writes, top=True)])
    engine.evaluate([third])
    before = engine._compiled.cost.mlps
    engine.evaluate([Run("evaluation", writes=first.writes, top=True, kl=True)])
    used = engine._compiled.cost.mlps - before
    engine.evaluate([Run("evaluation", writes=second.writes, top=True)])
    assert used < engine._compiled.cost.mlps - before - used


CUTS = [frozenset({Element(Head(Layer(0), HeadIndex(head)), Position("S1"))}) for head in range(3)]


def test_an_ablated_circuit_needs_no_run_of_the_model_until_changes_are_counted() -> None:
    """Of the model's own run its heads of layer 0 are needed alone: they read the input."""
    sets = PLACE.sets | {"foreign": PLACE.sets["counterfactual:abc"]}
    metrics = {"logit_diff": PLACE.metrics["logit_diff"]}
    engine = Engine(model("gpt2").weights(torch.float64), sets, metrics)
    engine.evaluate([Run("foreign", writes=(Replace(CUTS[0], MEAN),))])
    before = engine.forwards
    (reading,) = engine.evaluate(
        [Run("evaluation", writes=(ReplaceAllBut(frozenset(MEMBERS), MEAN),))]
    )
    spent = engine.forwards - before
    assert reading.touched.changed > 0
    counted = engine.forwards - before - spent
    assert 0.8 < counted <= 1.0
    assert reading.touched.written == reading.touched.planned
    assert engine.forwards - before == spent + counted


def test_what_was_computed_again_at_more_segments_may_go_in_any_order() -> None:
    """An instance kept twice belongs to the later pool, which may be the first to be forgotten."""
    memo, values = Memo(most=1 << 30), Values()
    chunk: Any = object()  # a key, no more
    place: Any = object()

    def keep(numbers: list[int], segments: int) -> None:
        values.put(numbers, Pool(torch.zeros(len(numbers), 4), place))
        memo.keep(chunk, dict.fromkeys(numbers, segments), values)

    keep([1, 2], 0b01)
    keep([1], 0b11)
    memo.recall(chunk, [2], Values())  # the first pool is used again
    memo.most = 0
    keep([3], 0b01)
    assert memo.known(chunk) == {}
    assert memo.size == 0
