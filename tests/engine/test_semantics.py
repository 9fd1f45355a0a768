"""What `docs/semantics.md` defines, one sentence at a time, where random runs would seldom go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    LiveEdges,
    Means,
    Path,
    Readings,
    Replace,
    ReplaceAllBut,
    Rows,
    Run,
    Zero,
)
from circuitspec.hypothesis.records import Edge, Element
from circuitspec.language.nodes import (
    ALL_POSITIONS,
    END,
    INPUT,
    LOGITS,
    Head,
    HeadIndex,
    Layer,
    Mlp,
    Position,
)
from circuitspec.task.records import Metric, MetricTerm, Prompt, PromptSet
from tests.reference import slow

from .models import NAMES, Model, model
from .oracle import tokens_of
from .strategies import counterfactual, edges_of
from .worlds import World, world

A, B = Position("A"), Position("B")
LOGIT = Metric(name="logit", terms=(MetricTerm(coefficient=1, quantity="logit", answer="it"),))


def head(layer: int, index: int) -> Head:
    return Head(Layer(layer), HeadIndex(index))


def m(layer: int) -> Mlp:
    return Mlp(Layer(layer))


def those(*places: tuple[Any, Position]) -> frozenset[Element]:
    return frozenset(Element(node, position) for node, position in places)


def plain_prompt(index: int, tokens: Sequence[int], a: int = 1, b: int = 2) -> Prompt:
    return Prompt(
        index=index,
        template="T",
        text="",
        tokens=tuple(tokens),
        positions={"A": (a,), "B": (b,), "END": (len(tokens) - 1,), "BOS": (0,)},
        slots={},
        answers={"it": (5,), "other": (9,)},
    )


def sets_of(**prompts: Sequence[Prompt]) -> dict[str, PromptSet]:
    return {name: PromptSet(name=name, prompts=tuple(of)) for name, of in prompts.items()}


class Asked:
    """An engine in float64 on named prompts, whose one metric is a logit at END."""

    def __init__(
        self, make_engine: Callable[..., Any], subject: Model, **prompts: Sequence[Prompt]
    ) -> None:
        self.model = subject
        self.engine = make_engine(
            subject.weights(torch.float64), sets_of(**prompts), {"logit": LOGIT}
        )

    def run(self, run: Run) -> Readings:
        (readings,) = self.engine.evaluate([run])
        return readings

    def __call__(self, run: Run) -> np.ndarray:
        return np.asarray(self.run(run).metrics["logit"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self(Run(name))


def near(got: np.ndarray, want: Any) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


def far(got: np.ndarray, want: Any, by: float = 1e-4) -> None:
    assert (np.abs(got - want) > by).all(), (got, want)


X = [plain_prompt(0, (3, 1, 4, 1, 5, 9)), plain_prompt(1, (2, 7, 1, 8, 2, 8))]
Y = [plain_prompt(0, (6, 2, 8, 3, 1, 8)), plain_prompt(1, (5, 3, 0, 7, 4, 1))]
PAIRED = Rows("y", (0, 1))


# ── knock-outs that everything is under ──────────────────────────────────────────────────────────


def test_given_holds_in_the_runs_that_values_are_taken_from(make_engine: Any) -> None:
    """Patching everything under a knock-out is the counterfactual under that knock-out."""
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    given = (Replace(those((head(0, 1), ALL_POSITIONS), (m(1), END)), Zero()),)
    everything = those(*((n, ALL_POSITIONS) for n in (INPUT, *_nodes("gpt2"))))
    under = ask(Run("y", given=given))
    far(under, ask["y"])
    near(ask(Run("x", given=given, writes=(Replace(everything, PAIRED),))), under)
    near(ask(Run("x", given=given, edges=LiveEdges(frozenset(), PAIRED))), under)
    to_logits = frozenset({(LOGITS, "", ALL_POSITIONS)})
    for through in ("direct", "mlps"):
        path = Path(everything, to_logits, PAIRED, through)
        near(ask(Run("x", given=given, path=path)), under)


def test_given_stands_at_the_places_of_the_prompt_it_is_in(make_engine: Any) -> None:
    """A label that falls elsewhere in the counterfactual is knocked out elsewhere there."""
    moved = [plain_prompt(i, p.tokens, a=4) for i, p in enumerate(Y)]
    ask = Asked(make_engine, model("gpt2"), x=X, y=moved)
    given = (Replace(those((m(0), A)), Zero()),)
    under = ask(Run("y", given=given))
    everything = those(*((n, ALL_POSITIONS) for n in (INPUT, *_nodes("gpt2"))))
    near(ask(Run("x", given=given, writes=(Replace(everything, PAIRED),))), under)
    still = Asked(make_engine, model("gpt2"), y=Y)
    far(still(Run("y", given=given)), under)


def test_given_takes_the_rows_of_the_prompt_that_is_run(make_engine: Any) -> None:
    """A knock-out by rows inside a counterfactual: the pairing is the run's, whatever row of its
    own set the counterfactual is."""
    pool = [plain_prompt(i, [(7 * i + 3 * j) % 37 for j in range(6)]) for i in range(5)]
    ask = Asked(make_engine, model("gpt2"), x=X, pool=pool)
    knockout = Replace(those((m(0), ALL_POSITIONS)), Rows("pool", (4, 3)))
    everything = those(*((n, ALL_POSITIONS) for n in (INPUT, *_nodes("gpt2"))))
    got = ask(Run("x", given=(knockout,), writes=(Replace(everything, Rows("pool", (2, 0))),)))
    alone = Asked(make_engine, model("gpt2"), x=[pool[2], pool[0]], pool=pool)
    near(got, alone(Run("x", writes=(knockout,))))
    swapped = replace(knockout, source=Rows("pool", (3, 4)))
    far(got, alone(Run("x", writes=(swapped,))))


def test_each_pairing_of_a_counterfactual_has_values_of_its_own(make_engine: Any) -> None:
    """Two prompts paired with one counterfactual, one prompt a batch, knocked out by other rows."""
    pool = [plain_prompt(i, [(7 * i + 3 * j) % 37 for j in range(6)]) for i in range(5)]
    weights = model("gpt2").weights(torch.float64)
    knockout = Replace(those((m(0), ALL_POSITIONS)), Rows("pool", (4, 3)))
    everything = those(*((n, ALL_POSITIONS) for n in (INPUT, *_nodes("gpt2"))))
    run = Run("x", given=(knockout,), writes=(Replace(everything, Rows("pool", (2, 2))),))
    engine = make_engine(weights, sets_of(x=X, pool=pool), {"logit": LOGIT}, batch_size=1)
    (got,) = engine.evaluate([run])
    alone = Asked(make_engine, model("gpt2"), x=[pool[2], pool[2]], pool=pool)
    near(got.metrics["logit"], alone(Run("x", writes=(knockout,))))
    far(got.metrics["logit"][0], got.metrics["logit"][1])


def test_knocked_out_mlps_stay_so_while_a_path_goes_through_mlps(make_engine: Any) -> None:
    """With every MLP out, there is nothing to go through."""
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    given = (Replace(those(*((m(i), ALL_POSITIONS) for i in range(3))), Means("y", "template")),)
    into = frozenset({(head(2, 0), "q", ALL_POSITIONS), (LOGITS, "", ALL_POSITIONS)})
    path = Path(those((head(0, 0), ALL_POSITIONS)), into, PAIRED, "direct")
    through = replace(path, through="mlps")
    near(ask(Run("x", given=given, path=through)), ask(Run("x", given=given, path=path)))
    far(ask(Run("x", path=through)), ask(Run("x", path=path)), by=1e-5)


def test_means_are_of_the_unmodified_model_whatever_is_given(make_engine: Any) -> None:
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    first, second = those((m(0), ALL_POSITIONS)), those((m(1), ALL_POSITIONS))
    mean = Means("y", "template")
    both = ask(Run("x", writes=(Replace(first, mean), Replace(second, mean))))
    near(ask(Run("x", given=(Replace(first, mean),), writes=(Replace(second, mean),))), both)


def test_where_both_speak_of_one_activation_the_intervention_stands(make_engine: Any) -> None:
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    here = those((m(1), END))
    patched = Run("x", writes=(Replace(here, Means("y", "batch")),))
    near(ask(replace(patched, given=(Replace(here, Zero()),))), ask(patched))
    circuit = Run("x", writes=(ReplaceAllBut(frozenset(), Means("y", "batch")),))
    near(ask(replace(circuit, given=(Replace(here, Zero()),))), ask(circuit))


def test_kl_is_to_the_model_without_knock_outs(make_engine: Any) -> None:
    ask = Asked(make_engine, model("gpt2"), x=X)
    given = (Replace(those((m(0), ALL_POSITIONS)), Zero()),)
    assert (ask.run(Run("x", kl=True)).kl["logit"] == 0).all()
    assert (ask.run(Run("x", given=given, kl=True)).kl["logit"] > 1e-3).all()


# ── ablation values ──────────────────────────────────────────────────────────────────────────────


def test_means_over_position_pool_templates_of_one_length(make_engine: Any) -> None:
    """Templates of another length have means of their own; nothing is aligned."""
    long = [plain_prompt(i, [*p.tokens, 30 + i]) for i, p in enumerate(Y)]
    other = [replace(p, template="U") for p in X]
    here = those((m(0), ALL_POSITIONS), (head(1, 2), END))
    run = Run("x", writes=(Replace(here, Means("reference", "position")),))
    ask = Asked(make_engine, model("gpt2"), x=X, reference=[*Y, *long, *other])
    same = Asked(make_engine, model("gpt2"), x=X, reference=[*Y, *other])
    near(ask(run), same(run))
    far(ask(run), Asked(make_engine, model("gpt2"), x=X, reference=Y)(run))
    by_template = Run("x", writes=(Replace(here, Means("reference", "template")),))
    near(ask(by_template), Asked(make_engine, model("gpt2"), x=X, reference=Y)(by_template))


def test_a_mean_over_the_batch_counts_every_token_once(make_engine: Any) -> None:
    """Longer prompts weigh more, as they have more tokens."""
    long = [plain_prompt(2, [5, 6, 7, 8, 9, 10, 11, 12, 13])]
    subject = model("gpt2")
    ask = Asked(make_engine, subject, x=X, reference=[*Y, *long])
    outputs = [
        slow.run(subject.slow, tokens_of(part)).senders[slow.mlp(0)].flatten(0, 1)
        for part in (Y, long)
    ]
    mean = torch.cat(outputs).mean(0)
    x = tokens_of(X)
    values = {slow.mlp(0): mean.expand(2, 6, -1)}
    logits = slow.cut_nodes(subject.slow, x, {slow.mlp(0): slow.everywhere(x)}, values)
    here = those((m(0), ALL_POSITIONS))
    near(ask(Run("x", writes=(Replace(here, Means("reference", "batch")),))), logits[:, -1, 5])


def test_the_input_is_patched_with_its_position(make_engine: Any) -> None:
    for name in ("gpt2", "llama"):
        ask = Asked(make_engine, model(name), x=X, y=Y)
        near(ask(Run("x", writes=(Replace(those((INPUT, ALL_POSITIONS)), PAIRED),))), ask["y"])


@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2", "toy_layer_norm"])
def test_what_is_left_is_summed_and_not_subtracted(make_engine: Any, name: str) -> None:
    """A norm blows up the residue of large sums that cancel: with every edge cut to zero a channel
    reads exactly the constants, in float32 as in float64, whichever way the edges are named."""
    subject = model(name)
    shape, single = subject.loaded.shape, subject.weights(torch.float32)
    for receivers in ((LOGITS,), tuple(head(shape.n_layers - 1, i) for i in range(2))):
        edges = frozenset(e for e in edges_of(shape, ALL_POSITIONS) if e.receiver in receivers)
        rest = frozenset(edges_of(shape, ALL_POSITIONS)) - edges
        runs = [
            Run("x", edges=LiveEdges(edges, Zero(), all_but=True)),
            Run("x", edges=LiveEdges(rest, Zero())),
        ]
        exact = Asked(make_engine, subject, x=X)
        engine = make_engine(single, sets_of(x=X), {"logit": LOGIT})
        for run, got in zip(runs, engine.evaluate(runs), strict=True):
            np.testing.assert_allclose(got.metrics["logit"], exact(run), atol=2e-6, rtol=2e-6)
        near(exact(runs[0]), exact(runs[1]))


# ── circuits ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", NAMES)
def test_the_empty_and_the_full_circuit(make_engine: Any, name: str) -> None:
    subject = model(name)
    ask = Asked(make_engine, subject, x=X, y=Y)
    shape = subject.loaded.shape
    every = frozenset(edges_of(shape, ALL_POSITIONS))
    nodes = those(*((node, ALL_POSITIONS) for node in _nodes(name)))
    near(ask(Run("x", writes=(ReplaceAllBut(nodes, PAIRED),))), ask["x"])
    near(ask(Run("x", edges=LiveEdges(every, PAIRED))), ask["x"])
    near(ask(Run("x", edges=LiveEdges(frozenset(), PAIRED, all_but=True))), ask["x"])
    near(ask(Run("x", edges=LiveEdges(frozenset(), PAIRED))), ask["y"])
    near(ask(Run("x", edges=LiveEdges(every, PAIRED, all_but=True))), ask["y"])
    # by nodes the empty circuit retains the input
    empty = Run("x", writes=(ReplaceAllBut(frozenset(), PAIRED),))
    near(ask(empty), ask(Run("x", edges=LiveEdges(_from_input(every), PAIRED))))
    far(ask(empty), ask["y"])


def _from_input(edges: frozenset[Edge]) -> frozenset[Edge]:
    return frozenset(edge for edge in edges if edge.sender == INPUT)


def test_two_roles_of_one_head_live_at_their_own_places(make_engine: Any) -> None:
    """A head at A and at B is live at both, and at no third place."""
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    rest = those(*((n, ALL_POSITIONS) for n in _nodes("gpt2") if n != head(0, 1)))
    both = Run("x", writes=(ReplaceAllBut(rest | those((head(0, 1), A), (head(0, 1), B)), PAIRED),))
    elsewhere = [(head(0, 1), Position("BOS")), (head(0, 1), Position("A", 2))]
    elsewhere += [(head(0, 1), Position("A", 3)), (head(0, 1), END)]
    near(ask(both), ask(Run("x", writes=(Replace(those(*elsewhere), PAIRED),))))
    for place in (A, B):
        alone = Run("x", writes=(ReplaceAllBut(rest | those((head(0, 1), place)), PAIRED),))
        far(ask(alone), ask(both), by=1e-6)


def test_overlapping_places_are_one(make_engine: Any) -> None:
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    twice = those((m(1), END), (m(1), ALL_POSITIONS))
    once = ask.run(Run("x", writes=(Replace(those((m(1), ALL_POSITIONS)), PAIRED),)))
    both = ask.run(Run("x", writes=(Replace(twice, PAIRED),)))
    near(both.metrics["logit"], once.metrics["logit"])
    assert both.touched.planned == both.touched.written == once.touched.written == 12


# ── path patching ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["llama", "llama_biased", "qwen3"])
@pytest.mark.parametrize("channel", ["k", "v"])
def test_one_query_head_of_a_group_is_held_alone(make_engine: Any, name: str, channel: Any) -> None:
    """Under grouped queries every query head has its own copy of k and v."""
    ask = Asked(make_engine, model(name), x=X, y=Y)
    senders = those((INPUT, ALL_POSITIONS))

    def into(*receivers: Head) -> np.ndarray:
        asked = frozenset((receiver, channel, ALL_POSITIONS) for receiver in receivers)
        return ask(Run("x", path=Path(senders, asked, PAIRED, "direct")))

    one, two, both = into(head(2, 0)), into(head(2, 1)), into(head(2, 0), head(2, 1))
    far(one, ask["x"], by=1e-5)
    far(one, both, by=1e-5)
    far(one, two, by=1e-6)
    # the last layer's heads reach the logits by the norm alone: cutting one edge says the same
    edge = Edge(INPUT, head(2, 0), channel, ALL_POSITIONS)
    near(one, ask(Run("x", edges=LiveEdges(frozenset({edge}), PAIRED, all_but=True))))


def test_channels_are_held_before_norm_and_rotary_and_so_at_their_own_place(
    make_engine: Any,
) -> None:
    """Holding q at END is cutting the edge that is read there, with rotary and q norm too."""
    for name in ("qwen3", "gpt_neox", "llama"):
        ask = Asked(make_engine, model(name), x=X, y=Y)
        sender = head(0, 2)
        path = Path(
            those((sender, ALL_POSITIONS)), frozenset({(head(1, 1), "q", END)}), PAIRED, "direct"
        )
        edge = Edge(sender, head(1, 1), "q", END)
        cut = LiveEdges(frozenset({edge}), PAIRED, all_but=True)
        near(ask(Run("x", path=path)), ask(Run("x", edges=cut)))
        far(ask(Run("x", path=path)), ask["x"], by=1e-7)


def test_a_receiver_reads_the_sender_only_where_it_sent(make_engine: Any) -> None:
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    into = frozenset({(head(2, 0), "q", END)})
    path = Path(those((head(0, 0), A)), into, PAIRED, "direct")
    silent = ask.run(Run("x", path=path))
    assert silent.metrics["logit"].tobytes() == ask["x"].tobytes()
    assert silent.touched.changed == 0
    assert silent.touched.planned == silent.touched.written == 4


def test_a_path_that_cannot_be_taken_changes_nothing_and_says_so(make_engine: Any) -> None:
    """A receiver that is not downstream: written as planned, and inert."""
    for name, receiver in (
        ("gpt2", (head(1, 1), "q", ALL_POSITIONS)),
        ("gpt2", (m(0), "in", ALL_POSITIONS)),
        ("gpt_neox", (m(1), "in", ALL_POSITIONS)),  # parallel: attention and MLP do not meet
    ):
        ask = Asked(make_engine, model(name), x=X, y=Y)
        path = Path(those((head(1, 0), ALL_POSITIONS)), frozenset({receiver}), PAIRED, "mlps")
        got = ask.run(Run("x", path=path))
        near(got.metrics["logit"], ask["x"])
        assert got.touched.changed == 0
        assert got.touched.largest == 0.0
        assert got.touched.planned == got.touched.written == 24


def test_the_senders_themselves_are_recomputed_in_the_second_pass(make_engine: Any) -> None:
    """Held receivers are all that differs: with none of them read, nothing does."""
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    everything = those(*((n, ALL_POSITIONS) for n in (INPUT, *_nodes("gpt2"))))
    at_a = Path(everything, frozenset({(LOGITS, "", A)}), PAIRED, "direct")
    near(ask(Run("x", path=at_a)), ask["x"])


# ── local attention, attention-only, no layers ───────────────────────────────────────────────────


def test_a_window_hides_keys_from_the_whole_of_a_path(make_engine: Any) -> None:
    """GPT-Neo's local layer sees 4 tokens: k and v beyond them can be held and do nothing."""
    ask = Asked(make_engine, model("gpt_neo"), x=X, y=Y)
    assert [b.window for b in ask.model.loaded.weights.blocks] == [None, 4, None]
    senders = those((INPUT, ALL_POSITIONS))

    def held(layer: int, place: Position) -> np.ndarray:
        into = frozenset((head(layer, i), c, place) for i in range(4) for c in ("k", "v"))
        return ask(Run("x", path=Path(senders, into, PAIRED, "direct")))

    # END is token 5: it sees 2 to 5 in the local layer, and all in the global one
    weights = ask.run(
        Run(
            "x",
            attention=tuple(
                AttentionReading(head(1, 0), END, (Position("BOS", i),)) for i in range(6)
            ),
        )
    ).attention
    seen = [float(values.min()) for values in weights.values()]
    assert seen[:2] == [0.0, 0.0]
    assert min(seen[2:]) > 0
    far(held(2, A), ask["x"], by=1e-7)


