"""A layout as one self-contained SVG: for light and dark, with text that can be selected and read.

No script and nothing from the network. Channels are told apart three ways, by colour (of Okabe and
Ito's palette, which the colour-blind can tell apart), by dashes, and by a letter at the arrow head,
so a print in black still says q, k or v.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

from circuitspec.language.nodes import Channel
from circuitspec.report.figure import text
from circuitspec.report.figure.layout import (
    LOGITS_HEIGHT,
    MARGIN,
    NOTE_LINE,
    TITLE_LINE,
    Layout,
    PlacedBox,
    PlacedRow,
    PlacedWire,
    Rect,
)
from circuitspec.report.figure.routes import Net
from circuitspec.report.figure.scene import Bundle, Column
from circuitspec.report.figure.strokes import (
    HEAD,
    head,
    main_channel,
    parted,
    path_of,
    px,
    shortened,
    strokes,
)
from circuitspec.report.figure.style import MEANINGS, NAMES, style

Told = Mapping[str, Sequence[str]]
HEADING = 32.0
NARROWEST = 420.0
LINE = 17.0


def to_svg(layout: Layout, *, told: Told | None = None, prefix: str = "") -> str:
    """The figure as the text of an SVG file, ending in a newline.

    `told` are lines shown on hovering over a box (by its id) or an arrow (by `source -> target`).
    `prefix` begins all ids, where several figures stand in one document.
    """
    told = told or {}
    scene = layout.scene
    width = max(layout.width, NARROWEST)
    legend = list(_legend(layout, width))
    captions = list(_captions(layout, width))
    doc = text.wrapped(_summary(layout), width - 2 * MARGIN, 12, most=2) if scene.doc else ()
    top = HEADING + LINE * len(doc)
    height = top + layout.height + LINE * (len(legend) + len(captions)) + MARGIN
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{px(width)}" height="{px(height)}" '
        f'viewBox="0 0 {px(width)} {px(height)}" role="img" '
        f'aria-labelledby="{prefix}circuit-title {prefix}circuit-desc">',
        f'<title id="{prefix}circuit-title">{escape(_title(layout))}</title>',
        f'<desc id="{prefix}circuit-desc">{escape(description(layout))}</desc>',
        f"<style>{style()}</style>",
        f'<rect class="paper" width="{px(width)}" height="{px(height)}"/>',
        f'<text class="heading" x="{px(MARGIN)}" y="26">{escape(scene.name)}</text>',
        *(
            f'<text class="doc" x="{px(MARGIN)}" y="{px(44 + LINE * n)}">{escape(line)}</text>'
            for n, line in enumerate(doc)
        ),
        f'<g transform="translate(0 {px(top)})">',
        *(_row(row) for row in layout.rows),
        *_axis(layout),
        *_wires(layout, told),
        *(_token(column, rect) for column, rect in layout.tokens),
        *(_logits(id_, rect) for id_, rect in layout.logits),
        *(line for box in layout.boxes for line in _box(box, told, prefix)),
        *_labels(layout.wires),
        "</g>",
    ]
    y = top + layout.height + 4
    for line in legend:
        out.append(f'<g transform="translate({px(MARGIN)} {px(y)})">{line}</g>')
        y += LINE
    for caption in captions:
        out.append(f'<text class="caption" x="{px(MARGIN)}" y="{px(y + 10)}">{caption}</text>')
        y += LINE
    return "\n".join([*out, "</svg>"]) + "\n"


def _summary(layout: Layout) -> str:
    """The first paragraph of the hypothesis's docstring."""
    return " ".join((layout.scene.doc or "").strip().split("\n\n")[0].split())


def _title(layout: Layout) -> str:
    doc = _summary(layout)
    return f"{layout.scene.name}: {doc}" if doc else layout.scene.name


def description(layout: Layout) -> str:
    """The figure in words, for those who cannot see it."""
    scene = layout.scene
    places = ", ".join(str(column.position) for column in scene.columns)
    parts = [
        f"Circuit hypothesis {scene.name} about {scene.model or 'a model'}. "
        f"Token positions from left to right: {places or 'none'}. Layers grow upwards."
    ]
    for box in scene.boxes:
        nodes = ", ".join(map(str, box.nodes))
        carries = f", carries {', '.join(box.notes)}" if box.kind == "role" and box.notes else ""
        parts.append(f"{box.name} at {box.position}: {nodes}{carries}.")
    parts += [f"{bundle_text(bundle)}." for bundle in scene.bundles]
    return " ".join(parts)


