"""What a comparison says of rivals about a machine whose workings are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from circuitspec.comparing.compare import compare
from circuitspec.comparing.records import Comparison, Pair
from circuitspec.engine.engine import Engine
from circuitspec.engine.runs import Run
from circuitspec.report import compare as terminal
from circuitspec.report import compare_json, compare_markdown
from circuitspec.report.json import dumps

from .machines import ALL, NAIVE, hypothesis, machine, write


def compared(*specs: str | Path) -> Comparison:
    result, diagnostics = compare(specs)
    assert result is not None, diagnostics
    assert all(check.passed for check in result.self_checks)
    return result


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The whole story first, then the one that is as faithful."""
    spec = write(
        tmp_path_factory.mktemp("naive"),
        machine(),
        hypothesis("full", ALL),
        hypothesis("naive", NAIVE),
    )
    return compared(spec)


def only(result: Comparison) -> Pair:
    (pair,) = result.pairs
    return pair


def calls(pair: Pair) -> dict[tuple[str, str], str]:
    return {(d.question.name, d.measure): d.called for d in pair.differences}


def test_equally_faithful_rivals_are_told_apart_by_a_role(naive: Comparison) -> None:
    pair = only(naive)
    called = calls(pair)
    assert called["", "miss"] not in ("first", "second")
    assert called["", "agreement"] not in ("first", "second")
    assert called["negative", "miss"] == "first"
    assert pair.outcome == "first"
    assert pair.reading[0] == "full is a better explanation than naive"
    assert any("only knock-outs tell" in sentence for sentence in pair.reading)


def test_the_order_of_rivals_turns_the_sign_and_nothing_else(
    naive: Comparison, tmp_path: Path
) -> None:
    spec = write(tmp_path, machine(), hypothesis("full", ALL), hypothesis("naive", NAIVE))
    pair, turned = only(naive), only(compared(f"{spec}::naive", f"{spec}::full"))
    assert turned.outcome == "second"
    mine = {(d.question.name, d.measure): d.nearer.estimate for d in pair.differences}
    theirs = {(d.question.name, d.measure): -d.nearer.estimate for d in turned.differences}
    assert mine == pytest.approx(theirs, abs=1e-5)


def test_what_a_move_does_is_what_a_spec_with_the_head_has(
    naive: Comparison, tmp_path: Path
) -> None:
    """Without a0.h1 the naive circuit is what it was, so a0.h2 alone is what is added to it."""
    pair = only(naive)
    assert pair.deciding is not None
    assert pair.deciding.question.name == "backup"
    moves = {move.name: move for move in pair.moves}
    assert list(moves) == ["a0.h2 @ END", "a0.h1 @ END"]
    assert moves["a0.h1 @ END"].in_first.estimate == pytest.approx(0.0, abs=1e-6)
    spec = write(
        tmp_path,
        machine(),
        hypothesis("naive", NAIVE),
        hypothesis("with_negative", (*NAIVE, ("negative", "a0.h2"))),
    )
    before, after = (rival.scores[0].circuit.estimate for rival in compared(spec).rivals)
    assert moves["a0.h2 @ END"].held_by == "first"
    assert moves["a0.h2 @ END"].in_second.estimate == pytest.approx(after - before, abs=1e-5)
    assert after - before < -1.0


def test_identical_hypotheses_are_not_distinguishable(tmp_path: Path) -> None:
    spec = write(tmp_path, machine(), hypothesis("one", ALL), hypothesis("other", ALL))
    pair = only(compared(spec))
    assert pair.outcome == "undecided"
    assert pair.reading == (
        "not distinguishable at this n (100): one and other are the same circuit",
    )
    assert pair.apart.one_circuit
    assert pair.deciding is None
    assert pair.moves == ()


def test_identical_hypotheses_stay_so_by_whatever_sets(tmp_path: Path) -> None:
    """In two files, under one name: no set without a name finds a difference that is not there."""
    stated = hypothesis("same", ALL, knockouts="random 8, greedy 2x2x3")
    first = write(tmp_path, machine(), stated)
    second = write(tmp_path, machine(), hypothesis("same", ALL), name="others")
    result = compared(first, second)
    pair = only(result)
    assert (pair.first, pair.second) == ("rivals::same", "others::same")
    assert pair.outcome == "undecided"
    assert "are the same circuit" in pair.reading[0]
    assert {d.question.kind for d in pair.differences} == {"named", "random"}  # all that there is
    assert {d.nearer.estimate for d in pair.differences} == {0.0}


