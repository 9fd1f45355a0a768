"""Wrong variants of a true story, one change each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from proving.exact import depth, senders
from proving.machine import Machine
from proving.story import EdgeLine, Role, Story
from proving.task import Task

KINDS = (
    "head dropped",
    "wrong head added",
    "head exchanged",
    "edge dropped",
    "edge reversed",
    "edge moved to another channel",
    "edge moved to another position",
    "edge from another role",
    "role at the wrong token",
    "wrong token attended",
    "feature swapped",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """A mutated story: which kind of change, and the change in words."""

    kind: str
    what: str
    story: Story


def mutants(story: Story, machine: Machine, task: Task) -> Iterator[Mutant]:
    """Every single change of each kind."""
    for maker in (
        _dropped,
        _added,
        _exchanged,
        _edge_dropped,
        _reversed,
        _channel,
        _position,
        _elsewhere,
    ):
        yield from maker(story, machine)
    yield from _wrong_token(story, task.labels)
    yield from _wrong_key(story, task.labels)
    yield from _wrong_feature(story, task.features)


def _with_role(story: Story, name: str, role: Role) -> Story:
    return replace(story, roles={**story.roles, name: role})


def _dropped(story: Story, machine: Machine) -> Iterator[Mutant]:
    for name, role in story.roles.items():
        for node in role.nodes:
            rest = tuple(other for other in role.nodes if other != node)
            if rest:
                changed = _with_role(story, name, replace(role, nodes=rest))
            elif len(story.roles) > 1:
                changed = story.dropped(name)
            else:
                continue
            yield Mutant(kind="head dropped", what=f"{name} without {node}", story=changed)


def _free(story: Story, machine: Machine, role: Role) -> Iterator[str]:
    """Nodes of the role's sort that have no role at its positions."""
    sort = role.nodes[0][0]
    for node in senders(machine)[1:]:
        taken = any(
            node in other.nodes and set(other.at) & {*role.at, "*"}
            for other in story.roles.values()
        )
        if node[0] == sort and not taken and not (sort == "m" and story.keep_mlps):
            yield node


def _added(story: Story, machine: Machine) -> Iterator[Mutant]:
    for name, role in story.roles.items():
        for node in _free(story, machine, role):
            changed = _with_role(story, name, replace(role, nodes=(*role.nodes, node)))
            yield Mutant(kind="wrong head added", what=f"{node} in {name}", story=changed)


def _exchanged(story: Story, machine: Machine) -> Iterator[Mutant]:
    for name, role in story.roles.items():
        for node in role.nodes:
            for other in _free(story, machine, role):
                nodes = tuple(other if member == node else member for member in role.nodes)
                changed = _with_role(story, name, replace(role, nodes=nodes))
                what = f"{other} for {node} in {name}"
                yield Mutant(kind="head exchanged", what=what, story=changed)


def _pairs(story: Story) -> Iterator[tuple[int, str, str, str]]:
    """Every (line, sender, receiver, channel) declared; no channel for the logits."""
    for number, line in enumerate(story.lines):
        for sender in line.senders:
            for receiver in line.receivers:
                name, _, channels = receiver.partition(".")
                for channel in ("in",) if channels == "in" else channels or ("",):
                    yield number, sender, name, channel


def _without(story: Story, number: int, sender: str, name: str, channel: str) -> list[EdgeLine]:
    """The lines without one pair's channel."""
    found = list(story.lines)
    line = found.pop(number)
    for each in line.senders:
        kept = []
        for receiver in line.receivers:
            other, _, channels = receiver.partition(".")
            if each == sender and other == name:
                channels = "" if channels in (channel, "in") else channels.replace(channel, "")
                if not channels:
                    continue
                receiver = f"{other}.{channels}"
            kept.append(receiver)
        if kept:
            found.append(replace(line, senders=(each,), receivers=tuple(kept)))
    return found


def _named(name: str, channel: str) -> str:
    return f"{name}.{channel}" if channel else name


def _edge_dropped(story: Story, machine: Machine) -> Iterator[Mutant]:
    for number, sender, name, channel in _pairs(story):
        lines = _without(story, number, sender, name, channel)
        what = f"no {sender} -> {_named(name, channel)}"
        yield Mutant(kind="edge dropped", what=what, story=replace(story, lines=tuple(lines)))


