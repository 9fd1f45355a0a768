"""Causal scrubbing with given draws: by hand where it is small, against edge ablation where not."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from . import tiny
from .architectures import SlowModel
from .scrub import KEEP, Place, Read, causal_scrub, paths
from .slow import (
    INPUT,
    LOGITS,
    Replace,
    ablate_by_edges,
    constant,
    head,
    mlp,
    run,
    run_values,
    senders,
    upstream,
)
from .test_slow import differ, make, same

LENGTH, END = 7, 6


def prompt(seed: int) -> Tensor:
    return tiny.tokens(1, LENGTH, seed=1000 + seed)[0]


def plain(model: SlowModel, tokens: Tensor) -> dict:
    """Every sender's ordinary output on one prompt: node -> [pos, d_model]."""
    return {node: value[0] for node, value in run_values(model, tokens[None]).items()}


def with_sender(model: SlowModel, at: int, values: dict, new: dict) -> Tensor:
    """The final residual at a position from plain values, some of them replaced: [d_model]."""
    total = constant(model, LOGITS)
    for node in senders(model):
        total = total + (new[node] if node in new else values[node][at])
    return total


class Everything(dict):
    """One and the same prompt on every path."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.tokens = tokens

    def __missing__(self, path: tuple) -> Tensor:
        return self.tokens


def three_roles(model: SlowModel) -> tuple[dict, Place]:
    """first @ 2 attends 1 -> second @ 5 attends 2 (k, v) -> third @ END attends 5 -> logits."""
    top = model.n_layers - 1
    first = Place(
        "first",
        2,
        (head(0, 1),),
        (Read("input", "q", 2, "in"), Read("input", "k", 1, "in"), Read("input", "v", 1, "in")),
        keys=(1,),
    )
    second_reads = [Read("first", c, 2, "a") for c in "kv"] + [Read("input", "q", 5, "in")]
    second = Place("second", 5, (head(1, 0), head(1, 1)), tuple(second_reads), keys=(2,))
    graph = {("first", 2): first, ("second", 5): second}
    if top == 1:
        return graph, Place("logits", 5, (LOGITS,), (Read("second", "in", 5, "c"),))
    third_reads = [Read("second", c, 5, "b") for c in "kv"] + [Read("input", "v", 5, "in")]
    third = Place("third", END, (head(top, 0), head(top, 1)), tuple(third_reads), keys=(5,))
    graph["third", END] = third
    return graph, Place("logits", END, (LOGITS,), (Read("third", "in", END, "c"),))


def edges_of(graph: dict, root: Place, kept: set, model: SlowModel) -> list[tuple]:
    """The same graph as (sender, receiver, channel, mask), kept MLPs' edges added."""

    def mask(at: int) -> Tensor:
        m = torch.zeros(1, LENGTH, dtype=torch.bool)
        m[0, at] = True
        return m

    edges = []
    for place in [*graph.values(), root]:
        for read in place.reads:
            sources = [INPUT] if read.sender == "input" else graph[read.sender, read.at].nodes
            edges += [(s, n, read.channel, mask(read.at)) for s in sources for n in place.nodes]
        for node in place.nodes:
            where = {"in": [place.position]}
            if node[0] == "head":
                where = {"q": [place.position], "k": place.keys, "v": place.keys}
            for m, at in kept:
                if m in upstream(model, node):
                    edges += [(m, node, c, mask(at)) for c, places in where.items() if at in places]
                if node in upstream(model, m) and at == place.position:
                    edges.append((node, m, "in", mask(at)))
    for m, at in kept:
        edges.append((INPUT, m, "in", mask(at)))
        edges += [(n, m, "in", mask(at)) for n, a in kept if a == at and n in upstream(model, m)]
    return edges


@pytest.fixture(
    params=["gpt2", "gpt_neo", "gpt_neox", "llama", "qwen2_sliding", "qwen3", "toy_plain",
            "toy_mlp_layer_norm", "toy_bidirectional_mlp"]
)  # fmt: skip
def model(request: pytest.FixtureRequest) -> SlowModel:
    return make(request.param)


