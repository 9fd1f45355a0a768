"""Scenes to draw: made up by hypothesis, and those of specs."""

from __future__ import annotations

from pathlib import Path

from hypothesis import strategies as st

from circuitspec.hypothesis.records import Edge
from circuitspec.hypothesis.resolve import resolve
from circuitspec.language.nodes import (
    END,
    INPUT,
    LOGITS,
    Head,
    HeadIndex,
    Layer,
    Mlp,
    Position,
    is_upstream,
)
from circuitspec.language.parser import parse
from circuitspec.report.figure.scene import Box, Bundle, Column, Scene, scene_of

ROOT = Path(__file__).parents[2]

POSITIONS = (Position("*"), Position("A"), Position("B"), Position("B", 1), END)

NODES = st.one_of(
    st.builds(
        Head,
        st.integers(0, 11).map(Layer),
        st.integers(0, 11).map(HeadIndex),
    ),
    st.builds(Mlp, st.integers(0, 11).map(Layer)),
)


def scene(text: str, name: str | None = None) -> Scene:
    """The scene of a spec's hypothesis, its first unless named."""
    tree, mistakes = parse(text)
    assert not mistakes
    hypotheses, _ = resolve(tree)
    chosen = next(h for h in hypotheses if name in (None, h.name))
    return scene_of(chosen)


def scene_of_file(path: str, name: str | None = None) -> Scene:
    """The same for a spec of the repository."""
    return scene((ROOT / path).read_text(encoding="utf-8"), name)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """Roles anywhere, joined in whatever way layers allow."""
    positions = draw(st.lists(st.sampled_from(POSITIONS), min_size=1, max_size=4, unique=True))
    positions.sort(key=POSITIONS.index)
    boxes = []
    for number in range(draw(st.integers(1, 7))):
        position = draw(st.sampled_from(positions))
        nodes = draw(st.lists(NODES, min_size=1, max_size=8, unique=True))
        kind = draw(st.sampled_from(["role", "role", "role", "open"]))
        notes = draw(st.lists(st.sampled_from(["token(IO)", "why not " * 20]), max_size=2))
        boxes.append(
            Box(
                id=f"role{number}@{position}",
                kind=kind,
                name=f"role{number}" + "_long" * draw(st.integers(0, 3)),
                position=position,
                column=position,
                nodes=tuple(sorted(nodes, key=lambda n: (n.layer, str(n)))),
                notes=tuple(notes),
            )
        )
    bundles = [b for b in _possible(boxes, positions) if draw(st.booleans())]
    return Scene(
        name="made_up",
        doc=None,
        model="gpt2",
        columns=tuple(Column(position=p, words="word" if p == END else "") for p in positions),
        boxes=tuple(boxes),
        logits=(positions[-1],),
        bundles=tuple(sorted(bundles, key=lambda b: (b.source, b.target))),
    )


def _possible(boxes: list[Box], positions: list[Position]) -> list[Bundle]:
    """Every bundle that the layers of the boxes allow."""
    found = []
    for target in boxes:
        if target.kind == "open":
            continue
        for source in boxes:
            edges = tuple(
                Edge(s, r, "in" if isinstance(r, Mlp) else "k", target.position)
                for s in source.nodes
                for r in target.nodes
                if is_upstream(s, r)
            )
            if edges and source.kind == "role":
                channels = tuple(sorted({e.channel for e in edges}, reverse=True))
                found.append(
                    Bundle(source=source.id, target=target.id, channels=channels, edges=edges)
                )
        for position in positions:
            edges = tuple(
                Edge(INPUT, r, "in" if isinstance(r, Mlp) else "q", position) for r in target.nodes
            )
            channels = tuple(sorted({e.channel for e in edges}, reverse=True))
            source_id = f"input@{position}"
            found.append(Bundle(source=source_id, target=target.id, channels=channels, edges=edges))
        out = tuple(Edge(s, LOGITS, "", positions[-1]) for s in target.nodes)
        found.append(
            Bundle(source=target.id, target=f"logits@{positions[-1]}", channels=("",), edges=out)
        )
    return found
