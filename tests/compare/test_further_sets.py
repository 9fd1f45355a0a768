"""Sets K without a name: drawn and searched for where a rival's claims state them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from circuitspec.comparing.compare import compare
from circuitspec.comparing.records import Comparison, Difference, Pair
from circuitspec.report import compare as terminal
from circuitspec.report import compare_json, compare_markdown
from circuitspec.report.json import dumps

from .machines import NAIVE, hypothesis, machine, write

PAIR = (("copier", "a0.h0"), ("pair", "a0.h1, a0.h2"))
"""What cancels is one role: without it the model does what it did, so no role tells it apart."""
SEARCHED = {2 * row + 1 for row in range(50)}
"""The rows that judge a greedy K: of one template's prompts every second is for the search."""


def compared(*specs: str | Path) -> Comparison:
    result, diagnostics = compare(specs)
    assert result is not None, diagnostics
    assert all(check.passed for check in result.self_checks)
    return result


def asked(pair: Pair, kind: str) -> list[Difference]:
    return [d for d in pair.differences if d.question.kind == kind]


def parts(difference: Difference) -> set[str]:
    return {name.removesuffix(" @ END") for name in difference.question.parts()}


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Nothing but roles is stated."""
    folder = tmp_path_factory.mktemp("named")
    both = hypothesis("full", PAIR), hypothesis("naive", NAIVE)
    return compared(write(folder, machine(), *both))


@pytest.fixture(scope="module")
def further(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """The rival, and it alone, states that no set of its parts is missing anything."""
    folder = tmp_path_factory.mktemp("further")
    both = (
        hypothesis("full", PAIR),
        hypothesis("naive", NAIVE, knockouts="random 12, greedy 2x2x3"),
    )
    return compared(write(folder, machine(), *both))


def test_what_no_claim_states_is_not_asked(named: Comparison) -> None:
    (pair,) = named.pairs
    assert {d.question.kind for d in pair.differences} == {"named"}
    assert pair.outcome not in ("first", "second")


def test_a_set_without_a_name_tells_what_roles_hide(further: Comparison) -> None:
    (pair,) = further.pairs
    assert all(d.called not in ("first", "second") for d in asked(pair, "named"))
    told = {frozenset(parts(d)): d.called for d in asked(pair, "random") + asked(pair, "greedy")}
    for one, other in (("a0.h1", "a0.h2"), ("a0.h2", "a0.h1")):
        for cut, called in told.items():
            if one in cut and other not in cut:
                assert called == "first", cut
    assert "first" in told.values()
    assert pair.outcome == "first"


def test_both_are_asked_about_the_parts_of_either_and_each_set_once(further: Comparison) -> None:
    (pair,) = further.pairs
    sets = [frozenset(parts(d)) for d in pair.differences if d.question.cuts is not None]
    assert len(sets) == len(set(sets))
    assert frozenset() not in sets
    assert set().union(*sets) == {"a0.h0", "a0.h1", "a0.h2"}
    assert all(d.question.cuts[0] == d.question.cuts[1] for d in asked(pair, "random"))


def test_a_level_that_holds_for_all_sets_at_once(named: Comparison, further: Comparison) -> None:
    for result in (named, further):
        (pair,) = result.pairs
        assert {d.family.level for d in pair.differences} == {100 - 5 / len(pair.differences)}


def test_the_half_that_was_not_searched_judges_a_greedy_set(tmp_path: Path) -> None:
    """Nobody draws anything here, so that what the search finds is new."""
    both = (
        hypothesis("full", PAIR, knockouts="roles, greedy 2x2x3"),
        hypothesis("naive", NAIVE),
    )
    result = compared(write(tmp_path, machine(), *both))
    (pair,) = result.pairs
    found = asked(pair, "greedy")
    assert found
    for difference in found:
        assert set(difference.question.rows or ()) == SEARCHED
        assert difference.nearer.n == 50
        assert difference.called == "first"
    assert any("of naive" in d.question.name for d in found)
    assert pair.outcome == "first"
    assert pair.deciding is not None
    assert pair.deciding.question.kind == "greedy"
    assert {prompt.index for prompt in pair.disagreements} <= SEARCHED
    assert {move.name for move in pair.moves} == {"a0.h1 @ END", "a0.h2 @ END"}
    document = json.loads(dumps(compare_json.document(result)))
    (json_pair,) = document["pairs"]
    sets = [d for d in json_pair["differences"] if d.get("kind") == "greedy"]
    assert all(set(each["prompts"]) == SEARCHED for each in sets)
    assert all(each["parts"][0] == each["parts"][1] for each in sets)
    text = terminal.render(result, width=100)
    assert "what is in the sets without a name" in text
    assert "what is in the sets without a name" in compare_markdown.render(result)


def test_the_order_of_rivals_asks_the_same_sets(further: Comparison, tmp_path: Path) -> None:
    both = (
        hypothesis("naive", NAIVE, knockouts="random 12, greedy 2x2x3"),
        hypothesis("full", PAIR),
    )
    (pair,), (turned,) = further.pairs, compared(write(tmp_path, machine(), *both)).pairs
    mine = {(d.question.parts(), d.measure): d.nearer.estimate for d in pair.differences}
    theirs = {(d.question.parts(), d.measure): -d.nearer.estimate for d in turned.differences}
    assert mine == pytest.approx(theirs, abs=1e-5)
    assert turned.outcome == "second"


def test_across_models_they_are_not_asked_and_that_is_said(tmp_path: Path) -> None:
    first = write(tmp_path / "a", machine(), hypothesis("here", PAIR, knockouts="roles, random 4"))
    second = write(tmp_path / "b", machine(fourth=3.0), hypothesis("there", PAIR))
    (pair,) = compared(first, second).pairs
    assert not asked(pair, "random")
    assert any("not asked across models" in note for note in pair.notes)


def test_by_edges_sets_are_of_edges(tmp_path: Path) -> None:
    both = (
        hypothesis("full", PAIR, by="edges", knockouts="random 4"),
        hypothesis("naive", NAIVE, by="edges"),
    )
    (pair,) = compared(write(tmp_path, machine(), *both)).pairs
    assert asked(pair, "random")
    assert all(" -> " in part for d in asked(pair, "random") for part in d.question.parts())
