"""Causal scrubbing on the slow path: the tree walked down from the logits, its draws replayed.

A state is computed in a pass of TransformerLens's model on its draw o, in which every channel is
held at what it reads there, and the state's own channels at their mixes. Of the fast path only
records are used: which prompt each path was read on. Nothing that it computed, and no `story`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from circuitspec.engine.audit.model import HookedModel
from circuitspec.engine.audit.story import ROOT, Graph, Home, Part, Receiver, Step, Terms, graph_of
from circuitspec.engine.audit.through_hooks import Handlers
from circuitspec.engine.audit.writes import Node, Values, Writes
from circuitspec.engine.runs import Integers
from circuitspec.engine.scrubbing.draws import Drawn
from circuitspec.engine.scrubbing.scrub import Scrubbing, Tree
from circuitspec.engine.scrubbing.story import Key
from circuitspec.engine.scrubbing.tables import Table
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.language.nodes import (
    INPUT,
    LOGITS,
    Channel,
    Head,
    Input,
    Layer,
    Logits,
    Mlp,
)
from circuitspec.language.syntax import Expr
from circuitspec.task.features import FeatureError, feature_value
from circuitspec.task.records import Prompt

AT_ONCE = 16
"""Prompts in one ordinary run."""
FLOATS = 1 << 27
"""Numbers of ordinary runs that are kept, for each scrub of a batch."""

Numbers = tuple[int, ...]
"""Prompts by number, the pool's first and then the evaluation prompts: one a scrub in the batch."""
Mixes = dict[tuple[Channel, int], Terms]
"""What a node reads that is not on o alone, by channel and token."""
Wanted = dict[tuple[Receiver, int], Mixes]
"""Nodes at tokens, to be computed."""


class WrongDrawError(Exception):
    """A role was read on a prompt that it must not be read on."""


class Hung(Protocol):
    """What hangs on a path of the tree, in every scrub of the batch."""

    @property
    def x(self) -> Numbers:
        """The prompts that the state is read on."""
        ...

    @property
    def other(self) -> Numbers | None:
        """The draws for everything else; None of a leaf."""
        ...

    def below(self, step: Step) -> Hung:
        """What hangs one step further down."""
        ...


class OnPath:
    """Draws made path by path, at some places of the flattened rows and draws."""

    def __init__(self, drawn: Drawn, places: Sequence[int]) -> None:
        self.drawn, self.places = drawn, places

    @property
    def x(self) -> Numbers:
        """As `Hung` says."""
        return self._at(self.drawn.x)

    @property
    def other(self) -> Numbers | None:
        """As `Hung` says."""
        return None if self.drawn.other is None else self._at(self.drawn.other)

    def below(self, step: Step) -> Hung:
        """As `Hung` says."""
        for each in self.drawn.below:
            slot = each.path[-1]
            if (slot.role, slot.position, slot.statement) == step:
                return OnPath(each, self.places)
        raise WrongDrawError(f"nothing was drawn for {step[0]} at token {step[1]}")

    def every(self) -> Iterator[int]:
        """All prompts that hang on the tree below."""
        for drawn in self.drawn.walk():
            yield from self._at(drawn.x)
            if drawn.other is not None:
                yield from self._at(drawn.other)

    def _at(self, numbers: Integers) -> Numbers:
        return tuple(int(numbers.reshape(-1)[place]) for place in self.places)


class InTable:
    """Pooled draws: entries of the table of one kind of state, each reading entries of others."""

    def __init__(self, tables: Mapping[Key, Table], key: Key, entries: Sequence[int]) -> None:
        self.tables, self.table, self.entries = tables, tables[key], entries

    @property
    def x(self) -> Numbers:
        """As `Hung` says."""
        return tuple(int(self.table.x[entry]) for entry in self.entries)

    @property
    def other(self) -> Numbers | None:
        """As `Hung` says."""
        if self.table.other is None:
            return None
        return tuple(int(self.table.other[entry]) for entry in self.entries)

    def below(self, step: Step) -> Hung:
        """As `Hung` says."""
        for slot, child in self.table.state.slots:
            if (slot.role, slot.position, slot.statement) == step:
                read = self.table.reads[slot]
                return InTable(self.tables, child.key, [int(read[e]) for e in self.entries])
        raise WrongDrawError(f"nothing was drawn for {step[0]} at token {step[1]}")


