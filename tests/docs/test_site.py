"""The site builds without a warning, has every page, and takes nothing from the network."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    parts = nav.values() if isinstance(nav, dict) else nav
    return [page for part in parts for page in pages(part)]


NAV = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = pages(NAV)
    assert len(listed) == len(set(listed))
    assert set(listed) == {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}


def test_the_four_kinds_are_kept_apart() -> None:
    folders = {"Tutorial": "tutorial", "How-to": "how-to", "Explanation": "explanation"}
    at_the_top = {"architecture.md", "semantics.md"}
    kinds = {name: pages(part) for entry in NAV for name, part in entry.items()}
    assert list(kinds) == ["Home", "Tutorial", "How-to", "Reference", "Explanation"]
    for kind, folder in (*folders.items(), ("Reference", "reference")):
        assert all(p.startswith(f"{folder}/") or p in at_the_top for p in kinds[kind]), kind


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="pip install 'circuitspec[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", tmp_path / "site"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site" / "tutorial" / "first-circuit.html").read_text(encoding="utf-8")
    assert "From an idea to a spec in CI" in page
    for loaded in re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=\"([^\"]+)\"", page):
        assert not loaded.startswith(("http:", "https:", "//")), loaded


def test_links_between_pages_lead_to_files_and_headings() -> None:
    wrong = []
    for page in DOCS.rglob("*.md"):
        text = page.read_text(encoding="utf-8")
        for link in re.findall(
            r"\]\((?!https?:)([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.S)
        ):
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists():
                wrong.append(f"{page.name}: {link}")
            elif anchor and target.suffix == ".md" and anchor not in anchors(target):
                wrong.append(f"{page.name}: {link}: no such heading")
    assert wrong == []


def anchors(page: Path) -> set[str]:
    """The headings of a page as Markdown makes anchors of them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    plain = (re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings)
    return {re.sub(r"[\s]+", "-", heading) for heading in plain}
