"""`verify --report`: a page of a real run, and how a real browser shows it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from circuitspec import cli
from circuitspec.cli.pages import write_plots, write_report
from circuitspec.closeup import Closeup, closeups
from circuitspec.judge.records import RunResult
from circuitspec.loading import load_spec
from circuitspec.model.kept import KeptModels
from circuitspec.report.figure.scene import scene_of
from circuitspec.report.html.measured import with_measures
from circuitspec.verification import Options, verify

from .test_page import SPEC, tree

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
Verified = tuple[Path, RunResult, Path, KeptModels]


@pytest.fixture(scope="module")
def verified(tmp_path_factory: pytest.TempPathFactory) -> Verified:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "small.circuit"
    path.write_text(SPEC, encoding="utf-8")
    loader = KeptModels()
    result, found = verify(path, options=Options(controls=0), loader=loader)
    assert result is not None, found
    return path, result, folder, loader


@pytest.fixture(scope="module")
def looked(verified: Verified) -> Mapping[str, Closeup]:
    path, _, _, loader = verified
    return closeups(path, loader=loader)


def test_roles_are_looked_at_where_they_live(looked: Mapping[str, Closeup]) -> None:
    (seen,) = looked["small"].seen
    assert seen.template == "abba"
    assert "".join(t.strip() for t in seen.tokens) == seen.text.replace(" ", "")
    heads = [(look.role, look.head) for look in seen.looks]
    assert heads == [("early", "a0.h0"), ("early", "a0.h1"),
                     ("reader", "a2.h0"), ("reader", "a3.h2"), ("reader", "a3.h5")]  # fmt: skip
    for look in seen.looks:
        assert sum(look.weights) == pytest.approx(1, abs=1e-5)
        assert not any(look.weights[look.query + 1 :]), "nothing after the query is seen"
        assert look.query == (len(seen.tokens) - 1 if look.role == "reader" else 9)


def test_the_attention_is_what_the_claim_measured(
    verified: Verified, looked: Mapping[str, Closeup]
) -> None:
    _, result, _, _ = verified
    (seen,) = looked["small"].seen
    mean = result.hypotheses[0].claims[0].measures["attention(reader)"]
    here = [look.weights[9] for look in seen.looks if look.role == "reader"]
    assert abs(sum(here) / len(here) - mean) < 0.4, "one prompt of those whose mean it is"


def test_the_worst_prompts_are_the_furthest(
    verified: Verified, looked: Mapping[str, Closeup]
) -> None:
    _, result, _, _ = verified
    closeup = looked["small"]
    assert (closeup.claim, closeup.metric, len(closeup.worst)) == ("faithful", "logit_diff", 5)
    off = [abs(each.model - each.circuit) for each in closeup.worst]
    assert off == sorted(off, reverse=True)
    faithful = next(c for c in result.hypotheses[0].claims if c.name == "faithful")
    assert off[-1] >= faithful.measures["error(logit_diff)"], "worse than the mean error"


def test_a_page_and_its_plots_are_written(verified: Verified) -> None:
    path, result, folder, loader = verified
    loaded = load_spec(path, prompts="none")
    write_report(folder / "report.html", result, loaded, Options(), loader)
    root = tree((folder / "report.html").read_text(encoding="utf-8"))
    headings = [h.text for h in root.iter("h3")]
    assert headings == [
        "Claims", "Completeness and minimality", "Where roles look",
        "Furthest from the model under faithful", "Where it comes from",
    ]  # fmt: skip
    write_plots(folder / "plots", result)
    assert sorted(p.name for p in (folder / "plots").iterdir()) == [
        "small.complete.logit_diff.svg",
        "small.minimal.logit_diff.svg",
    ]


def test_an_arrow_has_what_the_run_measured_along_it(verified: Verified) -> None:
    path, result, _, _ = verified
    (bound,) = load_spec(path, prompts="none").bound
    (judged,) = result.hypotheses
    scene = with_measures(scene_of(bound.hypothesis), bound.hypothesis, judged)
    notes = {f"{b.source} -> {b.target}": b.note for b in scene.bundles}
    patched = next(c for c in judged.claims if c.name == "reader_decides").measures
    moved = patched["logit_diff"] - patched["model.logit_diff"]
    assert float(notes["reader@END -> logits@END"].replace("−", "-")) == pytest.approx(moved, 0.05)
    assert [note for note in notes.values() if note] == [notes["reader@END -> logits@END"]]
    minimal = next(c for c in judged.claims if c.name == "minimal")
    (requirement,) = minimal.requirements
    for contrast in requirement.contrasts:
        upwards = contrast["estimate"] >= 0
        assert contrast["relation"] == (">=" if upwards else "<="), "the end that is nearer"


def test_the_command_writes_it(
    verified: Verified,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, _, _, _ = verified
    report = tmp_path / "new folder" / "r.html"
    command = ["verify", path, "--only", "looks", "--only", "reader_decides", "--report", report]
    monkeypatch.setattr(sys, "argv", ["circuitspec", *map(str, command)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr().err
    assert caught.value.code == 0, said
    assert f"written to {report}" in said
    root = tree(report.read_text(encoding="utf-8"))
    assert [h.text for h in root.iter("h4")] == ["looks ", "reader_decides "]


MEASURE = """<script>
const page = document.documentElement;
page.dataset.width = innerWidth + " " + page.scrollWidth;
page.dataset.paper = getComputedStyle(document.body).backgroundColor;
page.dataset.boxes = document.querySelectorAll("svg .box").length;
</script></body>"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A browser that shows a page of one word here, so that none of ours may fail to show."""
    name = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if name is None:
        pytest.skip(f"no browser to open it in: none of {', '.join(BROWSERS)} is installed")
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "page.html"
    page.write_text("<p id=works></p><script>works.innerText = 6 * 7</script>", encoding="utf-8")
    try:
        shown, said = dumped(name, page, folder, 390)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{name} does not work here: a page of one word took more than two minutes")
    if ">42<" not in shown:
        pytest.skip(f"{name} does not work here: {said[-200:]}")
    return name


def dumped(browser: str, page: Path, folder: Path, width: int) -> tuple[str, str]:
    """A page as a browser has it after its scripts, and what the browser said on stderr."""
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
               f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900",
               "--dump-dom", page.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_a_browser_shows_it_at_any_width(
    verified: Verified, browser: str, tmp_path: Path, width: int
) -> None:
    path, result, _, loader = verified
    report = tmp_path / "report.html"
    write_report(report, result, load_spec(path, prompts="none"), Options(), loader)
    report.write_text(report.read_text(encoding="utf-8").replace("</body>", MEASURE))
    shown, said = dumped(browser, report, tmp_path, width)
    found = re.search(r'data-width="(\d+) (\d+)"', shown)
    assert found is not None, said
    inner, scrolled = int(found[1]), int(found[2])
    assert scrolled <= inner, "the page itself never scrolls sideways"
    assert 'data-paper="rgb(255, 255, 255)"' in shown
    assert 'data-boxes="2"' in shown
