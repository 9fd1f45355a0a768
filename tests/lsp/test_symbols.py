"""Every name resolves to what the checker takes it for, at exactly its own characters."""

from __future__ import annotations

from pathlib import Path

import pytest

from circuitspec.language.parser import parse
from circuitspec.lsp.symbols import Index, index
from tests.lsp.specs import at

SPECS = sorted((Path(__file__).parents[2] / "specs").rglob("*.circuit"))


def of(text: str) -> Index:
    tree, _ = parse(text)
    return index(tree, text)


@pytest.mark.parametrize("path", SPECS, ids=lambda p: p.stem)
def test_spans_cover_the_names(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = of(text)
    assert found.occurrences
    for occurrence in found.occurrences:
        span = occurrence.span
        assert text[span.start : span.end] == occurrence.symbol.name
        line = text.split("\n")[span.line - 1]
        assert line[span.column - 1 : span.end_column - 1] == occurrence.symbol.name
    declared = {o.symbol for o in found.occurrences if o.declares}
    assert {o.symbol for o in found.occurrences} == declared


@pytest.mark.parametrize(
    ("mark", "kind", "scope", "lines"),
    [
        ("= |early, late\n", "role", "base", [17, 20, 21, 23, 37]),
        ("both = early, |late", "role", "base", [18, 20, 21, 22, 23]),
        ("ablate |both", "role", "base", [23, 31]),
        ('place}, {|S2} gave a"\n    template', "label", "base/ioi", [7, 8, 10, 13, 17, 18, 37]),
        ("from |abc over", "baseline", "base/ioi", [13, 24]),
        ("used under |paper", "protocol", "base", [24, 25, 30]),
        ("of model.|logit_diff ci", "metric", "base/ioi", [12, 27, 27, 32, 32]),
        ("late  = a2.h3 @ END attends |S2", "label", "base/ioi", [7, 8, 10, 13, 17, 18, 37]),
        ("refines |base", "hypothesis", "", [4, 36]),
        ("task |ioi {", "task", "base", [6]),
        ("mean from abc over |template", None, None, None),
        ("require |agreement", None, None, None),
    ],
)
def test_what_a_name_is_and_where_else_it_stands(mark, kind, scope, lines) -> None:
    text, offset = at(mark)
    found = of(text)
    occurrence = found.at(offset)
    if kind is None:
        assert occurrence is None
        return
    assert (occurrence.symbol.kind, occurrence.symbol.scope) == (kind, scope)
    assert [o.span.line for o in found.of(occurrence.symbol)] == lines


def test_names_of_one_kind_do_not_hide_those_of_another() -> None:
    text = (
        'circuitspec 1 task S { template a "{S} {x}" slot S, x from names.english '
        "metric m = logit(S) } hypothesis S { task S role x = a0.h1 @ x carries token(x) "
        "edge x -> logits expect m { require m >= attention(x) ci 95 } }"
    )
    found = of(text)
    kinds = [(o.symbol.kind, o.declares) for o in found.occurrences]
    assert kinds == [
        ("task", True), ("template", True), ("label", False), ("label", False), ("label", True),
        ("label", True), ("metric", True), ("label", False), ("hypothesis", True), ("task", False),
        ("role", True), ("label", False), ("label", False), ("role", False), ("claim", True),
        ("metric", False), ("role", False),
    ]  # fmt: skip


def test_braces_of_the_prompt_are_no_gaps() -> None:
    text = 'circuitspec 1 task t { template a "{{A}} {A} {{{A}}}" slot A from names.english }'
    assert [o.span.start for o in of(text).occurrences if not o.declares] == [
        text.index(" {A} ") + 2,
        text.index("{{{A}") + 3,
    ]
