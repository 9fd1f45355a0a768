"""Where computing runs together could go wrong in ways that random worlds seldom show."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import (
    LiveEdges,
    Means,
    Path,
    Replace,
    ReplaceAllBut,
    Rows,
    Run,
    Zero,
)
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    END,
    INPUT,
    LOGITS,
    Head,
    HeadIndex,
    Layer,
    Mlp,
    Position,
)
from circuitspec.task.records import PromptSet

from .models import model
from .worlds import World, world

A, B = Position("IO"), Position("S1")
PLACES = [(0, 1), (0, 1), (0, 3), (1, 2), (0, 1), (2, 4)]
"""Where A and B stand in each prompt: with a stretch between them, before them, or neither."""


def place_with_gaps() -> World:
    place = world(1, size=len(PLACES))
    (prompt, *_) = place.prompts()
    several = tuple(
        replace(
            prompt,
            index=i,
            pair=i,
            template="A",
            tokens=tuple((7 * i + 3 * t) % 37 for t in range(6)),
            positions={"IO": (a,), "S1": (b,), "END": (5,), "BOS": (0,)},
        )
        for i, (a, b) in enumerate(PLACES)
    )
    sets = {name: PromptSet(name=name, prompts=several) for name in place.sets}
    return World(place.seed, sets, {"logit_diff": place.metrics["logit_diff"]})


PLACE = place_with_gaps()
MEAN = Means("reference:abc", "template")
TWIN = Rows("counterfactual:abc", tuple((i + 1) % 6 for i in range(6)))


def asked(name: str) -> list[Run]:
    """Everything cut, nearly everything cut, nothing cut, at places that some prompts lack room
    between."""
    shape = model(name).loaded.shape
    early, late = Head(Layer(0), HeadIndex(1)), Head(Layer(shape.n_layers - 1), HeadIndex(0))
    some = frozenset({Element(early, A), Element(late, B)})
    last = frozenset({Element(late, END)})
    whole: frozenset[Element] = frozenset()
    if shape.has_mlps:
        whole = frozenset(Element(Mlp(Layer(n)), ALL_POSITIONS) for n in range(shape.n_layers))
    into = frozenset({(late, "q", END), (late, "k", B), (LOGITS, "", END)})
    edges = frozenset({Edge(INPUT, late, "k", B), Edge(late, LOGITS, "", END)})
    elsewhere = frozenset({Edge(INPUT, late, "k", Position("*", but=(B,))), *edges})
    found = []
    for source in (Zero(), MEAN, Means("reference:abc", "batch"), TWIN):
        found += [
            Run("evaluation", writes=(ReplaceAllBut(live, source),))
            for live in (frozenset(), some, last, whole, some | whole, last | whole)
        ]
        found += [
            Run("evaluation", writes=(Replace(some, source),)),
            Run("evaluation", writes=(Replace(last, source),), rows=(2,)),
            Run("evaluation", edges=LiveEdges(frozenset(), source)),
            Run("evaluation", edges=LiveEdges(edges, source)),
            Run("evaluation", edges=LiveEdges(edges, source, all_but=True)),
            Run("evaluation", edges=LiveEdges(elsewhere, source)),
            Run("evaluation", edges=LiveEdges(elsewhere - edges, source, all_but=True)),
            Run("evaluation", given=(Replace(some, source),), writes=(Replace(last, Zero()),)),
        ]
    found += [
        Run("evaluation", path=Path(frozenset({Element(early, B)}), into, TWIN, through))
        for through in ("direct", "mlps")
    ]
    return found


@pytest.mark.parametrize("batch_size", [1, 2, 6])
@pytest.mark.parametrize(
    "name", ["gpt2", "gpt_neo", "gpt_neox", "llama", "toy_plain", "toy_one_layer"]
)
def test_stretches_that_some_prompts_do_not_have(name: str, batch_size: int) -> None:
    weights = model(name).weights(torch.float64)

    def engine(executor: Any) -> Engine:
        return Engine(weights, PLACE.sets, PLACE.metrics, batch_size=batch_size, executor=executor)

    runs, compiled = asked(name), engine("compiled")
    assert all(compiled._compiled.covers(run) for run in runs)
    for run, got, want in zip(
        runs, compiled.evaluate(runs), engine("dense").evaluate(runs), strict=True
    ):
        for metric, values in want.metrics.items():
            np.testing.assert_allclose(
                got.metrics[metric], values, rtol=1e-9, atol=1e-9, err_msg=str(run)
            )
        assert got.touched.written == want.touched.written == want.touched.planned
        assert got.touched.changed == want.touched.changed
