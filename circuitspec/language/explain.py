"""The page of a rule: what it checks, why, an example, what to write instead."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

HEADINGS = ("What it does", "Why is this bad?", "Example", "Use instead")

_CODE = re.compile(r"[A-Z][0-9]{3}")
_TITLE = re.compile(r"# (?P<code>[A-Z][0-9]{3}): (?P<title>[^\n]+)\n")
_BLOCK = re.compile(r"```(?P<language>\w*)\n(?P<text>.*?)\n?```", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A rule's page, taken apart. `sections` follow `HEADINGS`."""

    code: str
    title: str
    sections: dict[str, str]

    def spec(self, heading: str) -> str | None:
        """The first block under a heading where it is a spec, with a newline at its end."""
        found = _BLOCK.search(self.sections[heading])
        if found is None or found["language"] != "circuit":
            return None
        return found["text"] + "\n"


def explain(code: str) -> str | None:
    """The page of a code as Markdown; `None` where there is no such code."""
    code = code.strip().upper()
    if not _CODE.fullmatch(code):
        return None
    page = Path(__file__).parent.joinpath("rules", f"{code}.md")
    return page.read_text(encoding="utf-8") if page.is_file() else None


def codes() -> tuple[str, ...]:
    """All codes that have a page, in order."""
    names = (entry.name for entry in Path(__file__).parent.joinpath("rules").iterdir())
    return tuple(sorted(name[:4] for name in names if _CODE.fullmatch(name.removesuffix(".md"))))


def page(text: str) -> Page:
    """A page taken apart; raises `ValueError` where it does not have the form of one."""
    title = _TITLE.match(text)
    if title is None:
        raise ValueError("a page starts with `# CODE: name of the rule`")
    parts = re.split(r"^## (.+)\n", text[title.end() :], flags=re.MULTILINE)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    if tuple(found) != HEADINGS:
        raise ValueError(f"headings must be {HEADINGS}, in this order, not {tuple(found)}")
    return Page(code=title["code"], title=title["title"], sections=found)


def titles() -> tuple[tuple[str, str], ...]:
    """Every code that has a page, with its title."""
    texts = ((code, explain(code) or "") for code in codes())
    return tuple((code, text.partition("\n")[0].partition(": ")[2]) for code, text in texts)
