"""Prompts as JSON lines, or as a table that a person can look through."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from rich.cells import cell_len
from rich.text import Text

from circuitspec.report.rows import count
from circuitspec.report.terminal import GAP, fold, to_string

Line = Mapping[str, Any]
"""One prompt, as `circuitspec prompts` prints it: set, index, pair, template, text, tokens, ..."""


def jsonl(lines: Iterable[Line]) -> str:
    """One JSON object a line."""
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)


def table(lines: Iterable[Line], *, width: int = 100, color: bool = False) -> str:
    """Every set under its name: the text of each prompt, and where its labels stand."""
    rows: list[Text] = []
    for (task, name), group in groupby(lines, key=lambda line: (line["task"], line["set"])):
        prompts = list(group)
        if rows:
            rows.append(Text())
        title = f"{task}, {name}" if task else name
        rows.append(Text.assemble((title, "bold"), (f"  {count(len(prompts), 'prompt')}", "dim")))
        number = max(len(str(p["index"])) for p in prompts)
        template = max(cell_len(p["template"]) for p in prompts)
        for prompt in prompts:
            rows += _prompt(prompt, number, template, width)
    return to_string(rows, width=width, color=color)


def _prompt(prompt: Line, number: int, template: int, width: int) -> list[Text]:
    name = str(prompt["template"])
    head = str(prompt["index"]).rjust(number) + GAP + name + " " * (template - cell_len(name)) + GAP
    room = width - cell_len(head)
    places = ", ".join(
        f"{label}\u00a0{'–' if not at else ','.join(map(str, at))}"
        for label, at in prompt["positions"].items()
    )
    out = [
        Text.assemble((head if i == 0 else " " * cell_len(head), "dim"), line)
        for i, line in enumerate(fold(str(prompt["text"]), room))
    ]
    tokens = count(len(prompt["tokens"]), "token")
    for line in fold(f"{tokens}; {places}", room):
        out.append(Text(" " * cell_len(head) + line.replace("\u00a0", " "), style="dim"))
    return out
