"""The SVG file: the same text every time, well-formed, self-contained, and readable without eyes.

The golden files are under `__snapshots__/test_svg`. After a change meant to be seen, look at the
pictures, then `pytest tests/figure --snapshot-update`.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from circuitspec.language.nodes import END
from circuitspec.report.figure.layout import layout
from circuitspec.report.figure.scene import Scene
from circuitspec.report.figure.style import DARK, LIGHT, NAMES
from circuitspec.report.figure.svg import bundle_text, to_svg
from tests.figure.scenes import scene, scene_of_file

SVG = "{http://www.w3.org/2000/svg}"

FOUR_NODES = '''\
circuitspec 1

"""Two heads & <two> MLPs: "as small as it gets"."""
hypothesis four {
  model "gpt2"
  task t {
    template a "The {X} of {Y} is"
    slot X, Y from names.english distinct one_token
    metric m = logit(X)
  }
  role mover  = a1.h2 @ END attends Y carries token(Y)
  role reader = m0, m1 @ Y
  role last   = m2 @ END
  open a0.h3 @ Y "looks back; why?"
  edge input -> reader, mover.qv
  edge reader -> mover.k
  edge within reader
  edge mover -> last, logits
  edge last -> logits
}
'''

KEPT = """\
circuitspec 1
hypothesis kept {
  task t {
    template a "The {X} of {Y} is"
    slot X, Y from names.english distinct one_token
    metric m = logit(X)
    metric n = logit(Y) at Y
  }
  role late  = a3.h1 @ END attends X, Y
  role twice = a1.h1, a1.h2 @ (X, Y) attends (BOS, X)
  keep m0 @ *
  keep m2 @ END
  edge input -> m0, twice.qkv
  edge m0 -> late.kv, m2
  edge twice -> late.k
  edge late, m2 -> logits
}
"""

ATTENDED = """\
circuitspec 1
hypothesis attended {
  task t {
    template a "{X} {Y} and {X2}"
    slot X, Y from names.english distinct one_token
    slot X2 from X
    metric m = logit(Y)
  }
  role copier = a1.h2 @ X2, END attends X
}
"""


class SvgFile(SingleFileSnapshotExtension):
    """One golden file a test, that a browser opens."""

    _write_mode = WriteMode.TEXT
    file_extension = "svg"


@pytest.fixture
def golden(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SvgFile)


def scenes() -> dict[str, Scene]:
    return {
        "ioi": scene_of_file("specs/ioi_gpt2.circuit", "ioi"),
        "ioi_naive": scene_of_file("specs/ioi_gpt2.circuit", "ioi_naive"),
        "four_nodes": scene(FOUR_NODES),
        "attended": scene(ATTENDED),
        "kept": scene(KEPT),
        "greater_than": scene_of_file("specs/tasks/greater_than.circuit"),
        "empty": scene("circuitspec 1 hypothesis h { }"),
    }


ALL = ["ioi", "ioi_naive", "four_nodes", "attended", "kept", "greater_than", "empty"]


@pytest.mark.parametrize("name", ["ioi", "four_nodes", "attended", "kept"])
def test_as_drawn_before(name: str, golden: SnapshotAssertion) -> None:
    assert to_svg(layout(scenes()[name])) == golden


@pytest.mark.parametrize("name", ALL)
def test_well_formed_and_self_contained(name: str) -> None:
    text = to_svg(layout(scenes()[name]))
    root = ET.fromstring(text)
    assert root.tag == f"{SVG}svg"
    assert {e.tag for e in root.iter()} <= {
        SVG + tag
        for tag in (
            *("svg", "title", "desc", "style", "g", "rect", "path", "polygon", "circle"),
            *("text", "tspan"),
        )
    }
    for element in root.iter():
        for attribute in element.attrib:
            assert not attribute.startswith("on")
            assert "href" not in attribute
    assert "url(" not in text
    assert "@import" not in text
    assert text.count("http") == 1 + text.count("arXiv:http")
    assert "var(" not in text, "programs that make PDF of SVG do not know custom properties"


@pytest.mark.parametrize("name", ALL)
def test_everything_is_drawn_and_named(name: str) -> None:
    shown = scenes()[name]
    root = ET.fromstring(to_svg(layout(shown)))
    texts = ["".join(e.itertext()) for e in root.iter(f"{SVG}text")]
    titles = ["".join(e.itertext()) for e in root.iter(f"{SVG}title")]
    for box in shown.boxes:
        assert texts.count(box.name) >= 1
        for node in box.nodes:
            assert str(node) in texts
    for bundle in shown.bundles:
        assert titles.count(bundle_text(bundle)) == 1
    letters = sorted("".join(b.channels) for b in shown.bundles if any(b.channels))
    assert sorted(t for t in texts if t in letters) == letters
    assert root.get("role") == "img"
    named = {e.get("id"): "".join(e.itertext()) for e in root if e.get("id")}
    assert root.get("aria-labelledby") == " ".join(named)
    assert named["circuit-title"].startswith(shown.name)
    for box in shown.boxes:
        assert f"{box.name} at {box.position}: " in named["circuit-desc"]


def test_channels_differ_by_colour_and_by_dashes() -> None:
    root = ET.fromstring(to_svg(layout(scenes()["ioi"])))
    dashes = {}
    for path in root.iter(f"{SVG}path"):
        style = path.get("class", "")
        if style.startswith("wire "):
            dashes.setdefault(style.removeprefix("wire "), set()).add(path.get("stroke-dasharray"))
    assert dashes["q"] == {None}
    assert None not in dashes["k"] | dashes["v"]
    assert not dashes["k"] & dashes["v"]
    for colors in (LIGHT, DARK):
        assert len({colors[name] for name in NAMES.values()}) == len(NAMES)


@pytest.mark.parametrize("colors", [LIGHT, DARK])
def test_text_and_wires_stand_out(colors: dict[str, str]) -> None:
    """Contrast as WCAG 2.1 measures it: 4.5 for text, 3 for graphics."""
    for name in ("ink", "dim", *NAMES.values()):
        for ground in ("paper", "band", "node"):
            least = 4.5 if name in ("ink", "dim") else 3.0
            assert contrast(colors[name], colors[ground]) >= least, (name, ground)


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """Relative luminance of an sRGB colour, WCAG 2.1."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_dark_where_the_screen_is_dark() -> None:
    text = to_svg(layout(scenes()["four_nodes"]))
    dark = re.search(r"@media \(prefers-color-scheme: dark\) \{(.*?)\n\}", text, re.S)
    assert dark is not None
    assert DARK["paper"] in dark[1]
    assert LIGHT["paper"] not in dark[1]


def test_markup_in_names_is_escaped() -> None:
    text = to_svg(layout(scenes()["four_nodes"]))
    assert "<two>" not in text
    assert "&lt;two&gt;" in text


def test_a_role_at_two_places_has_two_boxes_and_kept_nodes_only_where_edges_name_them() -> None:
    shown = scenes()["kept"]
    assert {(box.kind, box.id) for box in shown.boxes} == {
        ("role", "late@END"),
        ("role", "twice@X"),
        ("role", "twice@Y"),
        ("kept", "m0@*"),
        ("kept", "m2@END"),
    }
    joined = {(b.source, b.target, "".join(b.channels)) for b in shown.bundles}
    assert ("input@BOS", "twice@X", "kv") in joined
    assert ("input@X", "twice@Y", "kv") in joined
    assert ("input@X", "twice@X", "q") in joined
    assert ("m0@*", "late@END", "kv") in joined
    assert ("m0@*", "m2@END", "in") in joined
    assert shown.logits == (END,), "nothing that lives at Y leads to the logits there"
    assert [str(c.position) for c in shown.columns] == ["*", "BOS", "X", "Y", "END"]
