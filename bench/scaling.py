"""How the cost of one circuit grows: with its heads, with prompts, with layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from ioi_task import NEXT, S2, prompt_sets
from plain_model import Model, random_model
from timing import Case, Clock, Row
from ways import EngineWay, MaskedWay, Way
from workloads import circuit_run

from circuitspec.engine.runs import Run
from circuitspec.hypothesis.records import Element
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import END, Head, HeadIndex, Layer
from circuitspec.task.records import PromptSet

HEADS = (1, 4, 13, 26, 52, 104, 144)
PROMPTS = (8, 32, 100, 300)
LAYERS = (3, 6, 12, 24)
HELD = {"heads": 26, "prompts": 32, "layers": 12}
"""What stays as it is while another grows; a model of another depth has two heads a layer."""

TABLES = ("scaling_heads", "scaling_prompts", "scaling_layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place in a table: what grows, and to what."""

    table: str
    size: int
    rows: Sequence[Row]


def spread(shape: ModelShape, count: int) -> list[Element]:
    """`count` heads evenly over the model, their positions in turn S1+1, S2 and END."""
    total = shape.n_layers * shape.n_heads
    chosen = [int((i + 0.5) * total / count) for i in range(count)]
    places = (NEXT, S2, END)
    return [
        Element(Head(Layer(n // shape.n_heads), HeadIndex(n % shape.n_heads)), places[i % 3])
        for i, n in enumerate(chosen)
    ]


def tables(
    wanted: Sequence[str],
    model: Model,
    device: torch.device,
    chunk: int,
    repeats: int,
    tell: Callable[[str], None],
) -> Iterator[Point]:
    """The points of the tables asked for; each by the engine and by a masked forward."""

    def point(table: str, size: int, of: Model, sets: dict[str, PromptSet], heads: int) -> Point:
        run = circuit_run(of.shape, members=spread(of.shape, heads))
        tell(f"{table} {size}")
        return Point(table=table, size=size, rows=_timed(of, sets, run, chunk, repeats))

    usual = prompt_sets(8, HELD["prompts"])
    if "scaling_heads" in wanted:
        for heads in HEADS:
            yield point("scaling_heads", heads, model, usual, heads)
    if "scaling_prompts" in wanted:
        for n in PROMPTS:
            yield point("scaling_prompts", n, model, prompt_sets(8, n), HELD["heads"])
    if "scaling_layers" in wanted:
        for layers in LAYERS:
            of = model
            if layers != model.shape.n_layers:
                of = random_model(device, n_layers=layers)
            yield point("scaling_layers", layers, of, usual, 2 * layers)


def _timed(
    model: Model, sets: dict[str, PromptSet], run: Run, chunk: int, repeats: int
) -> list[Row]:
    plain = MaskedWay(model, sets, chunk)
    plain.prepare([run])
    clock = Clock(device=model.weights.device, plain=plain.plainly)
    ways: dict[str, Way] = {"engine": EngineWay(model, sets), "masked": plain}

    def case(name: str, way: Way) -> Case:
        return Case(name=name, prepare=lambda: way.prepare([run]), run=lambda: _do(way, run))

    return clock.measure([case(name, way) for name, way in ways.items()], repeats)


def _do(way: Way, run: Run) -> None:
    way.evaluate([run])
