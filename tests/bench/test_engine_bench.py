"""What `bench/engine.py` times is the same figures three times over, and its JSON has the stated
form."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

BENCH = Path(__file__).parents[2] / "bench"
MODULES = ("ioi_task", "plain_model", "values", "ways", "workloads", "timing")
MODULES += ("scrub", "scaling", "engine")
NAMES = (
    "circuit_nodes",
    "circuit_edges",
    "edges_dense",
    "leave_one_out",
    "knockouts",
    "path_sweep",
    "protocol_ioi",
)


@pytest.fixture(scope="module")
def bench() -> Iterator[Any]:
    """The bench's modules, found as they are when the command runs: beside one another."""
    sys.path.insert(0, str(BENCH))
    yield SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    sys.path.remove(str(BENCH))
    for name in MODULES:
        del sys.modules[name]


@pytest.fixture(scope="module")
def model(bench: Any) -> Any:
    """The circuit's 12 layers of 12 heads, narrow, with weights that make every head count."""
    torch.manual_seed(0)
    return bench.plain_model.random_model(torch.device("cpu"), d_model=24, d_vocab=512, sd=0.5)


@pytest.fixture(scope="module")
def ways(bench: Any, model: Any) -> dict[str, Any]:
    sets = bench.ioi_task.prompt_sets(6, 12)
    return {
        "engine": bench.ways.EngineWay(model, sets),
        "masked": bench.ways.MaskedWay(model, sets, 4),
        "hooks": bench.ways.HooksWay(model, sets, 5),
    }


WORK = (*NAMES, "edges_1770", "path_sweep_mlps", "path_sweep_logits")


@pytest.mark.parametrize("name", WORK)
def test_three_ways_give_the_same_figures(
    bench: Any, model: Any, ways: dict[str, Any], name: str
) -> None:
    work = bench.workloads.works(model.shape, 12)[name]
    chosen = work.sample(min(4, len(work.runs)))
    found = {}
    for kind, way in ways.items():
        way.prepare(chosen)
        found[kind] = torch.stack(way.evaluate(chosen))
    assert found["engine"].shape == (len(chosen), 12)
    plain = ways["masked"].evaluate([bench.workloads.Run("evaluation")])[0]
    # each run says something else than the model, and than the next run
    assert (found["engine"] - plain).abs().amax(1).min() > 2e-4
    if len(chosen) > 1:
        assert found["engine"].diff(dim=0).abs().amax(1).min() > 2e-4
    for kind in ("masked", "hooks"):
        torch.testing.assert_close(found[kind], found["engine"], rtol=0, atol=2e-5)


def test_the_plain_pass_is_the_model(bench: Any, model: Any, ways: dict[str, Any]) -> None:
    prompts = bench.ioi_task.prompt_sets(6, 12)["evaluation"]
    for rows in bench.plain_model.batches_of_rows(prompts, 3):
        tokens = bench.plain_model.tokens_of(prompts, rows, torch.device("cpu"))
        with torch.inference_mode():
            logits = bench.plain_model.Plain.of(model.weights).logits(tokens)
            torch.testing.assert_close(logits, model.bridge(tokens)[:, -1], rtol=0, atol=1e-4)


def test_the_work_is_what_its_name_says(bench: Any, model: Any) -> None:
    works = bench.workloads.works(model.shape, 12)
    assert set(NAMES) <= set(works)
    assert len(works["leave_one_out"].runs) == 27 == len(set(works["leave_one_out"].runs))
    assert len(works["knockouts"].runs) == 2 * 107
    assert works["protocol_ioi"].count == 1 + 26 + 2 * (7 + 100 + 10 * 10 * 10) == 2241
    assert len(works["path_sweep"].runs) == 108
    assert len(works["path_sweep_logits"].runs) == 144
    assert len(bench.workloads.all_edges(model.shape)) == 32491
    assert len(works["edges_1770"].runs[0].edges.edges) == 1770
    live = works["circuit_nodes"].runs[0].writes[0].live
    assert len(live) == 26 + 12


def test_the_protocol_makes_every_evaluation_and_keeps_the_best(bench: Any, model: Any) -> None:
    asked: list[Any] = []

    def evaluate(runs: Any) -> list[torch.Tensor]:
        """Incompleteness grows with the number of heads knocked out in the whole model."""
        asked.extend(runs)
        sizes = [len(getattr(run.writes[0], "elements", ())) for run in runs]
        return [torch.full((2,), float(size)) for size in sizes]

    work = bench.workloads.works(model.shape, 12)["protocol_ioi"]
    held = work.whole(evaluate)
    assert len(asked) == work.count
    assert [len(cut) for cut in held] == [10] * 10
    assert len(set(held)) > 1


def test_prompts_are_as_many_as_asked_and_their_words_stand_where_it_says(bench: Any) -> None:
    for n, templates in ((100, 8), (32, 8), (100, 30)):
        sets = bench.ioi_task.prompt_sets(templates, n)
        prompts = sets["evaluation"].prompts
        assert len(prompts) == n
        assert len({p.template for p in prompts}) == templates
        for prompt in prompts:
            at = {name: places[0] for name, places in prompt.positions.items()}
            assert prompt.tokens[at["S1"]] == prompt.tokens[at["S2"]] == prompt.answers["S1"][0]
            assert prompt.tokens[at["IO"]] == prompt.answers["IO"][0] != prompt.answers["S1"][0]
            assert at["IO"] < at["S2"] > at["S1"]
        foreign = bench.ioi_task.foreign(sets["evaluation"], 512)
        assert {p.template for p in foreign} == {p.template for p in prompts}
        ours = {token for p in prompts for token in p.tokens}
        assert not ours & {token for p in foreign for token in p.tokens}


