"""The specs that the tests of this folder change in one place at a time."""

from __future__ import annotations

from pathlib import Path

from circuitspec.hypothesis.checks import check_all
from circuitspec.hypothesis.records import Claim, Hypothesis
from circuitspec.hypothesis.resolve import resolve
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.language.diagnostics import Diagnostic, Severity
from circuitspec.language.parser import parse

IOI = Path(__file__).parent / "ioi.circuit"
"""The circuit of Wang et al. 2022 with every kind of claim, its thresholds illustrations."""

SHIPPED = Path(__file__).parents[2] / "specs"

TASK = """\
  task t {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave it to"
    template baba "When {S1} and {IO} went to the {place}, {S2} gave it to"
    slot IO, S1 from names.english distinct one_token
    slot S2 from S1
    slot place from "store", "park" one_token
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 100, reference 100, pool 100, seed 0
    bos no
  }
"""

BODY = """\
  role dup = a0.h1, a0.h2 @ S2 attends S1 carries token(S1)
  role inhibit = a1.h0, a1.h3 @ END attends S2 carries token(S1)
  role mover = a2.h1, a3.h0 @ END attends IO carries token(IO)
  open a1.h5 @ S2 "unclear"
  keep m0 @ *
  edge input -> dup.qkv
  edge dup -> inhibit.kv
  edge input -> inhibit.q, mover.kv
  edge inhibit -> mover.q
  edge mover -> logits
  group late = inhibit, mover
  protocol paper { ablate by nodes with mean from abc over template }
  expect faithful under paper {
    ablate complement
    require logit_diff within 20% of model.logit_diff ci 95
  }
  expect used {
    patch all inhibit -> mover.q from abc through mlps
    require logit_diff <= 50% * model.logit_diff ci 95
  }
  expect complete under paper {
    knockouts groups, roles
    require incompleteness <= 1 ci 95
  }
"""

GOOD = f"""\
circuitspec 1

hypothesis h {{
  model "toy"
{TASK}{BODY}}}
"""

GPT2 = ModelShape(
    architecture="gpt2",
    n_layers=12,
    n_heads=12,
    n_kv_heads=12,
    d_model=768,
    d_head=64,
    d_mlp=3072,
    d_vocab=50257,
    d_vocab_out=50257,
    n_ctx=1024,
)


def spec(*statements: str, task: str = TASK, model: str = "toy") -> str:
    """A spec of one hypothesis with the usual task and the given statements."""
    body = "".join(f"  {s}\n" for s in statements)
    return f'circuitspec 1\n\nhypothesis h {{\n  model "{model}"\n{task}{body}}}\n'


def load(text: str, base_dir: Path | str = ".") -> tuple[Hypothesis, ...]:
    """The hypotheses of a text that must resolve without error; what checks say is not asked."""
    tree, mistakes = parse(text, "spec.circuit")
    assert mistakes == ()
    hypotheses, found = resolve(tree, base_dir=base_dir)
    assert [d for d in found if d.severity is Severity.ERROR] == []
    return hypotheses


def one(text: str) -> Hypothesis:
    """The only hypothesis of a text that must resolve without error."""
    (hypothesis,) = load(text)
    return hypothesis


def findings(text: str, shape: ModelShape | None = None) -> tuple[Diagnostic, ...]:
    """All that resolving and checking a text finds, with a shape for every hypothesis."""
    tree, mistakes = parse(text, "spec.circuit")
    assert mistakes == ()
    hypotheses, found = resolve(tree)
    shapes = {} if shape is None else {h.name: shape for h in hypotheses}
    return (*found, *check_all(hypotheses, shapes=shapes))


def claim(hypothesis: Hypothesis, name: str) -> Claim:
    """A claim by name."""
    return next(c for c in hypothesis.claims if c.name == name)


def marked(diagnostic: Diagnostic, text: str) -> str:
    """What a diagnostic's span covers."""
    return text[diagnostic.span.start : diagnostic.span.end]
