"""The prompts and the circuit that the engine is measured on: IOI, words as tokens, no tokenizer.

Templates are of the kind Wang et al. (2022) use, each in the order ABBA and BABA; every word and
every mark is one token, as it is in GPT-2's vocabulary for words like these.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace
from functools import cache

from circuitspec.hypothesis.records import Edge, Element
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    END,
    INPUT,
    LOGITS,
    Channel,
    Head,
    HeadIndex,
    Layer,
    Mlp,
    Position,
)
from circuitspec.task.records import Metric, MetricTerm, Prompt, PromptSet

TEXTS = (
    "Then , {A} and {B} went to the {P} . {S} gave a {T} to",
    "Then , {A} and {B} had a lot of fun at the {P} . {S} gave a {T} to",
    "When {A} and {B} got a {T} at the {P} , {S} decided to give it to",
    "After {A} and {B} went to the {P} , {S} gave a {T} to",
    "Then , {A} and {B} were working at the {P} . {S} decided to give a {T} to",
    "While {A} and {B} were working at the {P} , {S} gave a {T} to",
    "Afterwards , {A} and {B} went to the {P} . {S} gave a {T} to",
    "Then in the morning , {A} and {B} went to the {P} . {S} gave a {T} to",
    "When soon afterwards {A} and {B} met at the {P} , {S} gave a {T} to",
    "The {P} {A} and {B} went to had a {T} . {S} gave it to",
    "Friends {A} and {B} found a {T} at the {P} . {S} gave it to",
    "Then {A} and {B} had a long argument . Afterwards {S} said to",
    "Today {A} and {B} are going to the {P} , and {S} wants to give a {T} to",
    "One day {A} and {B} walked to the {P} and there {S} handed a {T} to",
    "As {A} and {B} left the {P} , {S} passed the {T} back to",
)
FOREIGN = 256
NAMES = 100
PLACES = 20
THINGS = 20

S1, NEXT, S2, IO = Position("S1"), Position("S1", 1), Position("S2"), Position("IO")

ROLES: tuple[tuple[str, Position, Position], ...] = (
    ("2.2 4.11", NEXT, S1),
    ("0.1 0.10 3.0", S2, S1),
    ("5.5 5.8 5.9 6.9", S2, NEXT),
    ("7.3 7.9 8.6 8.10", END, S2),
    ("9.9 9.6 10.0", END, IO),
    ("9.0 9.7 10.1 10.2 10.6 10.10 11.2 11.9", END, IO),
    ("10.7 11.10", END, IO),
)
"""The circuit of Wang et al.: heads, where they query, where they attend."""


def head(text: str) -> Head:
    layer, index = text.split(".")
    return Head(Layer(int(layer)), HeadIndex(int(index)))


def circuit() -> list[Element]:
    """The 26 heads where their roles live."""
    return [Element(head(h), query) for heads, query, _ in ROLES for h in heads.split()]


def kept(n_layers: int) -> list[Element]:
    """Every MLP everywhere."""
    return [Element(Mlp(Layer(layer)), ALL_POSITIONS) for layer in range(n_layers)]


def prompt_sets(templates: int, n: int, seed: int = 0) -> dict[str, PromptSet]:
    """`n` prompts evenly over templates, each with a counterfactual (three other names); a
    reference set of 4 of these a template."""
    forms = [(i, order) for order in ("abba", "baba") for i in range((templates + 1) // 2)]
    rng = random.Random(seed)
    chosen = forms[:templates]
    listed = [chosen[i % templates] for i in range(n)]
    evaluation = [_prompt(rng, form, i, mixed=False) for i, form in enumerate(listed)]
    other = [_prompt(rng, form, i, mixed=True) for i, form in enumerate(listed)]
    means = [_prompt(rng, form, i, mixed=True) for i, form in enumerate(chosen * 4)]
    return {
        "evaluation": PromptSet(name="evaluation", prompts=tuple(evaluation)),
        "counterfactual:abc": PromptSet(name="counterfactual:abc", prompts=tuple(other)),
        "reference:abc": PromptSet(name="reference:abc", prompts=tuple(means)),
    }


def foreign(prompts: PromptSet, d_vocab: int) -> PromptSet:
    """The first prompt of each template with other tokens everywhere: shares nothing with any."""
    shift = FOREIGN if d_vocab >= 2 * FOREIGN else 0
    assert shift, f"a vocabulary of {d_vocab} has no foreign words"
    first = {prompt.template: prompt for prompt in reversed(prompts.prompts)}
    moved = [
        replace(prompt, index=i, pair=None, tokens=tuple(t + shift for t in prompt.tokens))
        for i, prompt in enumerate(first.values())
    ]
    return PromptSet(name="foreign", prompts=tuple(moved))


def _prompt(rng: random.Random, form: tuple[int, str], index: int, *, mixed: bool) -> Prompt:
    io, s1, s2 = rng.sample(range(NAMES), 3)
    if not mixed:
        s2 = s1
    first, second = (io, s1) if form[1] == "abba" else (s1, io)
    words = {"{A}": first, "{B}": second, "{S}": s2}
    tokens, positions = [], {}
    for i, word in enumerate(TEXTS[form[0]].split()):
        if word in words:
            tokens.append(words[word])
            label = {"{A}": "IO", "{B}": "S1", "{S}": "S2"}[word]
            if form[1] == "baba" and label != "S2":
                label = {"IO": "S1", "S1": "IO"}[label]
            positions[label] = (i,)
        elif word == "{P}":
            tokens.append(NAMES + rng.randrange(PLACES))
        elif word == "{T}":
            tokens.append(NAMES + PLACES + rng.randrange(THINGS))
        else:
            tokens.append(VOCABULARY[word])
    positions |= {"END": (len(tokens) - 1,), "BOS": (0,)}
    return Prompt(
        index=index,
        template=f"{form[1]}{form[0]}",
        text="",
        tokens=tuple(tokens),
        positions=positions,
        slots={},
        answers={"IO": (io,), "S1": (s1,)},
        pair=index,
    )


def _vocabulary() -> dict[str, int]:
    words = sorted({w for text in TEXTS for w in text.split() if not re.match(r"\{", w)})
    return {word: NAMES + PLACES + THINGS + i for i, word in enumerate(words)}


VOCABULARY = _vocabulary()

METRICS = {
    "logit_diff": Metric(
        name="logit_diff",
        terms=(
            MetricTerm(coefficient=1, quantity="logit", answer="IO"),
            MetricTerm(coefficient=-1, quantity="logit", answer="S1"),
        ),
    )
}


@cache
def declared_edges(n_layers: int) -> frozenset[Edge]:
    """The declared edges between roles, and those that keeping every MLP adds."""
    lives = {role: (heads.split(), q, k) for role, (heads, q, k) in enumerate(ROLES)}
    found: set[Edge] = set()

    def connect(sender: object, receiver: Head, channel: Channel, at: Position) -> None:
        found.add(Edge(sender, receiver, channel, at))  # type: ignore[arg-type]

    for role, (heads, query, key) in lives.items():
        for name in heads:
            receiver = head(name)
            places: tuple[tuple[Channel, Position], ...] = (("q", query), ("k", key), ("v", key))
            for channel, at in places:
                for layer in range(receiver.layer):
                    connect(Mlp(Layer(layer)), receiver, channel, at)
                if role < 3 or (role == 3 and channel == "q") or (role > 3 and channel != "q"):
                    connect(INPUT, receiver, channel, at)
            if role >= 4:
                found.add(Edge(receiver, LOGITS, "", END))
            for layer in range(receiver.layer, n_layers):
                found.add(Edge(receiver, Mlp(Layer(layer)), "in", query))
    links: tuple[tuple[int, int, tuple[Channel, ...], Position], ...] = (
        (0, 2, ("k", "v"), NEXT),
        (1, 3, ("k", "v"), S2),
        (2, 3, ("k", "v"), S2),
        (3, 4, ("q",), END),
        (3, 5, ("q",), END),
        (3, 6, ("q",), END),
    )
    for sender, receiver_role, channels, at in links:
        for a in lives[sender][0]:
            for b in lives[receiver_role][0]:
                if head(a).layer < head(b).layer:
                    for channel in channels:
                        connect(head(a), head(b), channel, at)
    for layer in range(n_layers):
        mlp = Mlp(Layer(layer))
        found.add(Edge(INPUT, mlp, "in", ALL_POSITIONS))
        found.add(Edge(mlp, LOGITS, "", END))
        for below in range(layer):
            found.add(Edge(Mlp(Layer(below)), mlp, "in", ALL_POSITIONS))
    return frozenset(found)
