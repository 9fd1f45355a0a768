"""Causal scrubbing by weight algebra: what a story's scrub comes to over all its draws.

Written from the definition alone (docs/semantics.md), like `exact`. A tree has too many draws to be
listed, so its value is a mean over random ones, made here anew, with its standard error;
the model's metric on unconditional draws is a mean over all prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product

import numpy as np

from proving import exact
from proving.exact import Tokens
from proving.machine import Array
from proving.story import Role, Story
from proving.world import World

DRAWS = 16
"""Draws a prompt."""

KEEP = -1
"""The statement of what is read through a kept node; declared lines are numbered from 0."""

LOGITS = "logits"

Reads = Mapping[tuple[str, str, int], Mapping[str, tuple[str, int]]]
"""By (member, channel, token index): the senders declared, with the role each is read from (or
`input`) and the number of the line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrubbed:
    """The metric by prompt: scrubbed, by draw [n, DRAWS], and the model's on any prompt [n]."""

    draws: Array
    random: Array

    @property
    def scrubbed(self) -> Array:
        """The mean over draws [n]."""
        return np.asarray(self.draws.mean(1))

    @property
    def error(self) -> float:
        """The standard error of the mean over all prompts and draws."""
        return float(np.sqrt(self.draws.var(axis=1, ddof=1).sum() / DRAWS) / len(self.draws))


def scrub(world: World, story: Story) -> Scrubbed:
    """`scrub over task` of a story, over the whole population."""
    task = world.task
    key = "scrub", tuple(story.roles.items()), story.lines, story.keep_mlps
    on_any = task.over_position(task.at_end(world.clean().logits))
    return Scrubbed(
        draws=world.once(key, lambda: _draws(world, story)),
        random=task.score(on_any, np.arange(len(task.prompts))),
    )


def _draws(world: World, story: Story) -> Array:
    task = world.task
    random = np.random.default_rng(len(task.prompts))
    found = np.empty((len(task.prompts), DRAWS))
    templates = np.array([prompt.template for prompt in task.prompts])
    for template in task.templates:
        rows = np.flatnonzero(templates == template)
        tree = _Tree(world=world, story=story, row=int(rows[0]), random=random)
        root = np.repeat(rows, DRAWS)
        logits = exact.unembed(world.machine, tree.final(root))
        found[rows] = task.score(logits, root).reshape(-1, DRAWS)
    return found


