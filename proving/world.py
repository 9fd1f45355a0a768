"""A machine with its task: a story's circuits, knock-outs and patches, prompt by prompt, exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from proving import exact
from proving.exact import Forward, Mask, Values
from proving.machine import Array, Machine
from proving.story import Edge, Story
from proving.task import Task

Elements = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """What is cut and what it becomes: `by nodes with mean from D over template`."""

    by: str
    value: str  # zero, mean, counterfactual
    baseline: str = ""
    over: str = ""

    @property
    def text(self) -> str:
        """After `ablate R`."""
        if self.value == "zero":
            return f"by {self.by} with zero"
        over = f" over {self.over}" if self.over else ""
        return f"by {self.by} with {self.value} from {self.baseline}{over}"


@dataclass(slots=True, kw_only=True, weakref_slot=True)
class World:
    """The logits of all runs are remembered: a mutant shares most with the story it comes from."""

    machine: Machine
    task: Task
    _whole: dict[str, Forward] = field(default_factory=dict)
    _runs: dict[object, Array] = field(default_factory=dict)
    _values: dict[object, Values] = field(default_factory=dict)

    def once(self, key: object, make: Callable[[], Array]) -> Array:
        """What `make` makes, remembered under a key."""
        if key not in self._runs:
            self._runs[key] = make()
        return self._runs[key]

    def clean(self) -> Forward:
        """The model on the population."""
        if "clean" not in self._whole:
            self._whole["clean"] = exact.run(self.machine, self.task.tokens)
        return self._whole["clean"]

    def other(self, baseline: str) -> Forward:
        """The model on the paired counterfactuals."""
        key = f"other {baseline}"
        if key not in self._whole:
            self._whole[key] = exact.run(self.machine, self.task.other(baseline))
        return self._whole[key]

    def values(self, ablation: Ablation) -> Values:
        """What every sender's output becomes where it is cut."""
        key = (ablation.value, ablation.baseline, ablation.over)
        if key not in self._values:
            out = self.clean().out
            if ablation.value == "zero":
                found = {node: np.zeros_like(value) for node, value in out.items()}
            else:
                found = dict(self.other(ablation.baseline).out)
            if ablation.value == "mean":
                averaged = {
                    "template": self.task.over_template,
                    "position": self.task.over_position,
                    "batch": self.task.over_batch,
                }[ablation.over]
                found = {node: averaged(value) for node, value in found.items()}
            self._values[key] = found
        return self._values[key]

    def circuit(
        self,
        story: Story,
        ablation: Ablation,
        cut: Elements = frozenset(),
        cut_edges: frozenset[Edge] = frozenset(),
        *,
        empty: bool = False,
    ) -> Array:
        """C without `cut`, all else ablated. ∅ retains keeps by nodes, nothing by edges."""
        values = self.values(ablation)
        if ablation.by == "nodes":
            live = frozenset() if empty else story.elements() - cut
            key = ("nodes", live, story.keep_mlps, ablation)
            if key not in self._runs:
                written = {}
                for node in exact.senders(self.machine)[1:]:
                    if node[0] == "m" and story.keep_mlps:
                        continue
                    mask = ~self.task.mask(label for member, label in live if member == node)
                    written[node] = (mask, values[node])
                self._runs[key] = exact.run(self.machine, self.task.tokens, written).logits
            return self._runs[key]
        edges = frozenset() if empty else story.edges(self.machine.n_layers)
        return self._edges(edges - cut_edges, ablation, all_but=False)

    def knockout(
        self, ablation: Ablation, cut: Elements, cut_edges: frozenset[Edge] = frozenset()
    ) -> Array:
        """M without `cut`, where its elements live, or by edges without `cut_edges`."""
        if ablation.by == "edges":
            return self._edges(cut_edges, ablation, all_but=True)
        return self.patched(cut, self.values(ablation), (ablation, "knockout"))

    def _edges(self, edges: frozenset[Edge], ablation: Ablation, *, all_but: bool) -> Array:
        key = ("edges", edges, ablation, all_but)
        if key not in self._runs:
            labels: dict[tuple[str, str, str], list[str]] = {}
            for sender, receiver, channel, label in edges:
                labels.setdefault((sender, receiver, channel), []).append(label)
            live = {edge: self.task.mask(at) for edge, at in labels.items()}
            values = self.values(ablation)
            self._runs[key] = exact.run_edges(
                self.machine, self.task.tokens, live, values, all_but=all_but
            )
        return self._runs[key]

    def masks(self, elements: Elements) -> dict[str, Mask]:
        """Where each node of a set stands."""
        return {
            node: self.task.mask(label for member, label in elements if member == node)
            for node in dict.fromkeys(member for member, _ in sorted(elements))
        }

    def patched(self, elements: Elements, values: Values, key: object) -> Array:
        """The model with the elements' outputs replaced; `key` says by what."""
        key = ("patched", elements, key)
        if key not in self._runs:
            written = {node: (mask, values[node]) for node, mask in self.masks(elements).items()}
            self._runs[key] = exact.run(self.machine, self.task.tokens, written).logits
        return self._runs[key]

    def path(
        self, hops: tuple[frozenset[Edge], ...], baseline: str, *, through_mlps: bool
    ) -> Array:
        """Path patching along edges, hop by hop, from the counterfactual."""

        def hop(edges: frozenset[Edge]) -> exact.Hop:
            labels: dict[tuple[str, str], list[str]] = {}
            for _, node, channel, label in edges:
                labels.setdefault((node, channel), []).append(label)
            return exact.Hop(
                senders=self.masks(frozenset((edge[0], edge[3]) for edge in edges)),
                receivers={read: self.task.mask(at) for read, at in labels.items()},
            )

        def logits() -> Array:
            other = self.other(baseline).out
            listed = [hop(edges) for edges in hops]
            return exact.run_path(
                self.machine, self.task.tokens, other, listed, through_mlps=through_mlps
            ).logits

        return self.once(("path", hops, baseline, through_mlps), logits)

    def restored(self, baseline: str, elements: Elements) -> Array:
        """The model fed the counterfactual's tokens, with clean outputs put back."""
        key = ("restored", baseline, elements)
        if key not in self._runs:
            everywhere = self.task.mask("*")
            written = {
                node: (mask, self.clean().out[node]) for node, mask in self.masks(elements).items()
            }
            assert "input" not in written
            written["input"] = (everywhere, self.other(baseline).out["input"])
            self._runs[key] = exact.run(self.machine, self.task.tokens, written).logits
        return self._runs[key]

    def metric(self, logits: Array) -> Array:
        """logit_diff by prompt."""
        return self.task.metric(logits)

    def agreement(self, logits: Array) -> Array:
        """Whether the top token is the model's."""
        mine, theirs = (self.task.at_end(each) for each in (logits, self.clean().logits))
        return np.asarray((mine.argmax(-1) == theirs.argmax(-1)).astype(np.float64))

    def kl(self, logits: Array) -> Array:
        """KL(model ‖ run) in nats."""
        log_p, log_q = (
            _log_softmax(self.task.at_end(each)) for each in (self.clean().logits, logits)
        )
        return np.asarray((np.exp(log_p) * (log_p - log_q)).sum(-1))

    def attention(self, node: str, at: str, keys: tuple[str, ...]) -> Array:
        """A head's attention from a query position to all of the keys."""
        rows = np.arange(len(self.task.prompts))
        pattern = self.clean().attention[node][rows, self.task.index(at)]
        return np.asarray((pattern * self.task.mask(keys)).sum(-1))

    def attribution(self, node: str) -> Array:
        """What a node adds to logit_diff at END through the final norm, its divisor frozen."""
        run = self.clean()
        out, final = (self.task.at_end(each) for each in (run.out[node], run.final))
        weights = self.machine.weights
        if self.machine.norm:
            centred = final - final.mean(-1, keepdims=True)
            divisor = np.sqrt((centred**2).mean(-1, keepdims=True) + self.machine.eps)
            out = (out - out.mean(-1, keepdims=True)) / divisor * weights["ln_final.w"]
        return self.task.score(out @ weights["unembed.W_U"], np.arange(len(out)))


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(-1, keepdims=True)))
