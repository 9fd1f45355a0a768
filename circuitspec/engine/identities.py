"""Interventions whose result is known beforehand, tried on a sample of a run's prompts.

It is not enough that patching with oneself changes nothing: an intervention that never happens
passes that. Patching with another prompt must give that prompt's logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from circuitspec.engine.edge_masks import senders_of
from circuitspec.engine.edges import readers_of
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import LiveEdges, Path, Replace, ReplaceAllBut, Rows, Run
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    INPUT,
    LOGITS,
    Channel,
    Head,
    Logits,
    Mlp,
    Position,
    is_upstream,
)
from circuitspec.task.records import Metric, MetricTerm, Prompt, PromptSet

IDENTITY_PROMPTS = 16
"""Prompts on which identities are tried."""
MOST_EDGES = 60_000
"""A model with more edges than this has its circuit by edges tried on some receivers only."""
PROBES = 4
"""Logits that are compared at every place where a metric is read."""

_NO_CHANNEL: Channel = ""
_INPUT = Element(INPUT, ALL_POSITIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One identity: pairs of runs that must agree, and on what it was tried."""

    name: str
    pairs: tuple[tuple[Run, Run], ...]
    scope: str


class Probes:
    """An engine like the one that is checked, on some prompts, whose metrics are single logits.

    `prompts` go in as they are, and as `swapped`: each with the tokens of the next prompt of its
    length, but with its own places and answers.
    """

    def __init__(
        self, engine: Engine, prompts: Sequence[Prompt], logits: Sequence[Tensor] | None = None
    ) -> None:
        vocabulary = engine.weights.shape.d_vocab_out
        fixed = [i * (vocabulary - 1) // max(PROBES - 1, 1) for i in range(PROBES)]
        self.tokens = [
            [int(logits[i].argmax()), *fixed[1:]] if logits is not None else fixed
            for i in range(len(prompts))
        ]
        own = tuple(
            replace(
                prompt,
                answers={str(i): (token,) for i, token in enumerate(self.tokens[row])},
            )
            for row, prompt in enumerate(prompts)
        )
        self.partner = _partners(own)
        swapped = tuple(
            replace(p, tokens=own[other].tokens) for p, other in zip(own, self.partner, strict=True)
        )
        metrics = {}
        for place in places(engine):
            for i in range(PROBES):
                term = MetricTerm(coefficient=1.0, quantity="logit", answer=str(i))
                name = self.metric(i, place)
                metrics[name] = Metric(name=name, terms=(term,), at=place)
        sets = {
            "prompts": PromptSet(name="prompts", prompts=own),
            "swapped": PromptSet(name="swapped", prompts=swapped),
        }
        self.engine = engine.over(sets, metrics)

    @staticmethod
    def metric(probe: int, place: Position) -> str:
        """The name of the metric that is one logit."""
        return f"logit {probe} @ {place}"

    @property
    def itself(self) -> Rows:
        """Each prompt's own values."""
        return Rows("prompts", tuple(range(len(self.partner))))

    @property
    def other(self) -> Rows:
        """The values of the prompt that each is swapped with."""
        return Rows("prompts", self.partner)

    def apart(self, one: Run, two: Run) -> float:
        """The largest difference between two runs' logits."""
        a, b = self.engine.evaluate([one, two])
        return max(
            distance(float(x), float(y))
            for name in a.metrics
            for x, y in zip(a.metrics[name], b.metrics[name], strict=True)
        )


def _partners(prompts: Sequence[Prompt]) -> tuple[int, ...]:
    """For each prompt the next one of its length with other tokens; itself where there is none."""
    found = []
    for row, prompt in enumerate(prompts):
        order = [(row + step) % len(prompts) for step in range(1, len(prompts))]
        candidates = [
            other
            for other in order
            if len(prompts[other].tokens) == len(prompt.tokens)
            and prompts[other].tokens != prompt.tokens
        ]
        found.append(candidates[0] if candidates else row)
    return tuple(found)


def places(engine: Engine) -> list[Position]:
    """Where the metrics are read."""
    return sorted({metric.at for metric in engine.metrics.values()}, key=str)


def spread(prompts: Sequence[Prompt], size: int) -> tuple[Prompt, ...]:
    """Up to `size` prompts, taking turns among templates and lengths."""
    groups: dict[tuple[str, int], list[Prompt]] = {}
    for prompt in prompts:
        groups.setdefault((prompt.template, len(prompt.tokens)), []).append(prompt)
    turns = [(turn, i, p) for i, of in enumerate(groups.values()) for turn, p in enumerate(of)]
    return tuple(prompt for _, _, prompt in sorted(turns, key=lambda t: t[:2])[:size])


def distance(a: float, b: float) -> float:
    """|a − b|, infinite where either is not a number: a comparison with NaN must not pass."""
    difference = abs(a - b)
    return difference if difference == difference else float("inf")


def identities(shape: ModelShape, probes: Probes) -> list[Identity]:
    """The identities that hold for every model, as pairs of runs on `probes`."""
    nodes = frozenset(Element(node, ALL_POSITIONS) for node in senders_of(shape))
    channels = frozenset(
        (receiver, channel, ALL_POSITIONS) for receiver, channel in _receivers(shape)
    )
    logits = frozenset({(LOGITS, _NO_CHANNEL, ALL_POSITIONS)})
    plain, swapped = Run("prompts"), Run("swapped")
    itself, other = probes.itself, probes.other
    edges, rest, scope = _edges_to_try(shape)
    circuit = LiveEdges(edges, itself if rest else other, all_but=rest)
    alone = probes.partner == tuple(range(len(probes.partner)))
    return [
        Identity(
            name="patching everything with itself reproduces the model",
            pairs=(
                (Run("prompts", writes=(Replace(nodes, itself),)), plain),
                (Run("prompts", path=Path(nodes, channels, itself, "direct")), plain),
                (Run("prompts", path=Path(nodes, channels, itself, "mlps")), plain),
            ),
            scope="by nodes and by paths",
        ),
        Identity(
            name="patching everything with another prompt gives that prompt",
            pairs=(
                (Run("prompts", writes=(Replace(nodes, other),)), swapped),
                (Run("prompts", edges=LiveEdges(frozenset(), other)), swapped),
                (Run("prompts", path=Path(nodes, logits, other, "direct")), swapped),
                (Run("prompts", path=Path(nodes, logits, other, "mlps")), swapped),
            ),
            scope="by nodes, by edges and by paths"
            + (": no two prompts have one length, so each is its own other" if alone else ""),
        ),
        Identity(
            name="the full circuit by nodes is the model",
            pairs=((Run("prompts", writes=(ReplaceAllBut(nodes - {_INPUT}, other),)), plain),),
            scope="every head and MLP live at every position",
        ),
        Identity(
            name="the full circuit by edges is the model",
            pairs=((Run("prompts", edges=circuit), plain),),
            scope=scope,
        ),
    ]


def _receivers(shape: ModelShape) -> list[tuple[Head | Mlp | Logits, Channel]]:
    found: list[tuple[Head | Mlp | Logits, Channel]] = []
    for node in senders_of(shape):
        if isinstance(node, Head):
            found += [(node, "q"), (node, "k"), (node, "v")]
        elif isinstance(node, Mlp):
            found.append((node, "in"))
    return [*found, (LOGITS, _NO_CHANNEL)]


def _edges_to_try(shape: ModelShape) -> tuple[frozenset[Edge], bool, str]:
    """Every edge; in a large model those into some receivers, to be cut and read at themselves."""
    senders, receivers = senders_of(shape), _receivers(shape)
    total = sum(readers_of(sender, shape) for sender in senders)
    rest = total > MOST_EDGES
    if rest:
        step = max(1, len(receivers) // 12)
        receivers = [*receivers[::step], receivers[-1]]
    edges = frozenset(
        Edge(sender, receiver, channel, ALL_POSITIONS)
        for receiver, channel in receivers
        for sender in senders
        if is_upstream(sender, receiver, parallel=shape.parallel)
    )
    if rest:
        return edges, True, f"{len(edges)} of {total} edges cut and read at their own values"
    return edges, False, f"all {total} edges live at every position"