def is_told_apart(story: Story) -> bool:
    """Whether no edge is declared twice, and no node is in two roles at a token: what is read where
    would else depend on the order of statements."""
    lines = [
        replace(story, lines=(replace(line, senders=(sender,), receivers=(receiver,)),)).declared()
        for line in story.lines
        for sender, receiver in product(line.senders, line.receivers)
    ]
    places = [story.elements(name) for name in story.roles]
    return all(sum(map(len, each)) == len(frozenset().union(*each)) for each in (lines, places))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tree:
    """The tree of the prompts of one template, that of prompt `row`. Every read draws anew."""

    world: World
    story: Story
    row: int
    random: np.random.Generator
    _reads: dict[tuple[str, int], Reads] = field(default_factory=dict)
    _usual: dict[float, Array] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The index of END."""
        return len(self.world.task.prompts[self.row].tokens) - 1

    def final(self, root: Tokens) -> Array:
        """What the logits read of the root prompts [rows, d_model]."""
        return self.state(LOGITS, self.last, root).read(LOGITS, "", self.last)

    def state(self, name: str, t: int, x: Tokens) -> _State:
        """A role (or the logits) at a token, on prompts x, with one draw for all else."""
        alike = np.flatnonzero(self.world.task.lengths == self.last + 1)
        other = alike[self.random.integers(0, len(alike), len(x))]
        return _State(tree=self, name=name, t=t, x=x, other=other)

    def drawn(self, role: Role, x: Tokens) -> Tokens:
        """For each of x a prompt as long that agrees with it in what the role carries."""
        if not role.carries:
            return x
        of = self.world.task.classes(role.carries)
        sizes = np.bincount(of)
        first = sizes.cumsum() - sizes
        chosen = (self.random.random(len(x)) * sizes[of[x]]).astype(np.int64)
        return np.argsort(of, kind="stable")[first[of[x]] + chosen]

    def usual(self, node: str) -> Array:
        """What a node reads on every prompt of the population [n, T, d_model]."""
        depth = exact.depth(node)
        if depth not in self._usual:
            machine, clean = self.world.machine, self.world.clean().out
            above = [clean[s] for s in exact.senders(machine) if exact.depth(s) < depth]
            self._usual[depth] = sum(above) + exact.constant(machine, node)
        return self._usual[depth]

    def indices(self, label: str) -> range:
        """Where a label stands."""
        if label == "*":
            return range(self.last + 1)
        at = int(self.world.task.index(label)[self.row])
        return range(at, at + 1)

    def reads(self, name: str, t: int) -> Reads:
        """What a role at a token, or the logits, reads along declared edges."""
        if (name, t) in self._reads:
            return self._reads[name, t]
        found: dict[tuple[str, str, int], dict[str, tuple[str, int]]] = {}
        for number, line in enumerate(self.story.lines):
            for sender, receiver in product(line.senders, line.receivers):
                if receiver.partition(".")[0] != name:
                    continue
                pair = replace(line, senders=(sender,), receivers=(receiver,))
                for node, member, channel, label in replace(self.story, lines=(pair,)).declared():
                    for p in self.indices(label):
                        if p == t or (channel in ("k", "v") and p < t):
                            found.setdefault((member, channel, p), {})[node] = (sender, number)
        self._reads[name, t] = found
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """Where one path of the tree has come to: what is read here shares its draws."""

    tree: _Tree
    name: str
    t: int
    x: Tokens
    other: Tokens
    _below: dict[tuple[str, int, int], _State] = field(default_factory=dict)
    _outputs: dict[str, Array] = field(default_factory=dict)
    _kept: dict[tuple[str, int], Array] = field(default_factory=dict)

    def output(self, node: str) -> Array:
        """What a member of the role puts out at its token [rows, d_model]; a leaf's is x's own.

        Members are computed as they are read: those of two roles may read each other by turns.
        """
        if node not in self._outputs:
            if self.tree.reads(self.name, self.t):
                self._outputs[node] = self._output(node)
            else:
                self._outputs[node] = self.tree.world.clean().out[node][self.x, self.t]
        return self._outputs[node]

    def _output(self, node: str) -> Array:
        machine = self.tree.world.machine
        if node[0] == "m":
            return exact.mlp(machine, node, self.read(node, "in", self.t))
        norm = f"blocks.{node[1:].split('.')[0]}.ln1"
        keys, values = (
            np.stack([self.read(node, c, p) for p in range(self.t + 1)], axis=1) for c in "kv"
        )
        queries = np.zeros_like(keys)
        queries[:, -1] = self.read(node, "q", self.t)
        channels = (exact.norm(machine, x, norm) for x in (queries, keys, values))
        return exact.head(machine, node, *channels)[0][:, -1]

    def read(self, node: str, channel: str, p: int) -> Array:
        """The residual that a channel reads at a token: declared, kept, and all else."""
        declared = self.tree.reads(self.name, self.t).get((node, channel, p), {})
        role = self.tree.story.roles.get(self.name)
        inside = p == self.t
        if channel in ("k", "v") and role is not None:
            inside = not role.keys or any(p in self.tree.indices(key) for key in role.keys)

        def sent(sender: str) -> Array | None:
            if sender in declared:
                return self._from(*declared[sender], p, sender)
            if inside and sender[0] == "m" and self.tree.story.keep_mlps:
                return self._kept_output(sender, p)
            return None

        return self._mixed(node, p, sent)

    def _mixed(self, node: str, p: int, sent: Callable[[str], Array | None]) -> Array:
        """The sum of all upstream senders at a token, on `other` where `sent` has nothing."""
        clean = self.tree.world.clean().out
        total = self.tree.usual(node)[self.other, p]
        for sender in exact.senders(self.tree.world.machine):
            if exact.depth(sender) < exact.depth(node):
                value = sent(sender)
                if value is not None:
                    total += value - clean[sender][self.other, p]
        return total

    def _from(self, name: str, statement: int, p: int, sender: str) -> Array:
        """A sender's output at a token, read from a role along a line, or from `input`."""
        if name == "input":
            return self.tree.world.clean().out["input"][self.x, p]
        if (name, p, statement) not in self._below:
            x = self.tree.drawn(self.tree.story.roles[name], self.x)
            self._below[name, p, statement] = self.tree.state(name, p, x)
        return self._below[name, p, statement].output(sender)

    def _kept_output(self, node: str, p: int) -> Array:
        """A kept MLP at a token, on its reader's prompt: it reads the input, kept MLPs below it
        and members of roles there, these along a path of their own."""
        if (node, p) not in self._kept:

            def sent(sender: str) -> Array | None:
                if sender == "input":
                    return self.tree.world.clean().out["input"][self.x, p]
                if sender[0] == "m":
                    return self._kept_output(sender, p)
                for name, role in self.tree.story.roles.items():
                    if sender in role.nodes and any(p in self.tree.indices(at) for at in role.at):
                        return self._from(name, KEEP, p, sender)
                return None

            residual = self._mixed(node, p, sent)
            self._kept[node, p] = exact.mlp(self.tree.world.machine, node, residual)
        return self._kept[node, p]
