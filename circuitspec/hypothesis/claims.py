"""From `expect` to claims: protocols merged in, and nothing that changes a number left unsaid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from circuitspec.hypothesis.measures import Doing, check_measure
from circuitspec.hypothesis.members import UNKNOWN, Scope, duplicate
from circuitspec.hypothesis.minimality import minimality
from circuitspec.hypothesis.patches import baseline_name, path_patch
from circuitspec.hypothesis.places import positions
from circuitspec.hypothesis.records import (
    AblateComplement,
    AblateSet,
    Ablation,
    ActivationPatch,
    Claim,
    Completeness,
    CutSet,
    Denoise,
    EdgeStatement,
    Intervention,
    Requirement,
    Scrub,
)
from circuitspec.hypothesis.report import Report, listing
from circuitspec.hypothesis.sets import cut_set, elements_of, named_set, without_kept
from circuitspec.hypothesis.text import requirement_text
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Label
from circuitspec.language.syntax import Action, HypothesisStatement

NO_ABLATION = "H020"
PARTIAL_VALUE = "H021"
NO_DRAWS = "H023"
NO_REQUIREMENT = "H024"
NO_LEVEL = "H025"
CONFLICT = "H026"
NO_TOLERANCE = "H032"

A = TypeVar("A", bound=Action)


@dataclass(slots=True, kw_only=True)
class _Actions:
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


def claims_of(
    statements: tuple[HypothesisStatement, ...],
    shared: Mapping[str, syntax.Protocol],
    scope: Scope,
    edges: tuple[EdgeStatement, ...],
    report: Report,
) -> tuple[Claim, ...]:
    """Every claim that could be resolved; what is wrong with the others is in the report."""
    protocols: dict[str, syntax.Protocol] = {}
    for statement in statements:
        if isinstance(statement, syntax.Protocol):
            if statement.name.text in protocols:
                first = protocols[statement.name.text].name
                duplicate(statement.name, first, "protocol", report)
            protocols.setdefault(statement.name.text, statement)
    known = {**shared, **protocols}
    found: dict[str, Claim] = {}
    names: dict[str, syntax.Name] = {}
    for statement in statements:
        if not isinstance(statement, syntax.Expect):
            continue
        if statement.name.text in names:
            duplicate(statement.name, names[statement.name.text], "claim", report)
            continue
        names[statement.name.text] = statement.name
        claim = _claim(statement, known, scope, edges, report)
        if claim is not None:
            found[claim.name] = claim
    return tuple(found.values())


def _claim(
    expect: syntax.Expect,
    protocols: Mapping[str, syntax.Protocol],
    scope: Scope,
    edges: tuple[EdgeStatement, ...],
    report: Report,
) -> Claim | None:
    protocol: syntax.Protocol | None = None
    resolved = True
    if expect.under is not None:
        name: str | None = expect.under.text
        if name not in protocols:
            name = report.unknown(
                UNKNOWN, "protocol", expect.under.text, expect.under.span, protocols
            )
        protocol = protocols.get(name or "")
        resolved = protocol is not None
    actions = _merged(expect, protocol, report)
    by = actions.ablate.by if actions.ablate else None
    given = [_given(g, scope, edges, report) for g in actions.given]
    each = actions.each and minimality(actions.each, by, scope, edges, report)
    completeness = actions.knockouts and _knockouts(actions.knockouts, scope, edges, report)
    intervention = _intervention(actions, scope, edges, report)
    ablation = _ablation(expect, actions, protocols, scope, report, resolved)
    at_most = actions.until.at_most if actions.until else None
    if actions.accept is not None and actions.accept.what.text != "blind":
        what = actions.accept.what
        report.unknown(UNKNOWN, "thing a claim may accept", what.text, what.span, ("blind",))
    requirements = _requirements(
        expect, actions, scope, report, ablation is not None or not resolved
    )
    failed = (
        None in given
        or (actions.each and each is None)
        or (actions.knockouts and completeness is None)
        or (actions.interventions() and intervention is None)
        or not resolved
        or not requirements
    )
    if failed:
        return None
    return Claim(
        name=expect.name.text,
        refuted=expect.refuted,
        ablation=ablation,
        intervention=intervention,
        given=tuple(g for g in given if g is not None),
        completeness=completeness or None,
        minimality=each or None,
        accept_blind=actions.accept is not None and actions.accept.what.text == "blind",
        at_most=at_most,
        requirements=requirements,
        doc=expect.doc,
        span=expect.span,
    )


def _merged(expect: syntax.Expect, protocol: syntax.Protocol | None, report: Report) -> _Actions:
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


def _sorted(actions: tuple[Action, ...], report: Report) -> _Actions:
    found = _Actions()
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


def _ablation(
    expect: syntax.Expect,
    actions: _Actions,
    protocols: Mapping[str, syntax.Protocol],
    scope: Scope,
    report: Report,
    resolved: bool,
) -> Ablation | None:
    """What cutting means in a claim. Missing parts are an error where anything is cut."""
    ablate = actions.ablate
    cuts = bool(actions.knockouts or actions.each or actions.given)
    cuts = cuts or (ablate is not None and ablate.targets is not None)
    if ablate is None or ablate.by is None or ablate.value is None:
        missing = [
            what
            for what, there in (
                ("at what granularity (`by nodes` or `by edges`)", ablate and ablate.by),
                (
                    "what takes its place (`with mean from D over template`)",
                    ablate and ablate.value,
                ),
            )
            if not there
        ]
        if (cuts or ablate is not None) and resolved:
            add = "`ablate by nodes with mean from D over template`"
            hint = f"add {add}"
            if protocols and expect.under is None:
                hint = f"let it stand `under` a protocol ({listing(protocols)}), or {hint}"
            report.error(
                NO_ABLATION,
                f"`{expect.name}` cuts something and does not say {' nor '.join(missing)}",
                (ablate or expect.name).span,
                hint=hint,
            )
        return None
    return _value(ablate.by, ablate.value, scope, report)


def _value(by: str, value: syntax.AblationValue, scope: Scope, report: Report) -> Ablation | None:
    needed = {
        "zero": (),
        "mean": ("baseline", "over"),
        "resample": ("baseline", "draws"),
        "counterfactual": ("baseline",),
        "noise": ("scale",),
    }[value.kind]
    missing = [part for part in needed if getattr(value, part) is None]
    if missing:
        full = {
            "mean": "mean from D over template",
            "resample": "resample from D draws 4",
            "counterfactual": "counterfactual from D",
            "noise": "noise 3.0",
        }[value.kind]
        report.error(
            PARTIAL_VALUE,
            f"`{value.kind}` does not say its {' nor its '.join(missing)}",
            value.span,
            hint=f"write `{full}`",
        )
        return None
    baseline: str | None = None
    if value.baseline is not None:
        baseline = baseline_name(value.baseline, scope, report)
        if baseline is None:
            return None
    return Ablation(
        by="edges" if by == "edges" else "nodes",
        kind=value.kind,
        baseline=baseline,
        over=value.over,
        draws=1 if value.draws is None else value.draws,
        scale=None if value.scale is None else value.scale.value,
    )


def _intervention(
    actions: _Actions, scope: Scope, edges: tuple[EdgeStatement, ...], report: Report
) -> Intervention | None:
    stated = actions.interventions()
    match stated[0] if stated else None:
        case syntax.Ablate(targets="complement"):
            return AblateComplement()
        case syntax.Ablate(targets=tuple() as targets):
            cut = named_set(targets, scope, edges, report)
            return None if cut is None else AblateSet(cut=cut)
        case syntax.Patch(hops=()) as patch:
            baseline = baseline_name(patch.baseline, scope, report)
            cut = named_set(patch.senders, scope, edges, report)
            if cut is None or baseline is None:
                return None
            return ActivationPatch(cut=cut, baseline=baseline)
        case syntax.Patch() as patch:
            return path_patch(patch, scope, report)
        case syntax.Scrub() as scrub:
            return _scrub(scrub, scope, report)
        case syntax.Run() as run:
            baseline = baseline_name(run.baseline, scope, report)
            at = None if run.at is None else positions(run.at, report)
            elements = elements_of(run.restore, scope, report, at=at)
            if baseline is None or elements is None:
                return None
            return Denoise(baseline=baseline, restored=frozenset(elements))
        case _:
            return None


def _scrub(scrub: syntax.Scrub, scope: Scope, report: Report) -> Scrub | None:
    over: str | None = scrub.over.text
    if over == "task":
        over = scope.info.name
    elif over != scope.info.name and over not in scope.info.baselines and scope.info.known:
        options = ("task", scope.info.name, *scope.info.baselines)
        over = report.unknown(UNKNOWN, "baseline", scrub.over.text, scrub.over.span, options)
        over = scope.info.name if over == "task" else over
    roles: list[str] = []
    for name in scrub.roles:
        meant: str | None = name.text
        if name.text not in scope.named:
            meant = report.unknown(UNKNOWN, "role", name.text, name.span, scope.named)
        roles += [r.name for r in scope.expand(meant or "")]
    if scrub.draws is None:
        report.error(
            NO_DRAWS,
            "it is not said how often the scrub draws",
            scrub.span,
            hint="add `draws 4`",
        )
        return None
    if over is None or (scrub.roles and not roles):
        return None
    return Scrub(over=over, draws=scrub.draws, roles=tuple(dict.fromkeys(roles)))


def _given(
    given: syntax.Given, scope: Scope, edges: tuple[EdgeStatement, ...], report: Report
) -> CutSet | None:
    return named_set(given.targets, scope, edges, report)


def _knockouts(
    stated: syntax.Knockouts, scope: Scope, edges: tuple[EdgeStatement, ...], report: Report
) -> Completeness | None:
    """The named sets: roles, groups, and those written out; each set of elements once."""
    sets: list[CutSet] = []
    complete = True
    if stated.roles:
        for role in scope.roles.values():
            members = without_kept(role.elements, scope)
            sets.append(cut_set(role.name, members, edges, scope.info))
    if stated.groups:
        for name in scope.groups:
            elements = (e for role in scope.expand(name) for e in role.elements)
            sets.append(cut_set(name, without_kept(elements, scope), edges, scope.info))
    for targets in stated.sets:
        found = named_set(targets, scope, edges, report)
        if found is None:
            complete = False
            continue
        members = without_kept(found.elements, scope)
        sets.append(cut_set(found.name, members, edges, scope.info))
    once: dict[frozenset[object], CutSet] = {}
    for cut in sets:
        if cut.elements:
            once.setdefault(frozenset(cut.elements), cut)
    if not complete:
        return None
    return Completeness(named=tuple(once.values()), random=stated.random or 0, greedy=stated.greedy)


def _requirements(
    expect: syntax.Expect, actions: _Actions, scope: Scope, report: Report, ablation: bool
) -> tuple[Requirement, ...]:
    """The requirements that hold together; empty if there is none, or if one is wrong."""
    if not expect.requirements:
        report.error(
            NO_REQUIREMENT,
            f"`{expect.name}` claims nothing",
            expect.name.span,
            hint="add a `require` line with a measure, a threshold and a confidence",
        )
        return ()
    doing = Doing(
        run=bool(actions.interventions() or actions.given or actions.knockouts or actions.each),
        scrub=actions.scrub is not None,
        knockouts=actions.knockouts is not None,
        each=actions.each is not None,
        # What is missing has been said once, about the claim: measures need not repeat it.
        ablation=ablation or actions.ablate is not None or actions.knockouts is not None,
    )
    exact = scope.info.sample is not None and scope.info.sample.evaluation == "all"
    found: list[Requirement] = []
    good = True
    for stated in expect.requirements:
        sides = (stated.left, stated.right)
        for side in sides:
            good = check_measure(side, doing, scope, report) and good
        if stated.level is None and not exact:
            report.error(
                NO_LEVEL,
                f"`{requirement_text(stated)}` does not say with what confidence",
                stated.span,
                hint="add `ci 95`",
            )
            good = False
        if stated.operator in ("within", "==") and stated.tolerance is None:
            report.error(
                NO_TOLERANCE,
                f"`{requirement_text(stated)}` does not say how near is near enough",
                stated.span,
                hint="write `== VALUE +- TOLERANCE`",
            )
            good = False
        found.append(
            Requirement(
                text=requirement_text(stated),
                left=stated.left,
                operator=stated.operator,
                right=stated.right,
                tolerance=None if stated.tolerance is None else stated.tolerance.value,
                # The whole population has no interval: the level is never read.
                level=95.0 if stated.level is None else float(stated.level.text),
                each=stated.each,
                span=stated.span,
            )
        )
    return tuple(found) if good else ()