def bundle_text(bundle: Bundle) -> str:
    """`previous_token@S1+1 -> induction@S2 kv, 16 edges`."""
    if bundle.attends:
        return f"{bundle.target} attends {bundle.source.removeprefix('input@')}"
    channels = "".join(bundle.channels)
    count = f"{len(bundle.edges)} edge{'s' if len(bundle.edges) > 1 else ''}"
    return f"{bundle.source} -> {bundle.target}{f' {channels}' if channels else ''}, {count}"


# ── what stands still ────────────────────────────────────────────────────────────────────────────


def _row(row: PlacedRow) -> str:
    return f'<rect class="band" {_rect(row.rect)} rx="3"/>'


def _axis(layout: Layout) -> Iterator[str]:
    x = MARGIN + 40
    for row in layout.rows:
        y = row.rect.y + row.rect.height / 2 + 4
        yield f'<text class="axis" x="{px(x)}" y="{px(y)}">{escape(row.label)}</text>'
    for _, rect in layout.tokens[:1]:
        y = rect.y + rect.height / 2 + 4
        yield f'<text class="axis" x="{px(x)}" y="{px(y)}">input</text>'
    if layout.rows:
        y = layout.rows[-1].rect.y - 6
        yield f'<text class="axis" x="{px(x)}" y="{px(y)}">layer</text>'


def _token(column: Column, rect: Rect) -> str:
    x = rect.x + rect.width / 2
    label_y = rect.y + (16 if column.words else 23)
    words = (
        f'<text class="word" text-anchor="middle" x="{px(x)}" y="{px(rect.y + 29)}">'
        f"{escape(column.words)}</text>"
        if column.words
        else ""
    )
    return (
        f'<g><rect class="token" {_rect(rect)} rx="4"/>'
        f'<text class="name" x="{px(x)}" y="{px(label_y)}">{escape(str(column.position))}</text>'
        f"{words}</g>"
    )


def _logits(id_: str, rect: Rect) -> str:
    x, y = rect.x + rect.width / 2, rect.y + LOGITS_HEIGHT / 2 + 4.5
    return (
        f'<g class="logits"><title>{escape(id_)}</title><rect {_rect(rect)} rx="4"/>'
        f'<text class="name" x="{px(x)}" y="{px(y)}">logits</text></g>'
    )


def _box(placed: PlacedBox, told: Told, prefix: str) -> Iterator[str]:
    box, rect = placed.box, placed.rect
    x = rect.x + rect.width / 2
    attends = f" attends {', '.join(map(str, box.attends))}" if box.attends else ""
    yield f'<g class="{box.kind}" id={quoteattr(prefix + box.id)}>'
    yield _hover((f"{box.name} @ {box.position}{attends}", *told.get(box.id, ())))
    yield f'<rect class="box" {_rect(rect)} rx="6"/>'
    y = rect.y + TITLE_LINE - 1
    yield f'<text class="name" x="{px(x)}" y="{px(y)}">{escape(box.name)}</text>'
    for note in placed.notes:
        y += NOTE_LINE
        style = "note carries" if box.kind == "role" else "note"
        yield f'<text class="{style}" x="{px(x)}" y="{px(y)}">{escape(note)}</text>'
    for node in placed.nodes:
        yield (
            f'<g class="node"><rect {_rect(node.rect)} rx="4"/>'
            f'<text x="{px(node.rect.x + node.rect.width / 2)}" '
            f'y="{px(node.rect.y + 13)}">{node.node}</text></g>'
        )
    yield "</g>"


# ── wires ────────────────────────────────────────────────────────────────────────────────────────