def _reversed(story: Story, machine: Machine) -> Iterator[Mutant]:
    """Edges turned round, or running both ways."""
    for number, sender, name, channel in _pairs(story):
        if sender == "input" or name == "logits":
            continue
        back = "in" if story.roles[sender].nodes[0][0] == "m" else (channel.replace("in", "k"))
        line = EdgeLine(senders=(name,), receivers=(f"{sender}.{back}",))
        # what the two carried could not be brought there, and the checker would say so
        roles = {
            other: replace(role, carries=()) if other in (sender, name) else role
            for other, role in story.roles.items()
        }
        turned = (*_without(story, number, sender, name, channel), line)
        what = f"{name} -> {sender}.{back}"
        for lines, also in ((turned, ""), ((*story.lines, line), " as well")):
            changed = replace(story, roles=roles, lines=lines)
            yield Mutant(kind="edge reversed", what=what + also, story=changed)


def _channel(story: Story, machine: Machine) -> Iterator[Mutant]:
    present = {(sender, name, channel) for _, sender, name, channel in _pairs(story)}
    for number, sender, name, channel in _pairs(story):
        if channel in ("", "in"):
            continue
        for other in "qkv":
            if (sender, name, other) in present:
                continue
            lines = _without(story, number, sender, name, channel)
            lines.append(EdgeLine(senders=(sender,), receivers=(f"{name}.{other}",)))
            yield Mutant(
                kind="edge moved to another channel",
                what=f"{sender} -> {name}.{other} for .{channel}",
                story=replace(story, lines=tuple(lines)),
            )


def _position(story: Story, machine: Machine) -> Iterator[Mutant]:
    """Edges at some of the positions they are read at."""
    for number, sender, name, channel in _pairs(story):
        if name == "logits":
            continue
        reads = story.roles[name].reads_at(channel)
        for label in reads if len(reads) > 1 else ():
            lines = _without(story, number, sender, name, channel)
            moved = EdgeLine(senders=(sender,), receivers=(f"{name}.{channel}",), at=(label,))
            yield Mutant(
                kind="edge moved to another position",
                what=f"{sender} -> {name}.{channel} at {label} alone",
                story=replace(story, lines=(*lines, moved)),
            )


def _elsewhere(story: Story, machine: Machine) -> Iterator[Mutant]:
    present = {(sender, name, channel) for _, sender, name, channel in _pairs(story)}
    for number, sender, name, channel in _pairs(story):
        for other in ("input", *story.roles):
            if other == sender or (other, name, channel) in present:
                continue
            if other != "input" and name != "logits":
                first = min(depth(node) for node in story.roles[other].nodes)
                if first >= max(depth(node) for node in story.roles[name].nodes):
                    continue
            lines = _without(story, number, sender, name, channel)
            lines.append(EdgeLine(senders=(other,), receivers=(_named(name, channel),)))
            yield Mutant(
                kind="edge from another role",
                what=f"{other} for {sender} -> {_named(name, channel)}",
                story=replace(story, lines=tuple(lines)),
            )


def _wrong_token(story: Story, labels: tuple[str, ...]) -> Iterator[Mutant]:
    """A role at another token, alone or with those who read it there."""
    for name, role in story.roles.items():
        for label in labels:
            if label in role.at:
                continue
            # what it carried could not be brought there, and the checker would say so
            moved = replace(role, at=(label,), carries=())
            alone = _with_role(story, name, moved)
            yield Mutant(kind="role at the wrong token", what=f"{name} @ {label}", story=alone)
            roles = dict(alone.roles)
            for other, reader in story.roles.items():
                if other != name and set(reader.keys) & set(role.at):
                    keys = tuple(label if key in role.at else key for key in reader.keys)
                    roles[other] = replace(reader, keys=tuple(dict.fromkeys(keys)))
            if roles != alone.roles:
                yield Mutant(
                    kind="role at the wrong token",
                    what=f"{name} @ {label}, read there",
                    story=replace(story, roles=roles),
                )


def _wrong_key(story: Story, labels: tuple[str, ...]) -> Iterator[Mutant]:
    for name, role in story.roles.items():
        if not role.keys:
            continue
        others = [(label,) for label in labels if (label,) != role.keys]
        others += [(*role.keys, label) for label in labels if label not in role.keys]
        for keys in others:
            changed = _with_role(story, name, replace(role, keys=keys, carries=()))
            what = f"{name} attends {', '.join(keys)}"
            yield Mutant(kind="wrong token attended", what=what, story=changed)


def _wrong_feature(story: Story, features: tuple[str, ...]) -> Iterator[Mutant]:
    """A role that carries something else, or of several features one less."""
    for name, role in story.roles.items():
        others = [(feature,) for feature in features if (feature,) != role.carries]
        for carries in others if role.carries else ():
            changed = _with_role(story, name, replace(role, carries=carries))
            what = f"{name} carries {', '.join(carries)}"
            yield Mutant(kind="feature swapped", what=what, story=changed)
