"""Which way each arrow goes on the grid: cheapest paths that never lead downwards.

Arrows from one source by the same channels share a trunk (a net), as in a circuit diagram. Each
further target is reached from the nearest point of what is there already. Costs are lengths, bends,
and the company of other nets; a box in the way is passed behind only where there is no way round.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from circuitspec.language.nodes import Channel, Logits, depth
from circuitspec.report.figure.grid import Grid
from circuitspec.report.figure.scene import Bundle, Scene

Cell = tuple[float, float]
"""(X, Y) on the grid; an end inside a box is half a step into it."""

ACROSS = 5.0
UP = 3.0
BEND = 12.0
BRANCH = 4.0
COMPANY = 4.0
CROSSING = 7.0
BEHIND = 400.0
UNUSUAL = 10.0
"""A query that enters from the side, a key or value that enters from below."""
TAKEN = 9.0
SIDE_EXIT = 6.0
ROUNDS = 3

RIGHT, LEFT, UPWARD = (1, 0), (-1, 0), (0, 1)
Direction = tuple[int, int]
FROM_THE_TOP = -1
Net = tuple[str, tuple[Channel, ...], bool, int]
"""Source, channels, whether it only says where heads attend, the row of an exit at the side."""
State = tuple[int, int, Direction]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """One bundle's way from its source to its target, corner by corner; wires of a net overlap."""

    bundle: Bundle
    net: Net
    path: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Goal:
    """A cell from which one step in a direction enters the target, and what this entry costs."""

    bundle: Bundle
    x: int
    y: int
    step: Direction
    cost: float


def routes(scene: Scene, grid: Grid) -> tuple[Wire, ...]:
    """A wire for every bundle of the scene, the same ones however the scene was stated."""
    nets: dict[Net, list[Bundle]] = {}
    for bundle in scene.bundles:
        nets.setdefault(_net(bundle, grid), []).append(bundle)
    board = _Board(grid)
    order = sorted(nets, key=lambda net: (_span(nets[net], grid), net))
    wires: dict[Net, list[Wire]] = {}
    for _ in range(ROUNDS):
        for net in order:
            board.remove(wires.pop(net, []))
            wires[net] = board.route(net, nets[net])
    return tuple(wire for net in sorted(wires) for wire in wires[net])


def _net(bundle: Bundle, grid: Grid) -> Net:
    rows = interleaved(bundle, grid)
    return (
        bundle.source,
        bundle.channels,
        bundle.attends,
        FROM_THE_TOP if rows is None else rows[0],
    )


def interleaved(bundle: Bundle, grid: Grid) -> tuple[int, int] | None:
    """Rows to leave and to enter by, where source and target overlap in layers; None otherwise.

    The lowest member that sends and the highest that receives: an edge joins lower to higher, so
    the arrow still leads upwards.
    """
    source, target = grid.spots.get(bundle.source), grid.spots.get(bundle.target)
    if source is None or target is None or source.top < target.bottom:
        return None
    senders = [depth(e.sender) for e in bundle.edges]
    receivers = [depth(e.receiver) for e in bundle.edges if not isinstance(e.receiver, Logits)]
    return grid.row(min(senders)), grid.row(max(receivers))


def _span(bundles: list[Bundle], grid: Grid) -> tuple[int, int]:
    """Short nets first: they have the fewest ways to go."""
    lanes = [
        grid.spots[id_].lane for b in bundles for id_ in (b.source, b.target) if id_ in grid.spots
    ]
    return (len(bundles), max(lanes, default=0) - min(lanes, default=0))


