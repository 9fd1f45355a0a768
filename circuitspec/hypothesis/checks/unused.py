"""H050: a metric, baseline, group or protocol that nothing uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from circuitspec.hypothesis.checks.rule import Findings
from circuitspec.hypothesis.checks.spans import action_targets, parts
from circuitspec.hypothesis.measures import MEASURES
from circuitspec.hypothesis.records import Hypothesis
from circuitspec.hypothesis.report import closest
from circuitspec.hypothesis.shape import ModelShape
from circuitspec.hypothesis.task_text import TaskInfo, task_info
from circuitspec.language import syntax
from circuitspec.language.diagnostics import Diagnostic, Severity, Span
from circuitspec.task.suggestions import MOST_GUESSED

NAME = "unused"
CODE = "H050"

Declared = tuple[str, str, Span]
"""Kind, name, and where it is declared."""


def check(hypothesis: Hypothesis, info: TaskInfo, shape: ModelShape | None) -> Findings:
    """What one hypothesis declares or inherits and does not use."""
    return tuple(_warning(d) for d in _unused(hypothesis, info))


def check_all(hypotheses: Iterable[Hypothesis]) -> Findings:
    """What none of the hypotheses that have it uses: rivals share tasks and protocols."""
    idle: dict[Span, Declared] = {}
    busy: set[Span] = set()
    for hypothesis in hypotheses:
        info = task_info(hypothesis.task)
        unused = {d[2]: d for d in _unused(hypothesis, info)}
        idle.update(unused)
        busy |= {span for _, _, span in _declared(hypothesis, info) if span not in unused}
    return tuple(_warning(d) for span, d in idle.items() if span not in busy)


def _warning(declared: Declared) -> Diagnostic:
    kind, name, span = declared
    return Diagnostic(
        code=CODE,
        message=f"the {kind} `{name}` is not used",
        span=span,
        severity=Severity.WARNING,
        hint="use it in a claim, or remove it",
    )


def _unused(hypothesis: Hypothesis, info: TaskInfo) -> list[Declared]:
    if not any(isinstance(s, syntax.Expect) for s in hypothesis.statements):
        return []  # a circuit without claims is a draft: everything is yet to be used
    declared = list(_declared(hypothesis, info))
    names = [name for _, name, _ in declared]
    words = ("input", "logits", "mlps", "heads", "task", info.name)
    known = {*names, *hypothesis.roles, *MEASURES, *words}
    mentioned = set(_mentioned(hypothesis, info))
    if len(info.metrics) == 1:
        mentioned |= {*info.metrics}  # every report says how well the model does by it
    # A misspelt name has been reported; what was meant by it is in use.
    slips = sorted(mentioned - known)[:MOST_GUESSED]
    used = mentioned | {closest(name, names) for name in slips}
    return [d for d in declared if d[1] not in used]


def _declared(hypothesis: Hypothesis, info: TaskInfo) -> Iterator[Declared]:
    for kind, table in (("metric", info.metrics), ("baseline", info.baselines)):
        for name, statement in table.items():
            yield kind, name, statement.name.span
    for item in hypothesis.statements:
        if isinstance(item, syntax.Group | syntax.Protocol):
            yield type(item).__name__.lower(), item.name.text, item.name.span


def _mentioned(hypothesis: Hypothesis, info: TaskInfo) -> Iterator[str]:
    # A protocol may stand outside the hypothesis, in the file or in one that it uses.
    for claim in hypothesis.claims:
        if claim.ablation is not None and claim.ablation.baseline is not None:
            yield claim.ablation.baseline
    own = {s.name.text for s in hypothesis.statements if isinstance(s, syntax.Protocol)}
    resolved = {claim.name for claim in hypothesis.claims}
    for statement in hypothesis.statements:
        if (
            isinstance(statement, syntax.Expect)
            and statement.name.text not in resolved
            and statement.under is not None
            and statement.under.text not in own
        ):
            yield from info.baselines  # what its protocol would have used is not known
    for statement in hypothesis.statements:
        match statement:
            case syntax.Edge(senders=senders, receivers=receivers):
                for target in (*senders, *(r.target for r in receivers)):
                    if isinstance(target, syntax.Ref):
                        yield target.name
            case syntax.Keep(targets=targets):
                yield from (t.name for t in targets if isinstance(t, syntax.Ref))
            case syntax.Protocol(actions=actions):
                yield from _in_actions(actions, hypothesis)
            case syntax.Expect(actions=actions, requirements=requirements, under=under):
                if under is not None:
                    yield under.text
                yield from _in_actions(actions, hypothesis)
                for require in requirements:
                    for side in (require.left, require.right):
                        for part in parts(side):
                            yield from _in_measure(part, info)
            case _:
                pass


def _in_measure(part: syntax.Expr, info: TaskInfo) -> Iterator[str]:
    if isinstance(part, syntax.Ref):
        name = part.name.rpartition(".")[2]
    elif isinstance(part, syntax.Call):
        name = part.function
    else:
        return
    yield name
    if name in MEASURES and "metric" in MEASURES[name].argument:
        named = isinstance(part, syntax.Call) and any(
            isinstance(a, syntax.Ref) and a.name in info.metrics for a in part.arguments
        )
        if not named:
            yield from info.metrics


def _in_actions(actions: tuple[syntax.Action, ...], hypothesis: Hypothesis) -> Iterator[str]:
    for action in actions:
        for target in action_targets(action):
            if isinstance(target, syntax.Ref):
                yield target.name
        match action:
            case syntax.Ablate(value=syntax.AblationValue(baseline=syntax.Name() as name)):
                yield name.text
            case syntax.Patch(baseline=name) | syntax.Run(baseline=name):
                yield name.text
            case syntax.Scrub(over=name, roles=roles):
                yield name.text
                yield from (r.text for r in roles)
            case syntax.Knockouts(groups=True):
                yield from hypothesis.groups
            case _:
                pass
