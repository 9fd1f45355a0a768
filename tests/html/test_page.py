"""The page as a whole, from results made by hand: any browser can read it, even in the dark."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from itertools import product

import pytest

from circuitspec.closeup import Astray, Closeup, Look, Seen
from circuitspec.judge.records import RunResult
from circuitspec.loading import load_spec
from circuitspec.report.figure.scene import scene_of
from circuitspec.report.html.measured import told, with_measures
from circuitspec.report.html.page import fragment, render
from circuitspec.report.html.style import PALETTES, VERDICTS_LIGHT

from ..report.conftest import claim, hypothesis, requirement, run

HEAD = """\
circuitspec 1

hypothesis small {
  model "ioi-mini"
  task ioi {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    slot IO, S1 from names.english    distinct one_token
    slot S2     from S1
    slot place  from nouns.ioi_places one_token
    slot thing  from nouns.ioi_things one_token
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 40, reference 40 each template, seed 0
    bos no
  }
"""
"""What the specs of these tests begin with: the packaged task."""

SPEC = (
    HEAD
    + """\
  role early  = a0.h0, a0.h1 @ S2 attends S1
  role reader = a2.h0, a3.h2, a3.h5 @ END attends S2
  keep mlps @ *
  edge input  -> early.qkv, reader.q
  edge early  -> reader.kv
  edge reader -> logits
  protocol nodes { ablate by nodes with mean from abc over template }

  expect looks { require attention(reader) >= 0.5 ci 95 }
  expect reader_decides {
    patch all reader -> logits from abc direct
    require logit_diff <= 90% * model.logit_diff ci 95
  }
  expect faithful under nodes {
    ablate complement
    require logit_diff within 99% of model.logit_diff ci 95
  }
  expect complete under nodes {
    knockouts roles
    require incompleteness <= 99% * model.logit_diff ci 95
  }
  expect minimal under nodes {
    each role
    require effect >= 0.001 ci 95
  }
}
"""
)

CLOSEUP = Closeup(
    seen=(
        Seen(
            template="abba",
            text="When Ann <b> & Bob",
            tokens=("When", " Ann", " <b>", " & Bob"),
            looks=(Look(role="reader", head="a2.h0", query=3, weights=(0.004, 0.8, 0.096, 0.1)),),
        ),
    ),
    metric="logit_diff",
    claim="faithful",
    worst=(Astray(index=7, text="Then, <i> said to", model=3.25, circuit=-1.5),),
)


@pytest.fixture
def small() -> RunResult:
    """A result for `SPEC`, with numbers that are easily found again."""
    sets = [
        {"name": "early", "kind": "named", "model.logit_diff": 3.0, "circuit.logit_diff": 2.5},
        {"name": "K3", "kind": "random", "model.logit_diff": 1.0, "circuit.logit_diff": 1.25},
    ]
    effects = [
        {"name": "early", "given": "", "before.logit_diff": 4.0, "after.logit_diff": 4.5},
        {"name": "reader", "given": "early", "before.logit_diff": 4.0, "after.logit_diff": 1.0},
    ]
    whole = {"model.logit_diff": 5.0, "circuit.logit_diff": 4.0}
    return run(
        hypothesis(
            claim(
                "looks", "holds", requirement("attention(reader) >= 0.5 ci 95", threshold=0.5),
                measures={"attention(reader)": 0.8123},
            ),
            claim(
                "reader_decides", "refuted",
                requirement(
                    "logit_diff <= 90% * model.logit_diff ci 95", "refuted", estimate=0.5,
                    interval=(0.4, 0.6), threshold=0.0, shown="4.75 against 5 (95.0% of it)",
                ),
            ),
            claim("complete", "holds", measures={**whole, "sets": sets}),
            claim("minimal", "holds", measures={**whole, "effects": effects}),
            name="small",
            verdict="refuted",
        ),
        verdict="refuted",
    )  # fmt: skip


@pytest.fixture
def page(small: RunResult) -> str:
    loaded = load_spec("t.circuit", text=SPEC, prompts="none")
    assert loaded.ok, loaded.diagnostics
    stated = {bound.hypothesis.name: bound.hypothesis for bound in loaded.bound}
    return render(small, hypotheses=stated, closeups={"small": CLOSEUP})


def tree(page: str) -> ET.Element:
    head, found, rest = page.partition("<!DOCTYPE html>\n")
    assert (head, found) == ("", "<!DOCTYPE html>\n")
    return ET.fromstring(rest)


@pytest.mark.parametrize("name", ["held", "every_verdict", "awkward"])
def test_any_result_is_well_formed(name: str, request: pytest.FixtureRequest) -> None:
    root = tree(render(request.getfixturevalue(name)))
    assert root.tag == "html"
    ET.fromstring(f"<div>{fragment(request.getfixturevalue(name))}</div>")


def test_ids_are_unique_and_whatever_is_referred_to_is_there(page: str) -> None:
    elements = list(tree(page).iter())
    ids = [e.get("id") for e in elements if e.get("id")]
    assert len(ids) == len(set(ids)) > 3
    referred = [i for e in elements for i in (e.get("aria-labelledby") or "").split()]
    assert referred
    assert set(referred) <= set(ids)


def test_nothing_comes_from_elsewhere_and_nothing_is_run(page: str) -> None:
    assert set(re.findall(r"https?://[^\s\"'<)]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(script|link|img|iframe|object|embed|base)\b", page)
    assert not re.search(r"\b(src|href|on\w+)=", page)
    assert not re.search(r"url\(|@import", page)


def test_a_phone_gets_its_own_width(page: str) -> None:
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in page
    inside = sum(len(list(box.iter("table"))) for box in boxes(page, "r-wide"))
    assert inside == len(list(tree(page).iter("table"))) == 2, "each scrolls by itself"


def boxes(page: str, name: str) -> list[ET.Element]:
    return [e for e in tree(page).iter("div") if name in (e.get("class") or "").split()]


def test_texts_of_others_stay_text(page: str) -> None:
    assert "Then, &lt;i&gt; said to" in page
    cells = [e.text for e in tree(page).iter("th")]
    assert " <b>" in cells


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize(
    ("theme", "color"), product(PALETTES, ("ink", "dim", *VERDICTS_LIGHT)), ids=str
)
def test_text_stands_out_from_paper(theme: str, color: str) -> None:
    """WCAG 2.1, AA: 4.5 to 1."""
    of = PALETTES[theme]
    pair = sorted((luminance(of["paper"]), luminance(of[color])))
    assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


def test_numbers_on_a_marked_cell_stand_out() -> None:
    for of in PALETTES.values():
        pair = sorted((luminance(of["paper"]), luminance(of["q"])))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= 4.5


def test_the_figure_has_measures_on_roles_and_claims_on_arrows(small: RunResult) -> None:
    (bound,) = load_spec("t.circuit", text=SPEC, prompts="none").bound
    (result,) = small.hypotheses
    scene = with_measures(scene_of(bound.hypothesis), bound.hypothesis, result)
    notes = {box.name: box.notes for box in scene.boxes}
    assert notes == {"early": ("cut +0.5",), "reader": ("attention 0.81", "cut −3")}
    lines = told(scene, bound.hypothesis, result)
    arrow = "reader@END -> logits@END"
    assert list(lines[arrow]) == [
        "✗ reader_decides: logit_diff <= 90% * model.logit_diff: 4.75 against 5 (95.0% of it); "
        "0.50 [0.40, 0.60] 95%, needs ≤ 0, n 200"
    ]
    assert [line.partition(":")[0] for line in lines["reader@END"]] == ["✓ looks", "minimal"]
    assert lines["early@S2"] == ("minimal: logit_diff 4 with early, 4.5 without",)
    assert set(lines) == {arrow, "reader@END", "early@S2"}, "no arrow of early is in a claim"


def test_hovering_shows_them(page: str) -> None:
    titles = [e.text or "" for e in tree(page).iter("{http://www.w3.org/2000/svg}title")]
    assert any(t.startswith("reader@END -> logits@END") and "✗ reader_decides" in t for t in titles)
    assert any(t.startswith("reader @ END") and "✓ looks" in t for t in titles)


def test_attention_is_shown_token_by_token(page: str) -> None:
    (row,) = [r for r in tree(page).iter("tr") if [c.text for c in r][:2] == ["reader", "a2.h0"]]
    cells = list(row)[2:]
    assert [c.text for c in cells] == [None, "80", "10", "10"], "0.4% is left blank"
    assert [("r-strong" in c.get("class", ""), "r-query" in c.get("class", "")) for c in cells] == [
        (False, False), (True, False), (False, False), (False, True),
    ]  # fmt: skip
