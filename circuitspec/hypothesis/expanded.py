"""The reader of what `expand` prints: the flat list back as records, for programs that compare.

The graph comes back as the records that the resolver makes (heads, places, edges). Statements of
the task and of claims stay lines of text: what they mean depends on nothing but the line itself.
`text_of` prints the same lines again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, get_args

from circuitspec.hypothesis.records import Edge, Element, Place
from circuitspec.language.diagnostics import Diagnostic, Span
from circuitspec.language.names import node_named
from circuitspec.language.nodes import Channel, Head, Input, Logits, Mlp, Position

NOT_A_FACT = "H060"

_POSITION = re.compile(r"(\*|[A-Za-z_][A-Za-z0-9_]*)(?:\[(-?[0-9]+|\*)\])?([+-][0-9]+)?")
_EDGE = re.compile(r"(\S+) -> (a[0-9]+\.h[0-9]+|m[0-9]+|logits)(?:\.(q|k|v|in))? @ (\S+)")
_OPEN = re.compile(r"(\S+) @ (\S+) \"((?:[^\"\\]|\\.)*)\"")
_AT = re.compile(r"(\S+)(?: attends (.+))?")
_MODEL = re.compile(r"(.*?)(?: revision (\S+))?")

Line = Literal[
    "refines", "model", "task", "sweep", "role", "keep", "open", "group", "edge", "together",
    "claim",
]  # fmt: skip


@dataclass(slots=True, kw_only=True)
class FlatRole:
    """A role's lines: its members, its places, and what it carries, as text."""

    nodes: list[Head | Mlp] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    carries: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Facts:
    """A hypothesis as `expand` says it, every list in the order of the lines.

    `task` begins with the task's name; its statements follow as lines. `kept` are nodes, or
    `mlps` and `heads`, with a position. `together` has the bundles that one edge line states.
    """

    name: str
    refines: str | None = None
    model: str = ""
    revision: str | None = None
    task: list[str] = field(default_factory=list)
    sweeps: list[str] = field(default_factory=list)
    roles: dict[str, FlatRole] = field(default_factory=dict)
    kept: list[tuple[str, Position]] = field(default_factory=list)
    open_nodes: list[tuple[Element, str]] = field(default_factory=list)
    groups: dict[str, list[str]] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    together: list[tuple[str, ...]] = field(default_factory=list)
    claims: dict[str, list[str]] = field(default_factory=dict)


class _NotAFactError(ValueError):
    """A line that `expand` does not print; caught where the lines are read."""


def read_expanded(
    text: str, file: str = "<text>"
) -> tuple[tuple[Facts, ...], tuple[Diagnostic, ...]]:
    """The hypotheses of a flat list, and the lines that are no facts; never raises.

    Blank lines and `#` comments are passed over, so that several lists may follow each other.
    """
    found: list[Facts] = []
    wrong: list[Diagnostic] = []
    start = 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip() and not line.startswith("#"):
            try:
                _read(line.rstrip("\r"), found)
            except _NotAFactError as error:
                span = Span(
                    file=file, start=start, end=start + len(line), line=number, column=1,
                    end_line=number, end_column=len(line) + 1,
                )  # fmt: skip
                wrong.append(
                    Diagnostic(
                        code=NOT_A_FACT,
                        message=str(error),
                        span=span,
                        hint="`circuitspec expand SPEC` prints the lines that are read here",
                    )
                )
        start += len(line) + 1
    return tuple(found), tuple(wrong)


def text_of(facts: Facts) -> str:
    """The lines of a hypothesis, as `expand` prints them."""
    return "".join(f"{line}\n" for line in _lines(facts))


def _lines(facts: Facts) -> Iterator[str]:
    yield f"hypothesis {facts.name}"
    if facts.refines is not None:
        yield f"refines {facts.refines}"
    yield f"model {facts.model}" + (f" revision {facts.revision}" if facts.revision else "")
    yield from (f"task {line}" for line in facts.task)
    yield from (f"sweep {line}" for line in facts.sweeps)
    for name, role in facts.roles.items():
        yield from (f"role {name} member {node}" for node in role.nodes)
        for place in role.places:
            attends = f" attends {', '.join(map(str, place.keys))}" if place.keys else ""
            yield f"role {name} at {place.query}{attends}"
        yield from (f"role {name} carries {feature}" for feature in role.carries)
    yield from (f"keep {nodes} @ {position}" for nodes, position in facts.kept)
    for element, reason in facts.open_nodes:
        escaped = reason.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        yield f'open {element} "{escaped}"'
    for name, roles in facts.groups.items():
        yield from (f"group {name} role {role}" for role in roles)
    yield from (f"edge {edge}" for edge in facts.edges)
    yield from (f"together {', '.join(bundles)}" for bundles in facts.together)
    for name, claims in facts.claims.items():
        yield from (f"claim {name} {line}" for line in claims)