class ScrubAudit:
    """One scrub by the slow path. `drawn`: the roles that draw; the others are read exactly."""

    def __init__(self, model: HookedModel, scrubbing: Scrubbing, drawn: Collection[str]) -> None:
        self.model, self.scrubbing = model, scrubbing
        self.hypothesis: Hypothesis = scrubbing.hypothesis
        self.drawn = frozenset(drawn)
        self.prompts: tuple[Prompt, ...] = scrubbing.chooser.prompts
        self.pool = len(scrubbing.chooser.pool)
        self._plain: dict[int, tuple[Values, dict[Hashable, Tensor]]] = {}

    @torch.no_grad()
    def logits(self, tree: Tree, picks: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor, Tensor]:
        """Logits [B, T, V] of the scrub, of the root's draw o, and of the model, for some (i, r):
        draw r of the tree's i-th row. At the tokens where metrics read them; elsewhere NaN.

        Raises WrongDrawError where a prompt was drawn that does not agree with its reader's.
        """
        draws = self.scrubbing.chooser.draws
        places = [i * draws + r for i, r in picks]
        numbers = tuple(self.pool + tree.rows[i] for i, _ in picks)
        own = [self.prompts[n] for n in numbers]
        graphs = [self._graph(prompt) for prompt in own]
        if any(graph != graphs[0] for graph in graphs):
            raise WrongDrawError("prompts were scrubbed together whose labels stand apart")
        model = self.model.forward(self.tokens(numbers), Handlers())
        scrubbed, random = torch.full_like(model, torch.nan), torch.full_like(model, torch.nan)
        self._plain.clear()
        for root in (home for home in graphs[0].nodes if home[0] == ROOT):
            hung = self._root(tree, root[1], places)
            if hung.x != numbers or hung.other is None:
                raise WrongDrawError("the logits were not read on the evaluation prompt")
            if isinstance(hung, OnPath) and self._fit(tree):
                self.remember(hung.every())
            walk = _Walk(self, graphs[0])
            scrubbed[:, root[1]] = walk.values(root, [LOGITS], hung)[LOGITS]
            plain = self.model.forward(self.tokens(hung.other), Handlers())
            random[:, root[1]] = plain[:, root[1]]
        return scrubbed, random, model

    @staticmethod
    def _root(tree: Tree, token: int, places: Sequence[int]) -> Hung:
        if tree.drawn:
            (drawn,) = (each for each in tree.drawn if each.state.position == token)
            return OnPath(drawn, places)
        return InTable(tree.tables, (ROOT, token, (LOGITS,)), places)

    def _graph(self, prompt: Prompt) -> Graph:
        roots = {t for metric in self.scrubbing.metrics for t in metric.places(prompt)}
        scrubbing = self.scrubbing
        return graph_of(scrubbing.hypothesis, scrubbing.circuit, self.model.shape, prompt, roots)

    def tokens(self, numbers: Numbers) -> Tensor:
        """Prompts by number: [B, T]."""
        lengths = {len(self.prompts[n].tokens) for n in numbers}
        if len(lengths) > 1:
            raise WrongDrawError("prompts of several lengths were drawn for one geometry")
        return torch.tensor([self.prompts[n].tokens for n in numbers])

    def plain(self, numbers: Numbers) -> tuple[Values, dict[Hashable, Tensor]]:
        """An ordinary run on prompts: every sender's output, z [B, T, D] or [B, T, W], and what is
        read: by (layer, channel) q, k or v, by layer what its MLP reads, by `LOGITS` the last."""
        self.remember(numbers)
        runs = [self._plain[n] for n in numbers]
        values, read = runs[0]
        return (
            {node: torch.stack([run[0][node] for run in runs]) for node in values},
            {key: torch.stack([run[1][key] for run in runs]) for key in read},
        )

    def remember(self, numbers: Iterable[int]) -> None:
        """Run prompts that have not been run yet, some at a time."""
        todo = list(dict.fromkeys(n for n in numbers if n not in self._plain))
        for start in range(0, len(todo), AT_ONCE):
            some = tuple(todo[start : start + AT_ONCE])
            values, read = self._run(some)
            for i, number in enumerate(some):
                self._plain[number] = (
                    {node: value[i] for node, value in values.items()},
                    {key: value[i] for key, value in read.items()},
                )

    def _run(self, numbers: Numbers) -> tuple[Values, dict[Hashable, Tensor]]:
        read: dict[Hashable, Tensor] = {}

        def keep(key: Hashable, value: Tensor) -> Tensor:
            read[key] = value
            return value

        values = self.model.record(
            self.tokens(numbers),
            Writes(),
            Handlers(
                channel=lambda layer, channel, value: keep((layer, channel), value),
                mlp_in=lambda layer, x: keep(layer, x),
                final=lambda x: keep(LOGITS, x),
            ),
        )
        return values, read

    def _fit(self, tree: Tree) -> bool:
        """Whether ordinary runs of all prompts of a batch fit in memory at once."""
        shape = self.model.shape
        width = 4 * shape.n_heads * shape.d_head + 2 * shape.d_model
        states = sum(1 for root in tree.drawn for _ in root.walk())
        return states * shape.n_layers * tree.story.length * width < FLOATS

    def check_draw(self, role: str, at: int, reader: Numbers, x: Numbers) -> None:
        """Raise WrongDrawError unless x agrees with its reader's prompt on what a role carries."""
        for before, drawn in zip(reader, x, strict=True):
            if before == drawn:
                continue
            if role not in self.drawn:
                raise WrongDrawError(f"{role}, which is read exactly, was read on another prompt")
            for feature in self.hypothesis.roles[role].carries:
                if self._value(feature, before, at) != self._value(feature, drawn, at):
                    raise WrongDrawError(f"{role} was read on a prompt that does not agree")

    def _value(self, feature: Expr, number: int, at: int) -> Hashable:
        try:
            return feature_value(feature, self.prompts[number], self.scrubbing.chooser.context, at)
        except FeatureError:
            return None


