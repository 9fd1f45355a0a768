"""What was measured of each role and arrow: in the figure, and on pointing at it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from circuitspec.hypothesis.records import Hypothesis
from circuitspec.judge.records import HypothesisResult
from circuitspec.report.figure.scene import Bundle, Scene
from circuitspec.report.figure.svg import Told
from circuitspec.report.html.along import Along, along, arrow, lines
from circuitspec.report.numbers import short

NEXT_TO_NOTHING = 1e-3
_CALL = re.compile(r"(\w+)\((\w+)\)")


def with_measures(scene: Scene, hypothesis: Hypothesis, result: HypothesisResult) -> Scene:
    """The scene with measures in it, where there are any.

    Under a role's name `attention 0.90`, and how far a metric moved when the role alone was patched
    or cut; at an arrow's head the same of what was patched or cut along it.
    """
    named: dict[str, list[str]] = {}
    for claim in result.claims:
        for key, value in claim.measures.items():
            call = _CALL.fullmatch(key)
            if call is not None and isinstance(value, int | float):
                named.setdefault(call[2], []).append(f"{call[1]} {short(float(value), 2)}")
    found = along(scene, hypothesis, result)
    boxes = []
    for box in scene.boxes:
        if box.kind == "role":
            moved = _of_role(box.name, found)
            notes = (*box.notes, *dict.fromkeys((*named.get(box.name, ()), *moved)))
            box = replace(box, notes=notes)
        boxes.append(box)
    bundles = tuple(replace(b, note=_note(b, found)) for b in scene.bundles)
    return replace(scene, boxes=tuple(boxes), bundles=bundles)


def told(scene: Scene, hypothesis: Hypothesis, result: HypothesisResult) -> Told:
    """By box and by arrow: every claim about it, with its numbers."""
    found: dict[str, dict[str, None]] = {}

    def tell(of: Iterable[str], said: Iterable[str]) -> None:
        lines_ = dict.fromkeys(said)
        for name in of:
            found.setdefault(name, {}).update(lines_)

    for claim in result.claims:
        for requirement in claim.requirements:
            about = {call[2] for call in _CALL.finditer(requirement.text)}
            boxes = (box.id for box in scene.boxes if box.name in about)
            tell(boxes, lines(claim, (requirement,)))
    for each in along(scene, hypothesis, result):
        tell(each.boxes, each.lines)
        others = [f"{len(each.arrows) - 1} more"] if len(each.arrows) > 1 else []
        others += ["edges that are not drawn"] if each.elsewhere else []
        together = f" (together with {' and '.join(others)})" if others else ""
        tell(each.arrows, (line + together for line in each.lines))
    return {name: tuple(said) for name, said in found.items() if said}


def explained(scene: Scene, hypothesis: Hypothesis, result: HypothesisResult) -> str:
    """What the numbers of a scene `with_measures` are; empty where there are none."""
    found = along(scene, hypothesis, result)
    shown = [a for a in found if a.change is not None and (a.arrows or a.role)]
    if not shown:
        return ""
    metrics = ", ".join(dict.fromkeys(each.metric for each in shown))
    parts = [
        f"Numbers with a sign are by how much {metrics} moves when what is at an arrow, or in a "
        "role, is patched with the counterfactual or cut."
    ]
    if any(bundle.note.startswith("(") for bundle in scene.bundles):
        parts.append("In parentheses: together with other edges.")
    counts = Counter(name for a in shown if a.alone for name in a.arrows)
    if counts and max(counts.values()) > 1:
        parts.append("Of several at one arrow, the largest.")
    return " ".join(parts)


def _note(bundle: Bundle, found: Iterable[Along]) -> str:
    """`−1.2`: the largest of what was measured along an arrow alone; `(−1.2)` of it and others."""
    mine = [a for a in found if arrow(bundle) in a.arrows and a.change is not None]
    alone = [a for a in mine if a.alone]
    if alone:
        return _largest(alone)
    return f"({_largest(mine)})" if mine else ""


def _of_role(name: str, found: Iterable[Along]) -> Iterator[str]:
    """`cut −1.2`: what was measured of a role alone, and not of a part or with others."""
    for each in found:
        if each.change is not None and each.role == name:
            yield f"{each.how} {_largest((each,))}"


def _largest(of: Iterable[Along]) -> str:
    """`−1.2`, `+0.3`; what is next to nothing beside the model's metric is 0."""
    value, model = max(((a.change or 0.0, a.model) for a in of), key=lambda found: abs(found[0]))
    if abs(value) < NEXT_TO_NOTHING * abs(model):
        return "0"
    text = short(value, 2)
    return f"+{text}" if value > 0 else text