class _Board:
    """The grid with what is on it: boxes, and the steps that nets have taken."""

    def __init__(self, grid: Grid) -> None:
        self.grid = grid
        self.boxes = {
            (2 * s.lane + 1, y)
            for s in grid.spots.values()
            for y in range(2 * s.bottom + 1, 2 * s.top + 2)
        }
        self.across: Counter[tuple[int, int]] = Counter()
        self.upward: Counter[tuple[int, int]] = Counter()
        self.pins: Counter[Cell] = Counter()

    def remove(self, wires: list[Wire]) -> None:
        """Take a net off the board."""
        self._count(wires, -1)

    def route(self, net: Net, bundles: list[Bundle]) -> list[Wire]:
        """Wires for a net's bundles, nearest first, each from what is there already."""
        wires: list[Wire] = []
        reached: dict[tuple[int, int], tuple[Cell, ...]] = {}
        left = sorted(bundles, key=lambda b: b.target)
        while left:
            starts = () if reached else tuple(self._starts(net))
            goals = [goal for bundle in left for goal in self._goals(bundle)]
            path, bundle = self._search(starts, reached, goals)
            left.remove(bundle)
            wires.append(Wire(bundle=bundle, net=net, path=path))
            for n, (x, y) in enumerate(path):
                if x == int(x) and y == int(y) and (int(x), int(y)) not in self.boxes:
                    reached.setdefault((int(x), int(y)), path[: n + 1])
        self._count(wires, 1)
        return [Wire(bundle=w.bundle, net=w.net, path=_corners(w.path)) for w in wires]

    def _count(self, wires: list[Wire], by: int) -> None:
        steps: set[tuple[Cell, Cell]] = set()
        for wire in wires:
            path = _stepwise(wire.path)
            steps.update(pairwise(path))
            self.pins[path[-1]] += by
        for (x, y), (to_x, to_y) in steps:
            for cell in ((int(x), int(y)), (int(to_x), int(to_y))):
                (self.across if y == to_y else self.upward)[cell] += by

    def _starts(self, net: Net) -> Iterator[tuple[float, Cell, State]]:
        """Cost, the end inside the source, and the first cell outside it."""
        source, _, _, side = net
        spot = self.grid.spots.get(source)
        if spot is None:
            column = next(n for n, c in enumerate(self.grid.columns) if c.id == source)
            for lane in self.grid.lanes_of(column):
                yield 0.0, (2 * lane + 1, -0.5), (2 * lane + 1, 0, UPWARD)
            return
        x = 2 * spot.lane + 1
        if side == FROM_THE_TOP:
            yield 0.0, (x, 2 * spot.top + 1.5), (x, 2 * spot.top + 2, UPWARD)
        row, cost = (spot.top, SIDE_EXIT) if side == FROM_THE_TOP else (side, 0.0)
        yield cost, (x + 0.5, 2 * row + 1), (x + 1, 2 * row + 1, RIGHT)
        yield cost + 1, (x - 0.5, 2 * row + 1), (x - 1, 2 * row + 1, LEFT)

    def _goals(self, bundle: Bundle) -> list[_Goal]:
        spot = self.grid.spots.get(bundle.target)
        if spot is None:
            position = bundle.target.removeprefix("logits@")
            columns = [n for n, c in enumerate(self.grid.columns) if str(c.position) == position]
            top = self.grid.height
            return [
                _Goal(bundle=bundle, x=2 * lane + 1, y=top, step=UPWARD, cost=0.0)
                for column in columns
                for lane in self.grid.lanes_of(column)
            ]
        from_the_side = bundle.attends or not {"q", "in"} & set(bundle.channels)
        x = 2 * spot.lane + 1
        rows = interleaved(bundle, self.grid)
        goals = []
        for row in range(spot.bottom, spot.top + 1) if rows is None else [rows[1]]:
            cost = 0.0 if from_the_side else UNUSUAL
            y = 2 * row + 1
            goals.append(_Goal(bundle=bundle, x=x - 1, y=y, step=RIGHT, cost=cost))
            goals.append(_Goal(bundle=bundle, x=x + 1, y=y, step=LEFT, cost=cost + 8))
        if rows is None:
            cost = UNUSUAL if from_the_side else 0.0
            goals.append(_Goal(bundle=bundle, x=x, y=2 * spot.bottom, step=UPWARD, cost=cost))
        return goals

    def _search(
        self,
        starts: tuple[tuple[float, Cell, State], ...],
        reached: Mapping[tuple[int, int], tuple[Cell, ...]],
        goals: list[_Goal],
    ) -> tuple[tuple[Cell, ...], Bundle]:
        """The cheapest way to any goal, by Dijkstra's algorithm over (cell, direction).

        There is always one, behind boxes where need be: gutters are never blocked.
        """
        ends: dict[tuple[int, int], list[_Goal]] = {}
        for goal in goals:
            ends.setdefault((goal.x, goal.y), []).append(goal)
        cost: dict[State, float] = {}
        before: dict[State, State] = {}
        leading: dict[State, tuple[Cell, ...]] = {}
        queue: list[tuple[float, State]] = []
        for start_cost, inside, state in starts:
            cost[state] = start_cost
            leading[state] = (inside,)
            heapq.heappush(queue, (start_cost, state))
        for (x, y), way in reached.items():
            for step in (RIGHT, LEFT, UPWARD):
                # A branch turns off a trunk, so what bends here is charged like any bend.
                state = (x, y, step)
                came = _direction(way)
                charge = BRANCH + (0.0 if came == step else BEND / 2)
                if came == (-step[0], -step[1]):
                    continue
                cost[state] = charge
                leading[state] = way[:-1]
                heapq.heappush(queue, (charge, state))
        best: tuple[float, State, _Goal] | None = None
        while queue:
            so_far, state = heapq.heappop(queue)
            if best is not None and so_far >= best[0]:
                break
            if so_far > cost[state]:
                continue
            x, y, heading = state
            for goal in ends.get((x, y), ()):
                if goal.step == (-heading[0], -heading[1]):
                    continue
                pin = (x + goal.step[0] / 2, y + goal.step[1] / 2)
                total = so_far + goal.cost + (BEND if goal.step != heading else 0.0)
                total += TAKEN * self.pins[pin]
                if best is None or total < best[0]:
                    best = (total, state, goal)
            for following, price in self._moves(state):
                if so_far + price < cost.get(following, float("inf")):
                    cost[following] = so_far + price
                    before[following] = state
                    leading.pop(following, None)
                    heapq.heappush(queue, (so_far + price, following))
        assert best is not None, "gutters are never blocked"
        _, state, goal = best
        path: list[Cell] = [(state[0] + goal.step[0] / 2, state[1] + goal.step[1] / 2)]
        while state not in leading:
            path.append((state[0], state[1]))
            state = before[state]
        path.append((state[0], state[1]))
        return (*leading[state], *reversed(path)), goal.bundle

    def _moves(self, state: State) -> Iterator[tuple[State, float]]:
        x, y, heading = state
        for step in _STEPS:
            if step == (-heading[0], -heading[1]):
                continue
            to_x, to_y = x + step[0], y + step[1]
            if not (0 <= to_x <= self.grid.width and 0 <= to_y <= self.grid.height):
                continue
            price = UP if step == UPWARD else ACROSS
            if (to_x, to_y) in self.boxes:
                if step == UPWARD or to_y % 2:
                    continue
                price += BEHIND
            own, other = (
                (self.upward, self.across) if step == UPWARD else (self.across, self.upward)
            )
            price += COMPANY * (own[(to_x, to_y)] > 0) + CROSSING * (other[(to_x, to_y)] > 0)
            price += BEND if step != heading else 0.0
            yield (to_x, to_y, step), price


_STEPS = (RIGHT, LEFT, UPWARD)


def _direction(path: tuple[Cell, ...]) -> Direction:
    (x, y), (to_x, to_y) = path[-2], path[-1]
    return (int((to_x > x) - (to_x < x)), int(to_y > y))


def _stepwise(path: tuple[Cell, ...]) -> list[Cell]:
    """A path of corners with every cell between them."""
    cells = [path[0]]
    for to_x, to_y in path[1:]:
        x, y = cells[-1]
        while (x, y) != (to_x, to_y):
            x, y = _towards(x, to_x), _towards(y, to_y)
            cells.append((x, y))
    return cells


def _towards(here: float, there: float) -> float:
    """The next whole coordinate on the way, or the end of it."""
    if there > here:
        return min(there, math.floor(here) + 1.0)
    return max(there, math.ceil(here) - 1.0)


def _corners(path: tuple[Cell, ...]) -> tuple[Cell, ...]:
    """The ends of a path and the cells at which it turns."""
    kept = [path[0]]
    for before, cell, after in zip(path, path[1:], path[2:], strict=False):
        if (before[0] == cell[0]) != (cell[0] == after[0]):
            kept.append(cell)
    return (*kept, path[-1])
