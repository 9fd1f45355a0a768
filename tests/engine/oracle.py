"""What a run must give, by the slow reference: a translation of records, prompts of one length
at a time, and nothing computed here that the reference computes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    Hop,
    Means,
    Noised,
    Replace,
    Rows,
    Run,
    Source,
    Write,
    Zero,
)
from circuitspec.language.nodes import Head, Input, Logits, Mlp, Position
from circuitspec.task.records import Metric, Prompt
from tests.reference import measures, slow
from tests.reference.architectures import SlowModel

from .worlds import World


@dataclass
class Expected:
    """What the reference says, one value a prompt. `margins`: how far the nearest other logit is
    from one that decides a rank or a top token, so that a near-tie can be told from a mistake."""

    metrics: dict[str, Tensor] = field(default_factory=dict)
    top: dict[str, Tensor] = field(default_factory=dict)
    kl: dict[str, Tensor] = field(default_factory=dict)
    attention: dict[AttentionReading, Tensor] = field(default_factory=dict)
    attribution: dict[AttributionReading, Tensor] = field(default_factory=dict)
    margins: dict[str, Tensor] = field(default_factory=dict)


def expected(model: SlowModel, world: World, run: Run) -> Expected:
    """Every reading of `run`, in float64."""
    prompts = world.prompts(run.prompts)
    result = Expected()
    for length in sorted({len(p.tokens) for p in prompts}):
        rows = [i for i, p in enumerate(prompts) if len(p.tokens) == length]
        part = _Part(model, world, run, rows, [prompts[i] for i in rows]).read()
        for name in ("metrics", "top", "kl", "attention", "attribution", "margins"):
            for key, values in getattr(part, name).items():
                whole = getattr(result, name).setdefault(
                    key, torch.full((len(prompts),), torch.nan, dtype=torch.float64)
                )
                whole[rows] = values.double()
    return result


class Chain(slow.Hooks):
    """Hooks one after the other, the later over the earlier."""

    def __init__(self, *hooks: slow.Hooks) -> None:
        self.hooks = hooks

    def sender(self, node: slow.Node, value: Tensor) -> Tensor:
        for hooks in self.hooks:
            value = hooks.sender(node, value)
        return value

    def channel(self, receiver: slow.Node, channel: str, value: Tensor) -> Tensor:
        for hooks in self.hooks:
            value = hooks.channel(receiver, channel, value)
        return value


class ChainThenEdges(Chain):
    """Knock-outs of senders, and on top of them a mix for every channel."""

    def __init__(self, given: slow.Hooks, edges: slow.ByEdges) -> None:
        super().__init__(given)
        self.edges = edges

    def residual(
        self, receiver: slow.Node, channel: str, live: dict[slow.Node, Tensor], const: Tensor
    ) -> Tensor:
        return self.edges.residual(receiver, channel, live, const)


def tokens_of(prompts: Sequence[Prompt]) -> Tensor:
    return torch.tensor([p.tokens for p in prompts])


def mask_of(prompts: Sequence[Prompt], *positions: Position) -> Tensor:
    mask = torch.zeros(len(prompts), len(prompts[0].tokens), dtype=torch.bool)
    for i, prompt in enumerate(prompts):
        for position in positions:
            mask[i, list(prompt.at(position))] = True
    return mask


def index_of(prompts: Sequence[Prompt], position: Position) -> Tensor:
    return torch.tensor([prompt.at(position)[0] for prompt in prompts])


def node_of(node: Head | Mlp | Input | Logits) -> slow.Node:
    match node:
        case Head(layer=layer, index=index):
            return slow.head(layer, index)
        case Mlp(layer=layer):
            return slow.mlp(layer)
        case Input():
            return slow.INPUT
        case Logits():
            return slow.LOGITS


class _Part:
    """A run on its prompts of one length."""

    def __init__(
        self, model: SlowModel, world: World, run: Run, rows: list[int], prompts: list[Prompt]
    ) -> None:
        self.model, self.world, self.run = model, world, run
        self.rows, self.prompts = rows, prompts
        self.x = tokens_of(prompts)

    # ---- interventions

    def intervened(self) -> tuple[slow.Run, dict[slow.Node, Tensor]]:
        """The run, and what the logits read of every sender."""
        run, given = self.run, self.hooks(self.prompts, self.run.given, ())
        if run.edges is not None:
            values = self.values(run.edges.source)
            named = [
                (
                    node_of(edge.sender),
                    node_of(edge.receiver),
                    edge.channel or "in",
                    mask_of(self.prompts, edge.position),
                )
                for edge in run.edges.edges
            ]
            edges = slow.ByEdges(named, values, cut=run.edges.all_but)
            done = slow.run(self.model, self.x, ChainThenEdges(given, edges))
            return done, self._read_by_logits(done, named, values, run.edges.all_but)
        if run.path is not None:
            done = self.path(given)
            return done, done.senders
        done = slow.run(self.model, self.x, self.hooks(self.prompts, run.given, run.writes))
        return done, done.senders

    def _read_by_logits(
        self, done: slow.Run, named: list[tuple], values: slow.Values, cut: bool
    ) -> dict[slow.Node, Tensor]:
        read = {}
        for node, value in done.senders.items():
            live = torch.full_like(self.x, cut, dtype=torch.bool)
            for sender, receiver, _, mask in named:
                if (sender, receiver) == (node, slow.LOGITS):
                    live = live & ~mask if cut else live | mask
            read[node] = slow.where(live, value, values[node])
        return read

    def path(self, given: slow.Hooks) -> slow.Run:
        """As `slow.path_patch`, but x' is under the knock-outs at its own places."""
        path = self.run.path
        assert path is not None
        source = self.values(path.source)
        senders: dict[slow.Node, Tensor] = {}
        for element in path.senders:
            mask = mask_of(self.prompts, element.position)
            node = node_of(element.node)
            senders[node] = senders[node] | mask if node in senders else mask
        receivers = [
            (node_of(node), channel or "in", mask_of(self.prompts, position))
            for node, channel, position in path.receivers
        ]
        if isinstance(path.source, Rows) and not self.run.given and not self.run.onward:
            # the reference's own two passes; the logits of it are checked against ours below
            alone = slow.path_patch(
                self.model, self.x, self.paired(path.source), senders, receivers, path.through
            )
        clean = slow.run(self.model, self.x, given).senders
        every = slow.everywhere(self.x)
        frozen = {
            node: (every, value)
            for node, value in clean.items()
            if node[0] == "head" or (node[0] == "mlp" and path.through == "direct")
        }
        patched = {node: (mask, source[node]) for node, mask in senders.items()}
        hooks = Chain(given, slow.Replace(frozen), slow.Replace(patched))
        first = slow.run(self.model, self.x, hooks)
        held: dict[tuple[slow.Node, str], tuple[Tensor, Tensor]] = {}
        for node, channel, mask in receivers:
            if (node, channel) in held:
                mask = mask | held[node, channel][0]
            held[node, channel] = (mask, first.channels[node, channel])
        for hop in self.run.onward:
            held = self.step(hop, clean, frozen, held, given)
        second = slow.run(self.model, self.x, Chain(given, slow.Replace(channels=held)))
        if isinstance(path.source, Rows) and not self.run.given and not self.run.onward:
            torch.testing.assert_close(second.logits, alone, rtol=0, atol=1e-12)
        return second

    def step(
        self, hop: Hop, clean: Mapping, frozen: Mapping, held: Mapping, given: slow.Hooks
    ) -> dict[tuple[slow.Node, str], tuple[Tensor, Tensor]]:
        """A further step of a path: each receiver's answer to what it is held at, one by one."""
        every = slow.everywhere(self.x)
        plain = slow.run(self.model, self.x, given).channels
        answers = {}
        for receiver in {node for node, _ in held}:
            own = {
                key: (every, value)
                for key, value in plain.items()
                if key[0] == receiver and receiver != slow.LOGITS
            }
            for key in own:
                if key in held:
                    mask, brought = held[key]
                    own[key] = (every, slow.where(mask, brought, plain[key]))
            if own:
                done = slow.run(self.model, self.x, Chain(given, slow.Replace(channels=own)))
                answers[receiver] = done.senders[receiver]
        masks: dict[slow.Node, Tensor] = {}
        for element in hop.senders:
            node, mask = node_of(element.node), mask_of(self.prompts, element.position)
            masks[node] = masks[node] | mask if node in masks else mask
        patched = {node: (mask, answers.get(node, clean[node])) for node, mask in masks.items()}
        hooks = Chain(given, slow.Replace(frozen), slow.Replace(patched))
        read = slow.run(self.model, self.x, hooks).channels
        found: dict[tuple[slow.Node, str], tuple[Tensor, Tensor]] = {}
        for node, channel, position in hop.receivers:
            key, mask = (node_of(node), channel or "in"), mask_of(self.prompts, position)
            found[key] = (mask | found[key][0] if key in found else mask, read[key])
        return found

    def hooks(
        self, prompts: Sequence[Prompt], given: tuple[Write, ...], writes: tuple[Write, ...]
    ) -> slow.Hooks:
        """`given`, then `writes` as hooks on `prompts`, of which the i-th belongs to our i-th."""
        return Chain(
            *(self.hook(prompts, write, ()) for write in given),
            *(self.hook(prompts, write, given) for write in writes),
        )

    def hook(self, prompts: Sequence[Prompt], write: Write, given: tuple[Write, ...]) -> slow.Hooks:
        values = self.values(write.source, prompts, given)
        masks: dict[slow.Node, Tensor] = {}
        for element in write.elements if isinstance(write, Replace) else write.live:
            node, mask = node_of(element.node), mask_of(prompts, element.position)
            masks[node] = masks[node] | mask if node in masks else mask
        if isinstance(write, Replace):
            return slow.Replace({node: (mask, values[node]) for node, mask in masks.items()})
        return slow.ByNodes(masks, values)

    # ---- ablation values

    def paired(self, source: Rows) -> Tensor:
        others = self.world.prompts(source.prompts)
        return tokens_of([others[source.rows[row]] for row in self.rows])

    def values(
        self,
        source: Source,
        prompts: Sequence[Prompt] | None = None,
        given: tuple[Write, ...] | None = None,
    ) -> dict[slow.Node, Tensor]:
        prompts = self.prompts if prompts is None else prompts
        given = self.run.given if given is None else given
        match source:
            case Zero():
                return slow.zero_values(self.model, tokens_of(prompts))
            case Means():
                return self.means(source, prompts)
            case Rows():
                others = self.world.prompts(source.prompts)
                chosen = [others[source.rows[row]] for row in self.rows]
                hooks = self.hooks(chosen, given, ())
                return slow.run(self.model, tokens_of(chosen), hooks).senders
            case Noised():
                noisy = self.model.embed(tokens_of(prompts)) + self.noise(source, prompts)
                written = slow.Replace({slow.INPUT: (mask_of(prompts, *source.positions), noisy)})
                hooks = Chain(self.hooks(prompts, given, ()), written)
                return slow.run(self.model, tokens_of(prompts), hooks).senders

    def noise(self, source: Noised, prompts: Sequence[Prompt]) -> Tensor:
        size = (len(prompts[0].tokens), self.model.d_model)
        drawn = [np.random.default_rng([source.seed, r]).normal(0, 1, size) for r in self.rows]
        return torch.from_numpy(source.sd * np.stack(drawn))

    def means(self, source: Means, prompts: Sequence[Prompt]) -> dict[slow.Node, Tensor]:
        length = len(prompts[0].tokens)
        by_template: dict[str, list[Prompt]] = {}
        for prompt in self.world.prompts(source.reference):
            if source.over == "batch" or len(prompt.tokens) == length:
                by_template.setdefault(prompt.template, []).append(prompt)
        reference = {template: tokens_of(found) for template, found in by_template.items()}
        means = slow.mean_values(self.model, reference, source.over)
        if source.over == "batch":  # one vector; the reference spreads it over its own lengths
            means = {
                p.template: {
                    node: next(iter(means.values()))[node][:1].expand(length, -1)
                    for node in slow.senders(self.model)
                }
                for p in prompts
            }
        if source.over == "position":
            means = {p.template: next(iter(means.values())) for p in prompts}
        return slow.spread(means, [p.template for p in prompts])

    # ---- readings

    def read(self) -> Expected:
        run, result = self.run, Expected()
        done, sent = self.intervened()
        plain = slow.run(self.model, self.x).logits
        for metric in self.world.metrics.values():
            name, rows = metric.name, range(len(self.prompts))
            where = [list(metric.places(prompt)) for prompt in self.prompts]
            kl = [measures.kl(plain[i, where[i]], done.logits[i, where[i]]).mean() for i in rows]
            result.metrics[name] = torch.stack(
                kl if metric.kl else [self.metric(metric, i, done.logits[i]) for i in rows]
            )
            last = torch.stack([done.logits[i, where[i][-1]] for i in rows])
            result.margins[name] = self.margin(metric, last)
            if run.top:
                result.top[name] = measures.top_token(last)
            if run.kl:
                result.kl[name] = torch.stack(kl)
        for reading in run.attention:
            pattern = done.patterns[node_of(reading.head)]
            queries = index_of(self.prompts, reading.query)
            keys = mask_of(self.prompts, *reading.keys)
            result.attention[reading] = (measures.at(pattern, queries) * keys).sum(-1)
        for share in run.attribution:
            metric = self.world.metrics[share.metric]
            places = index_of(self.prompts, metric.at)
            direction = sum(term.coefficient * self.columns(term.answer) for term in metric.terms)
            lives = mask_of(self.prompts, share.element.position)
            vectors = sent[node_of(share.element.node)] * lives[..., None]
            result.attribution[share] = measures.direct_logit_attribution(
                self.model, done, measures.at(vectors, places), places, direction
            )
        return result

    def columns(self, answer: str) -> Tensor:
        return torch.stack(
            [self.model.W_U[:, list(p.answers[answer])].sum(-1) for p in self.prompts]
        )

    def metric(self, metric: Metric, row: int, logits: Tensor) -> Tensor:
        """The metric of one prompt from its logits [pos, vocab]: the mean over its places."""
        prompt, values = self.prompts[row], []
        for place in metric.places(prompt):
            total = torch.zeros((), dtype=logits.dtype)
            for term in metric.terms:
                named = (
                    [prompt.tokens[place + 1]] if term.next_token else prompt.answers[term.answer]
                )
                for answer in named:
                    value = {
                        "logit": measures.pick,
                        "prob": measures.probability,
                        "log_prob": lambda x, t: -measures.cross_entropy(x, t),
                        "rank": measures.rank,
                    }[term.quantity](logits[place : place + 1], torch.tensor([answer]))
                    total = total + term.coefficient * value[0]
            values.append(total)
        return torch.stack(values).mean()

    def margin(self, metric: Metric, logits: Tensor) -> Tensor:
        """Between the two largest logits, and from any answer to the nearest other token."""
        best = logits.topk(2).values
        margin = best[:, 0] - best[:, 1]
        for i, prompt in enumerate(self.prompts):
            for term in metric.terms:
                for answer in prompt.answers.get(term.answer, ()):
                    gaps = (logits[i] - logits[i, answer]).abs()
                    gaps[answer] = torch.inf
                    margin[i] = torch.minimum(margin[i], gaps.min())
        return margin
