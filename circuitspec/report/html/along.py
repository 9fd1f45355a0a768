"""Which arrows and boxes of a figure a claim measured, its numbers, and how far a metric moved."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from circuitspec.hypothesis.places import meet
from circuitspec.hypothesis.records import (
    AblateSet,
    ActivationPatch,
    Claim,
    CutSet,
    Edge,
    Element,
    Hypothesis,
    Minimality,
    OnwardHop,
    PatchedPair,
    PathPatch,
)
from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.judge.records import ClaimResult, HypothesisResult, RequirementResult
from circuitspec.language.nodes import is_upstream
from circuitspec.report.figure.scene import Box, Bundle, Scene
from circuitspec.report.numbers import (
    decimals_for,
    fixed,
    level_text,
    limit,
    relation_sign,
    short,
)
from circuitspec.report.rows import SIGNS, claim_tag, labelled, numbers_of, row_of

_METRIC = re.compile(r"model\.(\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Along:
    """One thing that was patched or cut, and where it is in the figure.

    `arrows` are all that it takes part in (`source -> target`), `boxes` ids; `role` names the
    role that it is, if it is one and whole. `change` is how far `metric` moved, in its own units:
    patched less unpatched, or without less with. None where the claim is invalid.
    """

    how: Literal["patched", "cut"]
    arrows: tuple[str, ...]
    boxes: tuple[str, ...]
    lines: tuple[str, ...]
    elsewhere: bool = False
    """Whether it is also where the figure has no arrow: edges not declared, or of a keep."""
    role: str = ""
    metric: str = ""
    change: float | None = None
    model: float = math.nan
    """The metric's mean in the model: what a change is small or large against."""

    @property
    def alone(self) -> bool:
        """Whether one arrow has all of it."""
        return len(self.arrows) == 1 and not self.elsewhere


def arrow(bundle: Bundle) -> str:
    """The name under which a figure is told of an arrow."""
    return f"{bundle.source} -> {bundle.target}"


def along(scene: Scene, hypothesis: Hypothesis, result: HypothesisResult) -> tuple[Along, ...]:
    """Everything that the claims patched, cut or took out, part by part, in the order stated."""
    results = {claim.name: claim for claim in result.claims}
    info = task_info(hypothesis.task)
    return tuple(
        found
        for claim in hypothesis.claims
        if claim.name in results
        for found in _of_claim(scene, claim, results[claim.name], info)
    )


def lines(claim: ClaimResult, requirements: Iterable[RequirementResult]) -> Iterator[str]:
    """A line a requirement: the claim's name, what it requires, what was measured, the interval."""
    tag = f" ({claim_tag(claim)})" if claim_tag(claim) else ""
    for requirement in requirements:
        row = row_of(requirement)
        shown = f"{row.shown}; " if row.shown else ""
        yield f"{row.sign} {claim.name}{tag}: {labelled(row)}: {shown}{numbers_of(row)}"


def _of_claim(scene: Scene, claim: Claim, result: ClaimResult, info: TaskInfo) -> Iterator[Along]:
    by_edges = claim.ablation is not None and claim.ablation.by == "edges"
    match claim.intervention:
        case PathPatch(pairs=pairs):
            for pair in pairs:
                measures = _of_pair(result, pair, several=len(pairs) > 1)
                yield Along(
                    how="patched",
                    arrows=_arrows(scene, partial(_goes, pair=pair, info=info)),
                    boxes=(),
                    lines=tuple(lines(result, _judged_on(result, pair, several=len(pairs) > 1))),
                    elsewhere=_beyond(scene, pair),
                    **_moved(result, measures),
                )
        case ActivationPatch(cut=cut) | AblateSet(cut=cut):
            cutting = isinstance(claim.intervention, AblateSet)
            yield Along(
                how="cut" if cutting else "patched",
                arrows=_arrows(scene, cut.edges.__contains__) if cutting and by_edges else (),
                boxes=_boxes(scene, cut),
                elsewhere=bool(scene.kept),
                role=cut.name,
                lines=tuple(lines(result, result.requirements)),
                **_moved(result, result.measures),
            )
        case _:
            pass
    if claim.minimality is not None:
        yield from _taken_out(scene, claim.minimality, result)


# ── where in the figure ──────────────────────────────────────────────────────────────────────────


def _arrows(scene: Scene, runs_along: Callable[[Edge], bool]) -> tuple[str, ...]:
    return tuple(arrow(b) for b in scene.bundles if any(runs_along(edge) for edge in b.edges))


def _boxes(scene: Scene, cut: CutSet) -> tuple[str, ...]:
    """Boxes that are cut as a whole: of the role that is named, or all of whose nodes are in it."""
    return tuple(
        box.id
        for box in scene.boxes
        if box.kind != "open" and (box.name == cut.name or _elements(box) <= cut.elements)
    )


def _elements(box: Box) -> frozenset[Element]:
    return frozenset(Element(node, box.position) for node in box.nodes)


def _beyond(scene: Scene, pair: PatchedPair) -> bool:
    """Whether a path has senders or receivers that no arrow joins."""
    edges = [edge for bundle in scene.bundles for edge in bundle.edges]
    joined = {(edge.sender, edge.receiver, edge.channel) for edge in edges}
    return not all(
        (sender.node, node, channel) in joined
        for sender in pair.senders
        for node, channel, _ in pair.receivers
        if is_upstream(sender.node, node)
    )


