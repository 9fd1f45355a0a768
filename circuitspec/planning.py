"""`plan`: a spec in, what verifying it would cost out. No weights are loaded."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from circuitspec.claims import kinds
from circuitspec.claims.context import EVALUATION, Context
from circuitspec.engine.compiled.lowering import compilable
from circuitspec.engine.compiled.room import budget
from circuitspec.engine.engine import DEFAULT_BATCH, Engine
from circuitspec.engine.plan.cost import plain_forward
from circuitspec.engine.plan.memory import weight_bytes
from circuitspec.engine.plan.passes import ALL, NONE, Passes
from circuitspec.engine.plan.reckon import SIZE, Reckoned, reckon
from circuitspec.engine.runs import EngineError, Run
from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.diagnostics import Diagnostic
from circuitspec.loading import Bound, load_spec, most_prompts, names_used
from circuitspec.model.weights import NormWeights, Weights
from circuitspec.task.build import build
from circuitspec.task.records import TaskData
from circuitspec.task.tokenizer import Encoded
from circuitspec.verification import prompt_sets

PASSES: tuple[tuple[str, Passes], ...] = (
    ("as written", NONE),
    ("fold constants", Passes(fold=True, share=False, drop=False, rows=False)),
    ("share", Passes(fold=True, share=True, drop=False, rows=False)),
    ("drop what is dead", Passes(fold=True, share=True, drop=True, rows=False)),
    ("equal rows once", ALL),
)
"""The compiler's passes, each with those before it."""

MOST_UNSHARED = 400
"""Runs beyond which the passes before `share` are reckoned on so many, spread evenly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassCost:
    """What is left to compute after a pass, in so many `goes`. `forwards` are plain passes over the
    spec's own prompts; `seconds` at this machine's speed; `peak` bytes, beside the weights."""

    name: str
    runs: int
    goes: int
    instances: int
    flops: float
    peak: int
    forwards: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One hypothesis's plan: a line a pass. `weights` are the model's, in bytes; `notes` say what
    is not in the figures."""

    hypothesis: str
    model: str
    weights: int
    prompts: int
    batch_size: int
    passes: tuple[PassCost, ...]
    notes: tuple[str, ...] = ()


def plan(
    path: str | Path, *, batch_size: int | None = None
) -> tuple[tuple[Plan, ...] | None, tuple[Diagnostic, ...]]:
    """What every hypothesis of a spec would cost; None with the diagnostics where it is wrong.

    A model's shape must be known here; where its tokenizer is not, words are taken for tokens.
    """
    loaded = load_spec(path, foreign=True)
    if not loaded.ok:
        return None, loaded.diagnostics
    speed = flops_a_second()
    found = []
    for bound in loaded.bound:
        if not bound.hypothesis.claims:
            continue
        planned, problem = _plan(bound, Path(path), batch_size or DEFAULT_BATCH, speed)
        if planned is None:
            return None, (*loaded.diagnostics, *problem)
        found.append(planned)
    return tuple(found), loaded.diagnostics


def flops_a_second() -> float:
    """This machine's speed in products of the size that the executor makes, best of three."""
    left, right = torch.ones(1024, 768), torch.ones(768, 3072)
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - started)
    return 2.0 * 1024 * 768 * 3072 / best


def _plan(
    bound: Bound, path: Path, batch_size: int, speed: float
) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    hypothesis, shape, notes = bound.hypothesis, bound.shape, list[str]()
    if shape is None:
        message = f"the shape of {hypothesis.model!r} is not known on this machine"
        hint = "`verify` fetches the model; a directory with its config.json does as well"
        return None, (Diagnostic(code="V001", message=message, hint=hint),)
    task, problem = bound.task, tuple[Diagnostic, ...]()
    if task is None:
        task, problem = build(
            hypothesis.task,
            _Words(),
            base_dir=path.parent,
            evaluation=most_prompts([hypothesis]),
            used=tuple(names_used(hypothesis)),
            foreign=True,
        )
        notes.append("the tokenizer is not on this machine: every word is taken for one token")
    if task is None:
        return None, problem
    runs = _runs(bound, shape, task, notes)
    lines = []
    sets = prompt_sets(task)
    lengths = Counter(len(prompt.tokens) for prompt in task.evaluation)
    unit = plain_forward(shape, lengths).flops
    weights = weight_bytes(shape, SIZE)
    room = budget(torch.device("cpu"), weights)
    for name, passes in PASSES:
        some, scale = _spread(runs, MOST_UNSHARED) if not passes.share else (runs, 1.0)
        cost = reckon(
            some, shape, sets, task.metrics, passes=passes, batch_size=batch_size, room=room
        )
        lines.append(_line(name, cost, len(runs), scale, unit, speed))
    return (
        Plan(
            hypothesis=hypothesis.name,
            model=hypothesis.model,
            weights=weights,
            prompts=len(task.evaluation),
            batch_size=batch_size,
            passes=tuple(lines),
            notes=tuple(notes),
        ),
        (),
    )


