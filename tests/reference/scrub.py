"""Causal scrubbing of a treeified graph (Chan et al. 2022), one prompt at a time, draws given.

The declared graph is a dict of ``Place``: a role at a position. Walking it from the logits
unrolls it into a tree, and every node of that tree has a path, a tuple of steps (role, position,
edge statement) from the logits down; the logits' own path is ``()``. Two prompts hang on a path:

- ``draws[path]``: x_c, on which the role is read; its circuit inputs are read with x_c as their
  reference, recursively. Not needed for ``()`` (the root prompt) nor where the place is exact.
- ``other[path]``: the one unconditional draw for everything else that this node reads.

All members and channels of a role at one path share both. Values correspond by token index.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .architectures import SlowModel
from .slow import INPUT, LOGITS, Node, Run, constant, run, upstream

Path = tuple[tuple[str, int, Hashable], ...]
KEEP = "keep"  # the edge statement of a role that is read through a kept MLP


@dataclass(frozen=True)
class Read:
    """A declared edge, seen from its receiver: ``channel`` reads ``sender`` at position ``at``.

    ``sender`` is a role's name (which must have a Place at ``at``) or ``"input"``. ``statement``
    names the edge statement: two channels share a draw exactly if they share it.
    """

    sender: str
    channel: str  # "q", "k", "v", "in"
    at: int
    statement: Hashable


@dataclass(frozen=True)
class Place:
    """A role at a position: heads and MLPs whose outputs are read there.

    ``exact``: the role carries nothing that is claimed, so x_c is its reader's reference.
    ``keys``: the positions whose k and v belong to the circuit (what the role attends); kept MLPs
    are read there, and at ``position`` for q. A place with no ``reads`` is a leaf: its members
    have their ordinary values on x_c.
    """

    role: str
    position: int
    nodes: tuple[Node, ...]
    reads: tuple[Read, ...] = ()
    keys: tuple[int, ...] = ()
    exact: bool = False


@torch.no_grad()
def causal_scrub(
    model: SlowModel,
    tokens: Tensor,
    graph: Mapping[tuple[str, int], Place],
    root: Place,
    draws: Mapping[Path, Tensor],
    other: Mapping[Path, Tensor],
    kept: Collection[tuple[Node, int]] = (),
) -> Tensor:
    """The scrubbed model's logits at the root's position: [vocab].

    ``tokens`` [pos]: the root prompt. ``graph``: (role, position) -> Place. ``root``: the logits,
    ``Place("logits", END, (LOGITS,), reads)``. ``kept``: nodes at positions that are in the circuit
    for good: they draw nothing, and use their reader's reference and other-draw. All prompts
    have the root's length. A draw that is missing is a KeyError whose key is its path.
    """
    scrub = _Scrub(model, graph, draws, other, frozenset(kept))
    residual = scrub.residual(root, LOGITS, "in", root.position, (), tokens)
    return model.unembed(residual)


def paths(
    model: SlowModel,
    tokens: Tensor,
    graph: Mapping[tuple[str, int], Place],
    root: Place,
    kept: Collection[tuple[Node, int]] = (),
) -> tuple[set[Path], set[Path]]:
    """Which paths a scrub asks for: (those that need a draw, those that need an other-draw)."""

    class Recorder(dict):
        def __missing__(self, path: Path) -> Tensor:
            self[path] = tokens
            return tokens

    draws, other = Recorder(), Recorder()
    causal_scrub(model, tokens, graph, root, draws, other, kept)
    return set(draws), set(other)


class _Scrub:
    def __init__(
        self,
        model: SlowModel,
        graph: Mapping[tuple[str, int], Place],
        draws: Mapping[Path, Tensor],
        other: Mapping[Path, Tensor],
        kept: frozenset[tuple[Node, int]],
    ) -> None:
        self.model, self.graph, self.draws, self.other = model, graph, draws, other
        self.kept = kept
        self._plain: dict[tuple[int, ...], Run] = {}
        self._mlps: dict[tuple, Tensor] = {}  # only saves time

    def plain(self, tokens: Tensor) -> dict[Node, Tensor]:
        """Every sender's ordinary output on one prompt: node -> [1, pos, d_model]."""
        key = tuple(tokens.tolist())
        if key not in self._plain:
            self._plain[key] = run(self.model, tokens[None])
        return self._plain[key].senders

    def value(self, place: Place, node: Node, path: Path, x: Tensor) -> Tensor:
        """Output of a member of a place whose x_c is ``x``, at the place's position: [d_model]."""
        if not place.reads:
            return self.plain(x)[node][0, place.position]
        if node[0] == "mlp":
            return self.mlp(node, self.residual(place, node, "in", place.position, path, x))
        _, index, h = node
        layer, n = self.model.layers[index], len(x)
        vectors = {}
        for c in "qkv":
            rows = torch.zeros(n, self.model.d_model, dtype=self.model.dtype)
            for at in [place.position] if c == "q" else range(n):
                rows[at] = self.residual(place, node, c, at, path, x)
            vectors[c] = (layer.attention_norm(rows) @ layer.W[c][h] + layer.b[c][h])[None]
        pattern = self.model.pattern(index, vectors["q"], vectors["k"])
        return pattern[0, place.position] @ vectors["v"][0] @ layer.W_O[h]

    def mlp(self, node: Node, residual: Tensor) -> Tensor:
        layer = self.model.layers[node[1]]
        return layer.mlp(layer.mlp_norm(residual))

    def residual(
        self, place: Place, node: Node, channel: str, at: int, path: Path, x: Tensor
    ) -> Tensor:
        """What one channel of a member of a place reads at one position: [d_model]."""
        total = constant(self.model, node)
        in_circuit = at == place.position if channel in ("q", "in") else at in place.keys
        for sender in upstream(self.model, node):
            read = self.declared(place, channel, at, sender)
            if read is not None and sender == INPUT:
                total = total + self.model.embed(x[None])[0, at]
            elif read is not None:
                source = self.graph[read.sender, at]
                total = total + self.role_value(source, sender, read.statement, path, x)
            elif (sender, at) in self.kept and in_circuit:
                total = total + self.kept_value(sender, at, path, x)
            else:
                total = total + self.plain(self.other[path])[sender][0, at]
        return total

    def declared(self, place: Place, channel: str, at: int, sender: Node) -> Read | None:
        """The declared edge by which this channel of this place reads this sender, if any."""
        for read in place.reads:
            if (read.channel, read.at) == (channel, at):
                if read.sender == "input" and sender == INPUT:
                    return read
                if read.sender != "input" and sender in self.graph[read.sender, at].nodes:
                    return read
        return None

    def role_value(
        self, place: Place, sender: Node, statement: Hashable, path: Path, x: Tensor
    ) -> Tensor:
        """A member of a place, read one step further down, on that path's own draw."""
        path = (*path, (place.role, place.position, statement))
        return self.value(place, sender, path, x if place.exact else self.draws[path])

    def kept_value(self, node: Node, at: int, path: Path, x: Tensor) -> Tensor:
        """A kept node: input, kept nodes and members of the circuit where it reads are its inputs
        (a member that is kept too counts as kept); its reader's reference and other-draw are its
        own. A kept head reads so at its position by q, and at every position by k and v."""
        key = (node, at, path)
        if key not in self._mlps:
            if node[0] == "mlp":
                self._mlps[key] = self.mlp(node, self.kept_residual(node, at, path, x))
            else:
                _, index, h = node
                layer, n = self.model.layers[index], len(x)
                last = at + 1 if self.model.causal else n
                vectors = {}
                for c in "qkv":
                    rows = torch.zeros(n, self.model.d_model, dtype=self.model.dtype)
                    for t in [at] if c == "q" else range(last):
                        rows[t] = self.kept_residual(node, t, path, x)
                    vectors[c] = (layer.attention_norm(rows) @ layer.W[c][h] + layer.b[c][h])[None]
                pattern = self.model.pattern(index, vectors["q"], vectors["k"])
                self._mlps[key] = pattern[0, at] @ vectors["v"][0] @ layer.W_O[h]
        return self._mlps[key]

    def kept_residual(self, node: Node, at: int, path: Path, x: Tensor) -> Tensor:
        total = constant(self.model, node)
        for sender in upstream(self.model, node):
            homes = [p for p in self.graph.values() if p.position == at and sender in p.nodes]
            if sender == INPUT:
                total = total + self.model.embed(x[None])[0, at]
            elif (sender, at) in self.kept:
                total = total + self.kept_value(sender, at, path, x)
            elif homes:
                total = total + self.role_value(homes[0], sender, KEEP, path, x)
            else:
                total = total + self.plain(self.other[path])[sender][0, at]
        return total
