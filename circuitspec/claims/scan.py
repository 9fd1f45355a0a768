"""A first look at an unknown circuit: every head and MLP at every labelled position, one by one.

Four effects a cell, each a mean over prompts of (intervened − model) in the metric's units:

    knockout   its output becomes the baseline's mean over template (Wang et al. 2022)
    patch      its output comes from the paired counterfactual (activation patching)
    direct     the same, reaching the logits alone (path patching, nothing between)
    dla        not an effect but a share: what the output adds to the metric through the final norm

and, for heads, attention from every labelled position to every other. What a scan shows is where
to look; a claim needs a spec, and other prompts than the scan's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from circuitspec.claims.context import EVALUATION
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    Means,
    Path,
    Replace,
    Rows,
    Run,
)
from circuitspec.hypothesis.records import Element
from circuitspec.language.nodes import (
    LOGITS,
    Channel,
    Head,
    HeadIndex,
    Layer,
    Mlp,
    Position,
    Receiver,
)
from circuitspec.task.records import Metric, PromptSet, TaskData

MEASURES = ("knockout", "patch", "direct", "dla")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One element's effects by measure, in the metric's units. `direct` and `dla` are `None` where
    the element does not stand where the metric is read."""

    element: Element
    effects: Mapping[str, float | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gaze:
    """Mean attention of a head from one labelled position to another, a share of 1."""

    head: Head
    query: Position
    key: Position
    attention: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanResult:
    """What a scan found: `cells` in the order of the model, `gazes` strongest first."""

    model: str
    task: str
    metric: str
    baseline: str
    n: int
    seed: int
    mean: float
    positions: tuple[Position, ...]
    cells: tuple[Cell, ...]
    gazes: tuple[Gaze, ...]


def scan(
    engine: Engine,
    task: TaskData,
    *,
    model: str,
    metric: str,
    baseline: str,
    positions: tuple[Position, ...] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ScanResult:
    """Every head and MLP at every position of `positions` (default: all labels of the task)."""
    chosen = positions or labelled_positions(task)
    spec = engine.metrics[metric]
    elements = _elements(engine, chosen)
    asked = {element: _runs(element, task, spec, baseline) for element in elements}
    heads = [
        Head(Layer(layer), HeadIndex(index))
        for layer in range(engine.weights.shape.n_layers)
        for index in range(engine.weights.shape.n_heads)
    ]
    gazes = [
        AttentionReading(head, query, (key,))
        for head in heads
        for query in chosen
        for key in chosen
        if _precedes(task.evaluation, key, query)
    ]
    shares = [AttributionReading(e, metric) for e in elements if e.position == spec.at]
    whole = Run(EVALUATION, attention=tuple(gazes), attribution=tuple(shares))
    listed = [whole, *(run for runs in asked.values() for run in runs.values())]
    done = dict(zip(listed, engine.evaluate(listed, progress), strict=True))
    model_mean = float(done[whole].metrics[metric].mean())
    cells = []
    for element, runs in asked.items():
        effects: dict[str, float | None] = dict.fromkeys(MEASURES)
        for measure, run in runs.items():
            effects[measure] = float(done[run].metrics[metric].mean()) - model_mean
        share = AttributionReading(element, metric)
        if share in done[whole].attribution:
            effects["dla"] = float(done[whole].attribution[share].mean())
        cells.append(Cell(element=element, effects=effects))
    seen = [
        Gaze(
            head=reading.head,
            query=reading.query,
            key=reading.keys[0],
            attention=float(np.mean(done[whole].attention[reading])),
        )
        for reading in gazes
    ]
    return ScanResult(
        model=model,
        task=task.name,
        metric=metric,
        baseline=baseline,
        n=len(task.evaluation),
        seed=task.seed,
        mean=model_mean,
        positions=chosen,
        cells=tuple(cells),
        gazes=tuple(sorted(seen, key=lambda g: -g.attention)),
    )


def labelled_positions(task: TaskData) -> tuple[Position, ...]:
    """Every label of one token that stands in all prompts, in reading order of the first prompt,
    and the token after each, where that has no label of its own."""
    prompts = task.evaluation.prompts
    labels = [
        label
        for label, indices in prompts[0].positions.items()
        if len(indices) == 1 and all(len(p.positions.get(label, ())) == 1 for p in prompts)
    ]
    found = [Position(label) for label in labels]
    for label in labels:
        following = Position(label, 1)
        if all(
            p.positions[label][0] + 1 < len(p.tokens)
            and (p.positions[label][0] + 1,) not in [p.positions[other] for other in labels]
            for p in prompts
        ):
            found.append(following)
    return tuple(sorted(found, key=lambda position: prompts[0].at(position)))


def _elements(engine: Engine, positions: tuple[Position, ...]) -> list[Element]:
    shape = engine.weights.shape
    found = []
    for layer in range(shape.n_layers):
        for position in positions:
            found += [
                Element(Head(Layer(layer), HeadIndex(index)), position)
                for index in range(shape.n_heads)
            ]
            if shape.has_mlps:
                found.append(Element(Mlp(Layer(layer)), position))
    return found


def _runs(element: Element, task: TaskData, metric: Metric, baseline: str) -> dict[str, Run]:
    """The interventions on one element by measure."""
    here = frozenset({element})
    paired = Rows(f"counterfactual:{baseline}", tuple(range(len(task.evaluation))))
    mean = Means(f"reference:{baseline}", "template")
    runs = {
        "knockout": Run(EVALUATION, writes=(Replace(here, mean),)),
        "patch": Run(EVALUATION, writes=(Replace(here, paired),)),
    }
    if element.position == metric.at:
        receivers: frozenset[tuple[Receiver, Channel, Position]] = frozenset(
            {(LOGITS, "", metric.at)}
        )
        runs["direct"] = Run(EVALUATION, path=Path(here, receivers, paired, "direct"))
    return runs


def _precedes(prompts: PromptSet, key: Position, query: Position) -> bool:
    """Whether `key` stands at or before `query` in every prompt."""
    return all(p.at(key)[0] <= p.at(query)[0] for p in prompts)
