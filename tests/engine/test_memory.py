"""Too little memory: smaller goes, the same figures; and what a plan says it needs bounds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from circuitspec.engine import engine as engine_module
from circuitspec.engine.compiled import compiled as compiled_module
from circuitspec.engine.compiled import room
from circuitspec.engine.compiled.execute import Execution
from circuitspec.engine.edge_masks import senders_of
from circuitspec.engine.engine import Engine
from circuitspec.engine.plan.goes import SMALL
from circuitspec.engine.plan.passes import ALL
from circuitspec.engine.plan.reckon import reckon
from circuitspec.engine.runs import (
    EngineError,
    LiveEdges,
    Means,
    Readings,
    Replace,
    ReplaceAllBut,
    Run,
)
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    QKV,
    Head,
    HeadIndex,
    Layer,
    Position,
    is_upstream,
)
from circuitspec.task.records import PromptSet

from .models import model
from .worlds import World, world


def place_of_one_layout(size: int = 8) -> World:
    """Prompts whose labels stand in one order, so that they go through the model together."""
    place = world(1, size=1)
    (prompt,) = place.prompts()
    several = tuple(
        replace(prompt, index=i, pair=i, tokens=tuple((t + 3 * i) % 37 for t in prompt.tokens))
        for i in range(size)
    )
    sets = {name: PromptSet(name=name, prompts=several) for name in place.sets}
    metrics = {name: place.metrics[name] for name in ("logit_diff", "loss", "divergence")}
    return replace(place, sets=sets, metrics=metrics)


def place_of_several_layouts() -> World:
    """Prompts whose labels stand in several orders: some alike, some of other lengths."""
    place = world(2, size=9)
    metrics = {name: place.metrics[name] for name in ("logit_diff", "loss", "divergence")}
    return replace(place, metrics=metrics)


PLACE = place_of_one_layout()
SEVERAL = place_of_several_layouts()
both = pytest.mark.parametrize("place", [PLACE, SEVERAL], ids=["one layout", "several"])
MEAN = Means("reference:abc", "template")


def asked(count: int = 6) -> list[Run]:
    runs = [Run("evaluation")]
    for i in range(count):
        head = Head(Layer(i % 2), HeadIndex(i % 4))
        later = frozenset({Element(head, Position("S1"))})
        one = frozenset({Element(head, Position("IO"))})
        runs.append(Run("evaluation", writes=(Replace(one, MEAN),)))
        runs.append(Run("evaluation", writes=(ReplaceAllBut(later, MEAN),)))
    return runs


def an_engine(executor: Any, place: World = PLACE, batch_size: int = 8) -> Engine:
    weights = model("gpt2").weights(torch.float32)
    return Engine(weights, place.sets, place.metrics, batch_size=batch_size, executor=executor)


def near(got: list[Readings], want: list[Readings]) -> None:
    for one, other in zip(got, want, strict=True):
        assert one.touched.written == other.touched.written
        assert one.touched.changed == other.touched.changed
        for name, values in other.metrics.items():
            assert one.metrics[name] == pytest.approx(values, abs=1e-5), name


def no_room_beyond(monkeypatch: pytest.MonkeyPatch, instances: int, prompts: int) -> list[int]:
    """The compiled executor runs out of memory on more; how many final residuals each go had."""
    honest, goes = compiled_module.carry_out, []

    def carry_out(executions: list[Execution]) -> None:
        wanted = sum(len(each.roots) for each in executions)
        if wanted > instances or sum(len(e.chunk.layout.rows) for e in executions) > prompts:
            raise torch.OutOfMemoryError("planted")
        goes.append(wanted)
        honest(executions)

    monkeypatch.setattr(compiled_module, "carry_out", carry_out)
    return goes


def test_runs_are_parted_where_memory_does_not_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    want = an_engine("compiled").evaluate(asked())
    goes = no_room_beyond(monkeypatch, 3, 8)
    engine = an_engine("compiled")
    near(engine.evaluate(asked()), want)
    assert len(goes) > 1
    assert engine.batch_size == 8


def test_then_prompts_are(monkeypatch: pytest.MonkeyPatch) -> None:
    want = an_engine("compiled").evaluate(asked())
    no_room_beyond(monkeypatch, 100, 3)
    engine = an_engine("compiled")
    near(engine.evaluate(asked()), want)
    assert engine.batch_size == 2


@pytest.mark.parametrize("prompts", [1, 3, 5])
def test_layouts_are_parted_before_either(monkeypatch: pytest.MonkeyPatch, prompts: int) -> None:
    want = an_engine("compiled", SEVERAL).evaluate(asked())
    goes = no_room_beyond(monkeypatch, 10**6, prompts)
    engine = an_engine("compiled", SEVERAL)
    near(engine.evaluate(asked()), want)
    assert len(goes) > 2
    small = engine._compiled.small
    assert small < SMALL
    near(engine.evaluate([replace(run, top=True) for run in asked()]), want)
    assert engine._compiled.small == small  # it is remembered: nothing is tried in vain


def test_a_budget_parts_layouts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = an_engine("compiled", SEVERAL)
    want = whole.evaluate(asked())
    monkeypatch.setattr(compiled_module, "budget", lambda device: whole._compiled.peak - 1)
    goes = no_room_beyond(monkeypatch, 10**6, 10**6)
    near(an_engine("compiled", SEVERAL).evaluate(asked()), want)
    assert len(goes) > 1


def test_one_prompt_too_much_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    no_room_beyond(monkeypatch, 0, 0)
    with pytest.raises(EngineError, match="not enough memory for one prompt"):
        an_engine("compiled").evaluate(asked())


ON_THE_CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("x"), ON_THE_CPU, MemoryError()])
def test_the_dense_executor_halves_its_batch(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    want = an_engine("dense").evaluate(asked())
    honest = engine_module.forward

    def forward(weights: Any, tokens: torch.Tensor, *args: Any, **named: Any) -> Any:
        if len(tokens) > 3:
            raise error
        return honest(weights, tokens, *args, **named)

    monkeypatch.setattr(engine_module, "forward", forward)
    engine = an_engine("dense")
    near(engine.evaluate(asked()), want)
    assert engine.batch_size == 2


@pytest.mark.parametrize("executor", ["dense", "compiled"])
def test_other_errors_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch, executor: Any) -> None:
    def broken(*args: Any, **named: Any) -> Any:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(engine_module, "forward", broken)
    monkeypatch.setattr(compiled_module, "carry_out", broken)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        an_engine(executor).evaluate(asked())


def test_what_is_free_decides_how_much_goes_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = an_engine("compiled")
    want = whole.evaluate(asked())
    monkeypatch.setattr(compiled_module, "budget", lambda device: whole._compiled.peak - 1)
    goes = no_room_beyond(monkeypatch, 10**6, 10**6)
    near(an_engine("compiled").evaluate(asked()), want)
    assert len(goes) > 1


def test_the_machine_says_what_is_free() -> None:
    free = room.free_bytes(torch.device("cpu"))
    assert 1 << 20 < free < 1 << 50
    assert room.budget(torch.device("cpu")) < free


class Allocated(TorchDispatchMode):
    """The most bytes of tensors alive at once, of those made inside."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[int, int] = {}
        self.now, self.most = 0, 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self._made(tensor.untyped_storage())
        return out

    def _made(self, storage: torch.UntypedStorage) -> None:
        import weakref

        key = storage._cdata
        if key in self.alive:
            return
        self.alive[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, key)

    def _gone(self, key: int) -> None:
        self.now -= self.alive.pop(key, 0)