def _wires(layout: Layout, told: Told) -> Iterator[str]:
    """Net by net, each on a strip of paper, so that where two cross it is seen which is above."""
    nets: dict[Net, list[PlacedWire]] = {}
    for wire in layout.wires:
        nets.setdefault(wire.net, []).append(wire)
    for net, group in nets.items():
        yield "<g>"
        paths = [path_of(points) for points in parted([shortened(w.points) for w in group])]
        yield from (f'<path class="under" d="{path}"/>' for path in paths)
        for wire, path in zip(group, paths, strict=True):
            bundle = wire.bundle
            lines = told.get(f"{bundle.source} -> {bundle.target}", ())
            yield f"<g>{_hover((bundle_text(bundle), *lines))}"
            yield from strokes(path, wire.bundle.channels, wire.bundle.attends)
            yield head(wire)
            yield "</g>"
        for of, (x, y) in layout.junctions:
            if of == net:
                color = main_channel(net[1], attends=net[2])
                yield f'<circle class="fill {color}" cx="{px(x)}" cy="{px(y)}" r="2.8"/>'
        yield "</g>"


def _labels(wires: Iterable[PlacedWire]) -> Iterator[str]:
    """The channel's letters and the note at each arrow head, above everything else."""
    for wire in wires:
        channels = [c for c in wire.bundle.channels if c]
        note = wire.bundle.note
        if not channels and not note:
            continue
        (x, _), (to_x, to_y) = wire.points[-2], wire.points[-1]
        below = x == to_x
        if below:
            place, anchor = (to_x + 6, to_y + 13), "start"
        elif to_x > x:
            place, anchor = (to_x - HEAD - 2, to_y - 4), "end"
        else:
            place, anchor = (to_x + HEAD + 2, to_y - 4), "start"
        apart = " " if "in" in channels else ""
        spans = apart.join(f'<tspan class="fill {NAMES[c]}">{c}</tspan>' for c in channels)
        if note:
            # Beside a box it follows the letters, below one it stands under them.
            under = f' x="{px(place[0])}" dy="{px(NOTE_LINE)}"' if channels and below else ""
            spans += " " if channels and not below else ""
            spans += f'<tspan class="measured" font-weight="400"{under}>{escape(note)}</tspan>'
        yield (
            f'<text class="label" text-anchor="{anchor}" x="{px(place[0])}" y="{px(place[1])}">'
            f"{spans}</text>"
        )


# ── what is said beneath ─────────────────────────────────────────────────────────────────────────


def _legend(layout: Layout, width: float) -> Iterator[str]:
    """What the figure's lines mean, a text a line; only what it has."""
    used = {c for wire in layout.wires for c in wire.bundle.channels}
    samples: list[tuple[tuple[Channel, ...], str]] = [
        ((channel,), meaning) for channel, meaning in MEANINGS.items() if channel in used
    ]
    if any(wire.bundle.attends for wire in layout.wires):
        samples.append(((), "attends, no edge stated"))
    parts: list[str] = []
    x = 0.0
    for channels, meaning in samples:
        taken = 44 + text.width(meaning, 11)
        if x and x + taken > width - 2 * MARGIN:
            yield "".join(parts)
            parts, x = [], 0.0
        path = f"M{px(x)} 6L{px(x + 30)} 6"
        parts += strokes(path, channels, not channels)
        color = main_channel(channels, attends=not channels)
        tip = f"{px(x + 38)},6 {px(x + 30)},2 {px(x + 30)},10"
        parts.append(f'<polygon class="fill {color}" points="{tip}"/>')
        parts.append(f'<text class="legend" x="{px(x + 44)}" y="10">{escape(meaning)}</text>')
        x += taken + 18
    if parts:
        yield "".join(parts)


def _captions(layout: Layout, width: float) -> Iterator[str]:
    scene = layout.scene
    room = width - 2 * MARGIN
    about = [f"model {scene.model}"] if scene.model else []
    about += [f"kept in the circuit: {', '.join(scene.kept)}"] if scene.kept else []
    if about:
        yield escape(text.cut("; ".join(about), room, 11))
    for name, template in scene.templates:
        yield escape(text.cut(f"{name}: {template}", room, 11))


def _hover(lines: Iterable[str]) -> str:
    return f"<title>{escape(chr(10).join(lines))}</title>"


def _rect(rect: Rect) -> str:
    return f'x="{px(rect.x)}" y="{px(rect.y)}" width="{px(rect.width)}" height="{px(rect.height)}"'
