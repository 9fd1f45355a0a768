"""From `expect` to claims: protocols merged in, and nothing that changes a number left unsaid."""

from __future__ import annotations

from collections.abc import Mapping

from circuitspec.hypothesis.ablation import ablation_of
from circuitspec.hypothesis.members import UNKNOWN, Scope, duplicate
from circuitspec.hypothesis.minimality import minimality
from circuitspec.hypothesis.ordering import cut_key
from circuitspec.hypothesis.patches import baseline_name, path_patch
from circuitspec.hypothesis.places import positions
from circuitspec.hypothesis.protocols import Actions, merged
from circuitspec.hypothesis.records import (
    AblateComplement,
    AblateSet,
    ActivationPatch,
    Claim,
    Completeness,
    CutSet,
    Denoise,
    EdgeStatement,
    Intervention,
    Scrub,
)
from circuitspec.hypothesis.report import Report
from circuitspec.hypothesis.requirements import requirements_of
from circuitspec.hypothesis.sets import Declared, elements_of, named_set, without_kept
from circuitspec.language import syntax
from circuitspec.language.syntax import HypothesisStatement

NO_DRAWS = "H023"


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
    declared = Declared.of(edges, scope.info)
    found: dict[str, Claim] = {}
    names: dict[str, syntax.Name] = {}
    for statement in statements:
        if not isinstance(statement, syntax.Expect):
            continue
        if statement.name.text in names:
            duplicate(statement.name, names[statement.name.text], "claim", report)
            continue
        names[statement.name.text] = statement.name
        claim = _claim(statement, known, scope, declared, report)
        if claim is not None:
            found[claim.name] = claim
    return tuple(found.values())


def _claim(
    expect: syntax.Expect,
    protocols: Mapping[str, syntax.Protocol],
    scope: Scope,
    declared: Declared,
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
    actions = merged(expect, protocol, report)
    by = actions.ablate.by if actions.ablate else None
    given = [_given(g, scope, declared, report) for g in actions.given]
    each = actions.each and minimality(actions.each, by, scope, declared, report)
    completeness = actions.knockouts and _knockouts(actions.knockouts, scope, declared, report)
    intervention = _intervention(actions, scope, declared, report)
    ablation = ablation_of(expect, actions, protocol, protocols, scope, report)
    at_most = actions.until.at_most if actions.until else None
    if actions.accept is not None and actions.accept.what.text != "blind":
        what = actions.accept.what
        report.unknown(UNKNOWN, "thing a claim may accept", what.text, what.span, ("blind",))
    requirements = requirements_of(
        expect, actions, scope, report, ablation is not None or not resolved
    )
    failed = (
        None in given
        or (actions.each and each is None)
        or (actions.knockouts and completeness is None)
        or (actions.interventions() and intervention is None)
        or (actions.cuts() and ablation is None)
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


def _intervention(
    actions: Actions, scope: Scope, declared: Declared, report: Report
) -> Intervention | None:
    stated = actions.interventions()
    match stated[0] if stated else None:
        case syntax.Ablate(targets="complement"):
            return AblateComplement()
        case syntax.Ablate(targets=tuple() as targets):
            cut = named_set(targets, scope, declared, report)
            return None if cut is None else AblateSet(cut=cut)
        case syntax.Patch(hops=()) as patch:
            baseline = baseline_name(patch.baseline, scope, report)
            cut = named_set(patch.senders, scope, declared, report)
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


def _given(given: syntax.Given, scope: Scope, declared: Declared, report: Report) -> CutSet | None:
    return named_set(given.targets, scope, declared, report)


def _knockouts(
    stated: syntax.Knockouts, scope: Scope, declared: Declared, report: Report
) -> Completeness | None:
    """The named sets: roles, groups, and those written out; each set of elements once."""
    sets: list[CutSet] = []
    complete = True
    if stated.roles:
        for _, role in sorted(scope.roles.items()):
            members = without_kept(role.elements, scope)
            sets.append(declared.cut_set(role.name, members))
    if stated.groups:
        for name in sorted(scope.groups):
            elements = (e for role in scope.expand(name) for e in role.elements)
            sets.append(declared.cut_set(name, without_kept(elements, scope)))
    for targets in stated.sets:
        found = named_set(targets, scope, declared, report)
        if found is None:
            complete = False
            continue
        members = without_kept(found.elements, scope)
        sets.append(declared.cut_set(found.name, members))
    once: dict[frozenset[object], CutSet] = {}
    for cut in sets:
        if cut.elements:
            once.setdefault(frozenset(cut.elements), cut)
    if not complete:
        return None
    named = tuple(sorted(once.values(), key=cut_key))
    return Completeness(named=named, random=stated.random or 0, greedy=stated.greedy)
