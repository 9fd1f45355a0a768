"""Wires as SVG: rounded paths, dashes that take turns, arrow heads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from circuitspec.language.nodes import Channel
from circuitspec.report.figure.layout import PlacedWire, Point, parting
from circuitspec.report.figure.style import DASHES, GAP, NAMES

RADIUS = 7.0
"""Of a wire's corners."""
HEAD = 8.0
"""Length of an arrow head."""


def px(number: float) -> str:
    """A coordinate with one decimal at most: the same text on every machine."""
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def main_channel(channels: tuple[Channel, ...], *, attends: bool) -> str:
    """The name of the style of a wire's head and junctions: its first channel's."""
    return "attends" if attends else NAMES[channels[0]]


def strokes(path: str, channels: tuple[Channel, ...], attends: bool) -> Iterator[str]:
    """One line; with several channels their dashes take turns."""
    if attends:
        yield f'<path class="wire attends" d="{path}"/>'
        return
    if len(channels) == 1 and not DASHES[channels[0]]:
        yield f'<path class="wire {NAMES[channels[0]]}" d="{path}"/>'
        return
    lengths = [DASHES[c] or 12 for c in channels]
    period = sum(lengths) + GAP * len(channels)
    offset = 0.0
    for channel, length in zip(channels, lengths, strict=True):
        dashes = f"{px(length)} {px(period - length)}"
        shift = f' stroke-dashoffset="{px(-offset)}"' if offset else ""
        yield (
            f'<path class="wire {NAMES[channel]}" stroke-dasharray="{dashes}"{shift} d="{path}"/>'
        )
        offset += length + GAP


def parted(ways: list[list[Point]]) -> list[list[Point]]:
    """Each way from where it leaves those before it: a trunk is drawn once."""
    parted: list[list[Point]] = []
    for n, way in enumerate(ways):
        best = (0, way)
        for other in ways[:n]:
            common = 0
            while common < min(len(way), len(other)) and way[common] == other[common]:
                common += 1
            point = parting(tuple(way), tuple(other))
            if point is not None:
                # The further the common part, the shorter what is left to draw.
                best = max(best, (common, [point, *way[common:]]), key=lambda found: found[0])
        parted.append(best[1])
    return parted


def shortened(points: Sequence[Point]) -> list[Point]:
    """The same way, ending where the arrow head begins."""
    (x, y), (to_x, to_y) = points[-2], points[-1]
    step = HEAD - 1
    if x == to_x:
        end = (to_x, to_y + step if y > to_y else to_y - step)
    else:
        end = (to_x - step if to_x > x else to_x + step, to_y)
    return [*points[:-1], end]


def path_of(points: Sequence[Point]) -> str:
    """Straight pieces with rounded corners."""
    parts = [f"M{px(points[0][0])} {px(points[0][1])}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(RADIUS, _distance(before, corner) / 2, _distance(corner, after) / 2)
        start, end = _near(corner, before, radius), _near(corner, after, radius)
        parts.append(f"L{px(start[0])} {px(start[1])}")
        parts.append(f"Q{px(corner[0])} {px(corner[1])} {px(end[0])} {px(end[1])}")
    parts.append(f"L{px(points[-1][0])} {px(points[-1][1])}")
    return "".join(parts)


def _distance(a: Point, b: Point) -> float:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _near(corner: Point, towards: Point, by: float) -> Point:
    distance = _distance(corner, towards) or 1.0
    x = corner[0] + (towards[0] - corner[0]) * by / distance
    return (x, corner[1] + (towards[1] - corner[1]) * by / distance)


def head(wire: PlacedWire) -> str:
    """The arrow head at a wire's end."""
    (x, y), (to_x, to_y) = wire.points[-2], wire.points[-1]
    if x == to_x:
        back = to_y + (HEAD if y > to_y else -HEAD)
        corners = [(to_x, to_y), (to_x - 4, back), (to_x + 4, back)]
    else:
        back = to_x - (HEAD if to_x > x else -HEAD)
        corners = [(to_x, to_y), (back, to_y - 4), (back, to_y + 4)]
    style = main_channel(wire.bundle.channels, attends=wire.bundle.attends)
    drawn = " ".join(f"{px(at)},{px(down)}" for at, down in corners)
    return f'<polygon class="fill {style}" points="{drawn}"/>'