def test_attention_only_models_have_edges_and_paths_through_nothing(make_engine: Any) -> None:
    ask = Asked(make_engine, model("toy_plain"), x=X, y=Y)
    into = frozenset({(head(1, 0), "v", ALL_POSITIONS)})
    path = Path(those((head(0, 0), ALL_POSITIONS)), into, PAIRED, "direct")
    direct = ask(Run("x", path=path))
    near(ask(Run("x", path=replace(path, through="mlps"))), direct)
    far(direct, ask["x"], by=1e-6)


def test_a_model_without_layers(make_engine: Any) -> None:
    subject = model("toy_plain")
    weights = subject.weights(torch.float64)
    bare = replace(weights, blocks=(), shape=replace(weights.shape, n_layers=0))
    engine = make_engine(bare, sets_of(x=X, y=Y), {"logit": LOGIT})
    edge = Edge(INPUT, LOGITS, "", ALL_POSITIONS)
    runs = [
        Run("x"),
        Run("y"),
        Run("x", writes=(ReplaceAllBut(frozenset(), Zero()),)),
        Run("x", edges=LiveEdges(frozenset({edge}), PAIRED)),
        Run("x", edges=LiveEdges(frozenset(), PAIRED)),
        Run("x", path=Path(those((INPUT, END)), frozenset({(LOGITS, "", END)}), PAIRED, "mlps")),
        Run("x", writes=(Replace(those((INPUT, END)), Means("y", "batch")),)),
    ]
    x, y, *same = (readings.metrics["logit"] for readings in engine.evaluate(runs))
    for got, want in zip(same, (x, x, y, y), strict=False):
        near(got, want)
    far(same[-1], x)


