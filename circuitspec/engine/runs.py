"""What claims ask of the engine: intervened runs, as plain hashable records.

A run says on which prompts, what is replaced by what, and what is read off. How it is computed is
the engine's business: two equal runs are one computation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from circuitspec.hypothesis.records import Edge, Element
from circuitspec.language.nodes import Channel, Head, Logits, Mlp, Position

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Zero:
    """The zero vector, on raw weights."""


@dataclass(frozen=True, slots=True)
class Means:
    """Mean output over a reference set, in an unmodified run.

    `over` template: one mean per (template, token index); position: one per token index across
    templates of equal length; batch: one vector.
    """

    reference: str
    over: Literal["template", "position", "batch"]


@dataclass(frozen=True, slots=True)
class Rows:
    """The output on other prompts: prompt i of the run takes its value from `rows[i]` of a set.

    Both prompts must have the same number of tokens; values correspond by token index.
    """

    prompts: str
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Noised:
    """The output on the run's own prompts with Gaussian noise added to the embeddings at positions.

    `sd` is the noise's standard deviation, in the embeddings' units. What is drawn for a prompt
    depends on `seed` and its row only (`engine.noise`).
    """

    positions: tuple[Position, ...]
    sd: float
    seed: int


Source = Zero | Means | Rows | Noised


@dataclass(frozen=True, slots=True)
class Replace:
    """The elements' outputs are replaced, there and nowhere else."""

    elements: frozenset[Element]
    source: Source


@dataclass(frozen=True, slots=True)
class ReplaceAllBut:
    """Every head and MLP is replaced wherever it is not listed as live. The input stays."""

    live: frozenset[Element]
    source: Source


Write = Replace | ReplaceAllBut


@dataclass(frozen=True, slots=True)
class LiveEdges:
    """Every receiver channel at every position reads live senders along `edges` only.

    All other senders, the input included, are read at their value in `source`. `all_but` turns it
    round: everything is read live except along `edges`.
    """

    edges: frozenset[Edge]
    source: Source
    all_but: bool = False


@dataclass(frozen=True, slots=True)
class Path:
    """Path patching (Wang et al. 2022, appendix B; Goldowsky-Dill et al. 2023).

    Pass 1 freezes all heads at their values in the run's own writes, takes `senders` from `source`,
    recomputes MLPs (`mlps`) or freezes them (`direct`), and reads the receivers' channels. Pass 2
    writes those values, holds them, and recomputes all else.
    """

    senders: frozenset[Element]
    receivers: frozenset[tuple[Head | Mlp | Logits, Channel, Position]]
    source: Rows | Noised
    through: Literal["direct", "mlps"]


@dataclass(frozen=True, slots=True)
class Hop:
    """A further step of a path: receivers of the step before send on what they then put out.

    Each computes its output from the values that the path brought to its channels and, in its other
    channels, those of the run that path patching freezes; `senders` says where that output is sent
    on from, `receivers` by what it is read.
    """

    senders: frozenset[Element]
    receivers: frozenset[tuple[Head | Mlp | Logits, Channel, Position]]


@dataclass(frozen=True, slots=True)
class AttentionReading:
    """Attention mass of a head from a query position to key positions, summed over their tokens."""

    head: Head
    query: Position
    keys: tuple[Position, ...]


@dataclass(frozen=True, slots=True)
class AttributionReading:
    """Direct logit attribution of an element to a metric, at the metric's position."""

    element: Element
    metric: str


@dataclass(frozen=True, slots=True)
class LensReading:
    """Logit lens: a metric read off the residual after block `layer`, as if it were the last."""

    layer: int
    metric: str


@dataclass(frozen=True, slots=True)
class CopyingReading:
    """The share of a prompt's names that a head's OV circuit copies; `negative`: suppresses."""

    head: Head
    negative: bool = False


ResidualReading = LensReading | CopyingReading


@dataclass(frozen=True, slots=True)
class Run:
    """One intervened run. Without writes, edges and path it is the unmodified model.

    `given` are knock-outs under which everything is measured: they hold in this run, in the runs
    its sources are read from, and in the run that path patching freezes. `writes` and `edges`
    exclude each other with `path`.

    The metrics of the task are always read. `top` asks for the top token, `kl` for
    KL(model ‖ run) in nats, both at the metric's position. `rows` computes some prompts of the set
    only, ascending; the readings of the others are NaN, and -1 for tokens. `onward` are the further
    steps of `path`.
    """

    prompts: str
    given: tuple[Write, ...] = ()
    writes: tuple[Write, ...] = ()
    edges: LiveEdges | None = None
    path: Path | None = None
    top: bool = False
    kl: bool = False
    attention: tuple[AttentionReading, ...] = ()
    attribution: tuple[AttributionReading, ...] = ()
    residual: tuple[ResidualReading, ...] = ()
    rows: tuple[int, ...] | None = None
    onward: tuple[Hop, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """How many activations an intervention was to write, wrote, and changed.

    An activation is one node's output (or one channel's input) at one position of one prompt.
    `largest` is the largest absolute difference that a write made, in the activation's units.
    """

    planned: int = 0
    written: int = 0
    changed: int = 0
    largest: float = 0.0

    def __add__(self, other: Touched) -> Touched:
        return Touched(
            planned=self.planned + other.planned,
            written=self.written + other.written,
            changed=self.changed + other.changed,
            largest=max(self.largest, other.largest),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """What a run gave, one value a prompt in the order of the prompt set, in float64.

    `metrics` by name; `top` and `kl` by metric (its position); `attention`, `attribution` and
    `residual` by reading. `count` gives what was touched.
    """

    metrics: Mapping[str, Floats]
    top: Mapping[str, Integers] = field(default_factory=dict)
    kl: Mapping[str, Floats] = field(default_factory=dict)
    attention: Mapping[AttentionReading, Floats] = field(default_factory=dict)
    attribution: Mapping[AttributionReading, Floats] = field(default_factory=dict)
    residual: Mapping[ResidualReading, Floats] = field(default_factory=dict)
    count: Callable[[], Touched] = Touched

    @property
    def touched(self) -> Touched:
        """What was written, and what it changed: counted when it is first asked for, because the
        run without any write must be known for it."""
        return self.count()


class EngineError(Exception):
    """A run that cannot mean anything (prompts of unequal length paired, a missing mean).

    Its message is one sentence for the author of the spec; the claim that asked becomes invalid.
    """
