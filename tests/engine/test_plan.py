"""The compiler's passes: none changes a value, each saves work on IOI (counts, not times)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.engine.compiled import compiled as compiled_module
from circuitspec.engine.compiled.compiled import Compiled
from circuitspec.engine.compiled.execute import Execution
from circuitspec.engine.engine import Engine
from circuitspec.engine.plan.cost import plain_forward
from circuitspec.engine.plan.memory import weight_bytes
from circuitspec.engine.plan.passes import ALL, NONE, Passes
from circuitspec.engine.plan.reckon import Reckoned, reckon
from circuitspec.engine.runs import Means, Path, Replace, ReplaceAllBut, Rows, Run
from circuitspec.hypothesis.records import Element
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    END,
    Head,
    HeadIndex,
    Layer,
    Mlp,
    Position,
)
from circuitspec.model.shapes import shape_of
from circuitspec.task.records import Metric, MetricTerm, Prompt, PromptSet

from .models import model
from .strategies import KINDS, runs, tries
from .worlds import world

FOLD = Passes(fold=True, share=False, drop=False, rows=False)
SHARE = Passes(fold=True, share=True, drop=False, rows=False)
DROP = Passes(fold=True, share=True, drop=True, rows=False)
ONE_EACH = (
    NONE,
    FOLD,
    Passes(fold=False, share=True, drop=False, rows=False),
    Passes(fold=False, share=False, drop=True, rows=False),
    Passes(fold=False, share=False, drop=False, rows=True),
)

# ── values ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "name", ["gpt2", "gpt_neox", "llama", "toy_plain", "toy_bidirectional_mlp"]
)
def test_no_pass_changes_a_value(name: str) -> None:
    subject = model(name)

    @tries(2)
    @given(data=st.data(), seed=st.integers(0, 99))
    def holds(data: st.DataObject, seed: int) -> None:
        place = world(seed, plain=seed % 3 != 0)
        weights = subject.weights(torch.float64)
        engine = Engine(weights, place.sets, place.metrics, executor="dense")
        drawn = [data.draw(runs(place, subject.loaded.shape, kind)) for kind in KINDS]
        bare = [replace(run, attention=(), attribution=(), onward=()) for run in drawn]
        asked = [run for run in bare if engine._compiled.covers(run)]
        assert len(asked) > 2
        want = dict(zip(asked, engine.evaluate(asked), strict=True))
        for passes in (ALL, *ONE_EACH):
            compiled = Compiled(
                weights, place.sets, place.metrics, engine._sources, batch_size=3, passes=passes
            )
            with torch.inference_mode():
                got = compiled.evaluate(asked)
            for run in asked:
                for metric, values in want[run].metrics.items():
                    np.testing.assert_allclose(
                        got[run].metrics[metric], values, rtol=1e-9, atol=1e-9, err_msg=str(passes)
                    )

    holds()


# ── counts ───────────────────────────────────────────────────────────────────────────────────────

GPT2, _ = shape_of("gpt2")
assert GPT2 is not None
S1, NEXT, S2 = Position("S1"), Position("S1", 1), Position("S2")
CIRCUIT = {
    NEXT: "2.2 4.11",
    S2: "0.1 0.10 3.0 5.5 5.8 5.9 6.9",
    END: "7.3 7.9 8.6 8.10 9.9 9.6 10.0 9.0 9.7 10.1 10.2 10.6 10.10 11.2 11.9 10.7 11.10",
}
METRICS = {
    "logit_diff": Metric(
        name="logit_diff",
        terms=(
            MetricTerm(coefficient=1, quantity="logit", answer="IO"),
            MetricTerm(coefficient=-1, quantity="logit", answer="S1"),
        ),
    )
}
MEAN = Means("reference:abc", "template")
TWIN = Rows("counterfactual:abc", tuple(range(40)))


def head(text: str) -> Head:
    layer, index = text.split(".")
    return Head(Layer(int(layer)), HeadIndex(int(index)))


MEMBERS = [Element(head(h), place) for place, heads in CIRCUIT.items() for h in heads.split()]
MLPS = [Element(Mlp(Layer(layer)), ALL_POSITIONS) for layer in range(12)]


def prompts(name: str, count: int = 40) -> PromptSet:
    """Four templates, ABBA and BABA: `Then , A and B went to the P . S gave a T to`."""

    def prompt(i: int) -> Prompt:
        template, a, b = i % 4, 100 + i % 7, 110 + i % 5
        start = [1, 2, 3] if template < 2 else [4]
        first, second = (a, b) if template % 2 else (b, a)
        tokens = [*start, first, 5, second, 6, 7, 8, 20 + i % 3, 9, b, 10, 11, 30 + i % 2, 7]
        at = len(start)
        io, s1 = (at, at + 2) if template % 2 else (at + 2, at)
        return Prompt(
            index=i,
            template=str(template),
            text="",
            tokens=tuple(tokens),
            positions={"IO": (io,), "S1": (s1,), "S2": (at + 8,), "END": (len(tokens) - 1,)},
            slots={},
            answers={"IO": (a,), "S1": (b,)},
            pair=i,
        )

    return PromptSet(name=name, prompts=tuple(prompt(i) for i in range(count)))


SETS = {name: prompts(name) for name in ("evaluation", "counterfactual:abc", "reference:abc")}


def circuit(without: frozenset[Element] = frozenset()) -> Run:
    live = frozenset([*MEMBERS, *MLPS]) - without
    return Run("evaluation", writes=(ReplaceAllBut(live, MEAN),))


def knocked_out(cut: frozenset[Element]) -> Run:
    return Run("evaluation", writes=(Replace(cut, MEAN),))


LEAVE_ONE_OUT = [circuit(), *(circuit(frozenset({member})) for member in MEMBERS)]
KNOCK_OUTS = [
    run
    for start in range(6)
    for cut in [frozenset(MEMBERS[start::6])]
    for run in (circuit(cut), knocked_out(cut))
]


def cost(asked: list[Run], passes: Passes = ALL) -> Reckoned:
    return reckon(asked, GPT2, SETS, METRICS, passes=passes, batch_size=64)


def forwards(found: Reckoned) -> float:
    lengths = Counter(len(p.tokens) for p in SETS["evaluation"])
    return found.cost.flops / plain_forward(GPT2, lengths).flops


def test_each_pass_saves_work_on_ioi() -> None:
    """Every run is of 156 outputs a token, before."""
    asked = [*LEAVE_ONE_OUT, *KNOCK_OUTS]
    tokens = sum(len(p.tokens) for p in SETS["evaluation"])
    counts = [cost(asked, passes).cost.instances for passes in (NONE, FOLD, SHARE, DROP, ALL)]
    # without any pass what is live is still told from what is cut: whole runs of M\\K, all MLPs
    assert counts[0] > len(KNOCK_OUTS) / 2 * 130 * tokens
    for before, after in pairwise(counts):
        assert after < before, counts
    assert counts[-1] < counts[0] / 4


def test_folding_leaves_what_comes_before_a_cut() -> None:
    """A head of the last layer cut at END: nothing below it is computed."""
    late = knocked_out(frozenset({Element(head("11.2"), END)}))
    assert cost([late], FOLD).cost.instances < cost([late], NONE).cost.instances / 100
    assert cost([late]).cost.heads == 0
    assert cost([late]).cost.mlps == 40


def test_sharing_makes_a_leave_one_out_a_part_of_a_circuit() -> None:
    one, all_of_them = cost([circuit()]), cost(LEAVE_ONE_OUT)
    apart = cost(LEAVE_ONE_OUT, FOLD)
    assert all_of_them.cost.mlps < 27 * one.cost.mlps / 4
    assert all_of_them.cost.heads < apart.cost.heads / 2
    assert cost([circuit(), circuit()]).cost == one.cost


def test_what_no_metric_reads_is_dropped() -> None:
    """In the last layer only END lives; heads outside the circuit never do."""
    kept = cost([circuit()], DROP)
    first = sum(element.node.layer == 0 for element in MEMBERS)
    # heads of layer 0 read the input alone: they are the model's own, and folded
    assert kept.cost.heads == 40 * (len(MEMBERS) - first)
    assert cost([circuit()], SHARE).cost.heads > 2 * kept.cost.heads
    assert cost([circuit()], SHARE).cost.logits > 0 == kept.cost.logits
    # logits of two tokens need no vocabulary; the top token does
    assert cost([replace(circuit(), top=True)]).cost.logits > 0


def test_equal_rows_are_computed_once() -> None:
    """Of 576 rows a layer those differ that stand after a head has written, or hold a name."""
    merged, every = cost([circuit()]), cost([circuit()], DROP)
    assert merged.cost.mlps < 0.5 * every.cost.mlps
    assert merged.cost.heads == every.cost.heads
    resampled = Run("evaluation", writes=(ReplaceAllBut(frozenset([*MEMBERS, *MLPS]), TWIN),))
    assert cost([resampled]).cost.mlps == cost([resampled], DROP).cost.mlps


def test_the_circuit_costs_what_the_design_says_it_can() -> None:
    """By nodes with all MLPs under 0.3 of a plain forward of 100 prompts over 8 templates; here
    fewer prompts share fewer rows."""
    assert forwards(cost([circuit()])) < 0.35
    assert forwards(cost(LEAVE_ONE_OUT)) < 1.5
    senders = [Element(Head(Layer(n), HeadIndex(h)), END) for n in range(9) for h in range(12)]
    receiver = frozenset({(head("9.9"), "q", END)})
    sweep = [
        Run("evaluation", path=Path(frozenset({s}), receiver, TWIN, "direct"))
        for s in senders
        for through in ("direct",)
    ]
    assert forwards(cost(sweep)) < 2
    through = [replace(r, path=replace(r.path, through="mlps")) for r in sweep if r.path]
    assert forwards(cost(sweep)) < forwards(cost(through)) < 4


# ── memory ───────────────────────────────────────────────────────────────────────────────────────


def test_a_model_of_1_5_billion_parameters_fits_in_24_gb() -> None:
    """GPT-2 XL on 64 prompts; where there is less room runs are parted, and share less."""
    shape, _ = shape_of("gpt2-xl")
    assert shape is not None
    weights = weight_bytes(shape, 4)
    assert 1.5e9 < weights / 4 < 1.7e9  # the unembedding is held beside the embedding
    sets = {name: prompts(name, 64) for name in SETS}

    def planned(room: float) -> Reckoned:
        asked = [*LEAVE_ONE_OUT, *KNOCK_OUTS]
        return reckon(asked, shape, sets, METRICS, passes=ALL, batch_size=128, room=room)

    whole = planned((24e9 - weights) / 2)
    assert whole.goes == 1
    parted = planned(0.8 * whole.peak)
    assert parted.goes > 1
    assert parted.peak <= 0.8 * whole.peak
    assert whole.flops < parted.flops < 2 * whole.flops


# ── what is reckoned is what is done ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "toy_mlp"])
@pytest.mark.parametrize("passes", [ALL, DROP], ids=["all", "without rows"])
@pytest.mark.parametrize("batch_size", [64, 3, 1])
def test_the_executor_costs_what_was_reckoned(
    monkeypatch: pytest.MonkeyPatch, name: str, passes: Passes, batch_size: int
) -> None:
    subject, place = model(name), world(4)
    shape = subject.loaded.shape
    nodes = [Element(Head(Layer(0), HeadIndex(1)), S1), Element(Head(Layer(1), HeadIndex(0)), END)]
    twin = Rows("counterfactual:abc", tuple(range(4)))
    asked = [
        Run("evaluation", writes=(ReplaceAllBut(frozenset(nodes), MEAN),)),
        Run("evaluation", writes=(Replace(frozenset(nodes), twin),)),
        Run(
            "evaluation",
            path=Path(
                frozenset(nodes[:1]),
                frozenset({(Head(Layer(1), HeadIndex(1)), "q", END)}),
                twin,
                "mlps",
            ),
        ),
    ]
    metrics = {"logit_diff": place.metrics["logit_diff"]}
    want = reckon(asked, shape, place.sets, metrics, passes=passes, batch_size=batch_size)
    engine = Engine(subject.weights(torch.float32), place.sets, metrics, batch_size=batch_size)
    engine._compiled.passes = passes
    rows: list[int] = []
    goes: list[int] = []
    honest = compiled_module.carry_out

    def carry_out(executions: list[Execution]) -> None:
        for each in executions:
            rows.extend(each.place(n).count for layer in each.demand.layers for n in layer.mlps)
        goes.append(len(executions))
        honest(executions)

    monkeypatch.setattr(compiled_module, "carry_out", carry_out)
    engine.evaluate(asked)
    assert len(goes) == want.goes
    assert engine._compiled.cost == want.cost
    assert sum(rows) <= want.cost.mlps
    assert 0 < engine._compiled.peak <= want.peak