# ── readings ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "llama", "toy_mlp"])
@pytest.mark.parametrize("how", ["model", "nodes", "edges", "all_but"])
def test_attributions_of_all_senders_sum_to_the_metric(
    make_engine: Any, name: str, how: str
) -> None:
    """Up to what belongs to no sender: b_O, the final norm's bias, the unembedding's."""
    subject = model(name)
    shape, double = subject.loaded.shape, subject.weights(torch.float64)
    every = edges_of(shape, ALL_POSITIONS)
    run = {
        "model": Run("x"),
        "nodes": Run("x", writes=(ReplaceAllBut(those((head(1, 1), END)), PAIRED),)),
        "edges": Run("x", edges=LiveEdges(frozenset(every[::3]), PAIRED)),
        "all_but": Run("x", edges=LiveEdges(frozenset(every[::5]), PAIRED, all_but=True)),
    }[how]
    shares = tuple(
        AttributionReading(Element(node, END), "logit") for node in (INPUT, *_nodes(name))
    )
    bare = replace(
        double,
        blocks=tuple(replace(block, b_o=None) for block in double.blocks),
        ln_final=replace(double.ln_final, bias=None),
        b_unembed=None,
    )
    engine = make_engine(bare, sets_of(x=X, y=Y), {"logit": LOGIT})
    (got,) = engine.evaluate([replace(run, attribution=shares)])
    near(sum(got.attribution.values()), got.metrics["logit"])


