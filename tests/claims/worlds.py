"""A spec on a tiny random model: as the package measures it, and as the slow reference has it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from circuitspec.claims import kinds
from circuitspec.claims.context import Context
from circuitspec.engine.engine import Engine
from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.records import Ablation, Claim, Edge, Element
from circuitspec.judge.competence import competence
from circuitspec.judge.facts import Facts
from circuitspec.judge.judging import Judged, judge
from circuitspec.language.diagnostics import has_errors
from circuitspec.loading import load_spec
from circuitspec.model.load import LoadedModel, load
from circuitspec.task.build import build
from circuitspec.task.records import Prompt, TaskData
from tests.reference import slow, tiny
from tests.reference.architectures import SlowModel, from_directory, from_hf

TASK = """
  task numbers {
    tokens integer 0..36
    words any = 0..36
    template near "0 {A} {B} 1 {A2} 2"
    template far  "{B} 3 {A} 4 5 {A2} 2"
    slot A, B from any distinct
    slot A2 from A
    metric logit_diff = logit(A) - logit(B)
    baseline abc = resample(A, B, A2)
    sample evaluation 10, reference 6 each template, seed 3
    bos no
  }
  role early = a0.h1, a0.h3 @ A2
  role middle = a1.h0, a1.h2 @ A2
  role late = a2.h1, a2.h2 @ END attends A2
  group lower = early, middle
  edge input -> early.qkv, middle.q, late.q
  edge early -> middle.q, late.kv
  edge middle -> late.kv
  edge late -> logits
"""


@dataclass(frozen=True)
class World:
    """A hypothesis bound to its model, and the reference's own reading of that model."""

    context: Context
    facts: Facts
    slow: SlowModel
    claims: Mapping[str, Claim]

    def judged(self, name: str) -> Judged:
        claim = self.claims[name]
        return judge(claim, kinds.measure(claim, self.context), self.facts)


