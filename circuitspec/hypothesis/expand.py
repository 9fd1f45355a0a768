"""`expand`: a hypothesis as a flat list, one fact a line, so that `diff` says what two differ in.

The lines are sorted within their kind and do not depend on the order of declarations. Where the
order of a list means something (`movers before it`), what it means is written out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from circuitspec.hypothesis.ordering import edge_key, element_key, node_key
from circuitspec.hypothesis.records import (
    AblateComplement,
    AblateSet,
    Ablation,
    ActivationPatch,
    Claim,
    CutSet,
    Denoise,
    Element,
    Hypothesis,
    Minimality,
    PathPatch,
    Role,
    Scrub,
)
from circuitspec.hypothesis.text import channels_text, expression_text, statement_text


def expand(hypothesis: Hypothesis) -> str:
    """The whole hypothesis, a line a fact, each line complete in itself; ends with a newline."""
    return "".join(f"{line}\n" for line in lines(hypothesis))


def lines(hypothesis: Hypothesis) -> Iterator[str]:
    """The facts in order: model, task, roles, keeps, open nodes, groups, edges, claims."""
    yield f"hypothesis {hypothesis.name}"
    if hypothesis.refines is not None:
        yield f"refines {hypothesis.refines}"
    revision = f" revision {hypothesis.revision}" if hypothesis.revision else ""
    yield f"model {hypothesis.model}{revision}"
    yield f"task {hypothesis.task.name}"
    yield from sorted(f"task {statement_text(s)}" for s in hypothesis.task.statements or ())
    yield from sorted(statement_text(s) for s in hypothesis.sweeps)
    for name in sorted(hypothesis.roles):
        yield from _role(hypothesis.roles[name])
    yield from sorted(
        f"keep {node} @ {position}"
        for kept in hypothesis.kept
        for node in ((kept.nodes,) if isinstance(kept.nodes, str) else kept.nodes)
        for position in kept.positions
    )
    yield from sorted(f"open {e} {_quoted(reason)}" for e, reason in hypothesis.open_nodes)
    for name in sorted(hypothesis.groups):
        yield from (f"group {name} role {role}" for role in sorted(hypothesis.groups[name]))
    for edge in sorted({e for part in hypothesis.edges for e in part.edges}, key=edge_key):
        yield f"edge {edge}"
    yield from sorted(_drawn_together(hypothesis))
    for claim in sorted(hypothesis.claims, key=lambda c: c.name):
        yield from _claim(claim)


def _drawn_together(hypothesis: Hypothesis) -> Iterator[str]:
    """Edge statements of several bundles: scrubbing draws once for all that one line states."""
    found: dict[int, list[str]] = {}
    for part in hypothesis.edges:
        bundle = f"{part.sender} -> {part.receiver}{channels_text(part.channels)}"
        found.setdefault(part.statement, []).append(bundle)
    return (f"together {', '.join(sorted(b))}" for b in found.values() if len(b) > 1)


def _role(role: Role) -> Iterator[str]:
    yield from (f"role {role.name} member {node}" for node in sorted(role.nodes, key=node_key))
    for place in sorted(role.places, key=str):
        attends = f" attends {', '.join(map(str, place.keys))}" if place.keys else ""
        yield f"role {role.name} at {place.query}{attends}"
    for feature in sorted(expression_text(f) for f in role.carries):
        yield f"role {role.name} carries {feature}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _claim(claim: Claim) -> Iterator[str]:
    at = f"claim {claim.name}"
    if claim.refuted:
        yield f"{at} refuted"
    if claim.ablation is not None:
        yield f"{at} ablation {ablation_text(claim.ablation)}"
    yield from (f"{at} {line}" for line in _intervention(claim))
    for given in sorted(claim.given, key=lambda c: c.name):
        yield f"{at} given ablated {_set(given)}"
    if claim.completeness is not None:
        for cut in sorted(claim.completeness.named, key=lambda c: c.name):
            yield f"{at} knockout {cut.name}: {_set(cut)}"
        if claim.completeness.random:
            yield f"{at} knockouts random {claim.completeness.random}"
        if claim.completeness.greedy is not None:
            yield f"{at} knockouts greedy {'x'.join(map(str, claim.completeness.greedy))}"
    if claim.minimality is not None:
        yield from (f"{at} {line}" for line in _minimality(claim.minimality))
    if claim.accept_blind:
        yield f"{at} accept blind"
    if claim.at_most is not None:
        yield f"{at} until decided, at most {claim.at_most}"
    yield from (f"{at} require {text}" for text in sorted(r.text for r in claim.requirements))


def ablation_text(ablation: Ablation) -> str:
    """`by nodes with mean from abc over template`."""
    parts = [f"by {ablation.by} with {ablation.kind}"]
    parts += [f"from {ablation.baseline}"] if ablation.baseline else []
    parts += [f"over {ablation.over}"] if ablation.over else []
    parts += [f"draws {ablation.draws}"] if ablation.kind == "resample" else []
    parts += [f"{ablation.scale:g}"] if ablation.scale is not None else []
    return " ".join(parts)


def _set(cut: CutSet) -> str:
    parts = _elements(cut.elements) or [str(e) for e in sorted(cut.edges, key=edge_key)]
    return ", ".join(parts) or "nothing"


def _elements(elements: Iterable[Element]) -> list[str]:
    return [str(e) for e in sorted(elements, key=element_key)]


def _intervention(claim: Claim) -> Iterator[str]:
    match claim.intervention:
        case AblateComplement():
            yield "ablate complement"
        case AblateSet(cut=cut):
            yield from (f"ablate {e}" for e in _elements(cut.elements))
        case ActivationPatch(cut=cut, baseline=baseline):
            yield from (f"patch {e} from {baseline}" for e in _elements(cut.elements))
        case PathPatch() as patch:
            for pair in patch.pairs:
                senders = ", ".join(map(str, pair.senders))
                for hop, reading in enumerate(
                    (pair.receivers, *(h.receivers for h in pair.onward))
                ):
                    for receiver, channel, position in reading:
                        read = f"{receiver}{channels_text((channel,) if channel else ())}"
                        source = senders if hop == 0 else f"hop {hop}"
                        yield (
                            f"patch {patch.mode} {source} -> {read} @ {position} "
                            f"from {patch.baseline} {patch.through}"
                        )
        case Scrub(over=over, draws=draws, roles=roles):
            only = f" only {', '.join(sorted(roles))}" if roles else ""
            yield f"scrub over {over} draws {draws}{only}"
        case Denoise(baseline=baseline, restored=restored):
            yield f"run from {baseline}"
            yield from (f"restore {e}" for e in _elements(restored))
        case None:
            return


def _minimality(minimality: Minimality) -> Iterator[str]:
    for unit, sets in sorted(minimality.candidates, key=lambda c: c[0].name):
        for given in sets:
            yield f"each {minimality.unit} {unit.name} given {given.name}: {_set(given)}"