def test_attribution_is_of_what_lives_where_the_metric_is_read(make_engine: Any) -> None:
    ask = Asked(make_engine, model("gpt2"), x=X)
    here, there, all_over = (
        AttributionReading(Element(m(2), place), "logit") for place in (END, A, ALL_POSITIONS)
    )
    got = ask.run(Run("x", attribution=(here, there, all_over))).attribution
    far(got[here], 0.0)
    near(got[there], 0.0)
    near(got[all_over], got[here])


def test_attention_by_edges_is_of_the_head_as_it_reads_its_own_edges(make_engine: Any) -> None:
    """A head that nobody reads attends all the same; one that reads only x' attends as in x'."""
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    reading = AttentionReading(head(1, 2), END, (A, B))
    own = {name: ask.run(Run(name, attention=(reading,))).attention[reading] for name in "xy"}
    far(own["x"], own["y"], by=1e-6)
    every = edges_of(ask.model.loaded.shape, ALL_POSITIONS)
    into = frozenset(e for e in every if e.receiver == head(1, 2) or e.receiver in _layer_0())
    for live, want in ((into, "x"), (frozenset(), "y")):
        run = Run("x", edges=LiveEdges(live, PAIRED), attention=(reading,))
        near(ask.run(run).attention[reading], own[want])