def test_the_first_is_set_against_each_of_several(tmp_path: Path) -> None:
    """In one file; each pair reads as it does alone."""
    spec = write(
        tmp_path,
        machine(),
        hypothesis("full", ALL),
        hypothesis("naive", NAIVE),
        hypothesis("again", ALL),
        hypothesis("wrong", (("copier", "a0.h2"),), by="edges"),
    )
    result = compared(spec)
    assert [rival.name for rival in result.rivals] == ["full", "naive", "again", "wrong"]
    assert [(p.first, p.second, p.outcome) for p in result.pairs] == [
        ("full", "naive", "first"),
        ("full", "again", "undecided"),
        ("full", "wrong", "first"),
    ]
    assert result.reading == tuple(pair.reading[0] for pair in result.pairs)
    text = terminal.render(result, width=100)
    assert text.lstrip().startswith("full against naive, again, wrong")
    document = json.loads(dumps(compare_json.document(result)))
    assert [pair["second"] for pair in document["pairs"]] == ["naive", "again", "wrong"]
    assert compare_markdown.render(result).count("\n\n## full against") == 3


def test_all_that_is_known_beforehand_is_one_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two rivals with claims, scores and questions: nothing of theirs is left for a second go."""
    fresh: list[int] = []
    computed = Engine._compute_together

    def counted(engine: Engine, runs: Sequence[Run]) -> None:
        fresh.append(len(runs))
        computed(engine, runs)

    monkeypatch.setattr(Engine, "_compute_together", counted)
    for module in ("verification", "comparing.compare"):  # self-checks run what they check again
        monkeypatch.setattr(f"circuitspec.{module}.run_self_checks", lambda *_: ())
    both = (
        hypothesis("full", ALL, knockouts="roles, random 6"),
        hypothesis("again", ALL, knockouts="roles, random 6"),
    )
    compared(write(tmp_path, machine(), *both))
    plain, plan, *others = [count for count in fresh if count]
    assert (plain, others) == (1, []), fresh
    assert plan >= 15


def test_rivals_of_different_granularity_share_no_part(tmp_path: Path) -> None:
    """Not nested, and one of them states its claim by edges: both are asked both."""
    spec = write(
        tmp_path,
        machine(),
        hypothesis("right", (("copier", "a0.h0"), ("backup", "a0.h1"), ("negative", "a0.h2"))),
        hypothesis("wrong", (("copier", "a0.h3"),), by="edges"),
    )
    result = compared(spec)
    pair = only(result)
    assert pair.outcome == "first"
    assert [a.by for a in result.ablations] == ["nodes", "edges"]
    names = {d.question.name for d in pair.differences}
    assert {"right.copier", "wrong.copier", "backup", "negative", ""} == names
    for rival in result.rivals:
        assert len(rival.scores) == 2


def test_across_models_shortfalls_are_shares_of_their_own_metric(tmp_path: Path) -> None:
    """The same story of a machine and of one that writes more with another head."""
    first = write(tmp_path / "a", machine(), hypothesis("here", ALL))
    second = write(tmp_path / "b", machine(fourth=3.0), hypothesis("there", ALL))
    result = compared(first, second)
    pair = only(result)
    assert pair.outcome == "first"
    miss = next(d for d in pair.differences if d.question.cuts is None and d.measure == "miss")
    assert miss.values[1].estimate == pytest.approx(-0.5, abs=0.05)  # 3 of the 6 that it writes
    assert miss.scale == 1.0
    assert pair.moves == ()
    assert any(text.startswith("the model: ") for text in pair.apart.others)


def test_other_prompts_cannot_be_compared(tmp_path: Path) -> None:
    first = write(tmp_path, machine(), hypothesis("one", ALL))
    second = write(
        tmp_path,
        machine(),
        hypothesis("other", ALL),
        sample="sample evaluation 100, reference all, seed 1",
        name="others",
    )
    pair = only(compared(first, second))
    assert pair.outcome == "unpaired"
    assert "prompts are not the same" in pair.reading[0]


def test_one_hypothesis_has_no_rival(tmp_path: Path) -> None:
    spec = write(tmp_path, machine(), hypothesis("one", ALL))
    result, diagnostics = compare([spec])
    assert result is None
    assert any("no rival" in d.message for d in diagnostics)


def test_it_prints(naive: Comparison) -> None:
    text = terminal.render(naive, width=100)
    assert max(map(len, text.splitlines())) <= 100
    for heading in (
        "size against recovered",
        "what differs",
        "which differences decide",
        "prompts",
    ):
        assert heading in text
    assert "full is a better explanation than naive" in text
    narrow = terminal.render(naive, width=50)
    assert max(map(len, narrow.splitlines())) <= 50
    document = json.loads(dumps(compare_json.document(naive)))
    assert document["schema"] == "circuitspec.comparison/1"
    (pair,) = document["pairs"]
    assert pair["outcome"] == "first"
    assert pair["only_first"]["nodes"] == ["a0.h1 @ END", "a0.h2 @ END"]
    markdown = compare_markdown.render(naive)
    assert "**full is a better explanation than naive**" in markdown
    tables = [line for line in markdown.splitlines() if line.startswith("|---")]
    assert len(tables) >= 4
