"""What a person sees: aligned whatever the line holds, safe to print, cut to the terminal."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Label, Severity, Span
from circuitspec.language.rendering import columns, render


def span(text: str, piece: str, file: str = "a.circuit", nth: int = 0) -> Span:
    """Where a piece of a text stands."""
    start = -1
    for _ in range(nth + 1):
        start = text.index(piece, start + 1)
    end = start + len(piece)

    def place(offset: int) -> tuple[int, int]:
        before = text[:offset]
        return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1

    (line, column), (end_line, end_column) = place(start), place(end)
    return Span(
        file=file, start=start, end=end, line=line, column=column,
        end_line=end_line, end_column=end_column,
    )  # fmt: skip


def shown(text: str, *pieces: str, width: int = 100) -> str:
    """One diagnostic at the first piece, with labels at the others."""
    first, *others = pieces
    labels = tuple(Label(span=span(text, piece), message=f"see {piece}") for piece in others)
    found = Diagnostic(code="C011", message="wrong", span=span(text, first), labels=labels)
    return render([found], {"a.circuit": text}, width=width)


def test_a_place_and_a_hint() -> None:
    text = "one\ntwo three\n"
    found = Diagnostic(
        code="C003",
        message="not `three`",
        span=span(text, "three"),
        severity=Severity.WARNING,
        hint="write `3`",
    )
    assert render([found], {"a.circuit": text}) == (
        "warning[C003]: not `three`\n"
        " --> a.circuit:2:5\n"
        "  |\n"
        "2 | two three\n"
        "  |     ^^^^^\n"
        "  |\n"
        "  = hint: write `3`\n"
        "\n"
    )


def test_labels_on_one_line() -> None:
    assert shown("a b c d", "b", "a", "d") == (
        "error[C011]: wrong\n"
        " --> a.circuit:1:3\n"
        "  |\n"
        "1 | a b c d\n"
        "  | - ^   - see d\n"
        "  | |\n"
        "  | see a\n"
        "\n"
    )


def test_labels_on_other_lines() -> None:
    text = "\n".join(f"line{n}" for n in range(1, 13))
    assert shown(text, "line2", "line4", "line12") == (
        "error[C011]: wrong\n"
        "  --> a.circuit:2:1\n"
        "   |\n"
        " 2 | line2\n"
        "   | ^^^^^\n"
        " 3 | line3\n"
        " 4 | line4\n"
        "   | ----- see line4\n"
        "...\n"
        "12 | line12\n"
        "   | ------ see line12\n"
        "\n"
    )


def test_tabs_and_wide_characters_keep_their_columns() -> None:
    assert "1 |     x wrong\n  |       ^^^^^\n" in shown("\tx wrong", "wrong")
    assert "1 | 日本 wrong\n  |      ^^^^^\n" in shown("日本 wrong", "wrong")
    assert "1 | e\u0301 wrong\n  |   ^^^^^\n" in shown("e\u0301 wrong", "wrong")
    assert "1 | a 日本 b\n  |   ^^^^\n" in shown("a 日本 b", "日本")


def test_nothing_reaches_the_terminal_that_it_would_obey() -> None:
    text = "a \x1b[31m\u202e\x07 wrong\r\n"
    out = shown(text, "wrong")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "1 | a �[31m�� wrong\n" in out


def test_a_place_of_several_lines_is_underlined_to_the_end_of_its_first() -> None:
    assert "1 | a (b\n  |   ^^\n" in shown("a (b\nc) d\n", "(b\nc)")


def test_long_lines_are_cut_around_the_place() -> None:
    text = "x " * 100 + "wrong" + " y" * 100
    out = shown(text, "wrong", width=60)
    assert max(columns(line) for line in out.splitlines()) <= 60
    line, carets = out.splitlines()[3:5]
    at = carets.index("^")
    assert line[at : at + 5] == "wrong"
    assert carets.count("^") == 5
    assert line[4] == line[-1] == "…"


def test_two_files() -> None:
    first, second = "use me", "defined here"
    label = Label(span=span(second, "here", "b.circuit"), message="first given here")
    found = Diagnostic(code="H001", message="again", span=span(first, "me"), labels=(label,))
    out = render([found], {"a.circuit": first, "b.circuit": second})
    assert " --> a.circuit:1:5\n" in out
    assert " ::: b.circuit:1:9\n" in out
    assert "1 | defined here\n  |         ---- first given here\n" in out


def test_without_a_place_or_a_source() -> None:
    assert render([Diagnostic(code="C022", message="no file", span=NO_SPAN)], {}) == (
        "error[C022]: no file\n\n"
    )
    found = Diagnostic(code="C011", message="wrong", span=span("a b", "b"), hint="write c")
    assert render([found], {}) == (
        "error[C011]: wrong\n --> a.circuit:1:3\n  |\n  = hint: write c\n\n"
    )


def test_color_only_adds_color() -> None:
    text = "a b c d"
    labels = tuple(Label(span=span(text, piece), message=piece) for piece in "ad")
    found = [Diagnostic(code="C011", message="m", span=span(text, "b"), labels=labels, hint="h")]
    plain = render(found, {"a.circuit": text})
    colored = render(found, {"a.circuit": text}, color=True)
    assert "\x1b[1;31m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80), st.data(), st.integers(20, 80))
def test_any_place_of_any_text(text: str, data: st.DataObject, width: int) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    before, within = text[:start], text[:end]
    place = Span(
        file="f",
        start=start,
        end=end,
        line=before.count("\n") + 1,
        column=start - (before.rfind("\n") + 1) + 1,
        end_line=within.count("\n") + 1,
        end_column=end - (within.rfind("\n") + 1) + 1,
    )
    label = Label(span=place, message="here")
    found = Diagnostic(code="C011", message="m", span=place, labels=(label,))
    out = render([found], {"f": text}, width=width)
    assert "^" in out
    assert "here" in out
