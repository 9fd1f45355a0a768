"""What a paper says about a circuit, a line each: all of it can be written, and is understood."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.language.diagnostics import Severity
from circuitspec.language.parser import parse
from circuitspec.language.printer import to_text
from circuitspec.loading import load_spec

from .specs import BODY, TASK

CIRCUIT = "".join(line for line in BODY.partition("  protocol")[0].splitlines(True))

TASKS = {
    "templates of different length": (
        'template longer "Then, when {IO} and {S1} went to the {place}, {S2} gave it to"',
    ),
    "words in the spec, from a file, built in": (
        'slot a from "x", "y"',
        'slot b from file "words.txt"',
        "slot c from cities",
        'template more "When {IO} and {S1} and {S2} at the {place} {a} {b} {c}"',
    ),
    "words of as many tokens": (
        "slot x, y from names.last same_tokens",
        'template more "{IO} and {S1} and {S2} at the {place} {x} {y}"',
    ),
    "computed slots: a map, a count, a lookup table": (
        'table number_of { "1": "one", "2": "two" }',
        "slot HOW_MANY = count(IO, S1)",
        "metric number = logit(number_of(HOW_MANY)) - logit(initial(IO))",
    ),
    "positions that depend on the data": (
        "position BIG  = argmax(IO, S1)",
        "position NEXT = find(token = S1) + 1",
    ),
    "metrics": (
        "metric p       = prob(IO) - prob(S1)",
        "metric p_sets  = prob(others(IO)) - prob(IO)",
        "metric place_p = log_prob(IO) at S2",
        "metric r       = rank(IO)",
        "metric loss    = cross_entropy(IO)",
        "metric apart   = kl()",
    ),
    "baselines": (
        "baseline redrawn  = resample(IO, S1, S2)",
        "baseline swapped  = swap(IO, S1)",
        "baseline other    = template(abba = baba, baba = abba)",
        "baseline noised   = noise(3.0, S2)",
        "baseline shuffled = shuffle()",
        'baseline stated   = set(place = "park")',
    ),
}

CIRCUITS = {
    "tokens of a slot of several, offsets, BOS-less ends, everywhere": (
        "role a = a0.h5 @ S1+1, IO[0], IO[-1] attends S1[*]",
        "role b = m1 @ *",
    ),
    "lists that pair up, and lists that multiply": (
        "role pairs = a0.h5 @ (S1+1, S2) attends (S1, IO)",
        "role each_ = a0.h6 @ S2, END attends S1, IO",
    ),
    "an edge at some of a role's positions, inside a role, into an MLP": (
        "role mlp = m1, m2 @ S2, END",
        "edge dup -> mlp.in at S2",
        "edge within mlp",
        "edge mlp -> logits",
    ),
    "features: tokens, positions, equality, order, template": (
        "role x = a0.h5 @ END attends * "
        "carries token(IO), position(S1), equal(IO, S1), order(IO, S1), template",
    ),
    "features: arithmetic, comparison and sign of counts, up to a position": (
        'role x = a0.h5 @ END attends * carries sign(count("a", to = here) - count("b")), '
        'count("a") > 2, (count("a") + count("b")) mod 3',
    ),
    "ignorance": ('open a1.h4 @ END "unclear"', "sweep open"),
    "several models, several checkpoints": (
        'sweep revision "step1000", "step2000"',
        'sweep model "gpt2", "gpt2-medium"',
    ),
    "nodes kept": ("keep mlps @ *", "keep a0.h8 @ END"),
}

ABLATE = "ablate by nodes with mean from abc over template"
CLAIMS = {
    "faithfulness": (
        "ablate complement by nodes with mean from abc over template",
        "require logit_diff within 20% of model.logit_diff ci 95",
        "require agreement >= 0.8 ci 95",
        "require recovered >= 0.8 ci 95",
    ),
    "completeness": (
        ABLATE,
        "knockouts groups, roles, random 10, greedy 2x3x4, { mover }",
        "require incompleteness <= 20% * model.logit_diff ci 95",
    ),
    "minimality": (
        ABLATE,
        "each head given { mover before it; a0.h1: mover; role }",
        "require effect >= 1% * model.logit_diff ci 95",
    ),
    "causal scrubbing": ("scrub over task draws 4", "require scrub_recovered >= 0.6 ci 95"),
    "activation patching": ("patch dup from abc", "require logit_diff < 1 ci 95"),
    "paths, of several hops, with MLPs frozen or not": (
        "patch all dup -> inhibit.kv -> mover.q -> logits from abc direct",
        "require logit_diff < model.logit_diff ci 95",
    ),
    "one claim a pair": (
        "patch each inhibit -> mover.q from abc through mlps",
        "require each logit_diff < model.logit_diff ci 95",
    ),
    "attention, attribution, logit lens, copying": (
        "require attention(mover) >= 0.5 ci 95",
        "require each dla(mover) > 0 ci 95",
        "require logit_lens(2) < model.logit_diff ci 95",
        "require copying(mover) >= 0.9 ci 95",
        "require negative_copying(inhibit) <= 0.2 ci 95",
    ),
    "scores of heads on repeated tokens": (
        "require previous_token(dup) >= 0.5 ci 95",
        "require duplicate_token(dup) >= 0.5 ci 95",
        "require induction(inhibit) < 0.5 ci 95",
    ),
    "under a further knock-out: backup and compensation": (
        ABLATE,
        "given ablated mover",
        "require effect(inhibit) >= 2 * effect(dup) ci 95",
    ),
    "a sign": ("patch inhibit from abc", "require logit_diff < 0 ci 95"),
    "sampling until it is settled": (
        "patch inhibit from abc",
        "until decided, at most 2000",
        "require logit_diff < model.logit_diff ci 95",
    ),
    **{
        f"ablation: {value}": (f"ablate mover by {by} with {value}", "require logit_diff < 9 ci 95")
        for by, value in (
            ("nodes", "zero"),
            ("nodes", "mean from abc over position"),
            ("edges", "mean from abc over batch"),
            ("edges", "resample from abc draws 4"),
            ("nodes", "counterfactual from abc"),
        )
    },
}


def understood(task: str, *statements: str, folder: Path = Path()) -> None:
    """No error, and the text is what its own layout says."""
    body = CIRCUIT + "".join(f"  {s}\n" for s in statements)
    text = f'circuitspec 1\n\nhypothesis h {{\n  model "toy"\n{task}{body}}}\n'
    found = load_spec(folder / "spec.circuit", text=text, prompts="few").diagnostics
    assert [d.message for d in found if d.severity is Severity.ERROR] == []
    tree, _ = parse(text)
    assert parse(to_text(tree))[0] == tree


@pytest.mark.parametrize("said", TASKS)
def test_of_a_task(said: str, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("z\nw\n")
    lines = "".join(f"    {line}\n" for line in TASKS[said])
    understood(TASK.replace("    sample", f"{lines}    sample"), folder=tmp_path)


@pytest.mark.parametrize("said", CIRCUITS)
def test_of_a_circuit(said: str) -> None:
    understood(TASK, *CIRCUITS[said])


@pytest.mark.parametrize("said", CLAIMS)
def test_of_a_claim(said: str) -> None:
    understood(TASK, f"expect claim {{ {' '.join(CLAIMS[said])} }}")
    understood(TASK, f"expect refuted claim {{ {' '.join(CLAIMS[said])} }}")


def test_of_causal_tracing() -> None:
    task = TASK.replace("    sample", "    baseline noised = noise(3.0, S2)\n    sample")
    claim = "run from noised restore m0..m2 @ S2 require recovered > 50% ci 95"
    understood(task, f"expect traced {{ {claim} }}")


@pytest.mark.parametrize(
    "task",
    [
        # Integers, the whole population, positions by data.
        "tokens integer 0..63 template pair \"{A} {B}\" slot A, B from 0..63 "
        "position BIG = argmax(A, B) metric m = logit(max(A, B)) sample all",
        # Loss on repeated random tokens, read at a range of positions.
        "tokens integer 0..99 words all_of = 0..98 template t \"99 {X} {Y}\" slot X = "
        "draw(all_of, 9) slot Y from X metric m = cross_entropy(next) at (Y[0]..Y[-2]) "
        "sample evaluation 9, seed 0",
        "tokens integer 0..113 template sum \"{A} {B} 113\" slot A, B from 0..112 "
        "slot C = (A + B) mod 113 metric m = logit(C) sample all",
    ],
)  # fmt: skip
def test_of_toys(task: str) -> None:
    text = f'circuitspec 1\nhypothesis h {{ model "toy" task t {{ {task} }} }}'
    found = load_spec("toy.circuit", text=text, prompts="few").diagnostics
    assert [d.message for d in found if d.severity is Severity.ERROR] == []


def test_of_prompts_in_a_file(tmp_path: Path) -> None:
    rows = (
        '{"text": "( a ) b", "position:MARK": [2], "ANSWER": "x", "depth": ["1", "1", "0", "0"]}\n'
        '{"text": "a ( ) b", "position:MARK": [1], "ANSWER": "y", "depth": ["0", "1", "0", "0"]}\n'
    )
    (tmp_path / "rows.jsonl").write_text(rows)
    text = """circuitspec 1
hypothesis h {
  model "toy"
  task t {
    prompts from "rows.jsonl"
    metric m = logit(ANSWER)
    sample all
    bos no
  }
  role opener = a0.h0 @ MARK attends * carries column(depth)
}
"""
    found = load_spec(tmp_path / "spec.circuit", text=text, prompts="few").diagnostics
    assert [d.message for d in found if d.severity is Severity.ERROR] == []


def test_of_rivals() -> None:
    understood(
        TASK,
        "}\nhypothesis rival refines h {\n  role mover = a2.h1 @ END attends IO\n  drop inhibit",
    )