def _layer_0() -> set[Any]:
    return {head(0, i) for i in range(4)} | {m(0)}


# ── what was touched ─────────────────────────────────────────────────────────────────────────────


def test_inert_interventions_change_nothing_and_others_do(make_engine: Any) -> None:
    """A cut whose values are what they replace is counted as written, and as changing nothing."""
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    shape = ask.model.loaded.shape
    itself = Rows("x", (0, 1))
    some = frozenset(edges_of(shape, END, A)[::7])
    nodes, path = those((head(1, 1), END), (m(0), A)), frozenset({(head(2, 2), "q", END)})

    def runs(source: Any) -> list[Run]:
        return [
            Run("x", writes=(Replace(nodes, source),)),
            Run("x", writes=(ReplaceAllBut(nodes, source),)),
            Run("x", edges=LiveEdges(some, source)),
            Run("x", edges=LiveEdges(frozenset(), source)),
            Run("x", edges=LiveEdges(some, source, all_but=True)),
            Run("x", path=Path(nodes | those((INPUT, END)), path, source, "mlps")),
        ]

    for run in runs(itself):
        touched = ask.run(run).touched
        assert touched.written == touched.planned
        assert (touched.changed, touched.largest) == (0, 0.0), run
    for run in runs(PAIRED):
        touched = ask.run(run).touched
        assert touched.written == touched.planned
        assert touched.changed > 0, run
        assert touched.largest > 1e-3