class _Walk:
    """The walk down one tree, in a batch of scrubs of prompts whose labels fall alike."""

    def __init__(self, audit: ScrubAudit, graph: Graph) -> None:
        self.audit, self.graph, self.model = audit, graph, audit.model

    def values(self, home: Home, members: Iterable[Receiver], hung: Hung) -> dict[Receiver, Tensor]:
        """What members of a role at its token add to the stream, [B, W] each, read at a path; of
        the logits, the logits [B, V]."""
        _, at = home
        if self.graph.is_leaf(home):
            values, _ = self.audit.plain(hung.x)
            return {m: self._sent(values, m, at) for m in members if not isinstance(m, Logits)}
        assert hung.other is not None
        if any(number >= self.audit.pool for number in hung.other):
            raise WrongDrawError("what is not declared was not drawn from the pool")
        own: Wanted = {(m, at): self._reads(m, at, partial(self._terms, home)) for m in members}
        kept = self._kept(own)
        below = self._below([*own.values(), *kept.values()], hung)
        known = self._compute(hung, kept, below)
        found = self._compute(hung, own, below, known)
        return {member: found[member, at] for member in members}

    def _sent(self, values: Values, sender: Node, at: int) -> Tensor:
        """What a sender adds to the stream at a token: [B, W]."""
        return self.model.sent(sender, values[sender][:, at])

    def _terms(self, home: Home, node: Receiver, channel: Channel, t: int) -> Terms:
        return self.graph.terms(home, node, channel, t)

    def _kept_terms(self, node: Receiver, channel: Channel, t: int) -> Terms:
        assert not isinstance(node, Logits)
        return self.graph.kept_terms(node, t)

    def _reads(
        self, node: Receiver, at: int, terms: Callable[[Receiver, Channel, int], Terms]
    ) -> Mixes:
        """What a node at a token reads that is not on o alone, by channel and token."""
        read = {(c, t): terms(node, c, t) for c, t in self.graph.reads(node, at)}
        return {place: found for place, found in read.items() if found}

    def _kept(self, own: Wanted) -> Wanted:
        """The kept nodes that are read, at tokens, by these nodes and by kept nodes themselves."""
        found: Wanted = {}
        todo = list(own.values())
        while todo:
            for (_, t), terms in todo.pop().items():
                for sender, step in terms.items():
                    if step is None and not isinstance(sender, Input) and (sender, t) not in found:
                        found[sender, t] = self._reads(sender, t, self._kept_terms)
                        todo.append(found[sender, t])
        return found

    def _below(self, mixes: Iterable[Mixes], hung: Hung) -> dict[Step, dict[Receiver, Tensor]]:
        """Every role that is read, one step further down the tree."""
        wanted: dict[Step, set[Part]] = {}
        for each in mixes:
            for terms in each.values():
                for sender, step in terms.items():
                    if step is not None and not isinstance(sender, Input):
                        wanted.setdefault(step, set()).add(sender)
        found = {}
        for step, members in wanted.items():
            child, (role, at, _) = hung.below(step), step
            self.audit.check_draw(role, at, hung.x, child.x)
            found[step] = self.values((role, at), sorted(members, key=str), child)
        return found

    def _compute(
        self,
        hung: Hung,
        wanted: Wanted,
        below: Mapping[Step, Mapping[Receiver, Tensor]],
        kept: Mapping[tuple[Receiver, int], Tensor] | None = None,
    ) -> dict[tuple[Receiver, int], Tensor]:
        """Nodes at tokens, in one pass on o in which all that they read is held.

        They read `kept` nodes; without, they are the kept nodes, and read each other. A node that
        is in a role and kept is two, each with its own value.
        """
        got: dict[tuple[Receiver, int], Tensor] = {}
        if not wanted:
            return got
        kept = got if kept is None else kept
        assert hung.other is not None
        on_o, read_on_o = self.audit.plain(hung.other)
        inputs = self.audit.plain(hung.x)[0][INPUT]

        def mix(receiver: Receiver, t: int, terms: Terms) -> Tensor:
            total = self.model.constant(receiver).expand(len(hung.x), -1)
            for sender in self.model.upstream(receiver):
                if sender not in terms:
                    total = total + self._sent(on_o, sender, t)
                elif isinstance(sender, Input):
                    total = total + inputs[:, t]
                else:
                    step = terms[sender]
                    total = total + (kept[sender, t] if step is None else below[step][sender])
            return total

        def on_channel(layer: int, channel: Channel, value: Tensor) -> Tensor:
            held = read_on_o[layer, channel].clone()
            for (node, _), mixes in wanted.items():
                for (c, t), terms in mixes.items():
                    if isinstance(node, Head) and (node.layer, c) == (layer, channel):
                        read = mix(node, t, terms)[:, None]
                        new = self.model.project(layer, channel, node.index, read)
                        held[:, t, node.index] = new[:, 0]
            return held

        def residual(here: Receiver, plain: Tensor) -> Tensor:
            held = plain.clone()
            for (node, _), mixes in wanted.items():
                for (_, t), terms in mixes.items():
                    if node == here:
                        held[:, t] = mix(node, t, terms)
            return held

        def on_z(layer: int, z: Tensor) -> Tensor:
            for node, at in wanted:
                if isinstance(node, Head) and node.layer == layer:
                    got[node, at] = self.model.sent(node, z[:, at, node.index])
            return z

        def on_mlp_out(layer: int, out: Tensor) -> Tensor:
            for node, at in wanted:
                if node == Mlp(Layer(layer)):
                    got[node, at] = out[:, at]
            return out

        logits = self.model.forward(
            self.audit.tokens(hung.other),
            Handlers(
                channel=on_channel,
                z=on_z,
                mlp_in=lambda layer, _: residual(Mlp(Layer(layer)), read_on_o[layer]),
                mlp_out=on_mlp_out,
                final=lambda _: residual(LOGITS, read_on_o[LOGITS]),
            ),
        )
        for node, at in wanted:
            if isinstance(node, Logits):
                got[node, at] = logits[:, at]
        return got
