"""A scrub as a whole: from evaluation prompts to the final residuals of the scrubbed model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.batches import Batch
from circuitspec.engine.runs import Integers, Readings
from circuitspec.engine.scrubbing.bank import Bank
from circuitspec.engine.scrubbing.draws import Booleans, Chooser, Drawn, draw_tree
from circuitspec.engine.scrubbing.states import Values, compute, leaf
from circuitspec.engine.scrubbing.story import Key, State, Story, geometry
from circuitspec.engine.scrubbing.tables import Table, children_first, count_paths, exact, pooled
from circuitspec.hypothesis.records import Circuit, Hypothesis
from circuitspec.language.nodes import LOGITS, Head
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, Prompt, PromptSet

CHUNK = 1024
"""States of one kind that are computed at once."""
MOST_PATHS = 200_000
"""Reads of states (paths × prompts × draws) that are drawn one by one; beyond, draws are pooled."""
SAMPLES = 16
"""Samples of a state on a prompt, where draws are pooled. Two paths that happen to take the same
one are not independent as they should be: with 4 a deep circuit's mean was off by 1% of m(M)."""
CHECKED = 4
"""Geometries, and prompts of each, on which a scrub is compared with the model."""
HELD = 1 << 28
"""Bytes of states' values to hold at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The prompts of one geometry: `rows` of the evaluation set, and what was drawn for them.

    Exactly: `drawn`, one tree for each token where the logits are read. Pooled: `tables`. `single`
    says for every role, of each time it is read, whether its class is a single prompt.
    """

    rows: tuple[int, ...]
    story: Story
    drawn: tuple[Drawn, ...]
    tables: Mapping[Key, Table]
    single: Mapping[str, Booleans]

    @property
    def roots(self) -> tuple[State, ...]:
        """The logits, one state for each token where they are read."""
        return self.story.roots


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scrubbed:
    """A scrub and what was read off it, for self-checks: readings of the scrubbed model, and of the
    model on the root's own draws, one a draw. `roles` are those that draw; `leak`: one role, or
    none, of a story that is scrubbed as a whole elsewhere."""

    claim: str
    roles: tuple[str, ...]
    leak: bool
    scrubbing: Scrubbing
    trees: tuple[Tree, ...]
    scrubbed: tuple[Readings, ...]
    random: tuple[Readings, ...]


def root_tokens(metrics: Sequence[Metric], prompt: Prompt) -> tuple[int, ...]:
    """The tokens of a prompt at which metrics read the logits."""
    return tuple(sorted({t for metric in metrics for t in metric.places(prompt)}))


