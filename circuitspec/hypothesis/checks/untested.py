"""H058: what a role is said to carry or attend to, and no claim of the file tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import parts, requirements
from circuitspec.hypothesis.records import Hypothesis, Scrub
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Label, Severity, Span

NAME = "said-and-not-tested"
CODE = "H058"


def check_all(hypotheses: Iterable[Hypothesis]) -> Findings:
    """A note for what is carried and one for where is attended, each with all roles it is of."""
    carries: dict[Span, str] = {}
    attends: dict[Span, str] = {}
    tested: set[Span] = set()
    for hypothesis in hypotheses:
        if not any(isinstance(s, syntax.Expect) for s in hypothesis.statements):
            continue  # a draft: its claims are yet to be written
        scrubbed, watched = set(_scrubbed(hypothesis)), set(_watched(hypothesis))
        for role in hypothesis.statements:
            if not isinstance(role, syntax.Role):
                continue
            name = role.name.text
            if role.carries:
                carries[role.carries[0].span] = name
                if name in scrubbed:
                    tested.add(role.carries[0].span)
            # Where edges lead to its keys or values, `attends` says where they are read.
            if role.attends is not None and name not in _read(hypothesis):
                attends[role.attends.span] = name
                if name in watched:
                    tested.add(role.attends.span)
    return (
        *_note(carries, tested, "carry", "`scrub over task draws 4` in a claim would"),
        *_note(attends, tested, "attend to", "`require attention(ROLE) >= ...` would"),
    )


def _note(said: dict[Span, str], tested: set[Span], verb: str, hint: str) -> Findings:
    idle = {span: name for span, name in said.items() if span not in tested}
    if not idle:
        return ()
    first, *others = idle
    names = list(dict.fromkeys(f"`{name}`" for name in idle.values()))
    listed = ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]
    verb = verb if len(names) > 1 else {"carry": "carries", "attend to": "attends to"}[verb]
    return (
        Diagnostic(
            code=CODE,
            message=f"nothing in this file tests what {listed} {verb}",
            span=first,
            severity=Severity.NOTE,
            hint=hint,
            labels=tuple(Label(span=span, message="nor this") for span in others[:3]),
        ),
    )


def _read(hypothesis: Hypothesis) -> set[str]:
    """Roles whose keys or values an edge leads to."""
    return {e.receiver for e in hypothesis.edges if {"k", "v"} & {*e.channels}}


def _scrubbed(hypothesis: Hypothesis) -> Iterator[str]:
    """Roles whose features a causal scrubbing resamples within."""
    for claim in hypothesis.claims:
        if isinstance(claim.intervention, Scrub):
            yield from claim.intervention.roles or hypothesis.roles


def _watched(hypothesis: Hypothesis) -> Iterator[str]:
    """Roles whose attention, or the attention of one of their heads, is required."""
    for _, require in requirements(hypothesis):
        for side in (require.left, require.right):
            for part in parts(side):
                if not isinstance(part, syntax.Call) or part.function != "attention":
                    continue
                for argument in part.arguments:
                    if isinstance(argument, syntax.Ref):
                        yield from hypothesis.groups.get(argument.name, (argument.name,))
                    elif isinstance(argument, syntax.NodeLiteral):
                        node = argument.node
                        yield from (n for n, r in hypothesis.roles.items() if node in r.nodes)