def test_json_has_the_stated_form(
    bench: Any, model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """The whole command, on a small model."""
    monkeypatch.setattr(bench.engine, "random_model", lambda device: model)
    out = tmp_path / "rows.json"
    only = ["circuit_nodes", "leave_one_out_masked", "scrub_masked"]
    short = ["--prompts", "8x4", "--repeats", "3", "--quiet", "--flops"]
    code = bench.engine.main(["--json", str(out), "--only", *only, *short])
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out.read_text())["rows"]}
    assert set(rows) == {
        "circuit_nodes",
        "circuit_nodes_cold",
        "circuit_nodes_hooks",
        "circuit_nodes_masked",
        "leave_one_out_masked",
        "scrub_masked",
    }
    for row in rows.values():
        low, high = row["spread"]
        assert 0 < low <= row["plain"] <= high
        assert row["shape"] == "8x4"
        assert row["repeats"] == 3
        assert row["gflop"] > 0
        assert row["peak_mb"] is None or row["peak_mb"] >= 0
    # what was predicted of the engine is what is counted, but for logits and what is put in
    predicted = rows["circuit_nodes"]["predicted"]
    counted = rows["circuit_nodes"]["gflop"] / rows["circuit_nodes_masked"]["gflop"]
    assert 0 < predicted < 1.5 * counted < 3 * predicted
    assert "predicted" not in rows["circuit_nodes_masked"]
    assert rows["leave_one_out_masked"]["extrapolated_from"] == 3
    assert "extrapolated_from" not in rows["circuit_nodes"]
    # 27 circuits through all layers cost what one does, 27 times
    ratio = rows["leave_one_out_masked"]["gflop"] / rows["circuit_nodes_masked"]["gflop"]
    assert ratio == pytest.approx(27, rel=1e-3)
    assert rows["scrub_masked"]["extrapolated_from"] == 3
    assert "| leave_one_out_masked |" in capsys.readouterr().out


@pytest.mark.slow
def test_the_scrub_is_of_the_circuit_and_its_tree_is_counted(bench: Any, model: Any) -> None:
    scrub = bench.scrub.Scrub(model, 4, 4)
    members = {(element.node, element.position) for element in scrub.context.circuit.members}
    assert members == {(e.node, e.position) for e in bench.ioi_task.circuit()}
    assert len({p.template for p in scrub.context.task.evaluation}) == 4
    scrub.prepare()
    numbers = scrub.run().numbers
    assert numbers["draws"] == bench.scrub.DRAWS
    assert numbers["pool"] == bench.scrub.POOL
    assert numbers["logit_diff"] != numbers["model.logit_diff"]
    assert scrub.nodes > 100


def test_unknown_work_is_refused(bench: Any, model: Any, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.setattr(bench.engine, "random_model", lambda device: model)
    assert bench.engine.main(["--only", "circuit_nods"]) == 2
    assert "circuit_nods" in capsys.readouterr().out


def test_a_ratio_is_to_the_plain_passes_around_it(bench: Any) -> None:
    """On a clock that is told the time: plain passes of 2 and 4 s, the work 6 s of ten."""
    ticks = iter([2.0, 2.0, 6.0, 4.0])
    clock = bench.timing.Clock(device=torch.device("cpu"), plain=lambda: None)
    case = bench.timing.Case(
        name="x", prepare=lambda: None, run=lambda: None, scale=10.0, sampled=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench.timing.Clock, "seconds", lambda self, run: next(ticks))
        row = clock.measure([case], 1)[0]
    assert row.ratios == [10.0 * 6 / 3]
    assert row.json("8x4", None)["extrapolated_from"] == 1


def test_long_work_is_timed_in_one_round(bench: Any) -> None:
    done: list[str] = []

    def case(name: str, most: int | None) -> Any:
        return bench.timing.Case(
            name=name, prepare=lambda: None, run=lambda: done.append(name), most=most
        )

    clock = bench.timing.Clock(device=torch.device("cpu"), plain=lambda: None)
    rows = clock.measure([case("short", None), case("long", 1)], 3)
    assert [done.count(name) for name in ("short", "long")] == [3, 1]
    assert [row.json("8x4", None)["repeats"] for row in rows] == [3, 1]


def test_a_prediction_is_of_what_is_compiled(bench: Any, model: Any, ways: dict[str, Any]) -> None:
    works = bench.workloads.works(model.shape, 12)
    assert ways["engine"].predicted(works["edges_dense"].runs) is None
    one = ways["engine"].predicted(works["circuit_nodes"].runs)
    assert 0 < one < ways["engine"].predicted(works["leave_one_out"].runs) < 27 * one


def test_scaling_heads_are_spread_over_the_model(bench: Any, model: Any) -> None:
    for count in (1, 26, 144):
        spread = bench.scaling.spread(model.shape, count)
        assert len({element.node for element in spread}) == count
    assert {int(e.node.layer) for e in bench.scaling.spread(model.shape, 26)} == set(range(12))
