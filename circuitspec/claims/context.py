"""What every claim works with: the hypothesis, its circuit, its prompts, and the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from circuitspec.claims.measured import Series
from circuitspec.engine.check import Computed
from circuitspec.engine.engine import Engine
from circuitspec.engine.noise import embedding_sd
from circuitspec.engine.repeated import OffsetScores
from circuitspec.engine.runs import (
    EngineError,
    Floats,
    LiveEdges,
    Means,
    Noised,
    Readings,
    ReplaceAllBut,
    Rows,
    Run,
    Source,
    Zero,
)
from circuitspec.engine.runs import Replace as ReplaceOutputs
from circuitspec.engine.scrubbing.scrub import Scrubbed
from circuitspec.hypothesis.circuit import edges_of, edges_without
from circuitspec.hypothesis.records import (
    Ablation,
    Circuit,
    Claim,
    CutSet,
    Edge,
    Hypothesis,
)
from circuitspec.hypothesis.task_text import task_info
from circuitspec.task.records import Metric, TaskData

EVALUATION = "evaluation"

CONTROLS = 5
"""Random circuits of each kind that a faithfulness claim is set against, where none is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """One hypothesis on one model's engine, with its prompts drawn.

    `seed` is the run's: everything drawn here (rows of resampled values, random sets) is a function
    of it and of names in the spec, and is given back in the result's `draws`. `controls`: how many
    random circuits of each kind a faithfulness claim is set against.
    """

    hypothesis: Hypothesis
    circuit: Circuit
    task: TaskData
    engine: Engine
    seed: int
    controls: int = CONTROLS
    progress: Callable[[int, int], None] | None = None
    _rows: dict[tuple[str, int], tuple[int, ...]] = field(default_factory=dict)
    _asked: dict[Run, None] = field(default_factory=dict)
    _apart: list[Scrubbed | OffsetScores] = field(default_factory=list)

    @property
    def computed(self) -> Computed:
        """All that was computed for claims, for the self-checks."""
        return Computed(engine=self.engine, runs=tuple(self._asked), apart=tuple(self._apart))

    def put_down(self, apart: Scrubbed | OffsetScores) -> None:
        """Put down what a claim computed that is no run of the engine's, to be checked too."""
        self._apart.append(apart)

    def evaluate(self, runs: Sequence[Run]) -> list[Readings]:
        """The engine's readings of `runs`, in order; equal runs are computed once."""
        done = self.engine.evaluate(runs, self.progress)
        self._asked.update(dict.fromkeys(runs))
        return done

    # ── ablation ─────────────────────────────────────────────────────────────────────────────

    def sources(self, ablation: Ablation) -> tuple[Source, ...]:
        """What a cut output becomes: one source a repetition (one, unless resampled)."""
        if ablation.kind in ("mean", "resample") and ablation.baseline in self.task.noise:
            raise EngineError(
                f"{ablation.baseline} has no prompts of its own to take a {ablation.kind} from: "
                f"write `counterfactual from {ablation.baseline}`"
            )
        match ablation.kind:
            case "zero":
                return (Zero(),)
            case "mean":
                assert ablation.over is not None
                return (Means(f"reference:{ablation.baseline}", ablation.over),)
            case "counterfactual":
                return (self.counterfactual(str(ablation.baseline)),)
            case "resample":
                return tuple(
                    Rows(f"reference:{ablation.baseline}", self.drawn(str(ablation.baseline), r))
                    for r in range(ablation.draws)
                )
            case "noise":
                raise EngineError("noise is a baseline of the input, not a value for cut outputs")

    def counterfactual(self, baseline: str) -> Rows | Noised:
        """Each prompt's own paired counterfactual under `baseline`; with noise, the prompt itself.

        The noise's seed is the run's, so that baselines of several scales share their draws.
        """
        if baseline in self.task.noise:
            stated = self.task.noise[baseline]
            sd = stated.scale * embedding_sd(self.engine.weights, self.task.evaluation)
            return Noised(positions=stated.positions, sd=sd, seed=self.seed)
        return Rows(f"counterfactual:{baseline}", tuple(range(len(self.task.evaluation))))

    def drawn(self, baseline: str, repetition: int) -> tuple[int, ...]:
        """For each evaluation prompt, a row of the baseline's reference set of the same template.

        One draw a prompt and repetition, shared by all ablated nodes and by all arms of a contrast.
        """
        key = (baseline, repetition)
        if key not in self._rows:
            reference = self.task.references[baseline]
            by_kind: dict[tuple[str, int], list[int]] = {}
            for row, prompt in enumerate(reference):
                by_kind.setdefault((prompt.template, len(prompt.tokens)), []).append(row)
            random = Random(f"{self.seed}/resample/{baseline}/{repetition}")
            rows = []
            for prompt in self.task.evaluation:
                choices = by_kind.get((prompt.template, len(prompt.tokens)))
                if not choices:
                    raise EngineError(
                        f"reference:{baseline} has no prompt of template {prompt.template} with "
                        f"{len(prompt.tokens)} tokens to resample from"
                    )
                rows.append(random.choice(choices))
            self._rows[key] = tuple(rows)
        return self._rows[key]

    def draws(self, ablation: Ablation | None) -> dict[str, list[list[int]]]:
        """What `resample` drew, for the result: rows of the reference set, a list a repetition."""
        if ablation is None or ablation.kind != "resample":
            return {}
        name = f"reference:{ablation.baseline}"
        return {name: [list(self.drawn(str(ablation.baseline), r)) for r in range(ablation.draws)]}

    # ── runs ─────────────────────────────────────────────────────────────────────────────────

    def model_run(self, given: Claim | None = None) -> Run:
        """The unmodified model, or the model under a claim's `given` knock-outs."""
        writes = () if given is None else self.given(given)
        return Run(EVALUATION, given=writes, top=True)

    def given(self, claim: Claim) -> tuple[ReplaceOutputs, ...]:
        """A claim's `given ablated` knock-outs as writes at the roles' own positions."""
        if not claim.given:
            return ()
        if claim.ablation is None:
            raise EngineError("`given ablated` needs an ablation value from a protocol")
        sources = self.sources(claim.ablation)
        if len(sources) > 1:
            raise EngineError(
                "what is `given ablated` is one condition, and takes one draw a prompt: write "
                "`draws 1`, or ablate it with means"
            )
        elements = frozenset().union(*(cut.elements for cut in claim.given))
        return (ReplaceOutputs(elements, sources[0]),)

    def circuit_runs(
        self,
        ablation: Ablation,
        cut: CutSet | None = None,
        *,
        given: tuple[ReplaceOutputs, ...] = (),
        empty: bool = False,
        detail: bool = False,
    ) -> tuple[Run, ...]:
        """C, C\\K for K = `cut`, or ∅, one run a repetition; `detail` reads top tokens and KL.

        By nodes K's elements are not kept: ablated at every position. By edges exactly K's edges
        are cut. ∅ retains `input` and keeps by nodes, and has no edge at all by edges.
        """
        if ablation.by == "nodes":
            members = frozenset() if empty else self.circuit.members
            if cut is not None:
                members -= cut.elements
            live = members | self.circuit.kept
            return tuple(
                Run(
                    EVALUATION,
                    given=given,
                    writes=(ReplaceAllBut(live, source),),
                    top=detail,
                    kl=detail,
                )
                for source in self.sources(ablation)
            )
        edges: frozenset[Edge] = frozenset() if empty else self.circuit.edges
        if cut is not None and not empty:
            edges = edges_without(self.circuit, self.edges(cut))
        return tuple(
            Run(EVALUATION, given=given, edges=LiveEdges(edges, source), top=detail, kl=detail)
            for source in self.sources(ablation)
        )

    def knockout_runs(
        self,
        ablation: Ablation,
        cut: CutSet,
        *,
        given: tuple[ReplaceOutputs, ...] = (),
        detail: bool = False,
    ) -> tuple[Run, ...]:
        """M\\K: by nodes K ablated where its roles live; by edges exactly K's edges cut."""
        runs = []
        for source in self.sources(ablation):
            if ablation.by == "nodes":
                run = Run(
                    EVALUATION,
                    given=given,
                    writes=(ReplaceOutputs(cut.elements, source),),
                    top=detail,
                    kl=detail,
                )
            else:
                live = LiveEdges(self.edges(cut), source, all_but=True)
                run = Run(EVALUATION, given=given, edges=live, top=detail, kl=detail)
            runs.append(run)
        return tuple(runs)

    def complement_runs(
        self, ablation: Ablation, *, given: tuple[ReplaceOutputs, ...] = ()
    ) -> tuple[Run, ...]:
        """M without the circuit: what is not kept ablated where it lives, or exactly its edges."""
        if ablation.by == "nodes":
            whole = CutSet(name="circuit", elements=self.circuit.members - self.circuit.kept)
            return self.knockout_runs(ablation, whole, given=given)
        edges = self.circuit.edges
        return tuple(
            Run(EVALUATION, given=given, edges=LiveEdges(edges, source, all_but=True))
            for source in self.sources(ablation)
        )

    # ── readings ─────────────────────────────────────────────────────────────────────────────

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The task's metrics."""
        return self.task.metrics

    def edges(self, cut: CutSet) -> frozenset[Edge]:
        """What a set cuts by edges: the circuit's edges that leave it, or the edges it is made of.

        Edges to kept nodes are among them: a role is not out while MLPs still read it.
        """
        return edges_of(cut, self.circuit, task_info(self.hypothesis.task))


def averaged(readings: Sequence[Readings], metric: str) -> Floats:
    """A metric per prompt, averaged over repetitions before any interval: float64 [n]."""
    values: Floats = np.mean([r.metrics[metric] for r in readings], axis=0)
    return values


def agreement(runs: Sequence[Readings], model: Readings, metric: str) -> Series:
    """Whether the run's top token is the model's, per prompt, at the metric's position."""
    same = [(r.top[metric] == model.top[metric]).astype(np.float64) for r in runs]
    return Series(values=np.mean(same, axis=0), share=len(same) == 1)


def accuracy(context: Context, model: Readings, metric: Metric) -> Series:
    """Whether the top token is the right answer: one that the metric's first term names."""
    first = metric.terms[0].answer if metric.terms else None
    if any(first not in prompt.answers for prompt in context.task.evaluation):
        # KL has no answer, and `next` is none that a prompt lists.
        right = np.full(len(context.task.evaluation), np.nan)
    else:
        answer = metric.terms[0].answer
        tops = model.top[metric.name]
        right = np.array(
            [
                float(int(top) in prompt.answers[answer])
                for top, prompt in zip(tops, context.task.evaluation, strict=True)
            ]
        )
    return Series(values=right, share=True)
