"""Whatever a spec could ask and the data cannot give is one sentence, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from circuitspec.engine.runs import (
    AttentionReading,
    AttributionReading,
    EngineError,
    LiveEdges,
    Means,
    Path,
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
from circuitspec.task.records import Metric, MetricTerm, PromptSet

from .models import model
from .strategies import counterfactual
from .worlds import METRICS, World, world

PLACE = world(12, size=4)
TWIN = counterfactual(PLACE)


def head(layer: int, index: int) -> Head:
    return Head(Layer(layer), HeadIndex(index))


def m(layer: int) -> Mlp:
    return Mlp(Layer(layer))


def at(node: Any, label: str = "END") -> frozenset[Element]:
    return frozenset({Element(node, Position(label))})


def replaced(node: Any, label: str = "END", source: Any = None) -> Run:
    return Run("evaluation", writes=(Replace(at(node, label), source or Zero()),))


def one_edge(sender: Any, receiver: Any, channel: Any) -> Run:
    edge = Edge(sender, receiver, channel, END)
    return Run("evaluation", edges=LiveEdges(frozenset({edge}), Zero()))


def path(senders: frozenset[Element], receiver: Any, channel: Any, source: Any = TWIN) -> Run:
    return Run(
        "evaluation", path=Path(senders, frozenset({(receiver, channel, END)}), source, "direct")
    )


REFUSED: dict[str, tuple[str, Run, str]] = {
    "head beyond the layers": ("gpt2", replaced(head(9, 0)), "no a9.h0: 3 layers of 4 heads"),
    "head beyond the heads": ("gpt2", replaced(head(0, 4)), "no a0.h4: 3 layers of 4 heads"),
    "mlp beyond the layers": ("gpt2", replaced(m(3)), "no m3: 3 layers"),
    "mlp of attention only": ("toy_plain", replaced(m(0)), "no m0: it is attention only"),
    "live node beyond": (
        "gpt2",
        Run("evaluation", writes=(ReplaceAllBut(at(head(3, 0)), Zero()),)),
        "no a3.h0",
    ),
    "knock-out beyond": (
        "gpt2",
        Run("evaluation", given=(Replace(at(head(3, 0)), Zero()),)),
        "no a3.h0",
    ),
    "sender beyond": ("gpt2", path(at(head(3, 0)), LOGITS, ""), "no a3.h0"),
    "receiver beyond": ("gpt2", path(at(INPUT), head(0, 7), "q"), "no a0.h7"),
    "receiver of attention only": ("toy_plain", path(at(INPUT), m(0), "in"), "attention only"),
    "channel of an mlp": ("gpt2", path(at(INPUT), m(0), "q"), "m0 has no channel q"),
    "channel of a head": ("gpt2", path(at(INPUT), head(0, 0), ""), "a0.h0 has no channel"),
    "edge to a node beyond": ("gpt2", one_edge(INPUT, head(5, 0), "q"), "no a5.h0"),
    "edge from a node beyond": ("gpt2", one_edge(m(7), LOGITS, ""), "no m7"),
    "edge into no channel": ("gpt2", one_edge(INPUT, LOGITS, "in"), "logits has no channel in"),
    "edge backwards": ("gpt2", one_edge(head(1, 0), head(0, 0), "q"), "does not run forward"),
    "edge within a layer": ("gpt2", one_edge(head(1, 0), head(1, 1), "q"), "not run forward"),
    "edge within a parallel block": ("gpt_neox", one_edge(head(1, 0), m(1), "in"), "not run for"),
    "attention of a head beyond": (
        "gpt2",
        Run("evaluation", attention=(AttentionReading(head(3, 0), END, (END,)),)),
        "no a3.h0",
    ),
    "attention from several tokens": (
        "gpt2",
        Run("evaluation", attention=(AttentionReading(head(0, 0), Position("MID"), (END,)),)),
        "position MID is 2 tokens in prompt",
    ),
    "attribution of a node beyond": (
        "gpt2",
        Run("evaluation", attribution=(AttributionReading(Element(m(9), END), "logit_diff"),)),
        "no m9",
    ),
    "attribution to no metric": (
        "gpt2",
        Run("evaluation", attribution=(AttributionReading(Element(m(0), END), "what"),)),
        "no metric what",
    ),
    "attribution to a probability": (
        "gpt2",
        Run("evaluation", attribution=(AttributionReading(Element(m(0), END), "prob_diff"),)),
        "prob_diff is not a sum of logits",
    ),
    "label that does not stand there": (
        "gpt2",
        replaced(m(0), "XYZ"),
        r"position XYZ does not exist in prompt \d \(template",
    ),
    "place outside the prompt": (
        "gpt2",
        Run("evaluation", writes=(Replace(frozenset({Element(m(0), Position("END", 1))}), TWIN),)),
        r"position END\+1 does not exist in prompt",
    ),
    "no such prompts": ("gpt2", Run("evaluations"), "no prompts called evaluations, only"),
    "no such reference": (
        "gpt2",
        replaced(m(0), source=Means("reference:x", "batch")),
        "no prompts called reference:x",
    ),
    "too few rows": (
        "gpt2",
        replaced(m(0), source=Rows("counterfactual:abc", (0, 1))),
        "2 prompts of counterfactual:abc are paired with 4 of evaluation",
    ),
    "row that does not exist": (
        "gpt2",
        replaced(m(0), source=Rows("counterfactual:abc", (0, 1, 2, 4))),
        "counterfactual:abc has no prompt 4: it has 4",
    ),
    "nodes and edges at once": (
        "gpt2",
        replace(replaced(m(0)), edges=LiveEdges(frozenset(), Zero())),
        "one of them",
    ),
    "nodes and a path at once": (
        "gpt2",
        replace(replaced(m(0)), path=path(at(INPUT), LOGITS, "").path),
        "one of them",
    ),
    "rows outside the set": ("gpt2", Run("evaluation", rows=(0, 4)), "no such prompts"),
}


def ask(make_engine: Callable[..., Any], name: str, run: Run, place: World = PLACE) -> Any:
    weights = model(name).weights(torch.float32)
    return make_engine(weights, place.sets, place.metrics).evaluate([run])[0]


@pytest.mark.parametrize("what", REFUSED)
def test_a_run_that_cannot_mean_anything_is_refused(
    make_engine: Callable[..., Any], what: str
) -> None:
    name, run, sentence = REFUSED[what]
    with pytest.raises(EngineError, match=sentence):
        ask(make_engine, name, run)


def test_prompts_of_unequal_length_are_never_aligned(make_engine: Callable[..., Any]) -> None:
    prompts = PLACE.prompts()
    lengths = [len(p.tokens) for p in prompts]
    assert len(set(lengths)) == 2
    other = lengths.index(next(n for n in lengths if n != lengths[0]))
    rows = Rows("counterfactual:abc", (other, 1, 2, 3))
    for run in (
        replaced(m(0), source=rows),
        Run("evaluation", edges=LiveEdges(frozenset(), rows)),
        path(at(INPUT), LOGITS, "", rows),
        Run("evaluation", given=(Replace(at(m(0)), rows),)),
    ):
        with pytest.raises(EngineError, match="values could not correspond by token index"):
            ask(make_engine, "gpt2", run)


def test_a_mean_that_no_reference_prompt_gives_is_refused(make_engine: Callable[..., Any]) -> None:
    reference = PLACE.sets["reference:abc"]
    few = PromptSet(name=reference.name, prompts=tuple(p for p in reference if p.template != "B"))
    place = replace(PLACE, sets={**PLACE.sets, few.name: few})
    for over in ("template", "position"):
        run = replaced(m(0), source=Means("reference:abc", over))
        with pytest.raises(EngineError, match="no prompt of 8 tokens to take a mean over"):
            ask(make_engine, "gpt2", run, place)
    ask(make_engine, "gpt2", replaced(m(0), source=Means("reference:abc", "batch")), place)


def changed(**of: Any) -> World:
    """The world with something about the second evaluation prompt changed."""
    first, second, *rest = PLACE.prompts()
    prompts = (first, replace(second, **of), *rest)
    sets = {**PLACE.sets, "evaluation": PromptSet(name="evaluation", prompts=prompts)}
    return replace(PLACE, sets=sets)


SECOND = PLACE.prompts()[1]


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        (changed(tokens=(1,) * 25), "has 25 tokens, and the model reads at most 24"),
        (changed(tokens=(1, 2, 41, 1, 1, 1)), "outside the model's vocabulary of 41"),
        (changed(tokens=(1, 2, -1, 1, 1, 1)), "outside the model's vocabulary of 41"),
        (changed(tokens=()), "has no tokens"),
        (changed(answers={**SECOND.answers, "IO": (41,)}), "outside the 41 that the model pred"),
        (changed(answers={"IO": (1,)}), "prompt 1 of evaluation has no such answer"),
        (
            replace(
                changed(positions={**SECOND.positions, "BOS": (4,), "S1": (2,)}), metrics=METRICS
            ),
            "next_loss is read from BOS to S1, which is no token of prompt 1",
        ),
        (
            replace(
                changed(positions={**SECOND.positions, "S1": (len(SECOND.tokens) - 1,)}),
                metrics={"next_loss": METRICS["next_loss"]},
            ),
            "nothing follows the last token of prompt 1",
        ),
        (changed(positions={"S1": (0,)}), "END does not exist in prompt 1|IO does not exist"),
        (
            replace(PLACE, sets={"evaluation": PromptSet(name="evaluation", prompts=())}),
            "evaluation has no prompts",
        ),
    ],
)
def test_prompts_that_cannot_be_fed_or_measured_are_refused(
    make_engine: Callable[..., Any], place: World, sentence: str
) -> None:
    with pytest.raises(EngineError, match=sentence):
        ask(make_engine, "gpt2", Run("evaluation"), place)


def test_prompts_that_a_run_does_not_use_may_be_anything(make_engine: Callable[..., Any]) -> None:
    sets = {**PLACE.sets, "reference:abc": PromptSet(name="reference:abc", prompts=())}
    ask(make_engine, "gpt2", Run("evaluation"), replace(PLACE, sets=sets))
    run = replaced(m(0), source=Means("reference:abc", "batch"))
    with pytest.raises(EngineError, match="reference:abc has no prompts"):
        ask(make_engine, "gpt2", run, replace(PLACE, sets=sets))


def test_an_answer_may_be_empty_in_some_prompts_and_not_in_all(
    make_engine: Callable[..., Any],
) -> None:
    """The sum over no token is 0, in whatever batch the prompt stands."""
    term = MetricTerm(coefficient=1.0, quantity="prob", answer="less")
    metrics = {"mass": Metric(name="mass", terms=(term,))}
    empty = {**SECOND.answers, "less": ()}
    place = replace(changed(answers=empty), metrics=metrics)
    values = ask(make_engine, "gpt2", Run("evaluation"), place).metrics["mass"]
    assert values[1] == 0.0
    assert (values[[0, 2, 3]] > 0).all()
    weights = model("gpt2").weights(torch.float32)
    alone = make_engine(weights, place.sets, metrics, batch_size=1)
    assert alone.evaluate([Run("evaluation")])[0].metrics["mass"][1] == 0.0
    none = tuple(replace(p, answers={**p.answers, "less": ()}) for p in PLACE.prompts())
    sets = {**PLACE.sets, "evaluation": PromptSet(name="evaluation", prompts=none)}
    with pytest.raises(EngineError, match="less names no token in any prompt of evaluation"):
        ask(make_engine, "gpt2", Run("evaluation"), replace(place, sets=sets))


def test_a_refused_run_leaves_the_engine_fit_for_others(make_engine: Callable[..., Any]) -> None:
    weights = model("gpt2").weights(torch.float32)
    engine = make_engine(weights, PLACE.sets, PLACE.metrics)
    fresh = make_engine(weights, PLACE.sets, PLACE.metrics)
    good = Run(
        "evaluation",
        writes=(Replace(at(m(0)), TWIN),),
        attention=(AttentionReading(head(0, 0), END, (ALL_POSITIONS,)),),
    )
    with pytest.raises(EngineError):
        engine.evaluate([replaced(m(9))])
    (one,), (two,) = engine.evaluate([good]), fresh.evaluate([good])
    assert one.metrics["logit_diff"].tobytes() == two.metrics["logit_diff"].tobytes()
    assert one.attention[good.attention[0]] == pytest.approx(1.0)
