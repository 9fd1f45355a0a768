"""What a claim does: its actions by kind, with what its protocol says filled in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from circuitspec.hypothesis.report import Report
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Label
from circuitspec.language.syntax import Action

CONFLICT = "H026"

A = TypeVar("A", bound=Action)


@dataclass(slots=True, kw_only=True)
class Actions:
    """A claim's actions by kind, its protocol's filled in where the claim has none of its own."""

    ablate: syntax.Ablate | None = None
    patch: syntax.Patch | None = None
    scrub: syntax.Scrub | None = None
    run: syntax.Run | None = None
    knockouts: syntax.Knockouts | None = None
    each: syntax.Each | None = None
    accept: syntax.Accept | None = None
    until: syntax.Until | None = None
    given: list[syntax.Given] = field(default_factory=list)

    def interventions(self) -> list[Action]:
        """What changes the model, at most one of which a claim may have."""
        ablate = None if self.ablate is None or self.ablate.targets is None else self.ablate
        return [a for a in (ablate, self.patch, self.scrub, self.run) if a is not None]

    def cuts(self) -> bool:
        """Whether something is cut, so that the claim has to say what that means."""
        ablates = self.ablate is not None and self.ablate.targets is not None
        return ablates or bool(self.knockouts or self.each or self.given)


def merged(expect: syntax.Expect, protocol: syntax.Protocol | None, report: Report) -> Actions:
    """A claim's own actions, and its protocol's where it has none: `by` and value one by one."""
    own = _sorted(expect.actions, report)
    stated = own.interventions()
    if len(stated) > 1:
        report.error(
            CONFLICT,
            f"the claim `{expect.name}` does two things at once",
            stated[1].span,
            hint="make two claims of it; `given ablated ROLE` adds a further knock-out",
            labels=(Label(span=stated[0].span, message="the first is here"),),
        )
    if protocol is None:
        return own
    shared = _sorted(protocol.actions, report)
    if shared.ablate is not None:
        mine = own.ablate or syntax.Ablate(span=shared.ablate.span)
        targets = mine.targets if stated else mine.targets or shared.ablate.targets
        own.ablate = syntax.Ablate(
            targets=targets,
            by=mine.by or shared.ablate.by,
            value=mine.value or shared.ablate.value,
            span=mine.span,
        )
    if not stated:
        own.patch, own.scrub, own.run = shared.patch, shared.scrub, shared.run
    own.knockouts = own.knockouts or shared.knockouts
    own.each = own.each or shared.each
    own.accept = own.accept or shared.accept
    own.until = own.until or shared.until
    own.given = [*shared.given, *own.given]
    return own


def _sorted(actions: tuple[Action, ...], report: Report) -> Actions:
    found = Actions()
    for action in actions:
        match action:
            case syntax.Ablate():
                found.ablate = _only(found.ablate, action, report)
            case syntax.Patch():
                found.patch = _only(found.patch, action, report)
            case syntax.Scrub():
                found.scrub = _only(found.scrub, action, report)
            case syntax.Run():
                found.run = _only(found.run, action, report)
            case syntax.Knockouts():
                found.knockouts = _only(found.knockouts, action, report)
            case syntax.Each():
                found.each = _only(found.each, action, report)
            case syntax.Accept():
                found.accept = _only(found.accept, action, report)
            case syntax.Until():
                found.until = _only(found.until, action, report)
            case syntax.Given():
                found.given.append(action)
    return found


def _only(first: A | None, action: A, report: Report) -> A:
    if first is None:
        return action
    word = type(action).__name__.lower()
    report.error(
        CONFLICT,
        f"a second `{word}` in one claim",
        action.span,
        hint="make two claims of it, or name everything in one line",
        labels=(Label(span=first.span, message="the first is here"),),
    )
    return first
