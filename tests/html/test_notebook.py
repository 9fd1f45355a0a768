"""What a notebook shows, and the cell magic: a cell is a spec."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest

from circuitspec import api, notebook
from circuitspec.judge.records import RunResult

from .test_page import SPEC


def test_a_result_shows_its_claims_and_leaves_the_page_alone(every_verdict: RunResult) -> None:
    html = notebook.Shown(every_verdict)._repr_html_()
    root = ET.fromstring(html)
    assert root.get("class") == "r-part"
    names = [(h.text or "").strip() for h in root.iter("h4")]
    assert names[:2] == ["faithful", "s_inhibition_is_used"]
    style = root.find("style")
    assert style is not None
    rules = re.sub(r"@media[^{]*\{", "", style.text or "")
    selectors = [s.strip() for rule in re.findall(r"([^{}]+)\{", rules) for s in rule.split(",")]
    assert selectors
    assert all(re.match(r"(td)?\.[rp]-", selector) for selector in selectors), selectors
    assert "✗ refuted" in repr(notebook.Shown(every_verdict))


def test_the_extension_registers_the_magic_and_the_look(every_verdict: RunResult) -> None:
    magics, looks = {}, {}
    shell = SimpleNamespace(
        register_magic_function=lambda f, kind, name: magics.update({(kind, name): f}),
        display_formatter=SimpleNamespace(
            formatters={"text/html": SimpleNamespace(for_type=lambda t, f: looks.update({t: f}))}
        ),
    )
    notebook.load_ipython_extension(shell)
    assert magics == {("cell", "circuitspec"): notebook.circuitspec}
    assert looks[RunResult](every_verdict).startswith('<div class="r-part">')


def test_a_cell_is_saved_and_verified(tmp_path: Path) -> None:
    file = tmp_path / "my spec.circuit"
    shown = notebook.circuitspec(f"'{file}' --only looks --n 80", SPEC)
    assert file.read_text(encoding="utf-8") == SPEC
    ((claim,),) = (h.claims for h in shown.result.hypotheses)
    assert (claim.name, claim.verdict) == ("looks", "holds")
    assert claim.requirements[0].n == 80


def test_mistakes_are_raised_with_the_lines_that_are_meant(tmp_path: Path) -> None:
    with pytest.raises(api.SpecError, match="no_such_role"):
        notebook.circuitspec(
            f"{tmp_path}/s.circuit", SPEC.replace("attention(reader)", "attention(no_such_role)")
        )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--n 3", "file"),
        ("FILE --frequency 3", "--frequency"),
        ("FILE --n 0", "'0' is not a whole number from 1 on"),
        ("FILE --n many", "'many' is not a whole number from 1 on"),
        ("FILE --seed -4", "'-4' is not a whole number from 0 on"),
        ("'FILE", "No closing quotation"),
        ("FILE/not/there", "cannot write"),
    ],
)
def test_a_mistake_in_the_line_is_a_sentence(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(notebook.UsageError) as caught:
        notebook.circuitspec(line.replace("FILE", f"{tmp_path}/s.circuit"), SPEC)
    # IPython asks an exception for what to show before it shows the frames
    (shown,) = caught.value._render_traceback_()
    assert shown.startswith("UsageError: ")
    assert says in shown
    assert not list(tmp_path.iterdir())
