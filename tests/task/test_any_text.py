"""Whatever a task says, building it gives prompts or says what is wrong: it never raises."""

from __future__ import annotations

import random
import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitspec.language.diagnostics import has_errors
from circuitspec.language.parser import parse
from circuitspec.language.syntax import Role, Task
from circuitspec.task.build import build
from circuitspec.task.features import FeatureError, feature_value

PIECE = re.compile(r'"(?:[^"\\\n]|\\.)*"|[A-Za-z_][A-Za-z0-9_.]*|\d+|\s+|\S')

TEXTS = [
    """circuitspec 1
hypothesis h {
  task t {
    template abba "When {A} and {B} went to the {PLACE}, {B2} gave a {X} to"
    template baba "the {A} and the {B} or {B2}"
    slot A, B from names.english distinct same_tokens
    slot B2 from B
    slot PLACE from "store", "park" one_token
    words few = "the", "book"
    slot X = draw(few, 2)
    slot N = count(A, PLACE, few)
    table of { "1": "one", "2": "two" }
    position P = find(token = A, nth = -1) + 1
    position Q = argmax(length(A), length(B))
    metric m = (logit(A) - 2 * prob(others(A, B))) at P
    metric n = log_prob(of(1)) + rank(B[0])
    baseline r = resample(A, B2, changing = N)
    baseline s = swap(A, B)
    baseline u = noise(3, A, P)
    baseline v = shuffle()
    baseline w = template(abba = baba, baba = abba)
    sample evaluation 3, reference 2 each template, pool 3, seed 0
    bos yes
  }
  role x = m0 @ P carries token(A), count("the", to = here), order(A, B), equal(A, P), N
}
""",
    """circuitspec 1
hypothesis h {
  task t {
    tokens integer 0..20
    template pair "{A} {B} 19 {C}"
    slot A, B from 0..9 distinct
    slot C = (A + B) mod 10
    position BIG = choose(A > B, A, B)
    position ALL = span(A, C)
    metric m = logit(max(A, B)) - logit(min(A, B))
    metric l = cross_entropy(next) at (A..B)
    baseline r = resample(A)
    baseline f = set(B = 3)
    sample all, seed 0
  }
  role x = m0 @ C carries sign(A - B), (A + B) mod 10, position(BIG), template
}
""",
]


def mutated(text: str, rng: random.Random, changes: int) -> str:
    pieces = PIECE.findall(text)
    words = [p for p in pieces if not p.isspace()]
    for _ in range(changes):
        i = rng.randrange(len(pieces))
        kind = rng.random()
        if kind < 0.6:
            pieces[i] = rng.choice(words)
        elif kind < 0.8:
            pieces[i] = ""
        else:
            pieces.insert(i, f" {rng.choice(words)} ")
    return "".join(pieces)


def holds(text, tokenizer, folder):
    spec, _ = parse(text, "any.circuit")
    for hypothesis in spec.hypotheses:
        roles = [s for s in hypothesis.statements if isinstance(s, Role)]
        for task in (s for s in hypothesis.statements if isinstance(s, Task)):
            data, diagnostics = build(task, tokenizer, base_dir=folder)
            assert all(d.hint and d.message for d in diagnostics)
            assert (data is None) == has_errors(diagnostics)
            for feature in (f for role in roles for f in role.carries) if data else ():
                with suppress(FeatureError):
                    hash(feature_value(feature, data.evaluation.prompts[0], data.context, 0))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(TEXTS), st.integers(0, 2**32), st.integers(0, 3))
def test_any_small_change(word_level, tmp_path_factory, text, seed, changes):
    holds(mutated(text, random.Random(seed), changes), word_level, tmp_path_factory.getbasetemp())


@pytest.mark.slow
def test_many_changes(word_level, tmp_path):
    rng = random.Random(0)
    for _ in range(1000):
        holds(mutated(rng.choice(TEXTS), rng, rng.randint(1, 4)), word_level, tmp_path)