def _line(
    name: str, cost: Reckoned, runs: int, scale: float, unit: float, speed: float
) -> PassCost:
    flops = cost.cost.flops * scale + cost.shared.flops
    return PassCost(
        name=name,
        runs=runs,
        goes=round(cost.goes * scale),
        instances=round(cost.cost.instances * scale) + cost.shared.instances,
        flops=flops,
        peak=cost.peak,
        forwards=flops / unit,
        seconds=flops / speed,
    )


def _spread(runs: Sequence[Run], most: int) -> tuple[Sequence[Run], float]:
    """At most so many runs, spread evenly, and by what their cost is to be multiplied."""
    if len(runs) <= most:
        return runs, 1.0
    chosen = [runs[i * len(runs) // most] for i in range(most)]
    return chosen, len(runs) / most


def _runs(bound: Bound, shape: ModelShape, task: TaskData, notes: list[str]) -> list[Run]:
    """Every run that is known beforehand; what is not is noted."""
    engine = Engine(_weightless(shape), prompt_sets(task), task.metrics)
    context = Context(
        hypothesis=bound.hypothesis,
        circuit=circuit_of(bound.hypothesis, shape),
        task=task,
        engine=engine,
        seed=task.seed,
    )
    found: list[Run] = [Run(EVALUATION)]
    for claim in bound.hypothesis.claims:
        try:
            found += kinds.runs(claim, context)
        except EngineError as error:
            notes.append(f"{claim.name}: {error}")
        except NotImplementedError:
            # torch's word for the value of a tensor that is only a shape
            notes.append(f"{claim.name}: what it adds depends on weights, and is left out")
        if claim.completeness is not None and claim.completeness.greedy is not None:
            a, b, c = claim.completeness.greedy
            notes.append(
                f"{claim.name}: up to {2 * a * b * c} more runs, as its greedy search goes"
            )
        if claim.at_most is not None:
            notes.append(f"{claim.name}: reckoned on the most prompts that it may take")
    distinct = list(dict.fromkeys(found))
    compiled = [run for run in distinct if compilable(run, engine.sets[run.prompts], shape)]
    alone = len(distinct) - len(compiled)
    if alone:
        notes.append(f"{alone} more runs are computed one by one, at one to three forwards each")
    return compiled


def _weightless(shape: ModelShape) -> Weights:
    """Weights that have a shape and no values."""
    with torch.device("meta"):
        embed = torch.empty(shape.d_vocab, shape.d_model)
        unembed = torch.empty(shape.d_model, shape.d_vocab_out)
    return Weights(
        shape=shape, embed=embed, blocks=(), ln_final=NormWeights(kind="none"), unembed=unembed
    )


@dataclass(slots=True)
class _Words:
    """Every word, with the space before it, is one token."""

    bos_id: int | None = 0
    unk_id: int | None = None
    known: dict[str, int] = field(default_factory=lambda: {"": 0})

    @property
    def vocab_size(self) -> int:
        """More than any text here has words."""
        return 1 << 30

    def encode(self, text: str) -> Encoded:
        """Ids and offsets of a text's words."""
        found = list(_words(text))
        ids = tuple(self.known.setdefault(word, len(self.known)) for word, _ in found)
        return Encoded(ids, tuple(at for _, at in found))

    def encode_batch(self, texts: Sequence[str]) -> list[Encoded]:
        """The same for several texts."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Sequence[int]) -> str:
        """The words again."""
        names = {number: word for word, number in self.known.items()}
        return "".join(names[i] for i in ids)


def _words(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    for match in re.finditer(r" ?\w+| ?[^\w\s]+|\s", text):
        yield match.group(), match.span()