def _goes(edge: Edge, *, pair: PatchedPair, info: TaskInfo) -> bool:
    """Whether a path goes along an edge, on any of its hops, at the place where it is read."""
    hops = (OnwardHop(senders=pair.senders, receivers=pair.receivers), *pair.onward)
    return any(
        any(
            sender.node == edge.sender and meet((sender.position,), (edge.position,), info)
            for sender in hop.senders
        )
        and any(
            (node, channel) == (edge.receiver, edge.channel)
            and meet((position,), (edge.position,), info)
            for node, channel, position in hop.receivers
        )
        for hop in hops
    )


# ── what was measured ────────────────────────────────────────────────────────────────────────────


def _of_pair(result: ClaimResult, pair: PatchedPair, *, several: bool) -> Mapping[str, Any]:
    if not several:
        return result.measures
    found: Mapping[str, Any] = result.measures.get("pairs", {}).get(pair.name, {})
    return {**result.measures, **found}


def _judged_on(
    result: ClaimResult, pair: PatchedPair, *, several: bool
) -> Iterator[RequirementResult]:
    for requirement in result.requirements:
        arm = requirement.arm or ""
        if not several or not arm or arm == pair.name or arm.startswith(f"{pair.name}: "):
            yield requirement


def _metric(result: ClaimResult) -> str | None:
    """The metric that the figure speaks of: the first that a requirement names, or else any."""
    found = [m[1] for m in map(_METRIC.fullmatch, result.measures) if m is not None]
    named = [m for m in found if any(m in r.text for r in result.requirements)]
    return next(iter((*named, *found)), None)


def _moved(result: ClaimResult, measures: Mapping[str, Any]) -> dict[str, Any]:
    """The metric and how far it moved from the model's, where the claim means anything."""
    metric = _metric(result)
    if metric is None or result.verdict == "invalid":
        return {}
    model = measures[f"model.{metric}"]
    change = _less(measures.get(metric), model)
    return {} if change is None else {"metric": metric, "change": change, "model": float(model)}


def _less(after: Any, before: Any) -> float | None:
    if not isinstance(after, int | float) or not isinstance(before, int | float):
        return None
    change = float(after) - float(before)
    return change if math.isfinite(change) else None


def _taken_out(scene: Scene, asked: Minimality, result: ClaimResult) -> Iterator[Along]:
    """Every element v of a minimality claim, with its effect given each of its sets K."""
    metric = _metric(result)
    for v, _ in asked.candidates:
        rows = [row for row in result.measures.get("effects", ()) if row.get("name") == v.name]
        changes = [
            change
            for row in rows
            if (change := _less(row.get(f"after.{metric}"), row.get(f"before.{metric}")))
            is not None
        ]
        shown = result.verdict != "invalid" and changes
        yield Along(
            how="cut",
            arrows=_arrows(scene, v.edges.__contains__) if asked.unit == "edge" else (),
            boxes=_having(scene, v) if asked.unit != "edge" else (),
            role=v.name if asked.unit == "role" else "",
            lines=tuple(_effects(result, v.name, rows, metric or "")),
            metric=metric or "",
            change=max(changes, key=abs) if shown else None,
            model=float(result.measures.get(f"model.{metric}", math.nan)),
        )


def _having(scene: Scene, v: CutSet) -> tuple[str, ...]:
    """The boxes that an element stands in: a role's own, or those that have the head."""
    return tuple(b.id for b in scene.boxes if b.kind == "role" and _elements(b) & v.elements)


def _effects(
    result: ClaimResult, name: str, rows: list[Mapping[str, Any]], metric: str
) -> Iterator[str]:
    """A line for each requirement and set K: what was judged of this element."""
    given = {
        name: "",
        **{f"{name} | {row.get('given')}": f" given {row.get('given')}" for row in rows},
    }
    for requirement in result.requirements:
        text = row_of(requirement).text
        judged = [c for c in requirement.contrasts if c.get("set") in given]
        for contrast in judged:
            sign = SIGNS[contrast["verdict"]]
            numbers = _numbers(requirement, contrast)
            yield f"{sign} {result.name}: {text} ({name}{given[contrast['set']]}): {numbers}"
    for row in rows:
        after, before = row.get(f"after.{metric}"), row.get(f"before.{metric}")
        if _less(after, before) is not None:
            yield f"{result.name}: {metric} {short(before)} with {name}, {short(after)} without"


def _numbers(requirement: RequirementResult, contrast: Mapping[str, Any]) -> str:
    """`0.19 [0.06, 0.35] 99.8%, needs ≥ 0, n 200`: a contrast's numbers in one line."""
    interval = contrast.get("interval")
    bounds = None if interval is None else (float(interval[0]), float(interval[1]))
    estimate, threshold = float(contrast["estimate"]), float(contrast["threshold"])
    decimals = decimals_for(estimate, bounds, (threshold,))
    said = "exact" if bounds is None else "[{}, {}]".format(*(fixed(b, decimals) for b in bounds))
    needs = f"{relation_sign(str(contrast['relation']))} {limit(threshold, decimals)}".strip()
    level = level_text(float(contrast["level"]))
    return f"{fixed(estimate, decimals)} {said} {level}, needs {needs}, n {requirement.n}"
