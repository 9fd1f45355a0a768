"""One run on some prompts by the slow path: what is written, and what is read off it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from circuitspec.engine.audit.model import HookedModel
from circuitspec.engine.audit.paths import PatchedPath
from circuitspec.engine.audit.readings import (
    Figure,
    Seen,
    attention_figure,
    attribution_figure,
    copying_figure,
    metric_figure,
    rows_of,
    top_tokens,
    watching,
)
from circuitspec.engine.audit.through_hooks import Handlers
from circuitspec.engine.audit.writes import Node, Values, Writes, writing
from circuitspec.engine.noise import noise
from circuitspec.engine.runs import (
    LensReading,
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
from circuitspec.language.nodes import INPUT, LOGITS, Channel, Head, Layer, Logits, Mlp, Position
from circuitspec.model.load import LoadedModel
from circuitspec.task.records import Metric, Prompt, PromptSet

TOLERANCE = 3e-5
"""Of the engine against TransformerLens, whose model is in float32, relative to logits' scale."""
AT_ONCE = 16
"""Prompts in one pass through hooks."""
NUMBERS = 1 << 24
"""Logits in one pass over a reference set: of a small model, many more prompts than `AT_ONCE`."""


class Subject(HookedModel):
    """The model with its prompt sets. Means are remembered, nothing else is."""

    def __init__(
        self, model: LoadedModel, sets: Mapping[str, PromptSet], metrics: Mapping[str, Metric]
    ) -> None:
        super().__init__(model)
        self.sets = sets
        self.metrics = metrics
        self._means: dict[tuple[Means, str | None, int | None], Values] = {}

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
        lengths = [len(prompt.tokens) for prompt in chosen]
        at_once = max(AT_ONCE, NUMBERS // (self.shape.d_vocab_out * max(lengths)))
        for places in rows_of(lengths, min(at_once, 512)):
            tokens = torch.tensor([chosen[i].tokens for i in places])
            count += tokens.numel() if pooled else len(tokens)
            for node, value in self.record(tokens, Writes()).items():
                part = value.double().sum((0, 1) if pooled else 0)
                totals[node] = totals[node] + part if node in totals else part
        return {node: (total / count).float() for node, total in totals.items()}


class Part:
    """A run on some of its prompts, all of one length."""

    def __init__(self, audit: Subject, run: Run, rows: list[int]) -> None:
        self.audit, self.run, self.rows = audit, run, rows
        self.prompts = [audit.sets[run.prompts].prompts[row] for row in rows]
        self.tokens = torch.tensor([prompt.tokens for prompt in self.prompts])

        self.seen = Seen()
        self.sent: dict[Node, Tensor] = {}
        self.logits = audit.forward(self.tokens, watching(self.handlers(), self.seen))
        self.model: Tensor | None = None
        if run.kl or any(metric.kl for metric in audit.metrics.values()):
            self.model = audit.forward(self.tokens, Handlers())

    def figures(self, margin: float) -> dict[Hashable, list[Figure]]:
        """Everything the run was asked for, one figure a prompt."""
        audit, run, seen = self.audit, self.run, self.seen
        found: dict[Hashable, list[Figure]] = {
            name: self.each(partial(self.metric, metric, self.logits, margin=margin))
            for name, metric in audit.metrics.items()
        }
        if run.kl:
            as_kl = {name: replace(metric, kl=True) for name, metric in audit.metrics.items()}
            for name, metric in as_kl.items():
                found[name, "kl"] = self.each(
                    partial(self.metric, metric, self.logits, margin=margin)
                )
        for reading in run.attention:
            pattern = seen.patterns[reading.head.layer][:, reading.head.index]
            found[reading] = [
                attention_figure(reading, prompt, pattern[i])
                for i, prompt in enumerate(self.prompts)
            ]
        for share in run.attribution:
            sent, metric = self.sent[share.element.node], audit.metrics[share.metric]
            found[share] = [
                attribution_figure(
                    audit.read_out,
                    share,
                    metric,
                    prompt,
                    sent[i],
                    None if seen.scale is None else seen.scale[i],
                    margin,
                )
                for i, prompt in enumerate(self.prompts)
            ]
        for which in run.residual:
            if isinstance(which, LensReading):
                logits = audit.read_out.unembed(seen.after(which.layer))
                lens = max(margin, TOLERANCE * float(logits.square().mean().sqrt()))
                metric = audit.metrics[which.metric]
                found[which] = self.each(partial(self.metric, metric, logits, margin=lens))
            else:
                found[which] = [
                    copying_figure(
                        audit.read_out, which, prompt, audit.metrics, seen.after(0)[i], TOLERANCE
                    )
                    for i, prompt in enumerate(self.prompts)
                ]
        return found

    def top(self, margin: float) -> dict[str, list[frozenset[int]]]:
        """The tokens that may be the most likely, by metric, of every prompt."""
        return {
            name: [
                top_tokens(metric, prompt, self.logits[i], margin)
                for i, prompt in enumerate(self.prompts)
            ]
            for name, metric in self.audit.metrics.items()
        }

    def each(self, figure: Callable[[int], Figure]) -> list[Figure]:
        """One figure for every prompt."""
        return [figure(i) for i in range(len(self.prompts))]

    def metric(self, metric: Metric, logits: Tensor, i: int, *, margin: float) -> Figure:
        """A metric of the i-th prompt from logits [B, T, V]."""
        model = None if self.model is None else self.model[i]
        return metric_figure(metric, self.prompts[i], logits[i], model, margin)

    def handlers(self) -> Handlers:
        """What makes a pass the intervened run."""
        run = self.run
        given = Writes(self.writes(self.prompts, run.given, ()))
        if run.edges is not None:
            return self.by_edges(run.edges, given)
        if run.path is not None:
            return self.sending(self.by_path(run.path, given))
        both = [
            *self.writes(self.prompts, run.given, ()),
            *self.writes(self.prompts, run.writes, run.given),
        ]
        return self.sending(writing(Writes(both)))

    def sending(self, handlers: Handlers) -> Handlers:
        """`handlers`, with every sender's output put down in `sent` where it is asked for."""
        if not self.run.attribution:
            return handlers
        audit, change_input, change_z = self.audit, handlers.input, handlers.z
        change_mlp = handlers.mlp_out

        def on_input(x: Tensor) -> Tensor:
            self.sent[INPUT] = x if change_input is None else change_input(x)
            return self.sent[INPUT]

        def on_z(layer: int, z: Tensor) -> Tensor:
            z = z if change_z is None else change_z(layer, z)
            for head in audit.heads(layer):
                self.sent[head] = audit.sent(head, z[:, :, head.index])
            return z

        def on_mlp_out(layer: int, out: Tensor) -> Tensor:
            mlp = Mlp(Layer(layer))
            self.sent[mlp] = out if change_mlp is None else change_mlp(layer, out)
            return self.sent[mlp]

        return replace(handlers, input=on_input, z=on_z, mlp_out=on_mlp_out)

    def by_edges(self, live: LiveEdges, given: Writes) -> Handlers:
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
                read = torch.where(is_live[..., None], now[sender], ablated[sender])
                total = total + read
                if isinstance(receiver, Logits):
                    self.sent[sender] = read
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

        return Handlers(
            input=on_input,
            channel=on_channel,
            z=on_z,
            mlp_in=lambda layer, _: mix(Mlp(Layer(layer)), "in"),
            mlp_out=on_mlp_out,
            final=lambda _: mix(LOGITS, ""),
        )

    def by_path(self, path: Path, given: Writes) -> Handlers:
        """Heads frozen and receivers read, step by step; the last receivers held."""
        source = self.values(path.source, self.prompts, self.run.given)
        patched = PatchedPath(
            self.audit, self.tokens, path.through, given, lambda at: self.mask(self.prompts, [at])
        )
        return patched.handlers((path, *self.run.onward), source)

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
