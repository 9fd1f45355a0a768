"""A scrub as a whole: from evaluation prompts to the final residuals of the scrubbed model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from circuitspec.engine.batches import Batch
from circuitspec.engine.scrubbing.bank import Bank
from circuitspec.engine.scrubbing.draws import Chooser, Drawn, draw_tree
from circuitspec.engine.scrubbing.states import Values, compute, leaf
from circuitspec.engine.scrubbing.story import Story, geometry
from circuitspec.hypothesis.records import Circuit, Hypothesis
from circuitspec.language.nodes import LOGITS, Head
from circuitspec.model.weights import Weights
from circuitspec.task.records import Metric, Prompt, PromptSet

CHUNK = 1024
"""States of one kind that are computed at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """The prompts of one geometry: `rows` of the evaluation set, and what was drawn for them."""

    rows: tuple[int, ...]
    story: Story
    drawn: tuple[Drawn, ...]


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

    def trees(self, roles: Sequence[str]) -> tuple[Tree, ...]:
        """What is drawn where `roles` are scrubbed and all others are read exactly."""
        found = []
        for rows in self._groups:
            prompt = self.evaluation.prompts[rows[0]]
            roots = root_tokens(self.metrics, prompt)
            story = Story(self.hypothesis, self.circuit, self.weights.shape, prompt, roots, roles)
            drawn = tuple(
                draw_tree(self.chooser, root, rows, self._carries, story.length)
                for root in story.roots
            )
            found.append(Tree(rows, story, drawn))
        return tuple(found)

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
        n, draws = len(tree.rows), self.chooser.draws
        shape = (n * draws, tree.story.length, self.weights.shape.d_model)
        scrubbed = torch.zeros(shape, dtype=self.weights.dtype, device=self.weights.device)
        random = torch.zeros_like(scrubbed)
        for start in range(0, n * draws, CHUNK):
            part = slice(start, min(start + CHUNK, n * draws))
            for root in tree.drawn:
                t = root.state.position
                scrubbed[part, t] = self._values(tree.story, bank, root, part)[LOGITS]
                assert root.other is not None
                random[part, t] = bank.read("final", 0, bank.rows(root.other.reshape(-1)[part]), t)
        split = (n, draws, *shape[1:])
        return scrubbed.reshape(split), random.reshape(split)

    def _values(self, story: Story, bank: Bank, drawn: Drawn, part: slice) -> Values:
        x = bank.rows(drawn.x.reshape(-1)[part])
        if drawn.other is None:
            return leaf(bank, drawn.state, x)
        o = bank.rows(drawn.other.reshape(-1)[part])
        below = {each.path[-1]: self._values(story, bank, each, part) for each in drawn.below}
        return compute(bank, story, drawn.state, x, o, below)

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
