"""What was measured of each role and arrow, as the lines that the figure tells of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from circuitspec.hypothesis.records import (
    AblateSet,
    ActivationPatch,
    Claim,
    CutSet,
    Hypothesis,
    PathPatch,
)
from circuitspec.judge.records import ClaimResult, HypothesisResult
from circuitspec.report.figure.scene import Bundle, Scene
from circuitspec.report.figure.svg import Told
from circuitspec.report.numbers import short
from circuitspec.report.rows import SIGNS, labelled, row_of

_CALL = re.compile(r"(\w+)\((\w+)\)")


def with_measures(scene: Scene, result: HypothesisResult) -> Scene:
    """The scene with each role's measures (`attention 0.90`) under its name, where it has any."""
    named: dict[str, list[str]] = {}
    for claim in result.claims:
        for key, value in claim.measures.items():
            call = _CALL.fullmatch(key)
            if call is not None and isinstance(value, int | float):
                named.setdefault(call[2], []).append(f"{call[1]} {short(float(value), 2)}")
    boxes = (
        replace(box, notes=(*box.notes, *dict.fromkeys(named.get(box.name, ()))))
        if box.kind == "role"
        else box
        for box in scene.boxes
    )
    return replace(scene, boxes=tuple(boxes))


def told(scene: Scene, hypothesis: Hypothesis, result: HypothesisResult) -> Told:
    """By box and by arrow: every claim about it, with its numbers."""
    results = {claim.name: claim for claim in result.claims}
    found: dict[str, list[str]] = {}
    for claim in hypothesis.claims:
        lines = list(_lines(results[claim.name])) if claim.name in results else []
        if not lines:
            continue
        about = _roles(claim)
        for box in scene.boxes:
            if box.name in about:
                found.setdefault(box.id, []).extend(lines)
        for bundle in scene.bundles:
            if _patches(claim, bundle):
                found.setdefault(f"{bundle.source} -> {bundle.target}", []).extend(lines)
    return found


def _lines(claim: ClaimResult) -> Iterator[str]:
    for requirement in claim.requirements:
        row = row_of(requirement)
        numbers = row.shown or f"{row.estimate} {row.interval} {row.level}, needs {row.threshold}"
        yield f"{SIGNS[claim.verdict]} {claim.name}: {labelled(row)}: {numbers}"


def _roles(claim: Claim) -> frozenset[str]:
    """Names that a claim cuts, patches, or reads a measure of."""
    named = {call[2] for r in claim.requirements for call in _CALL.finditer(r.text)}
    cuts: list[CutSet] = []
    if isinstance(claim.intervention, AblateSet | ActivationPatch):
        cuts.append(claim.intervention.cut)
    if claim.minimality is not None:
        cuts += [cut for cut, _ in claim.minimality.candidates]
    return frozenset(named | {cut.name for cut in cuts})


def _patches(claim: Claim, bundle: Bundle) -> bool:
    """Whether path patching of a claim goes along an arrow."""
    if not isinstance(claim.intervention, PathPatch):
        return False
    return any(
        edge.sender in {element.node for element in pair.senders}
        and (edge.receiver, edge.channel) in {(node, ch) for node, ch, _ in pair.receivers}
        for pair in claim.intervention.pairs
        for edge in bundle.edges
    )
