"""A comparison as records: what was asked of every rival, what they answered, how they differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from circuitspec.claims.measured import SetKind
from circuitspec.hypothesis.ordering import edge_key, element_key
from circuitspec.hypothesis.records import Ablation, CutSet, Edge, Element
from circuitspec.judge.intervals import Interval
from circuitspec.judge.records import HypothesisResult, SelfCheck

SCHEMA = "circuitspec.comparison/1"

Measure = Literal["miss", "error", "agreement"]
"""How a circuit falls short of its model with the same set out of both. `miss`: the difference of
their means, compared by size; `error`: the mean size of the difference a prompt; `agreement`: the
share of prompts with the same top token."""

Called = Literal["first", "second", "same", "undecided"]
"""Which rival is nearer to its model by more than the margin; `same`: neither is."""

Outcome = Literal["first", "second", "mixed", "apart", "same", "undecided", "unpaired", "invalid"]
"""What a pair comes to. `first`, `second`: the better explanation of the two. `mixed`: each is
better by one test. `apart`: told apart, by nothing that ranks them. `same`: every difference lies
within the margin. `unpaired`: they cannot be put to one test. `invalid`: a self-check failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What both rivals of a pair are asked: how far is C\\K from M\\K under an ablation?

    `cuts` is K for either rival, the same set where they explain the same model; None: K = ∅, which
    is the question of faithfulness. `kind` is how K was found, `rows` the evaluation prompts that
    it is judged on: None, all of them, but for a K that others of them were searched for.
    """

    ablation: Ablation
    name: str = ""
    cuts: tuple[CutSet, CutSet] | None = None
    kind: SetKind = "named"
    rows: tuple[int, ...] | None = None

    def parts(self, side: int = 0) -> tuple[str, ...]:
        """What is in K for a rival, from the input up: nodes at positions, or by edges edges."""
        if self.cuts is None:
            return ()
        cut = self.cuts[side]
        if self.ablation.by == "edges" and not cut.elements:
            return tuple(map(str, sorted(cut.edges, key=edge_key)))
        return tuple(map(str, sorted(cut.elements, key=element_key)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much nearer the first rival is to its model than the second, by one measure.

    `values` are the two rivals' own (signed for a miss) at the comparison's level, `within` the
    same at the family's, which holds for all of a pair's differences at once. `nearer` is positive
    where the first is nearer; its interval is paired by prompt, `family` is the same at the
    family's level, and `called` is read off it against `margin`. All are in the metric's units, or,
    of agreement and across models, shares; `scale` is the model's mean in these units.
    """

    question: Question
    metric: str
    measure: Measure
    values: tuple[Interval, Interval]
    within: tuple[Interval, Interval]
    nearer: Interval
    family: Interval
    scale: float
    margin: float
    called: Called


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The largest miss of either rival over every set K that was asked, K = ∅ among them.

    Intervals are at the family's level. `at_least` is the largest size that is certain of any of a
    rival's misses, `at_most` what none of them exceeds. A rival is ahead where the latter is
    smaller than what the other misses at least, by more than the margin.
    """

    ablation: Ablation
    metric: str
    sets: tuple[str, str]
    misses: tuple[Interval, Interval]
    at_least: tuple[float, float]
    at_most: tuple[float, float]
    margin: float
    called: Called


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What moving one difference across does to the deciding question's measure.

    `held_by` has it. `in_first`: what its removal from, or addition to, the first changes;
    `in_second` the same the other way round. Of a miss the change is signed.
    """

    parts: tuple[str, ...]
    name: str
    held_by: Literal["first", "second"]
    in_first: Interval
    in_second: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A prompt on which the rivals' circuits are far apart on the deciding question."""

    index: int
    template: str
    text: str
    circuits: tuple[float, float]
    models: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a hypothesis says of nodes: `carries token(IO)`, `attends S2`."""

    text: str
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """What two hypotheses differ in: what each has, or says of a node of both, alone.

    `elements` (nodes at positions) and `edges` as text; `others` in words: the model, the task.
    """

    elements: tuple[tuple[str, ...], tuple[str, ...]]
    edges: tuple[tuple[str, ...], tuple[str, ...]]
    features: tuple[tuple[Said, ...], tuple[Said, ...]]
    others: tuple[str, ...] = ()

    @property
    def one_circuit(self) -> bool:
        """Whether both have the same nodes and edges."""
        return not any((*self.elements, *self.edges))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The first rival against another. `deciding` is the difference that the moves are about."""

    first: str
    second: str
    outcome: Outcome
    reading: tuple[str, ...]
    apart: Apart
    claims: tuple[ClaimDifference, ...] = ()
    differences: tuple[Difference, ...] = ()
    worst: tuple[Worst, ...] = ()
    deciding: Difference | None = None
    moves: tuple[Move, ...] = ()
    disagreements: tuple[Disagreement, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDifference:
    """A claim that both state: the contrast that `require` judges, first less second, paired."""

    claim: str
    requirement: str
    difference: Interval
    arm: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A rival's circuit alone under one ablation: how much of the behaviour it recovers.

    `recovered` and `ratio` are of means: (m(C) − m(∅)) / (m(M) − m(∅)) and m(C) / m(M).
    """

    ablation: Ablation
    metric: str
    circuit: Interval
    model: float
    ratio: Interval
    recovered: Interval
    agreement: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One hypothesis: its size, its verdicts as `verify` gives them, its scores."""

    name: str
    n_elements: int
    result: HypothesisResult
    scores: tuple[Score, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything one `compare` found: `pairs` are the first rival against each of the others.

    `level` is that of every interval shown, `family` of what pairs are called by; both in percent.
    `margin` is the percentage of the model's metric below which a difference does not matter.
    """

    rivals: tuple[Rival, ...]
    pairs: tuple[Pair, ...]
    ablations: tuple[Ablation, ...]
    reading: tuple[str, ...]
    level: float
    margin: float
    n: int
    seed: int
    seconds: float
    cost: Mapping[str, float]
    batch_size: int
    self_checks: tuple[SelfCheck, ...] = ()
    notes: tuple[str, ...] = ()
    schema: str = field(default=SCHEMA)


Part = Element | Edge