def _read(line: str, found: list[Facts]) -> None:
    """One line, added to the hypothesis that it belongs to."""
    kind, _, rest = line.partition(" ")
    if kind == "hypothesis" and rest:
        found.append(Facts(name=rest))
        return
    if kind not in get_args(Line) or not rest:
        raise _NotAFactError(f"`{line[:60]}` is not a line of a flat list")
    if not found:
        raise _NotAFactError("a flat list begins with `hypothesis NAME`")
    facts = found[-1]
    match kind:
        case "refines":
            facts.refines = rest
        case "model":
            model = _whole(_MODEL, rest)
            facts.model, facts.revision = model[1], model[2]
        case "task":
            facts.task.append(rest)
        case "sweep":
            facts.sweeps.append(rest)
        case "role":
            _role(rest, facts)
        case "keep":
            nodes, _, position = rest.partition(" @ ")
            if nodes not in ("mlps", "heads"):
                _node(nodes)
            facts.kept.append((nodes, _position(position)))
        case "open":
            stated = _whole(_OPEN, rest)
            element = Element(_sender(stated[1]), _position(stated[2]))
            facts.open_nodes.append((element, _unescaped(stated[3])))
        case "group":
            name, _, role = rest.partition(" role ")
            facts.groups.setdefault(name, []).append(role)
        case "edge":
            facts.edges.append(_edge(rest))
        case "together":
            facts.together.append(tuple(rest.split(", ")))
        case "claim":
            name, _, said = rest.partition(" ")
            facts.claims.setdefault(name, []).append(said)


def _role(rest: str, facts: Facts) -> None:
    name, _, said = rest.partition(" ")
    role = facts.roles.setdefault(name, FlatRole())
    what, _, value = said.partition(" ")
    match what:
        case "member":
            node = _node(value)
            if not isinstance(node, Head | Mlp):
                raise _NotAFactError(f"`{value}` cannot be a member of a role")
            role.nodes.append(node)
        case "at":
            stated = _whole(_AT, value)
            keys = tuple(_position(key) for key in stated[2].split(", ")) if stated[2] else ()
            role.places.append(Place(query=_position(stated[1]), keys=keys))
        case "carries":
            role.carries.append(value)
        case _:
            raise _NotAFactError(f"a role has `member`, `at` and `carries`, not `{what}`")


def _edge(text: str) -> Edge:
    stated = _whole(_EDGE, text)
    receiver = _node(stated[2])
    if isinstance(receiver, Input):
        raise _NotAFactError("nothing leads to the input")
    channel: Channel = "" if stated[3] is None else _CHANNELS[stated[3]]
    if (channel == "") != isinstance(receiver, Logits) or (channel == "in") != isinstance(
        receiver, Mlp
    ):
        raise _NotAFactError(f"`{receiver}` has no channel `{channel}`")
    return Edge(_sender(stated[1]), receiver, channel, _position(stated[4]))


_CHANNELS: dict[str, Channel] = {"q": "q", "k": "k", "v": "v", "in": "in"}


def _whole(pattern: re.Pattern[str], text: str) -> re.Match[str]:
    found = pattern.fullmatch(text)
    if found is None:
        raise _NotAFactError(f"`{text[:60]}` is not a line of a flat list")
    return found


def _node(text: str) -> Head | Mlp | Input | Logits:
    node = node_named(text)
    if node is None or str(node) != text:
        raise _NotAFactError(f"`{text[:60]}` is not a node")
    return node


def _sender(text: str) -> Head | Mlp | Input:
    node = _node(text)
    if isinstance(node, Logits):
        raise _NotAFactError("the logits are read by nobody")
    return node


def _position(text: str) -> Position:
    stated = _whole(_POSITION, text)
    index: int | Literal["*"] | None = None
    if stated[2] is not None:
        index = "*" if stated[2] == "*" else int(stated[2])
    return Position(stated[1], int(stated[3] or 0), index)


def _unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)