@pytest.fixture
def small_scratch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Constants of large models would hide a bound that is wrong on small ones."""
    from circuitspec.engine.plan import memory

    monkeypatch.setattr(memory, "SCRATCH", 1 << 16)
    monkeypatch.setattr(memory, "ROWS_AT_ONCE", 64)


def peak_within(make: Callable[[], Engine], runs: list[Run]) -> tuple[int, int]:
    engine = make()
    measured: list[int] = []
    honest = compiled_module.carry_out

    def carry_out(executions: list[Execution]) -> None:
        with Allocated() as allocated:
            honest(executions)
        measured.append(allocated.most)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(compiled_module, "carry_out", carry_out)
        engine.evaluate(runs)
    return max(measured), engine._compiled.peak


@both
@pytest.mark.parametrize("count", [1, 40])
def test_what_a_plan_prints_bounds_all_that_is_allocated(
    small_scratch: None, place: World, count: int
) -> None:
    """The model's own run, ablation values and what is kept for later calls included."""
    engine = an_engine("compiled", place)
    found = reckon(
        asked(count), engine.weights.shape, place.sets, place.metrics, passes=ALL, batch_size=8
    )
    with Allocated() as allocated:
        engine.evaluate(asked(count))
    assert found.peak / 20 < allocated.most <= found.peak


@both
@pytest.mark.parametrize("count", [1, 8, 40])
def test_the_peak_is_within_what_was_planned(small_scratch: None, place: World, count: int) -> None:
    measured, planned = peak_within(lambda: an_engine("compiled", place), asked(count))
    assert 0 < measured <= planned


def test_by_edges_prompts_are_parted_where_differences_would_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One prompt at once where there is next to no memory, all of them where there is enough."""
    shape = model("gpt2").weights(torch.float32).shape
    drawn = Random(4)
    every = [
        Edge(sender, Head(Layer(1), HeadIndex(head)), channel, ALL_POSITIONS)
        for sender in senders_of(shape)
        for head in range(shape.n_heads)
        for channel in QKV
        if is_upstream(sender, Head(Layer(1), HeadIndex(head)))
    ]
    runs = [
        Run("evaluation", edges=LiveEdges(frozenset(drawn.sample(every, 20)), MEAN, all_but))
        for all_but in (False, True)
    ]
    honest, sizes = engine_module.forward_edges, []

    def forward(weights: Any, batch: Any, *rest: Any, **more: Any) -> Any:
        sizes.append(len(batch.prompts))
        return honest(weights, batch, *rest, **more)

    monkeypatch.setattr(engine_module, "forward_edges", forward)
    want = an_engine("dense").evaluate(runs)
    assert set(sizes) == {8}
    sizes.clear()
    monkeypatch.setattr(engine_module, "budget", lambda device: 1)
    near(an_engine("dense").evaluate(runs), want)
    assert set(sizes) == {1}