def all_mlps(model: SlowModel) -> set:
    return {(n, at) for n in senders(model) if n[0] == "mlp" for at in range(LENGTH)}


def test_drawing_the_prompt_itself_is_the_model(model: SlowModel) -> None:
    x = prompt(0)
    graph, root = three_roles(model)
    expected = run(model, x[None]).logits[0, root.position]
    for kept in (set(), all_mlps(model)):
        same(causal_scrub(model, x, graph, root, Everything(x), Everything(x), kept), expected)


def test_one_prompt_for_all_else_is_edge_ablation(model: SlowModel) -> None:
    """With x_c = x on every path and one other-draw o, scrubbing is ablation by edges from o."""
    x, o = prompt(0), prompt(1)
    graph, root = three_roles(model)
    values = run_values(model, o[None])
    some = {(n, at) for n, at in all_mlps(model) if at != 2}
    results = []
    for kept in (set(), some, all_mlps(model)):
        edges = edges_of(graph, root, kept, model)
        expected = ablate_by_edges(model, x[None], edges, values)[0, root.position]
        results.append(causal_scrub(model, x, graph, root, Everything(x), Everything(o), kept))
        same(results[-1], expected)
        differ(results[-1], run(model, x[None]).logits[0, root.position])
        differ(results[-1], run(model, o[None]).logits[0, root.position], by=1e-7)
    if all_mlps(model):
        differ(results[0], results[2])


def test_no_graph_is_the_other_draw(model: SlowModel) -> None:
    root = Place("logits", END, (LOGITS,))
    logits = causal_scrub(model, prompt(0), {}, root, {}, {(): prompt(1)})
    same(logits, run(model, prompt(1)[None]).logits[0, END])


def test_a_leaf_has_its_ordinary_value_on_its_draw(model: SlowModel) -> None:
    x, x_c, o = prompt(0), prompt(1), prompt(2)
    nodes = (head(1, 0), head(1, 1))
    graph = {("mover", END): Place("mover", END, nodes)}
    root = Place("logits", END, (LOGITS,), (Read("mover", "in", END, 7),))
    logits = causal_scrub(model, x, graph, root, {(("mover", END, 7),): x_c}, {(): o})
    new = {node: plain(model, x_c)[node][END] for node in nodes}
    same(logits, model.unembed(with_sender(model, END, plain(model, o), new)))


def test_a_place_that_claims_nothing_is_exact(model: SlowModel) -> None:
    """No draw of its own: its reader's reference, here the root prompt."""
    x, o = prompt(0), prompt(2)
    graph = {("mover", END): Place("mover", END, (head(1, 0),), exact=True)}
    root = Place("logits", END, (LOGITS,), (Read("mover", "in", END, 7),))
    logits = causal_scrub(model, x, graph, root, {}, {(): o})
    new = {head(1, 0): plain(model, x)[head(1, 0)][END]}
    same(logits, model.unembed(with_sender(model, END, plain(model, o), new)))


def head_on(model: SlowModel, tokens: Tensor, node: tuple, channels: dict) -> Tensor:
    """A head's output at END on a prompt with rows of its channels rewritten: [d_model].

    ``channels``: channel -> (position, residual that the channel is to read there)."""
    clean = run(model, tokens[None])
    layer = model.layers[node[1]]
    write = {}
    for c, (at, residual) in channels.items():
        value = clean.channels[node, c].clone()
        value[0, at] = layer.attention_norm(residual) @ layer.W[c][node[2]] + layer.b[c][node[2]]
        write[node, c] = (torch.ones(1, LENGTH, dtype=torch.bool), value)
    return run(model, tokens[None], Replace(channels=write)).senders[node][0, END]


def residual_of(model: SlowModel, receiver: tuple, at: int, values: dict, new: dict) -> Tensor:
    total = constant(model, receiver)
    for node in upstream(model, receiver):
        total = total + (new[node] if node in new else values[node][at])
    return total


