"""Any run once more, by the slow path through TransformerLens's hooks, to audit the engine by.

Positions, ablation values, interventions and metrics are worked out anew from their definitions;
of the engine's own code nothing is used but the records of `runs`. Prompts of one length at a
time, on the CPU, in the bridge's float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.audit_paths import PatchedPath
from circuitspec.engine.audit_writes import Node, Values, Writes, writing
from circuitspec.engine.noise import noise
from circuitspec.engine.runs import (
    Floats,
    LiveEdges,
    Means,
    Noised,
    Path,
    Replace,
    Rows,
    Run,
    Source,
    Write,
    Zero,
)
from circuitspec.engine.through_hooks import Handlers, forward_through_hooks
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    INPUT,
    LOGITS,
    Channel,
    Head,
    HeadIndex,
    Layer,
    Logits,
    Mlp,
    Position,
    is_upstream,
)
from circuitspec.model.load import LoadedModel
from circuitspec.task.records import Metric, Prompt, PromptSet
from circuitspec.task.registered import Registered

AT_ONCE = 16
"""Prompts in one pass through hooks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """A run's metrics by the slow path: float64, one value for each of the rows asked for.

    `slack` says how far each value moves, at most, when every logit moves by `margin`.
    """

    metrics: Mapping[str, Floats]
    slack: Mapping[str, Floats]