class Scrubbing:
    """One hypothesis scrubbed on one model, over one pool; several sets of roles share its runs."""

    def __init__(
        self,
        hypothesis: Hypothesis,
        circuit: Circuit,
        weights: Weights,
        metrics: Sequence[Metric],
        chooser: Chooser,
        evaluation: PromptSet,
        *,
        batch_size: int,
    ) -> None:
        self.hypothesis, self.circuit, self.weights = hypothesis, circuit, weights
        self.metrics = tuple(metrics)
        self.chooser = chooser
        self.evaluation = evaluation
        self.batch_size = batch_size
        self._carries = {r.name: r.carries for r in hypothesis.roles.values()}
        self._banks: dict[int, Bank] = {}
        groups: dict[tuple[object, ...], list[int]] = {}
        for row, prompt in enumerate(evaluation):
            roots = root_tokens(self.metrics, prompt)
            groups.setdefault((geometry(hypothesis, circuit, prompt), roots), []).append(row)
        self._groups = [tuple(rows) for rows in groups.values()]

    @property
    def n_paths(self) -> int:
        """The states of the unrolled trees, times the draws for each, over all prompts."""
        total = 0
        for rows in self._groups:
            story = self._story(rows, ())
            total += count_paths(story.roots) * len(rows) * self.chooser.draws
        return total

    def trees(self, roles: Sequence[str], *, pool: bool) -> tuple[Tree, ...]:
        """What is drawn where `roles` are scrubbed and all others are read exactly."""
        return tuple(self._tree(rows, self._story(rows, roles), pool) for rows in self._groups)

    def _story(self, rows: tuple[int, ...], roles: Sequence[str]) -> Story:
        prompt = self.evaluation.prompts[rows[0]]
        roots = root_tokens(self.metrics, prompt)
        shape = self.weights.shape
        return Story(self.hypothesis, self.circuit, shape, prompt, roots, roles)

    def _tree(self, rows: tuple[int, ...], story: Story, pool: bool) -> Tree:
        chooser, carries = self.chooser, self._carries
        if pool:
            tables, single = pooled(chooser, story.roots, rows, carries, story.length, SAMPLES)
            return Tree(rows, story, (), tables, single)
        drawn = tuple(draw_tree(chooser, root, rows, carries, story.length) for root in story.roots)
        found: dict[str, list[Booleans]] = {}
        for root in drawn:
            for each in root.walk():
                if each.single is not None:
                    found.setdefault(each.state.role, []).append(each.single.reshape(-1))
        single = {role: np.concatenate(parts) for role, parts in found.items()}
        return Tree(rows, story, drawn, {}, single)

    def bank(self, length: int) -> Bank:
        """Plain runs of all prompts of a length."""
        if length not in self._banks:
            layers = {
                n.layer
                for r in self.hypothesis.roles.values()
                for n in r.nodes
                if isinstance(n, Head)
            }
            layers |= {e.node.layer for e in self.circuit.kept if isinstance(e.node, Head)}
            attending = frozenset(
                int(layer) for layer in layers if layer < len(self.weights.blocks)
            )
            self._banks[length] = Bank(
                self.weights, self.chooser.prompts, length, attending, self.batch_size
            )
        return self._banks[length]

    @property
    def plain_runs(self) -> int:
        """How many prompts went through the model unmodified."""
        return sum(bank.size for bank in self._banks.values())

    def finals(self, tree: Tree) -> tuple[Tensor, Tensor]:
        """Final residuals of a tree's rows: scrubbed, and of the model on the root's own draw o.

        [rows, draws, T, W] each, filled at the tokens where metrics read the logits.
        """
        bank = self.bank(tree.story.length)
        total = len(tree.rows) * self.chooser.draws
        shape = (total, tree.story.length, self.weights.shape.d_model)
        scrubbed = torch.zeros(shape, dtype=self.weights.dtype, device=self.weights.device)
        random = torch.zeros_like(scrubbed)
        step = total
        if tree.drawn:
            width = shape[-1] * scrubbed.element_size()
            size = sum(len(d.state.members) for root in tree.drawn for d in root.walk()) * width
            step = max(1, HELD // size)
        for start in range(0, total, step):
            part = slice(start, min(start + step, total))
            tables = exact(tree.drawn, part) if tree.drawn else tree.tables
            values = self._values(tree, tables, bank)
            for root in tree.roots:
                t, other = root.position, tables[root.key].other
                assert other is not None
                scrubbed[part, t] = values[root.key][LOGITS]
                random[part, t] = bank.read("final", 0, bank.rows(other), t)
        split = (len(tree.rows), self.chooser.draws, *shape[1:])
        return scrubbed.reshape(split), random.reshape(split)

    def _values(self, tree: Tree, tables: Mapping[Key, Table], bank: Bank) -> dict[Key, Values]:
        """Every table's entries computed, those that are read before those that read them."""
        found: dict[Key, Values] = {}
        for state in children_first(tree.roots):
            table = tables[state.key]
            parts = []
            for start in range(0, len(table.x), CHUNK):
                part = slice(start, start + CHUNK)
                x = bank.rows(table.x[part])
                if table.other is None:
                    parts.append(leaf(bank, state, x))
                    continue
                below = {}
                for slot, child in state.slots:
                    entries = torch.from_numpy(table.reads[slot][part]).to(x.device)
                    values = found[child.key]
                    below[slot] = {node: value[entries] for node, value in values.items()}
                o = bank.rows(table.other[part])
                parts.append(compute(bank, tree.story, state, x, o, below))
            found[state.key] = {node: torch.cat([p[node] for p in parts]) for node in parts[0]}
        return found

    def deviation(self, *, pool: bool) -> float:
        """How far the scrub is from the model where every draw is the prompt itself: the largest
        difference of a final residual on a few prompts, relative to their root mean square."""
        worst = 0.0
        for rows in self._groups[:CHECKED]:
            some = rows[: 1 if pool else CHECKED]
            tree = self._tree(some, self._story(some, ()), pool)
            itself = self.chooser.roots(some)
            tree = replace(
                tree,
                drawn=tuple(_on(each, itself) for each in tree.drawn),
                tables={key: _filled(table, itself[0, 0]) for key, table in tree.tables.items()},
            )
            scrubbed, _ = self.finals(tree)
            model = self.model_finals(tree)[:, None]
            tokens = [root.position for root in tree.roots]
            difference = (scrubbed - model)[:, :, tokens].abs().max()
            worst = max(worst, float(difference / model[:, :, tokens].square().mean().sqrt()))
        return worst

    def model_finals(self, tree: Tree) -> Tensor:
        """The unmodified model's final residuals of a tree's rows: [rows, T, W]."""
        bank = self.bank(tree.story.length)
        rows = bank.rows(self.chooser.roots(tree.rows)[:, 0])
        return bank.until("final", 0, rows, tree.story.length)

    def batch(self, tree: Tree) -> Batch:
        """A tree's evaluation prompts as a batch."""
        prompts = tuple(self.evaluation.prompts[row] for row in tree.rows)
        tokens = torch.tensor([p.tokens for p in prompts], device=self.weights.device)
        return Batch(prompts, tree.rows, tokens)


def _on(drawn: Drawn, prompts: Integers) -> Drawn:
    """The same tree, everything read on `prompts`."""
    other = None if drawn.other is None else prompts
    below = tuple(_on(each, prompts) for each in drawn.below)
    return replace(drawn, x=prompts, other=other, below=below)


def _filled(table: Table, prompt: int) -> Table:
    """The same entries, everything read on one prompt."""
    x = np.full_like(table.x, prompt)
    return replace(table, x=x, other=None if table.other is None else x)