@cache
def model(name: str) -> tuple[LoadedModel, SlowModel]:
    """A tiny random model by its name in `tiny.MODELS` or `tiny.TOYS`, in float64."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / name
        if name in tiny.TOYS:
            tiny.save_toy(directory, *tiny.toy_state(name))
            reference = from_directory(directory, torch.float64)
        else:
            tiny.save(tiny.build(name), directory)
            reference = from_hf(tiny.build(name, dtype=torch.float64))
        loaded, found = load(str(directory))
    assert loaded is not None, found
    return loaded, reference


def world(claims: str, *, name: str = "gpt2", body: str = TASK, dtype: str = "float64") -> World:
    """A world with `claims` (`expect`s and protocols) said of the circuit in `body`."""
    loaded, reference = model(name)
    return bound(f'{{ model "{name}" {body} {claims} }}', loaded, reference, dtype)


def bound(text: str, loaded: LoadedModel, reference: SlowModel, dtype: str = "float64") -> World:
    """The world of a hypothesis written out, on a model."""
    spec = load_spec("-", text=f"circuitspec 1\nhypothesis h {text}", prompts=False)
    (one,) = spec.bound
    # a story that `check` refuses (H) can be measured all the same; one that cannot be read, not
    wrong = [d for d in spec.diagnostics if d.code[0] == "C" and has_errors([d])]
    assert not wrong, wrong
    circuit = circuit_of(one.hypothesis, loaded.shape)
    if isinstance(circuit, tuple):
        circuit = circuit[0]
    task, found = build(one.hypothesis.task, None, base_dir=Path())
    assert task is not None, found
    engine = Engine(
        loaded.weights.to(dtype=getattr(torch, dtype)), sets_of(task), task.metrics, batch_size=5
    )
    context = Context(
        hypothesis=one.hypothesis, circuit=circuit, task=task, engine=engine, seed=task.seed
    )
    _, facts = competence(context)
    return World(context, facts, reference, {c.name: c for c in one.hypothesis.claims})


def sets_of(task: TaskData) -> dict[str, object]:
    return {
        "evaluation": task.evaluation,
        **{f"reference:{n}": s for n, s in task.references.items()},
        **{f"counterfactual:{n}": s for n, s in task.counterfactuals.items()},
    }


# ------------------------------------------------------------------ the same by the reference


@dataclass(frozen=True)
class Reference:
    """Figures of a world by the slow reference: one prompt at a time, from its definition."""

    world: World
    ablation: Ablation

    def metric(self, logits: Tensor, prompt: Prompt) -> float:
        (metric,) = self.world.context.metrics.values()
        at = logits[0, prompt.at(metric.at)[0]]
        return float(
            sum(t.coefficient * at[list(prompt.answers[t.answer])].sum() for t in metric.terms)
        )

    def values(self, prompt: Prompt) -> slow.Values:
        """The ablation value of every sender."""
        task, tokens = self.world.context.task, torch.tensor([prompt.tokens])
        match self.ablation.kind:
            case "zero":
                return slow.zero_values(self.world.slow, tokens)
            case "counterfactual":
                (other,) = [
                    p
                    for p in task.counterfactuals[str(self.ablation.baseline)]
                    if p.pair == prompt.index
                ]
                return slow.run_values(self.world.slow, torch.tensor([other.tokens]))
            case "mean":
                same = [
                    p.tokens
                    for p in task.references[str(self.ablation.baseline)]
                    if p.template == prompt.template
                ]
                means = slow.mean_values(
                    self.world.slow, {prompt.template: torch.tensor(same)}, "template"
                )
                return slow.spread(means, [prompt.template])
            case other_kind:
                raise NotImplementedError(other_kind)

    def masks(self, prompt: Prompt, elements: Iterable[Element]) -> dict[slow.Node, Tensor]:
        found: dict[slow.Node, Tensor] = {}
        for element in elements:
            node = node_of(element.node)
            mask = found.setdefault(node, torch.zeros(1, len(prompt.tokens), dtype=torch.bool))
            mask[0, list(prompt.at(element.position))] = True
        return found

    def edges(self, prompt: Prompt, edges: Iterable[Edge]) -> list[tuple]:
        found = []
        for edge in edges:
            mask = torch.zeros(1, len(prompt.tokens), dtype=torch.bool)
            mask[0, list(prompt.at(edge.position))] = True
            ends = node_of(edge.sender), node_of(edge.receiver)
            found.append((*ends, edge.channel or "in", mask))
        return found

    def circuit(self, without: frozenset, prompts: Sequence[Prompt] | None = None) -> list[float]:
        """m_i(C\\K), K by elements or by edges."""
        circuit, found = self.world.context.circuit, []
        for prompt in self.world.context.task.evaluation if prompts is None else prompts:
            tokens, values = torch.tensor([prompt.tokens]), self.values(prompt)
            if self.ablation.by == "nodes":
                live = self.masks(prompt, (circuit.members - without) | circuit.kept)
                logits = slow.ablate_by_nodes(self.world.slow, tokens, live, values)
            else:
                live_edges = self.edges(prompt, circuit.edges - without - circuit.kept_edges)
                # a declared edge that is cut is cut even where keeps add it
                cut = self.edges(prompt, without - circuit.kept_edges)
                for *ends, mask in self.edges(prompt, circuit.kept_edges - without):
                    for *others, gone in cut:
                        if others == ends:
                            mask &= ~gone
                    live_edges.append((*ends, mask))
                logits = slow.ablate_by_edges(self.world.slow, tokens, live_edges, values)
            found.append(self.metric(logits, prompt))
        return found

    def model(self, without: frozenset, prompts: Sequence[Prompt] | None = None) -> list[float]:
        """m_i(M\\K)."""
        found = []
        for prompt in self.world.context.task.evaluation if prompts is None else prompts:
            tokens, values = torch.tensor([prompt.tokens]), self.values(prompt)
            if self.ablation.by == "nodes":
                cut = self.masks(prompt, without)
                logits = slow.cut_nodes(self.world.slow, tokens, cut, values)
            else:
                named = self.edges(prompt, without)
                logits = slow.cut_edges(self.world.slow, tokens, named, values)
            found.append(self.metric(logits, prompt))
        return found


def node_of(node: object) -> slow.Node:
    """A node as the reference names it."""
    text = str(node)
    if text == "input":
        return slow.INPUT
    if text == "logits":
        return slow.LOGITS
    if text.startswith("m"):
        return slow.mlp(int(text[1:]))
    layer, index = text[1:].split(".h")
    return slow.head(int(layer), int(index))