def test_two_levels_by_hand(model: SlowModel) -> None:
    """low @ 3 (a leaf) -> top.k and top.v by separate statements, input -> top.q; top -> logits.

    Every path has prompts of its own, and only those that the definition names may be used.
    """
    x = prompt(0)
    low = Place("low", 3, (head(0, 0), head(0, 1)))
    reads = (Read("low", "k", 3, "e1"), Read("low", "v", 3, "e2"), Read("input", "q", END, "e3"))
    top = Place("top", END, (head(1, 1),), reads, keys=(3,))
    root = Place("logits", END, (LOGITS,), (Read("top", "in", END, "e4"),))
    graph = {("low", 3): low, ("top", END): top}
    at_top = (("top", END, "e4"),)
    draws = {
        at_top: prompt(1),
        (*at_top, ("low", 3, "e1")): prompt(2),
        (*at_top, ("low", 3, "e2")): prompt(3),
    }
    other = {(): prompt(4), at_top: prompt(5)}
    logits = causal_scrub(model, x, graph, root, draws, other)

    o = plain(model, other[at_top])
    channels = {}
    for c, statement in (("k", "e1"), ("v", "e2")):
        x_low = draws[(*at_top, ("low", 3, statement))]
        new = {node: plain(model, x_low)[node][3] for node in low.nodes}
        channels[c] = (3, residual_of(model, head(1, 1), 3, o, new))
    new = {INPUT: model.embed(draws[at_top][None])[0, END]}
    channels["q"] = (END, residual_of(model, head(1, 1), END, o, new))
    value = head_on(model, other[at_top], head(1, 1), channels)
    expected = with_sender(model, END, plain(model, other[()]), {head(1, 1): value})
    same(logits, model.unembed(expected))

    needed, others = paths(model, x, graph, root)
    assert needed == set(draws)
    assert others == set(other)
    with pytest.raises(KeyError) as missing:
        causal_scrub(model, x, graph, root, {}, other)
    assert missing.value.args[0] == at_top


def test_paths_split_only_where_statements_are_separate() -> None:
    model, x = make("gpt2"), prompt(0)

    def needed(k: str, v: str) -> set:
        low = Place("low", 3, (head(0, 0),))
        top = Place("top", END, (head(1, 1),), (Read("low", "k", 3, k), Read("low", "v", 3, v)))
        root = Place("logits", END, (LOGITS,), (Read("top", "in", END, "out"),))
        return paths(model, x, {("low", 3): low, ("top", END): top}, root)[0]

    assert len(needed("one", "one")) == 2
    assert len(needed("one", "two")) == 3


def test_draws_of_every_path_matter() -> None:
    """Changing any one prompt of the tree changes the logits: no path is read from another's."""
    model, x = make("toy_mlp_layer_norm"), prompt(0)
    graph, root = three_roles(model)
    kept = all_mlps(model)
    needed, others = (sorted(s, key=repr) for s in paths(model, x, graph, root, kept))
    assert (("third", END, "c"), ("second", 5, "b"), ("first", 2, "a")) in needed
    assert (("third", END, "c"), ("second", 5, KEEP)) in needed  # through a kept MLP at 5
    assert (("third", END, "c"), ("first", 2, KEEP)) not in needed  # nothing of third is at 2
    draws = {path: prompt(10 + i) for i, path in enumerate(needed)}
    other = {path: prompt(50 + i) for i, path in enumerate(others)}
    logits = causal_scrub(model, x, graph, root, draws, other, kept)
    for path in needed:
        changed = causal_scrub(model, x, graph, root, {**draws, path: prompt(99)}, other, kept)
        differ(changed, logits, by=1e-9)
    for path in others:
        changed = causal_scrub(model, x, graph, root, draws, {**other, path: prompt(99)}, kept)
        differ(changed, logits, by=1e-9)