class Audit:
    """The slow path on one model and its prompt sets. Means are remembered, nothing else is."""

    def __init__(
        self, model: LoadedModel, sets: Mapping[str, PromptSet], metrics: Mapping[str, Metric]
    ) -> None:
        self.bridge = model.bridge
        self.shape: ModelShape = model.shape
        self.sets = sets
        self.metrics = metrics
        self._means: dict[tuple[Means, str | None, int | None], Values] = {}
        self._w: dict[Channel, Tensor] = {"q": model.bridge.W_Q.detach()}
        self._w |= {"k": model.bridge.W_K.detach(), "v": model.bridge.W_V.detach()}
        self._b: dict[Channel, Tensor | None] = {
            channel: _optional(model.bridge, f"b_{channel.upper()}") for channel in self._w
        }
        self.w_o: Tensor = model.bridge.W_O.detach()
        self.b_o = _optional(model.bridge, "b_O")

    def evaluate(self, run: Run, rows: Sequence[int], margin: float = 0.0) -> Audited:
        """The metrics of `run` on some rows of its prompts.

        Raises SilentHookError where a hook did not fire.
        """
        prompts = self.sets[run.prompts].prompts
        metrics = {name: np.full(len(rows), np.nan) for name in self.metrics}
        slack = {name: np.full(len(rows), np.nan) for name in self.metrics}
        for places in _chunks([len(prompts[row].tokens) for row in rows]):
            part = _Part(self, run, [rows[i] for i in places])
            logits = part.logits()
            model = None
            if any(metric.kl for metric in self.metrics.values()):
                model = self.forward(part.tokens, Handlers())
            for name, metric in self.metrics.items():
                for i, prompt, line, row in zip(
                    places, part.prompts, range(len(places)), logits, strict=True
                ):
                    at = metric.places(prompt)
                    scores = [
                        _score(
                            metric,
                            prompt,
                            place,
                            row[place].double(),
                            None if model is None else model[line, place].double(),
                            margin,
                        )
                        for place in at
                    ]
                    metrics[name][i] = sum(value for value, _ in scores) / len(at)
                    slack[name][i] = sum(slip for _, slip in scores) / len(at)
        return Audited(metrics=metrics, slack=slack)

    def forward(self, tokens: Tensor, handlers: Handlers) -> Tensor:
        """Logits [B, T, V] of a forward pass through hooks."""
        return forward_through_hooks(self.bridge, self.shape, tokens, handlers)

    def record(self, tokens: Tensor, writes: Writes, held: Handlers | None = None) -> Values:
        """Every sender's output in a run under some writes, its channels held as handlers say."""
        values: Values = {}

        def keep_input(x: Tensor) -> Tensor:
            values[INPUT] = writes.write(INPUT, x)
            return values[INPUT]

        def keep_z(layer: int, z: Tensor) -> Tensor:
            z = writes.write_z(layer, z)
            for head in self.heads(layer):
                values[head] = z[:, :, head.index]
            return z

        def keep_mlp(layer: int, out: Tensor) -> Tensor:
            mlp = Mlp(Layer(layer))
            values[mlp] = writes.write(mlp, out)
            return values[mlp]

        handlers = Handlers() if held is None else held
        self.forward(tokens, replace(handlers, input=keep_input, z=keep_z, mlp_out=keep_mlp))
        return values

    def heads(self, layer: int) -> list[Head]:
        """The heads of a layer."""
        return [Head(Layer(layer), HeadIndex(index)) for index in range(self.shape.n_heads)]

    def senders(self) -> list[Node]:
        """Every sender, in the order of computation."""
        found: list[Node] = [INPUT]
        for layer in range(self.shape.n_layers):
            found += self.heads(layer)
            if self.shape.has_mlps:
                found.append(Mlp(Layer(layer)))
        return found

    def upstream(self, receiver: Head | Mlp | Logits) -> list[Node]:
        """The senders that a receiver reads."""
        parallel = self.shape.parallel
        return [s for s in self.senders() if is_upstream(s, receiver, parallel=parallel)]

    def sent(self, sender: Node, value: Tensor) -> Tensor:
        """What a sender's value adds to the residual stream: [B, T, W]."""
        return value @ self.w_o[sender.layer, sender.index] if isinstance(sender, Head) else value

    def constant(self, receiver: Head | Mlp | Logits) -> Tensor:
        """The b_O of every attention layer that a receiver reads: [W]."""
        total = torch.zeros(self.shape.d_model)
        if self.b_o is None:
            return total
        for layer in range(self.shape.n_layers):
            head = Head(Layer(layer), HeadIndex(0))
            if is_upstream(head, receiver, parallel=self.shape.parallel):
                total = total + self.b_o[layer]
        return total

    def project(self, layer: int, channel: Channel, index: int, x: Tensor) -> Tensor:
        """A head's q, k or v [B, T, D] from its own residual input [B, T, W]."""
        w, b = self._w[channel][layer], self._b[channel]
        group = index // (self.shape.n_heads // w.shape[0])
        value: Tensor = self.bridge.blocks[layer].ln1(x) @ w[group]
        return value if b is None else value + b[layer].reshape(w.shape[0], -1)[group]

    def mean(self, source: Means, prompt: Prompt) -> Values:
        """The mean that belongs to a prompt: [T, ...] of every sender."""
        length = len(prompt.tokens)
        pooled = source.over == "batch"
        template = prompt.template if source.over == "template" else None
        key = (source, template, None if pooled else length)
        if key not in self._means:
            chosen = [
                other
                for other in self.sets[source.reference]
                if (pooled or len(other.tokens) == length) and template in (None, other.template)
            ]
            self._means[key] = self._average(chosen, pooled)
        means = self._means[key]
        return {n: m.expand(length, -1) for n, m in means.items()} if pooled else means

    def _average(self, chosen: Sequence[Prompt], pooled: bool) -> Values:
        totals: Values = {}
        count = 0
        for places in _chunks([len(prompt.tokens) for prompt in chosen]):
            tokens = torch.tensor([chosen[i].tokens for i in places])
            count += tokens.numel() if pooled else len(tokens)
            for node, value in self.record(tokens, Writes()).items():
                part = value.double().sum((0, 1) if pooled else 0)
                totals[node] = totals[node] + part if node in totals else part
        return {node: (total / count).float() for node, total in totals.items()}