def test_a_circuit_is_not_inert_because_its_own_edges_are(make_engine: Any) -> None:
    """By edges what is cut is the rest: a circuit whose senders do not differ still cuts it."""
    moved = [plain_prompt(i, (*p.tokens[:5], 30 + i)) for i, p in enumerate(X)]
    ask = Asked(make_engine, model("gpt2"), x=X, y=moved)
    live = frozenset({Edge(head(0, 0), head(1, 0), "k", A)})  # before the tokens that differ
    assert ask.run(Run("x", edges=LiveEdges(live, PAIRED))).touched.changed > 0


def test_the_counts_of_a_write_are_those_of_its_places(make_engine: Any) -> None:
    ask = Asked(make_engine, model("gpt2"), x=X, y=Y)
    assert ask.run(Run("x")).touched.planned == 0
    nodes = those((head(1, 1), END), (head(1, 1), A), (m(0), ALL_POSITIONS))
    assert ask.run(Run("x", writes=(Replace(nodes, PAIRED),))).touched.written == 2 * 8
    live = Run("x", writes=(ReplaceAllBut(nodes, PAIRED),))
    assert ask.run(live).touched.written == 2 * (3 * 5 * 6 - 8)
    edges = frozenset({Edge(INPUT, LOGITS, "", END), Edge(INPUT, LOGITS, "", ALL_POSITIONS)})
    assert ask.run(Run("x", edges=LiveEdges(edges, PAIRED))).touched.written == 2 * 6


