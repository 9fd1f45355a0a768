"""Three ways to compute the same runs: the engine, and the two obvious ones.

All take runs and give the logit difference of every prompt; that they agree is tested, so that what
is timed is the same figures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from ioi_task import METRICS, foreign, head
from plain_model import Changes, Model, Plain
from torch import Tensor
from torch.nn import functional
from values import (
    EdgeMasks,
    Mixer,
    Part,
    node_changes,
    parts_of,
    path_passes,
)

from circuitspec.engine.compiled.lowering import compilable
from circuitspec.engine.engine import DEFAULT_BATCH, Engine
from circuitspec.engine.plan.cost import plain_forward
from circuitspec.engine.plan.passes import ALL
from circuitspec.engine.plan.reckon import reckon
from circuitspec.engine.runs import Means, Replace, Run
from circuitspec.hypothesis.records import Element
from circuitspec.language.nodes import END
from circuitspec.task.records import PromptSet

MEANS = Means("reference:abc", "template")


class Way(Protocol):
    """How runs become logit differences."""

    def prepare(self, runs: Sequence[Run]) -> None:
        """Whatever is not timed."""

    def evaluate(self, runs: Sequence[Run]) -> list[Tensor]:
        """The logit difference of each prompt, float64 [n] a run."""


class EngineWay:
    """circuitspec's own, a new engine each time; it keeps no reading from one to the next.

    Beforehand it has taken the means of the reference set (in a run on prompts that share no token
    with ours) and, unless `cold`, run the unmodified model and the counterfactual prompts, as the
    obvious ways have: a verification runs the model before anything else.
    """

    def __init__(self, model: Model, sets: dict[str, PromptSet], *, cold: bool = False) -> None:
        self.model = model
        self.sets = sets | {"foreign": foreign(sets["evaluation"], model.shape.d_vocab)}
        self.cold = cold
        self.engine: Engine | None = None

    def prepare(self, runs: Sequence[Run]) -> None:
        self.engine = Engine(self.model.weights, self.sets, METRICS)
        one = frozenset({Element(head("0.0"), END)})
        sources = {write.source for run in runs for write in run.writes}
        sources |= {run.edges.source for run in runs if run.edges is not None}
        if MEANS in sources:
            self.engine.evaluate([Run("foreign", writes=(Replace(one, MEANS),))])
        if not self.cold:
            patched = {run.path.source for run in runs if run.path is not None}
            writes = [(Replace(one, source),) for source in sorted(patched, key=str)]
            self.engine.evaluate(
                [Run("evaluation"), *(Run("evaluation", writes=w) for w in writes)]
            )

    def predicted(self, runs: Sequence[Run]) -> float | None:
        """What the runs should cost in plain forwards, beside the unmodified ones; None where some
        are not compiled."""
        shape, size = self.model.shape, DEFAULT_BATCH
        if not all(compilable(run, self.sets[run.prompts], shape) for run in runs):
            return None
        found = reckon(runs, shape, self.sets, METRICS, passes=ALL, batch_size=size)
        lengths = Counter(len(prompt.tokens) for prompt in self.sets["evaluation"])
        return found.cost.flops / plain_forward(shape, lengths).flops

    def evaluate(self, runs: Sequence[Run]) -> list[Tensor]:
        assert self.engine is not None
        done = self.engine.evaluate(runs)
        return [torch.from_numpy(reading.metrics["logit_diff"]) for reading in done]


class _Obvious:
    """One pass (two for a path) a run over all prompts, values ready beforehand."""

    def __init__(self, model: Model, sets: dict[str, PromptSet], chunk: int) -> None:
        self.plain = Plain.of(model.weights)
        self.sets = sets
        self.chunk = chunk
        self.parts: list[Part] = []
        self.shape = (model.shape.n_layers, model.shape.n_heads)
        self._ready: set[Run] = set()

    def prepare(self, runs: Sequence[Run]) -> None:
        """The values that the runs put in, and where each edge stands."""
        if not self.parts or not set(runs) <= self._ready:
            with torch.inference_mode():
                self.parts = parts_of(self.plain, self.sets, runs, self.chunk)
            self._ready = set(runs)
        for part in self.parts:
            part.edge_masks = {
                run: EdgeMasks(run.edges, part, *self.shape)
                for run in runs
                if run.edges is not None
            }

    def plainly(self) -> None:
        """The unit: one plain forward of the evaluation prompts."""
        with torch.inference_mode():
            for part in self.parts:
                self.plain.logits(part.tokens)

    def evaluate(self, runs: Sequence[Run]) -> list[Tensor]:
        with torch.inference_mode():
            return [self._run(run) for run in runs]

    def _run(self, run: Run) -> Tensor:
        found = torch.empty(len(self.sets["evaluation"]), dtype=torch.float64)
        for part in self.parts:
            found[part.rows] = part.logit_diff(self._part(run, part)).cpu()
        return found

    def _part(self, run: Run, part: Part) -> Tensor:
        """Logits [B, V] at the last position."""
        if run.edges is not None:
            masks = part.edge_masks[run]
            return self.by_edges(
                part, Mixer(self.plain, part, masks, part.values[run.edges.source])
            )
        if run.path is not None:
            passes = path_passes(run, part, *self.shape)
            first = self.forward(part.tokens, passes.first)
            return first if passes.second is None else self.forward(part.tokens, passes.second)
        if not run.writes:
            return self.forward(part.tokens, Changes())
        return self.forward(part.tokens, node_changes(run, part, *self.shape))

    def forward(self, tokens: Tensor, changes: Changes) -> Tensor:
        raise NotImplementedError

    def by_edges(self, part: Part, mixer: Mixer) -> Tensor:
        raise NotImplementedError


class MaskedWay(_Obvious):
    """One masked forward a circuit in plain torch, logits at the last position."""

    def forward(self, tokens: Tensor, changes: Changes) -> Tensor:
        return self.plain.logits(tokens, changes)

    def by_edges(self, part: Part, mixer: Mixer) -> Tensor:
        b, t = part.tokens.shape
        weights = self.plain.weights
        h, d = weights.shape.n_heads, weights.shape.d_head
        for layer in range(weights.shape.n_layers):
            q, k, v = (mixer.heads(layer, c).reshape(b, t, h, d).transpose(1, 2) for c in range(3))
            z = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            mixer.add_heads(layer, z.transpose(1, 2))
            mixer.add_mlp(layer, self.plain.mlp(layer, mixer.mlp_in(layer)))
        final = mixer.final().view(b, t, -1)[:, -1]
        logits: Tensor = weights.ln_final(final) @ weights.unembed
        return logits


class HooksWay(_Obvious):
    """One forward a circuit through TransformerLens, values written by its hooks."""

    def __init__(self, model: Model, sets: dict[str, PromptSet], chunk: int) -> None:
        super().__init__(model, sets, chunk)
        self.bridge: Any = model.bridge

    def forward(self, tokens: Tensor, changes: Changes) -> Tensor:
        hooks = []
        for layer in range(self.shape[0]):
            at = f"blocks.{layer}"
            if changes.z is not None:
                hooks.append((f"{at}.attn.hook_z", _layered(changes.z, layer)))
            if changes.mlp is not None:
                hooks.append((f"{at}.hook_mlp_out", _layered(changes.mlp, layer)))
            if changes.channel is not None:
                for c in "qkv":
                    hooks.append((f"{at}.attn.hook_{c}", _channelled(changes.channel, layer, c)))
        logits: Tensor = self.bridge.run_with_hooks(tokens, fwd_hooks=hooks)
        return logits[:, -1]

    def by_edges(self, part: Part, mixer: Mixer) -> Tensor:
        """As in the models' own modules no residual is read by one receiver alone, q, k and v are
        computed from each receiver's mix and written over the module's."""
        weights = self.plain.weights
        hooks: list[tuple[str, Any]] = []

        def channel(layer: int, number: int) -> Any:
            return lambda value, hook=None: mixer.heads(layer, number).reshape(value.shape)

        def z(layer: int) -> Any:
            def keep(value: Tensor, hook: object = None) -> Tensor:
                mixer.add_heads(layer, value)
                return value

            return keep

        def mlp_in(layer: int) -> Any:
            return lambda value, hook=None: mixer.mlp_in(layer).view(value.shape)

        def mlp_out(layer: int) -> Any:
            def keep(value: Tensor, hook: object = None) -> Tensor:
                mixer.add_mlp(layer, value.flatten(0, 1))
                return value

            return keep

        for layer in range(weights.shape.n_layers):
            at = f"blocks.{layer}"
            hooks += [(f"{at}.attn.hook_{c}", channel(layer, i)) for i, c in enumerate("qkv")]
            hooks += [(f"{at}.attn.hook_z", z(layer)), (f"{at}.ln2.hook_in", mlp_in(layer))]
            hooks.append((f"{at}.hook_mlp_out", mlp_out(layer)))
        hooks.append(("ln_final.hook_in", lambda x, hook=None: mixer.final().view(x.shape)))
        logits: Tensor = self.bridge.run_with_hooks(part.tokens, fwd_hooks=hooks)
        return logits[:, -1]


def _layered(change: Any, layer: int) -> Any:
    return lambda value, hook=None: change(layer, value)


def _channelled(change: Any, layer: int, channel: str) -> Any:
    return lambda value, hook=None: change(layer, channel, value)