class _Part:
    """A run on some of its prompts, all of one length."""

    def __init__(self, audit: Audit, run: Run, rows: list[int]) -> None:
        self.audit, self.run, self.rows = audit, run, rows
        self.prompts = [audit.sets[run.prompts].prompts[row] for row in rows]
        self.tokens = torch.tensor([prompt.tokens for prompt in self.prompts])

    def logits(self) -> Tensor:
        """Logits [B, T, V] of the intervened run."""
        run = self.run
        given = Writes(self.writes(self.prompts, run.given, ()))
        if run.edges is not None:
            return self.by_edges(run.edges, given)
        if run.path is not None:
            return self.by_path(run.path, given)
        both = [
            *self.writes(self.prompts, run.given, ()),
            *self.writes(self.prompts, run.writes, run.given),
        ]
        return self.audit.forward(self.tokens, writing(Writes(both)))

    def by_edges(self, live: LiveEdges, given: Writes) -> Tensor:
        """Every channel computed from its own sum of live and ablated senders."""
        audit = self.audit
        cut = self.values(live.source, self.prompts, self.run.given)
        ablated = {node: audit.sent(node, value) for node, value in cut.items()}
        now: Values = {}
        named: dict[tuple[Head | Mlp | Logits, Channel], dict[Node, list[Position]]] = {}
        for edge in live.edges:
            of_channel = named.setdefault((edge.receiver, edge.channel), {})
            of_channel.setdefault(edge.sender, []).append(edge.position)
        known: dict[object, Tensor] = {}

        def mix(receiver: Head | Mlp | Logits, channel: Channel) -> Tensor:
            exceptions = named.get((receiver, channel), {})
            # heads of one layer with the same exceptions read the same
            depth = receiver.layer if isinstance(receiver, Head) else receiver
            key = (depth, frozenset((s, frozenset(at)) for s, at in exceptions.items()))
            if key in known:
                return known[key]
            total = torch.zeros_like(ablated[INPUT]) + audit.constant(receiver)
            for sender in audit.upstream(receiver):
                mask = self.mask(self.prompts, exceptions.get(sender, []))
                is_live = ~mask if live.all_but else mask
                total = total + torch.where(is_live[..., None], now[sender], ablated[sender])
            known[key] = total
            return total

        def on_channel(layer: int, channel: Channel, value: Tensor) -> Tensor:
            columns = [
                audit.project(layer, channel, head.index, mix(head, channel))
                for head in audit.heads(layer)
            ]
            return torch.stack(columns, dim=2)

        def on_z(layer: int, z: Tensor) -> Tensor:
            z = given.write_z(layer, z)
            for head in audit.heads(layer):
                now[head] = audit.sent(head, z[:, :, head.index])
            return z

        def on_input(x: Tensor) -> Tensor:
            now[INPUT] = given.write(INPUT, x)
            return now[INPUT]

        def on_mlp_out(layer: int, out: Tensor) -> Tensor:
            mlp = Mlp(Layer(layer))
            now[mlp] = given.write(mlp, out)
            return now[mlp]

        return audit.forward(
            self.tokens,
            Handlers(
                input=on_input,
                channel=on_channel,
                z=on_z,
                mlp_in=lambda layer, _: mix(Mlp(Layer(layer)), "in"),
                mlp_out=on_mlp_out,
                final=lambda _: mix(LOGITS, ""),
            ),
        )

    def by_path(self, path: Path, given: Writes) -> Tensor:
        """Heads frozen and receivers read, step by step; the last receivers held."""
        source = self.values(path.source, self.prompts, self.run.given)
        patched = PatchedPath(
            self.audit, self.tokens, path.through, given, lambda at: self.mask(self.prompts, [at])
        )
        return patched.logits((path, *self.run.onward), source)

    def writes(
        self, prompts: Sequence[Prompt], writes: tuple[Write, ...], given: tuple[Write, ...]
    ) -> list[tuple[Node, Tensor, Tensor]]:
        """Writes on `prompts`, of which the i-th belongs to the run's i-th."""
        found: list[tuple[Node, Tensor, Tensor]] = []
        for write in writes:
            values = self.values(write.source, prompts, given)
            places: dict[Node, list[Position]] = {}
            for element in write.elements if isinstance(write, Replace) else write.live:
                places.setdefault(element.node, []).append(element.position)
            if isinstance(write, Replace):
                found += [(n, self.mask(prompts, at), values[n]) for n, at in places.items()]
            else:
                found += [
                    (node, ~self.mask(prompts, places.get(node, [])), values[node])
                    for node in self.audit.senders()
                    if node != INPUT
                ]
        return found

    def values(self, source: Source, prompts: Sequence[Prompt], given: tuple[Write, ...]) -> Values:
        """The ablation value of every sender on `prompts`."""
        match source:
            case Zero():
                shape, size = self.audit.shape, (len(prompts), len(prompts[0].tokens))
                return {
                    node: torch.zeros(
                        *size, shape.d_head if isinstance(node, Head) else shape.d_model
                    )
                    for node in self.audit.senders()
                }
            case Means():
                means = [self.audit.mean(source, prompt) for prompt in prompts]
                return {
                    node: torch.stack([mean[node] for mean in means])
                    for node in self.audit.senders()
                }
            case Rows():
                others = self.audit.sets[source.prompts].prompts
                chosen = [others[source.rows[row]] for row in self.rows]
                tokens = torch.tensor([prompt.tokens for prompt in chosen])
                return self.audit.record(tokens, Writes(self.writes(chosen, given, ())))
            case Noised():
                tokens = torch.tensor([prompt.tokens for prompt in prompts])
                plain = self.audit.record(tokens, Writes())[INPUT]
                added = noise(source, self.rows, tokens.shape[1], plain.shape[2])
                noised = (plain.double() + added).to(plain.dtype)
                written = (INPUT, self.mask(prompts, source.positions), noised)
                return self.audit.record(
                    tokens, Writes([*self.writes(prompts, given, ()), written])
                )

    @staticmethod
    def mask(prompts: Sequence[Prompt], positions: Iterable[Position]) -> Tensor:
        """Where any of `positions` falls: bool [B, T]."""
        mask = torch.zeros(len(prompts), len(prompts[0].tokens), dtype=torch.bool)
        for position in positions:
            for i, prompt in enumerate(prompts):
                mask[i, list(prompt.at(position))] = True
        return mask


