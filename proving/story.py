"""Hypotheses as data: roles and edges, what they stand for, and their text.

A story is written out as a spec for the program, and read here on its own for the exact figures.
Two labels never name one token, so that positions are equal if their names are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from proving.exact import depth


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Heads or MLPs at some positions; heads attend to `keys`. `carries`: features, as text."""

    nodes: tuple[str, ...]
    at: tuple[str, ...]
    keys: tuple[str, ...] = ()
    carries: tuple[str, ...] = ()

    def reads_at(self, channel: str) -> tuple[str, ...]:
        """Where its members read a channel."""
        return self.keys or ("*",) if channel in ("k", "v") else self.at


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeLine:
    """`edge A, B -> C.kv at P`: senders, receivers with their channels (or logits), positions.

    Without `at`, wherever sender and receiver meet.
    """

    senders: tuple[str, ...]
    receivers: tuple[str, ...]
    at: tuple[str, ...] = ()


Edge = tuple[str, str, str, str]
"""Sender, receiver, channel, position where it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A hypothesis without its claims. `keep_mlps` is `keep mlps @ *`."""

    roles: Mapping[str, Role]
    lines: tuple[EdgeLine, ...]
    keep_mlps: bool = False

    def elements(self, *names: str) -> frozenset[tuple[str, str]]:
        """(node, position) of the roles named, of all roles if none is."""
        chosen = names or tuple(self.roles)
        return frozenset(
            (node, label)
            for name in chosen
            for node in self.roles[name].nodes
            for label in self.roles[name].at
        )

    def edges(self, layers: int) -> frozenset[Edge]:
        """The edges declared, and those that keeping the MLPs of `layers` layers adds."""
        found = {edge for line in self.lines for edge in self._product(line)}
        if self.keep_mlps:
            found |= set(self._kept(layers))
        return frozenset(found)

    def declared(self) -> frozenset[Edge]:
        """The edges declared."""
        return frozenset(edge for line in self.lines for edge in self._product(line))

    def _product(self, line: EdgeLine) -> Iterator[Edge]:
        for sender in line.senders:
            nodes = ("input",) if sender == "input" else self.roles[sender].nodes
            lives = ("*",) if sender == "input" else self.roles[sender].at
            for member, channel, reads in self._receivers(line):
                for node in nodes:
                    if depth(node) >= depth(member):
                        continue
                    for label in _met(lives, reads):
                        if not line.at or label in line.at:
                            yield node, member, channel, label

    def _receivers(self, line: EdgeLine) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        for written in line.receivers:
            name, _, channels = written.partition(".")
            if name == "logits":
                yield "logits", "", ("END",)
                continue
            role = self.roles[name]
            for member in role.nodes:
                for channel in ("in",) if channels == "in" else channels:
                    yield member, channel, role.reads_at(channel)

    def _kept(self, layers: int) -> Iterator[Edge]:
        mlps = [f"m{layer}" for layer in range(layers)]
        for mlp in mlps:
            yield "input", mlp, "in", "*"
            yield mlp, "logits", "", "END"
            for other in mlps:
                if depth(mlp) < depth(other):
                    yield mlp, other, "in", "*"
            for role in self.roles.values():
                for node in role.nodes:
                    if node in mlps:
                        continue
                    if depth(node) < depth(mlp):
                        yield from ((node, mlp, "in", label) for label in role.at)
                    else:
                        for channel in "qkv":
                            for label in role.reads_at(channel):
                                yield mlp, node, channel, label

    def dropped(self, name: str) -> Story:
        """Without a role: its name goes from all lines, and lines left empty go."""
        lines = []
        for line in self.lines:
            senders = tuple(s for s in line.senders if s != name)
            receivers = tuple(r for r in line.receivers if r.partition(".")[0] != name)
            if senders and receivers:
                lines.append(replace(line, senders=senders, receivers=receivers))
        roles = {key: role for key, role in self.roles.items() if key != name}
        return replace(self, roles=roles, lines=tuple(lines))

    def text(self) -> list[str]:
        """Its statements."""
        found = []
        for name, role in self.roles.items():
            attends = f" attends {', '.join(role.keys)}" if role.keys else ""
            carries = f" carries {', '.join(role.carries)}" if role.carries else ""
            where = f"{', '.join(role.nodes)} @ {', '.join(role.at)}"
            found.append(f"role {name} = {where}{attends}{carries}")
        if self.keep_mlps:
            found.append("keep mlps @ *")
        for line in self.lines:
            at = f" at {', '.join(line.at)}" if line.at else ""
            found.append(f"edge {', '.join(line.senders)} -> {', '.join(line.receivers)}{at}")
        return found


def _met(lives: tuple[str, ...], reads: tuple[str, ...]) -> Iterator[str]:
    """Positions where a sender that lives at some is read at others."""
    if "*" in lives:
        yield from reads
    elif "*" in reads:
        yield from lives
    else:
        yield from (label for label in reads if label in lives)