def test_kept_mlps_use_their_readers_prompts() -> None:
    """m0 @ END read by the logits and, at 3, by a head: each time with its reader's prompts."""
    model, x = make("gpt2"), prompt(0)
    top = Place("top", END, (head(1, 1),), (Read("input", "v", 3, "e"),), keys=(3,))
    root = Place("logits", END, (LOGITS,), (Read("top", "in", END, "out"),))
    at_top = (("top", END, "out"),)
    draws, other = {at_top: prompt(1)}, {(): prompt(2), at_top: prompt(3)}
    kept = {(mlp(0), 3), (mlp(0), END)}
    logits = causal_scrub(model, x, {("top", END): top}, root, draws, other, kept)

    def m0(at: int, reference: Tensor, others: Tensor) -> Tensor:
        new = {INPUT: model.embed(reference[None])[0, at]}
        residual = residual_of(model, mlp(0), at, plain(model, others), new)
        return model.layers[0].mlp(model.layers[0].mlp_norm(residual))

    o = plain(model, other[at_top])
    at_3, at_end = m0(3, draws[at_top], other[at_top]), m0(END, draws[at_top], other[at_top])
    new_v = {INPUT: model.embed(draws[at_top][None])[0, 3], mlp(0): at_3}
    channels = {
        "q": (END, residual_of(model, head(1, 1), END, o, {mlp(0): at_end})),
        "k": (3, residual_of(model, head(1, 1), 3, o, {mlp(0): at_3})),
        "v": (3, residual_of(model, head(1, 1), 3, o, new_v)),
    }
    value = head_on(model, other[at_top], head(1, 1), channels)
    new = {head(1, 1): value, mlp(0): m0(END, x, other[()])}
    same(logits, model.unembed(with_sender(model, END, plain(model, other[()]), new)))


def test_a_role_read_through_a_kept_mlp_has_a_path_of_its_own() -> None:
    """low @ END -> m1 (kept) -> logits and low -> logits: two paths, two draws."""
    model, x = make("gpt2"), prompt(0)
    low = Place("low", END, (head(0, 2), head(1, 3)))
    root = Place("logits", END, (LOGITS,), (Read("low", "in", END, "out"),))
    straight, through = (("low", END, "out"),), (("low", END, KEEP),)
    draws, other = {straight: prompt(1), through: prompt(2)}, {(): prompt(3)}
    graph, kept = {("low", END): low}, {(mlp(1), END)}
    logits = causal_scrub(model, x, graph, root, draws, other, kept)

    new = {node: plain(model, prompt(2))[node][END] for node in low.nodes}
    new[INPUT] = model.embed(x[None])[0, END]
    residual = residual_of(model, mlp(1), END, plain(model, prompt(3)), new)
    new = {node: plain(model, prompt(1))[node][END] for node in low.nodes}
    new[mlp(1)] = model.layers[1].mlp(model.layers[1].mlp_norm(residual))
    same(logits, model.unembed(with_sender(model, END, plain(model, prompt(3)), new)))
    assert paths(model, x, graph, root, kept) == ({straight, through}, {()})


def test_an_mlp_can_be_a_role(model: SlowModel) -> None:
    """m0 @ END as a declared role that reads the input: on its own prompts, to the logits."""
    if model.layers[0].mlp is None:
        return
    x = prompt(0)
    place = Place("m", END, (mlp(0),), (Read("input", "in", END, "e"),))
    root = Place("logits", END, (LOGITS,), (Read("m", "in", END, "out"),))
    at_m = (("m", END, "out"),)
    other = {(): prompt(2), at_m: prompt(3)}
    logits = causal_scrub(model, x, {("m", END): place}, root, {at_m: prompt(1)}, other)
    new = {INPUT: model.embed(prompt(1)[None])[0, END]}
    residual = residual_of(model, mlp(0), END, plain(model, prompt(3)), new)
    value = {mlp(0): model.layers[0].mlp(model.layers[0].mlp_norm(residual))}
    same(logits, model.unembed(with_sender(model, END, plain(model, prompt(2)), value)))