def _optional(bridge: Any, name: str) -> Tensor | None:
    """A weight of the bridge, None where the architecture has none (it raises AttributeError)."""
    value = getattr(bridge, name, None)
    return value.detach() if isinstance(value, Tensor) else None


def _chunks(lengths: Sequence[int]) -> Iterable[list[int]]:
    """Indices in groups of one length, at most `AT_ONCE` each."""
    by_length: dict[int, list[int]] = {}
    for i, length in enumerate(lengths):
        by_length.setdefault(length, []).append(i)
    for members in by_length.values():
        for start in range(0, len(members), AT_ONCE):
            yield members[start : start + AT_ONCE]


def _score(
    metric: Metric, prompt: Prompt, place: int, logits: Tensor, model: Tensor | None, margin: float
) -> tuple[float, float]:
    """A metric from logits [V] at a place, and how far it moves if every logit moves by up to
    `margin`."""
    log_p = logits.log_softmax(-1)
    if metric.kl:
        assert model is not None
        log_m = model.log_softmax(-1)
        kl = float((log_m.exp() * (log_m - log_p)).sum())
        # the slope in the model's own logits is p (log p − log q − KL): it grows with KL
        return kl, 4 * margin * (1 + kl)
    value = slack = 0.0
    for term in metric.terms:
        answers = (
            [prompt.tokens[place + 1]] if term.next_token else list(prompt.answers[term.answer])
        )
        for answer in answers:
            if isinstance(term.quantity, Registered):
                # How far it moves with the logits is its author's to know: no value is an error.
                named = torch.tensor([[answer]], device=logits.device)
                value += term.coefficient * float(term.quantity.load()(logits[None], named))
                slack = inf
                continue
            near = (logits - logits[answer]).abs() <= 2 * margin
            one, slip = {
                "logit": (float(logits[answer]), margin),
                "prob": (float(log_p[answer].exp()), 2 * margin * float(log_p[answer].exp())),
                "log_prob": (float(log_p[answer]), 2 * margin),
                "rank": (float((logits > logits[answer]).sum()), float(near.sum()) - 1),
            }[term.quantity]
            value += term.coefficient * one
            slack += abs(term.coefficient) * slip
    return value, slack
