"""The formatter keeps every comment, in order, and settles after one run."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitspec.language import syntax as s
from circuitspec.language.lexer import tokenize
from circuitspec.language.parser import parse
from circuitspec.language.printer import tidy, to_text
from tests.language.strategies import specs

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))

placements = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from(["# c{}\n", "\n# c{}\n", "\n\n#c{}\n\n"])),
    max_size=8,
)


def with_comments(text: str, places: list[tuple[int, str]]) -> str:
    """The text with comments between some of its tokens."""
    tokens = tokenize(text, "plain.circuit")
    out, end = "", 0
    by_token = dict(sorted((token % len(tokens.kind), form) for token, form in places))
    for token, form in by_token.items():
        out += text[end : tokens.starts[token]] + " " + form.format(token)
        end = tokens.starts[token]
    return out + text[end:]


@QUICK
@given(specs, placements)
def test_comments_survive_anywhere(spec: s.SpecFile, places: list[tuple[int, str]]) -> None:
    commented = with_comments(to_text(spec), places)
    tree, diagnostics = parse(commented)
    assert diagnostics == ()
    assert tree == spec
    laid_out = to_text(tree)
    again, diagnostics = parse(laid_out)
    assert diagnostics == ()
    assert again == spec
    assert [c.text for c in again.comments] == [tidy(c.text) for c in tree.comments]
    assert to_text(again) == laid_out


def formatted(text: str) -> str:
    """What `fmt` makes of a text that must parse."""
    tree, diagnostics = parse(text)
    assert diagnostics == ()
    return to_text(tree)


def test_a_comment_stays_behind_its_statement() -> None:
    text = "circuitspec 1 # one\n\ntask t {  # two\n  bos no   #three\n  # four\n}  # five\n# six\n"
    assert formatted(text) == (
        "circuitspec 1  # one\n\ntask t {  # two\n  bos no  # three\n  # four\n}  # five\n# six\n"
    )


def test_a_comment_inside_a_statement_moves_above_it() -> None:
    text = 'circuitspec 1\nwords w = "a", # first\n  "b" # second\n'
    assert formatted(text) == 'circuitspec 1\n\n# first\nwords w = "a", "b"  # second\n'


def test_blank_lines_are_kept_but_never_two() -> None:
    text = "circuitspec 1\ntask t {\n\n  bos no\n\n\n\n  # why\n\n  answers glued\n\n}\n"
    assert formatted(text) == (
        "circuitspec 1\n\ntask t {\n  bos no\n\n  # why\n\n  answers glued\n}\n"
    )