# ── the numbers themselves ───────────────────────────────────────────────────────────────────────


def test_other_programs_settings_are_left_alone(make_engine: Any) -> None:
    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    try:
        torch.set_float32_matmul_precision("medium")
        torch.set_num_threads(2)
        Asked(make_engine, model("gpt2"), x=X)["x"]
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.get_num_threads() == 2
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_num_threads(before[1])


def test_recordings_are_bounded_and_recomputed_to_the_same_bits() -> None:
    """Values of other prompts take memory by the set: beyond a bound they are dropped."""
    from circuitspec.engine.engine import Engine

    place: World = world(4, size=8)
    run = Run("evaluation", writes=(Replace(those((m(0), END)), counterfactual(place)),))
    weights = model("gpt2").weights(torch.float32)
    roomy, tight = (Engine(weights, place.sets, place.metrics, batch_size=2) for _ in range(2))
    tight._sources.capacity = 1
    (one,), (two,) = roomy.evaluate([run]), tight.evaluate([run])
    assert len(roomy._sources._recordings) > 1 == len(tight._sources._recordings)
    assert one.metrics["logit_diff"].tobytes() == two.metrics["logit_diff"].tobytes()


def _nodes(name: str) -> list[Any]:
    shape = model(name).loaded.shape
    found: list[Any] = []
    for layer in range(shape.n_layers):
        found += [head(layer, index) for index in range(shape.n_heads)]
        found += [m(layer)] if shape.has_mlps else []
    return found
