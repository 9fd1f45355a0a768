"""The greedy search that labels claims: it is the package's, and what it says of samples holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from circuitspec.verification import Options, verify
from proving import greedy
from proving.catalogue import catalogue
from proving.greedy import Part, Search
from proving.label import Hypothesis
from proving.machine import Array, save
from proving.run import spec
from proving.sets import GREEDY, Sets
from proving.world import Ablation

ENTRY = next(e for e in catalogue() if e.name == "layered")
MEAN = Ablation(by="edges", value="mean", baseline="exchanged", over="template")
ZERO = Ablation(by="nodes", value="zero")


def made_up(seed: int, spread: float) -> Search:
    """Six parts that add up, each prompt a little differently."""
    random = np.random.default_rng(seed)
    size = random.normal(0, 1, 6)
    noise = random.normal(0, spread, (6, 40))

    def signed(parts: frozenset[Part]) -> Array:
        chosen = [int(number) for (number,) in parts]
        return np.asarray((size[chosen, None] + noise[chosen]).sum(0) + 0.3)

    parts = tuple((str(number),) for number in range(6))
    return Search(parts=parts, runs=3, steps=3, candidates=3, seed=seed, signed=signed)


@pytest.mark.parametrize("seed", range(8))
def test_no_sample_of_prompts_leads_elsewhere(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greedy, "MANY", 1000)
    search = made_up(seed, 0.3)
    ends = search.reachable()
    assert ends is not None
    random = np.random.default_rng(seed)
    for size in (1, 2, 5, 20) * 10:
        rows = random.integers(0, 40, size)
        found = replace(search, signed=lambda parts, rows=rows: search.signed(parts)[rows]).found()
        if found is not None:
            assert all(one in end for one, end in zip(found, ends, strict=True))


def test_prompts_alike_leave_one_end_and_others_several() -> None:
    alike, ends = made_up(0, 0.0), made_up(0, 2.0).reachable()
    found = alike.found()
    assert found is not None
    assert [frozenset({one}) for one in found] == alike.reachable()
    assert all(found), "a search that adds nothing says nothing"
    assert ends is None or max(map(len, ends)) > 1


def verified(ablation: Ablation, sample: str, folder: Path) -> dict[str, object]:
    save(ENTRY.world.machine, folder / "model")
    size = "x".join(map(str, GREEDY))
    claim = (
        f"expect searched {{ ablate {ablation.text}  knockouts greedy {size}"
        "  require incompleteness <= 50% * model.logit_diff ci 95 }"
    )
    text = spec(ENTRY, [Hypothesis(name="h", story=ENTRY.story, claims=())], sample)
    end = text.rindex("}")
    (folder / "h.circuit").write_text(f"{text[:end]}{claim}\n}}\n", encoding="utf-8")
    result, found = verify(folder / "h.circuit", options=Options())
    assert result is not None, found
    return dict(result.hypotheses[0].claims[0].measures)


def said(parts: frozenset[Part]) -> frozenset[str]:
    """Parts as results print them."""
    written = set()
    for part in parts:
        if len(part) == 2:
            written.add(f"{part[0]} @ {part[1]}")
        else:
            sender, receiver, channel, at = part
            written.add(f"{sender} -> {receiver}{'.' * bool(channel)}{channel} @ {at}")
    return frozenset(written)


@pytest.mark.parametrize(("ablation", "most"), [(ZERO, 1), (MEAN, 2)])
def test_it_finds_what_the_package_finds(ablation: Ablation, most: int, tmp_path: Path) -> None:
    search = Sets(ENTRY.world, ENTRY.story, 0).search(ablation)
    found, ends = search.found(), search.reachable()
    assert found is not None
    assert ends is not None
    known = {said(one): float(search.signed(one).mean()) for one in found}
    listed = verified(ablation, "sample all, reference all, seed 0", tmp_path)["sets"]
    assert isinstance(listed, list)
    theirs = {frozenset(row["elements"]): row["incompleteness"] for row in listed}
    assert theirs == pytest.approx(known, abs=1e-4)
    assert max(map(len, known)) == most

    sampled = verified(ablation, "sample evaluation 24, reference all, seed 0", tmp_path)["sets"]
    assert isinstance(sampled, list)
    within = {said(one) for end in ends for one in end}
    assert {frozenset(row["elements"]) for row in sampled} <= within
