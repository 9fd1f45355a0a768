"""Printing and parsing are inverse: for every tree, and for every text that parses."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from circuitspec.language import syntax as s
from circuitspec.language.parser import parse
from circuitspec.language.printer import print_expr, to_text
from tests.language.strategies import expressions, specs

QUICK = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(specs)
def test_a_tree_prints_and_parses_back_to_itself(spec: s.SpecFile) -> None:
    text = to_text(spec)
    again, diagnostics = parse(text, "printed.circuit")
    assert diagnostics == ()
    assert again == spec
    assert to_text(again) == text


@pytest.mark.parametrize("doc", ["", "what the paper says"])
def test_a_docstring_within_one_short_line_is_kept(doc: str) -> None:
    """The only statement goes on the block's line, unless a docstring stands above it."""
    text = f'circuitspec 1\n\nhypothesis H {{\n  """{doc}"""\n  task T\n}}\n'
    spec, diagnostics = parse(text)
    assert diagnostics == ()
    assert to_text(spec) == text


@QUICK
@given(specs, st.integers(1, 60))
def test_any_width_says_the_same(spec: s.SpecFile, width: int) -> None:
    again, diagnostics = parse(to_text(spec, width=width), "narrow.circuit")
    assert diagnostics == ()
    assert again == spec


@QUICK
@given(expressions)
def test_an_expression_keeps_its_shape(expression: s.Expr) -> None:
    spec, diagnostics = parse(f"circuitspec 1\ntask t {{ metric m = {print_expr(expression)} }}")
    assert diagnostics == ()
    (task,) = spec.statements
    assert isinstance(task, s.Task)
    assert task.statements is not None
    assert task.statements[0] == s.Metric(name=s.Name(text="m"), value=expression)


@pytest.mark.parametrize(
    "text",
    [
        "A - (B - C)",
        "A - (B + C)",
        "A / (B * C)",
        "A * (B mod C)",
        "(A + B) * C",
        "-(A + B)",
        "(-A) at P",
        "(A at P) at Q",
        "(A == B) == (C < D)",
        "(A < B) + C",
        "f(A at (P+1), x = A == B)",
    ],
)
def test_parentheses_that_are_needed_are_written(text: str) -> None:
    spec, diagnostics = parse(f"circuitspec 1\ntask t {{ metric m = {text} }}")
    assert diagnostics == ()
    (task,) = spec.statements
    assert isinstance(task, s.Task)
    assert task.statements is not None
    (metric,) = task.statements
    assert isinstance(metric, s.Metric)
    assert print_expr(metric.value) == text
