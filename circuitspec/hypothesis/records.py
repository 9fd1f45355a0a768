"""A hypothesis with its names resolved: roles at places, edges, and claims ready to be measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from circuitspec.language.diagnostics import NO_SPAN, Span
from circuitspec.language.nodes import Channel, Head, Input, Logits, Mlp, Position
from circuitspec.language.syntax import Expr, HypothesisStatement, Sweep, Task

AblationKind = Literal["zero", "mean", "resample", "counterfactual", "noise"]
Granularity = Literal["nodes", "edges"]


@dataclass(frozen=True, slots=True, order=True)
class Element:
    """A node at a position: what a circuit consists of when working by nodes."""

    node: Head | Mlp | Input
    position: Position

    def __str__(self) -> str:
        return f"{self.node} @ {self.position}"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A sender read by a receiver's channel at a position of the receiver's input.

    For a head that queries at END and attends IO, q edges are at END, k and v edges at IO.
    """

    sender: Input | Head | Mlp
    receiver: Head | Mlp | Logits
    channel: Channel
    position: Position

    def __str__(self) -> str:
        channel = f".{self.channel}" if self.channel else ""
        return f"{self.sender} -> {self.receiver}{channel} @ {self.position}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a role lives: its query position, and the positions it attends (none stated: all)."""

    query: Position
    keys: tuple[Position, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """A named set of nodes at places, with the features its output carries."""

    name: str
    nodes: tuple[Head | Mlp, ...]
    places: tuple[Place, ...]
    carries: tuple[Expr, ...] = ()
    span: Span = field(default=NO_SPAN, compare=False, repr=False)

    @property
    def elements(self) -> tuple[Element, ...]:
        """Every member at every query position, in the order written."""
        return tuple(Element(n, p.query) for n in self.nodes for p in self.places)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeStatement:
    """One `edge` line for one sender and one receiver role: the unit that splits scrubbing draws.

    `sender` and `receiver` are role names, or `input`, `logits`, or a node written out.
    `statement` numbers the line it came from.
    """

    statement: int
    sender: str
    receiver: str
    channels: tuple[Channel, ...]
    edges: tuple[Edge, ...]
    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """What cutting means: at what granularity, and what a cut output becomes."""

    by: Granularity
    kind: AblationKind
    baseline: str | None = None
    over: Literal["template", "position", "batch"] | None = None
    draws: int = 1
    scale: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSet:
    """Elements cut together, under the name they are reported by (a role, a group, or written out).

    `edges` are what is cut when working by edges.
    """

    name: str
    elements: frozenset[Element]
    edges: frozenset[Edge] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class AblateComplement:
    """`ablate complement`: everything outside the circuit is cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AblateSet:
    """`ablate R`: R is cut from the whole model, at its own positions."""

    cut: CutSet


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationPatch:
    """`patch R from D`: R's outputs come from the paired counterfactual."""

    cut: CutSet
    baseline: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OnwardHop:
    """A further hop of a path: from where the receivers before it send, and into what."""

    senders: tuple[Element, ...]
    receivers: tuple[tuple[Head | Mlp | Logits, Channel, Position], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchedPair:
    """Senders and the receiver channels written together in one path-patching run."""

    name: str
    senders: tuple[Element, ...]
    receivers: tuple[tuple[Head | Mlp | Logits, Channel, Position], ...]
    onward: tuple[OnwardHop, ...] = ()
    """Further hops of `a -> b.q -> logits`, in order; empty for a single hop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPatch:
    """`patch all|each A -> B.ch from D direct|through mlps`; `each`: one pair a sender and read."""

    mode: Literal["all", "each"]
    pairs: tuple[PatchedPair, ...]
    baseline: str
    through: Literal["direct", "mlps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """`scrub over D draws R`: the declared graph is the interpretation. `over` is the task's name
    or a baseline's."""

    over: str
    draws: int
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Denoise:
    """`run from D restore R`: the counterfactual run, with clean values put back at R."""

    baseline: str
    restored: frozenset[Element]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completeness:
    """`knockouts ...`: named sets K, how many random ones, and the greedy search's size."""

    named: tuple[CutSet, ...]
    random: int = 0
    greedy: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimality:
    """`each ...`: the elements v and, for each, the candidate sets K."""

    unit: Literal["head", "node", "role", "edge"]
    candidates: tuple[tuple[CutSet, tuple[CutSet, ...]], ...]


Intervention = AblateComplement | AblateSet | ActivationPatch | PathPatch | Scrub | Denoise


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One `require` line. `left`, `right` stay expressions; names in them have been checked.

    `level` is the confidence in percent (95.0); `tolerance` a share (`within 20%` → 0.2) or, for
    `==`, an absolute half-width.
    """

    text: str
    left: Expr
    operator: Literal[">=", "<=", ">", "<", "within", "=="]
    right: Expr
    tolerance: float | None
    level: float
    each: bool = False
    span: Span = field(default=NO_SPAN, compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One `expect`, what its protocol says filled in. No intervention: measures of the model."""

    name: str
    refuted: bool
    ablation: Ablation | None
    intervention: Intervention | None
    given: tuple[CutSet, ...] = ()
    completeness: Completeness | None = None
    minimality: Minimality | None = None
    accept_blind: bool = False
    at_most: int | None = None
    requirements: tuple[Requirement, ...] = ()
    doc: str | None = None
    span: Span = field(default=NO_SPAN, compare=False, repr=False)

    @property
    def measures_the_model(self) -> bool:
        """Whether nothing is changed: what is measured is the model as it is."""
        return not (self.intervention or self.given or self.completeness or self.minimality)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A `keep` line: nodes, or every MLP or head of the model, at positions."""

    nodes: tuple[Head | Mlp | Input, ...] | Literal["mlps", "heads"]
    positions: tuple[Position, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypothesis:
    """A hypothesis, resolved against its own text (not yet against a model's shape)."""

    name: str
    model: str
    revision: str | None
    task: Task
    roles: Mapping[str, Role]
    groups: Mapping[str, tuple[str, ...]]
    kept: tuple[Kept, ...]
    open_nodes: tuple[tuple[Element, str], ...]
    edges: tuple[EdgeStatement, ...]
    claims: tuple[Claim, ...]
    file: str = ""
    base: str = ""
    """The name in the text, where a sweep made this one of several."""
    refines: str | None = None
    dropped: tuple[str, ...] = ()
    sweeps: tuple[Sweep, ...] = ()
    doc: str | None = None
    span: Span = field(default=NO_SPAN, compare=False, repr=False)
    name_span: Span = field(default=NO_SPAN, compare=False, repr=False)
    statements: tuple[HypothesisStatement, ...] = field(default=(), compare=False, repr=False)
    """Its own and inherited statements, for the spans of what the records no longer show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """The circuit C on a model of known shape.

    `members` are the roles' elements, `kept` the keeps' (in C, never in a K). `edges` holds every
    edge of C: the declared ones, and those that keeps add (`kept_edges`).
    """

    members: frozenset[Element]
    kept: frozenset[Element]
    edges: frozenset[Edge]
    kept_edges: frozenset[Edge]
