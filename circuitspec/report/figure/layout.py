"""A scene with coordinates: boxes, tokens, rows and wires in pixels, y downwards, as in SVG.

The data give the layout: x is the token position, in reading order; y the layer, so that a head
stands at the same height in whatever role it is, and every arrow leads upwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from circuitspec.language.nodes import Head, Mlp, depth
from circuitspec.report.figure import text
from circuitspec.report.figure.grid import Grid, Spot, grid_of
from circuitspec.report.figure.routes import Net, Wire, routes
from circuitspec.report.figure.scene import Box, Bundle, Column, Scene
from circuitspec.report.figure.tracks import Stretch, Tracks, tracks

Point = tuple[float, float]

TITLE_SIZE = 13.0
NOTE_SIZE = 10.5
NODE_SIZE = 11.0
TITLE_LINE = 18.0
NOTE_LINE = 13.0
NOTE_ROOM = 170.0
"""The width at which what a role carries is broken into lines."""
INSIDE = 9.0
"""Between a box's frame and what is in it."""
NODE_HEIGHT = 18.0
NODE_GAP = 4.0
PITCH = 11.0
"""Between two wires side by side in a gutter or channel."""
ROW_PITCH = 14.0
"""The same at the side of boxes, where each wire may have its label above it."""
LANE_PITCH = 20.0
"""The same below boxes, where labels stand between wires."""
AIR = 9.0
"""Between a box and a wire that has nothing to do with it."""
ENTRY = 30.0
"""Room for an arrow head with its label where wires enter a box at its side."""
ENTRY_BELOW = 22.0
LABEL_FROM = 14.0
"""Between a box's side and a label beside it, with air behind the label."""
BESIDE_WIRE = 12.0
"""Between a wire that enters from below and its label, and from there to the next wire."""
TOKEN_HEIGHT = 36.0
LOGITS_HEIGHT = 26.0
NARROWEST = 58.0
BETWEEN_COLUMNS = 10.0
AXIS = 64.0
"""Room for the names of the layers, on the left."""
MARGIN = 16.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rect:
    """A rectangle: its upper left corner and its size."""

    x: float
    y: float
    width: float
    height: float

    @property
    def right(self) -> float:
        """The x of the right side."""
        return self.x + self.width

    @property
    def bottom(self) -> float:
        """The y of the lower side."""
        return self.y + self.height

    def overlaps(self, other: Rect) -> bool:
        """Whether two rectangles have more than a border in common."""
        return (
            self.x < other.right
            and other.x < self.right
            and self.y < other.bottom
            and other.y < self.bottom
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedNode:
    """A head or MLP in its box."""

    node: Head | Mlp
    rect: Rect


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedBox:
    """A box with its frame, its nodes, and its notes broken into lines."""

    box: Box
    rect: Rect
    nodes: tuple[PlacedNode, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedWire:
    """An arrow from its first point to its last, corner by corner; `head` is where it points."""

    bundle: Bundle
    net: Net
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedRow:
    """The strip of a layer: `label` names it, `broken` tells that layers below are left out."""

    label: str
    rect: Rect
    broken: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Everything a figure draws, with its place. `junctions`: where wires of a net part."""

    scene: Scene
    width: float
    height: float
    rows: tuple[PlacedRow, ...]
    tokens: tuple[tuple[Column, Rect], ...]
    logits: tuple[tuple[str, Rect], ...]
    boxes: tuple[PlacedBox, ...]
    wires: tuple[PlacedWire, ...]
    junctions: tuple[tuple[Net, Point], ...]


def layout(scene: Scene) -> Layout:
    """Places for all that a scene shows. Pure, and the same however the spec was ordered."""
    grid = grid_of(scene)
    wires = routes(scene, grid)
    return _Placing(scene, grid, wires, tracks(wires)).layout()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """What a box needs: its width, the height of its heading, its notes, nodes to a line."""

    width: float
    heading: float
    notes: tuple[str, ...]
    per_line: int


def _measured(box: Box) -> _Measured:
    notes = tuple(
        line for note in box.notes for line in text.wrapped(note, NOTE_ROOM, NOTE_SIZE, most=3)
    )
    title = text.width(box.name, TITLE_SIZE, em=text.BOLD)
    widest = max([title, *(text.width(note, NOTE_SIZE) for note in notes)])
    node = max(node_width(node) for node in box.nodes)
    most = max(len(nodes) for nodes in _by_row(box).values())
    square = next(n for n in range(1, most + 1) if n * n >= most)
    fitting = int((widest + NODE_GAP) // (node + NODE_GAP))
    per_line = max(square, min(fitting, most))
    return _Measured(
        width=max(widest, per_line * (node + NODE_GAP) - NODE_GAP) + 2 * INSIDE,
        heading=TITLE_LINE + NOTE_LINE * len(notes) + INSIDE,
        notes=notes,
        per_line=per_line,
    )


def node_width(node: Head | Mlp) -> float:
    """The width of a node's label with its frame."""
    return text.width(str(node), NODE_SIZE, em=text.MONO) + 10


def _by_row(box: Box) -> dict[tuple[int, int], list[Head | Mlp]]:
    rows: dict[tuple[int, int], list[Head | Mlp]] = {}
    for node in box.nodes:
        rows.setdefault(depth(node), []).append(node)
    return rows


class _Placing:
    """Sizes of the grid's lines, then the coordinates of what stands on them."""

    def __init__(self, scene: Scene, grid: Grid, wires: tuple[Wire, ...], tracks_: Tracks) -> None:
        self.scene, self.grid, self.wires, self.tracks = scene, grid, wires, tracks_
        self.measured = {id_: _measured(spot.box) for id_, spot in grid.spots.items()}
        self.entries = {(wire.path[-2], wire.path[-1]) for wire in wires}
        self.beside = _noted(wires, upright=False)
        self.below = _noted(wires, upright=True)
        self.noted_below = {w.path[-1][1] for w in wires if w.bundle.note and _upright(w)}
        self.left, right = _starts(self._widths(), AXIS)
        self.center_x = {at: self.left[at] + w / 2 for at, w in self._widths().items()}
        self.width = right + MARGIN
        heights = self._heights()
        self.low, top = _starts(heights, TOKEN_HEIGHT)
        self.sizes = heights
        self.height = top + (LOGITS_HEIGHT if scene.logits else 0.0)

    # ── sizes ────────────────────────────────────────────────────────────────────────────────

    def _widths(self) -> dict[int, float]:
        grid = self.grid
        counts = self.tracks.columns
        widths: dict[int, float] = {}
        for lane in range(len(grid.lanes)):
            x = 2 * lane + 1
            boxes = [self.measured[s.box.id].width for s in grid.spots.values() if s.lane == lane]
            tracks_ = counts.get(x, 0) * self._lane_pitch(x) + AIR
            widths[x] = max([NARROWEST, *boxes, tracks_ + self.below.get(x, 0.0)])
        for gutter in range(len(grid.lanes) + 1):
            x = 2 * gutter
            inner = 0 < gutter < len(grid.lanes)
            width = counts.get(x, 0) * PITCH + sum(self._entry(x))
            if inner and grid.lanes[gutter - 1] != grid.lanes[gutter]:
                width += BETWEEN_COLUMNS
            widths[x] = width if inner or counts.get(x) else 2.0
        for column, stated in enumerate(grid.columns):
            lanes = grid.lanes_of(column)
            room = sum(widths[x] for x in range(2 * lanes[0] + 1, 2 * lanes[-1] + 2))
            needed = token_width(stated)
            if needed > room:
                widths[2 * lanes[0] + 1] += needed - room
        return widths

    def _heights(self) -> dict[int, float]:
        grid = self.grid
        counts = self.tracks.rows
        heights: dict[int, float] = {}
        spots = grid.spots.values()
        for row in range(len(grid.rows)):
            lines = [_lines(s.box, grid.rows[row], self.measured[s.box.id].per_line) for s in spots]
            y = 2 * row + 1
            nodes = max(lines, default=1) * (NODE_HEIGHT + NODE_GAP) + NODE_GAP
            heights[y] = max(nodes, (counts.get(y, 0) + 1) * ROW_PITCH)
        for channel in range(len(grid.rows) + 1):
            y = 2 * channel
            headings = [self.measured[s.box.id].heading for s in spots if s.top == channel - 1]
            starting = any(s.bottom == channel for s in spots)
            last = channel == len(grid.rows)
            entered = any(first[1] < last_[1] == y + 0.5 for first, last_ in self.entries)
            heights[y] = (
                max(headings, default=0.0)
                + (counts[y] * PITCH if y in counts else 0.0)
                + (ENTRY_BELOW if entered else AIR if headings or last or not channel else 3.0)
                + (NOTE_LINE if y + 0.5 in self.noted_below else 0.0)
                + (INSIDE if starting else 0.0)
            )
        return heights

    def _entry(self, gutter: int) -> tuple[float, float]:
        """Room on the right and on the left of a gutter, where wires enter boxes or pass by."""
        from_left = any(first[0] < last[0] == gutter + 0.5 for first, last in self.entries)
        from_right = any(first[0] > last[0] == gutter - 0.5 for first, last in self.entries)
        return (
            max(ENTRY, self.beside.get(gutter + 0.5, 0.0)) if from_left else AIR,
            max(ENTRY, self.beside.get(gutter - 0.5, 0.0)) if from_right else AIR,
        )

    def _lane_pitch(self, lane: int) -> float:
        """Between wires that enter from below: as wide as the notes at their heads."""
        return max(LANE_PITCH, self.below.get(lane, 0.0) + BESIDE_WIRE)

    # ── coordinates ──────────────────────────────────────────────────────────────────────────

    def _y(self, from_below: float) -> float:
        """SVG's y of a height above the bottom of the tokens."""
        return MARGIN + self.height - from_below

    def _heading(self, channel: int) -> float:
        spots = self.grid.spots.values()
        return max(
            (self.measured[s.box.id].heading for s in spots if s.top == channel - 1), default=0.0
        )

    def _track(self, stretch: Stretch) -> float:
        """The x of an upright stretch, or the y of a flat one."""
        at = stretch.at
        pitch = PITCH if at % 2 == 0 else self._lane_pitch(at) if stretch.upright else ROW_PITCH
        off = (stretch.track - (stretch.among - 1) / 2) * pitch
        if stretch.upright:
            if at % 2 == 0:
                # Tracks stand clear of the room for arrow heads.
                right, left = self._entry(at)
                off += (left - right) / 2
            return self.center_x[at] + off
        if at % 2:
            return self._y(self.low[at] + self.sizes[at] / 2 + off)
        zone = (self.tracks.rows[at] - 1) * PITCH / 2
        bottom = self.low[at] + self._heading(at // 2) + (AIR if at else 2 * AIR) / 2
        return self._y(bottom + zone + off)

    def _rect(self, spot: Spot) -> Rect:
        measured = self.measured[spot.box.id]
        bottom = self.low[2 * spot.bottom + 1] - INSIDE
        y = 2 * spot.top + 1
        top = self.low[y] + self.sizes[y] + measured.heading
        x = self.center_x[2 * spot.lane + 1] - measured.width / 2
        return Rect(x=x, y=self._y(top), width=measured.width, height=top - bottom)

    def _box(self, spot: Spot) -> PlacedBox:
        measured, rect = self.measured[spot.box.id], self._rect(spot)
        nodes = []
        for row, members in _by_row(spot.box).items():
            y = 2 * self.grid.row(row) + 1
            lines = [
                members[i : i + measured.per_line]
                for i in range(0, len(members), measured.per_line)
            ]
            height = len(lines) * (NODE_HEIGHT + NODE_GAP) - NODE_GAP
            line_y = self._y(self.low[y] + self.sizes[y] / 2) - height / 2
            for line in lines:
                taken = sum(node_width(n) + NODE_GAP for n in line) - NODE_GAP
                x = rect.x + (rect.width - taken) / 2
                for node in line:
                    size = node_width(node)
                    place = Rect(x=x, y=line_y, width=size, height=NODE_HEIGHT)
                    nodes.append(PlacedNode(node=node, rect=place))
                    x += size + NODE_GAP
                line_y += NODE_HEIGHT + NODE_GAP
        return PlacedBox(box=spot.box, rect=rect, nodes=tuple(nodes), notes=measured.notes)

    def _column(self, number: int) -> tuple[float, float]:
        lanes = self.grid.lanes_of(number)
        last = 2 * lanes[-1] + 1
        return self.left[2 * lanes[0] + 1], self.left[last] + 2 * (
            self.center_x[last] - self.left[last]
        )

    def layout(self) -> Layout:
        """All places; the top of the picture is at y = 0."""
        boxes = {id_: self._box(spot) for id_, spot in self.grid.spots.items()}
        tokens, logits = [], []
        for number, column in enumerate(self.grid.columns):
            left, right = self._column(number)
            place = Rect(x=left, y=self._y(TOKEN_HEIGHT), width=right - left, height=TOKEN_HEIGHT)
            tokens.append((column, place))
            if column.position in self.scene.logits:
                rect = Rect(
                    x=left, y=self._y(self.height), width=right - left, height=LOGITS_HEIGHT
                )
                logits.append((f"logits@{column.position}", rect))
        frames = {column.id: rect for column, rect in tokens} | dict(logits)
        frames |= {id_: placed.rect for id_, placed in boxes.items()}
        wires = tuple(self._wire(wire, frames) for wire in self.wires)
        return Layout(
            scene=self.scene,
            width=self.width,
            height=self.height + 2 * MARGIN,
            rows=tuple(self._rows()),
            tokens=tuple(tokens),
            logits=tuple(logits),
            boxes=tuple(boxes.values()),
            wires=wires,
            junctions=_junctions(wires),
        )

    def _rows(self) -> Iterable[PlacedRow]:
        before = -1
        for number, (layer, block) in enumerate(self.grid.rows):
            y = 2 * number + 1
            rect = Rect(
                x=MARGIN,
                y=self._y(self.low[y] + self.sizes[y]),
                width=self.width - 2 * MARGIN,
                height=self.sizes[y],
            )
            label = f"{layer} mlp" if block else str(layer)
            yield PlacedRow(label=label, rect=rect, broken=layer > before + 1)
            before = layer

    def _wire(self, wire: Wire, frames: Mapping[str, Rect]) -> PlacedWire:
        pieces = list(pairwise(wire.path))
        lines = [self.tracks.of(wire.net, first, second) for first, second in pieces]
        at = [self._track(line) for line in lines]
        points = [_end(frames[wire.bundle.source], pieces[0], at[0], leaving=True)]
        for before, line, here, there in zip(lines, lines[1:], at, at[1:], strict=False):
            points.append((here, there) if before.upright else (there, here))
            assert before.upright != line.upright, "a path turns at each of its corners"
        points.append(_end(frames[wire.bundle.target], pieces[-1], at[-1], leaving=False))
        return PlacedWire(bundle=wire.bundle, net=wire.net, points=tuple(points))


def _upright(wire: Wire) -> bool:
    return wire.path[-2][0] == wire.path[-1][0]


def _noted(wires: Iterable[Wire], *, upright: bool) -> dict[float, float]:
    """By the X at which wires end, the room that the labels with notes at their heads take."""
    found: dict[float, float] = {}
    for wire in wires:
        if wire.bundle.note and _upright(wire) == upright:
            # Beside a box a note follows the channels; below one it stands under them.
            letters = "" if upright else "".join(wire.bundle.channels) + " "
            taken = text.width(letters + wire.bundle.note, NODE_SIZE, em=text.MONO)
            x = wire.path[-1][0]
            found[x] = max(found.get(x, 0.0), taken + (0.0 if upright else LABEL_FROM))
    return found


def _starts(sizes: Mapping[int, float], start: float) -> tuple[dict[int, float], float]:
    """Where each line of the grid begins, and where the last ends."""
    begins = {}
    for at in sorted(sizes):
        begins[at] = start
        start += sizes[at]
    return begins, start


def _lines(box: Box, row: tuple[int, int], per_line: int) -> int:
    return -(-len(_by_row(box).get(row, ())) // per_line)


def token_width(column: Column) -> float:
    """Room for a token's label and the word beneath it."""
    label = text.width(str(column.position), TITLE_SIZE, em=text.BOLD)
    return max(label, text.width(column.words, NOTE_SIZE)) + 2 * INSIDE


def _end(frame: Rect, piece: tuple[Point, Point], at: float, *, leaving: bool) -> Point:
    """Where the first or last piece of a wire touches a frame."""
    (x, _), (to_x, _) = piece
    if x == to_x:
        return (at, frame.y if leaving else frame.bottom)
    rightwards = to_x > x
    return (frame.right if rightwards == leaving else frame.x, at)


def _junctions(wires: tuple[PlacedWire, ...]) -> tuple[tuple[Net, Point], ...]:
    """Where wires of one net part from each other."""
    found: dict[tuple[Net, Point], None] = {}
    nets: dict[Net, list[PlacedWire]] = {}
    for wire in wires:
        nets.setdefault(wire.net, []).append(wire)
    for net, group in nets.items():
        for n, one in enumerate(group):
            for other in group[:n]:
                point = parting(one.points, other.points)
                if point is not None:
                    found[(net, point)] = None
    return tuple(sorted(found))


def parting(one: tuple[Point, ...], other: tuple[Point, ...]) -> Point | None:
    """The last point that two wires from one source have in common; None if it is the source."""
    common = 0
    while common < min(len(one), len(other)) and one[common] == other[common]:
        common += 1
    if common == 0:
        return None
    if common == min(len(one), len(other)):
        return None
    last, a, b = one[common - 1], one[common], other[common]
    if _heading(last, a) != _heading(last, b):
        return last if common > 1 else None
    return min(a, b, key=lambda p: abs(p[0] - last[0]) + abs(p[1] - last[1]))


def _heading(start: Point, end: Point) -> tuple[bool, bool, bool]:
    return (start[0] == end[0], end[0] > start[0], end[1] > start[1])
