"""The light half of every command: from a path to resolved hypotheses; no torch, no network.

parse → resolve → bind to the model's shape and tokenizer, where those are to be found on this
machine. What cannot be looked into is listed: a clean `check` never says more than it knows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from circuitspec.language.diagnostics import Diagnostic, Severity, Span, has_errors
from circuitspec.language.parser import parse, read
from circuitspec.language.syntax import Count, Expr, ModelStatement, Sample, SpecFile, Task, Tokens

if TYPE_CHECKING:
    from circuitspec.hypothesis.records import Hypothesis
    from circuitspec.hypothesis.shape import ModelShape
    from circuitspec.model.tokenizer import ModelTokenizer
    from circuitspec.task.records import TaskData
    from circuitspec.task.tokenizer import TaskTokenizer

UNREADABLE = frozenset({"C020", "C022"})
"""Codes that say that there is no text to look at: no such file, not UTF-8, far too large."""

UNSEEN = frozenset({"M013", "M016"})
"""Codes that say that a model's tokenizer or shape is not on this machine. `verify` fetches it."""

STDIN = "-"

FEW = 12
"""Prompts a set that `check` draws: some of each template, where there are not very many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A hypothesis with what is known of its model and prompts without loading weights.

    `shape` and `task` are `None` where the model or its tokenizer are not on this machine, or where
    mistakes keep them from being made.
    """

    hypothesis: Hypothesis
    shape: ModelShape | None = None
    task: TaskData | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A spec, as far as it could be understood.

    `sources` are the texts by file name, for showing diagnostics in them. `not_checked` has a
    sentence for each thing that could not be looked into here.
    """

    path: str
    tree: SpecFile
    bound: tuple[Bound, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    not_checked: tuple[str, ...] = ()

    @property
    def readable(self) -> bool:
        """Whether there was a text to look at."""
        return not any(d.code in UNREADABLE for d in self.diagnostics)

    @property
    def ok(self) -> bool:
        """Whether nothing was found that keeps the spec from being verified."""
        return not has_errors(self.diagnostics)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    """How prompts are drawn: enough to see mistakes, or all; and what is run for them."""

    few: bool
    seed: int | None
    foreign: bool


def load_spec(
    path: str | Path,
    *,
    text: str | None = None,
    prompts: Literal["all", "few", "none"] = "all",
    seed: int | None = None,
    n: int | None = None,
    foreign: bool = False,
    sweeps: bool = True,
) -> Loaded:
    """Everything that can be said of a spec without weights; never raises for what is wrong in it.

    `text` stands for the file's contents where it is not on disk (stdin, an unsaved buffer).
    `prompts`: drawing them finds what a list of words does not show. `few` draws enough of each set
    for that, in a tenth of the time, and gives no task; `none` draws none. `seed` and `n`, the
    number of evaluation prompts, replace the spec's. `foreign`: whether baselines of other packages
    are run; a task that has some has no prompts without. `sweeps`: whether a hypothesis that sweeps
    over something stands once for each of what it is swept over, as it is verified.
    """
    file = str(path)
    found: list[Diagnostic] = []
    if text is None:
        text, unreadable = read(path)
        found += unreadable
        if has_errors(unreadable):
            return Loaded(path=file, tree=SpecFile(version=1), diagnostics=tuple(found))
    tree, mistakes = parse(text, file)
    base_dir = Path(file).parent if file != STDIN else Path()

    from circuitspec.hypothesis.checks import check_all
    from circuitspec.hypothesis.checks.untested import check_all as untested
    from circuitspec.hypothesis.resolve import resolve
    from circuitspec.hypothesis.sweeps import swept
    from circuitspec.hypothesis.unread import founded

    hypotheses, unresolved = resolve(tree, base_dir=base_dir)
    found += unresolved
    if sweeps:
        hypotheses = swept(hypotheses)
    if n is not None:
        hypotheses = tuple(replace(h, task=sampling(h.task, n)) for h in hypotheses)
    unseen: list[str] = []
    shapes = {h.name: _shape(h, base_dir, found, unseen) for h in hypotheses if _names_model(h)}
    tasks = {}
    if prompts != "none":
        how = _Drawing(few=prompts == "few", seed=seed, foreign=foreign)
        tasks = _tasks(hypotheses, base_dir, found, unseen, how)
    bound = [
        Bound(hypothesis=h, shape=shapes.get(h.name), task=tasks.get(h.name)) for h in hypotheses
    ]
    for hypothesis in hypotheses:
        unseen += _borrowed(hypothesis, foreign=foreign)
    known = {name: shape for name, shape in shapes.items() if shape is not None}
    stated = check_all(hypotheses, shapes=known, base_dir=base_dir)
    echoes = {(_ECHOES[d.code], d.span) for d in stated if d.code in _ECHOES}
    found = [d for d in found if (d.code, d.span) not in echoes]
    found += stated
    if not any(d.severity is not Severity.NOTE for d in (*mistakes, *found)):
        found += untested(hypotheses)  # of no interest beside mistakes
    found = [*mistakes, *founded(found, tree, text, mistakes)]
    unique = tuple(dict.fromkeys(nearby(d, given=file) for d in found))
    return Loaded(
        path=file,
        tree=tree,
        bound=tuple(bound),
        diagnostics=in_order(unique),
        sources=sources_of(unique, {file: text}),
        not_checked=tuple(dict.fromkeys(unseen)),
    )


_ECHOES = {"H047": "T036", "H049": "H049"}
"""What drawn prompts show of the same words as well, by what the text has shown already: a place
that is none is in no prompt, and what cannot differ does not."""


def _borrowed(hypothesis: Hypothesis, *, foreign: bool) -> Iterator[str]:
    """What other packages measure and make: to run their code takes more than opening a spec."""
    from circuitspec.task.baselines import borrowed_in
    from circuitspec.task.metrics import borrowed, metrics_in

    for each in borrowed(metrics_in(hypothesis.task)):
        yield f"{each}, which runs with the model"
    if not foreign:
        for each in borrowed_in(hypothesis.task):
            yield f"{each}, which runs where its prompts are listed or used"


def _shape(
    hypothesis: Hypothesis, base_dir: Path, found: list[Diagnostic], unseen: list[str]
) -> ModelShape | None:
    """The shape of the model, adding to what was found and what could not be seen."""
    from circuitspec.model.shapes import shape_of

    at = model_span(hypothesis)
    shape, about = shape_of(hypothesis.model, hypothesis.revision, base_dir, at)
    _keep(about, found, unseen)
    return shape


def _names_model(hypothesis: Hypothesis) -> bool:
    """Whether it has a `model` line, be there nothing between the quotes; without one it is a
    mistake that has been told."""
    return any(isinstance(s, ModelStatement) for s in hypothesis.statements)


def model_span(hypothesis: Hypothesis) -> Span:
    """Where a hypothesis names its model."""
    stated = (s.span for s in hypothesis.statements if isinstance(s, ModelStatement))
    return next(stated, hypothesis.span)


def _tasks(
    hypotheses: Iterable[Hypothesis],
    base_dir: Path,
    found: list[Diagnostic],
    unseen: list[str],
    how: _Drawing,
) -> dict[str, TaskData | None]:
    """Each hypothesis's prompts by its name. Rivals over one task and model share them."""
    sharing: dict[tuple[str, str | None, Task], list[Hypothesis]] = {}
    for hypothesis in hypotheses:
        if hypothesis.model and hypothesis.task.statements:
            key = (hypothesis.model, hypothesis.revision, hypothesis.task)
            sharing.setdefault(key, []).append(hypothesis)
    tasks: dict[str, TaskData | None] = {}
    for rivals in sharing.values():
        used = tuple(dict.fromkeys(name for rival in rivals for name in names_used(rival)))
        most = most_prompts(rivals)
        task = _task(rivals, used, most, base_dir, found, unseen, how)
        tasks |= {rival.name: task for rival in rivals}
    return tasks


def _task(
    rivals: list[Hypothesis],
    used: tuple[str, ...],
    most: int | None,
    base_dir: Path,
    found: list[Diagnostic],
    unseen: list[str],
    how: _Drawing,
) -> TaskData | None:
    """The prompts of rivals over one task, where their tokenizer is on this machine."""
    from circuitspec.task.checks import check_task

    hypothesis = rivals[0]
    tokenizer = None
    if not any(isinstance(s, Tokens) for s in hypothesis.task.statements or ()):
        tokenizer, about = tokenizer_for(hypothesis, base_dir)
        _keep(about, found, unseen)
        if tokenizer is None:
            found += check_task(hypothesis.task, base_dir=base_dir, used=used)
            return None
    stated, few = hypothesis.task, how.few
    if few:
        found += check_task(stated, base_dir=base_dir, used=used)
        stated = sampling_few(stated)
    from circuitspec.task.build import build  # last: nothing is drawn without a tokenizer

    def drawn(stated: Task, most: int | None) -> tuple[TaskData | None, tuple[Diagnostic, ...]]:
        return build(
            stated,
            tokenizer,
            base_dir=base_dir,
            seed=how.seed,
            evaluation=most,
            used=used,
            foreign=how.foreign,
        )

    task, mistakes = drawn(stated, None if few else most)
    found += mistakes
    if task is not None:
        from circuitspec.hypothesis.checks.spans import position_expressions
        from circuitspec.task.constant import constant_features
        from circuitspec.task.outside import outside_prompts

        found += outside_prompts((p for r in rivals for p in position_expressions(r)), task)
        features = tuple(dict.fromkeys(f for r in rivals for f in _features(r)))
        constant = constant_features(features, task)
        if constant and few:  # a dozen prompts may agree by chance
            whole, _ = drawn(hypothesis.task, most)
            constant = () if whole is None else constant_features(features, whole)
        found += constant
    return None if few else task


def _features(hypothesis: Hypothesis) -> Iterator[Expr]:
    """What the roles of a hypothesis carry."""
    for role in hypothesis.roles.values():
        yield from role.carries


def most_prompts(hypotheses: Iterable[Hypothesis]) -> int | None:
    """The most prompts that a claim which samples until decided may take; None without one."""
    caps = (claim.at_most for each in hypotheses for claim in each.claims)
    return max((cap for cap in caps if cap is not None), default=None)


def sampling_few(task: Task) -> Task:
    """The same task with at most `FEW` prompts a set; whole populations become as many draws."""

    def few(s: Sample) -> Sample:
        return replace(
            s,
            evaluation=_at_most_few(s.evaluation),
            reference=None if s.reference is None else _at_most_few(s.reference),
            seed=0 if s.seed is None else s.seed,
        )

    return _resampled(task, few)


def sampling(task: Task, n: int) -> Task:
    """The same task with `n` evaluation prompts; what means are taken over stays as it is."""
    return _resampled(task, lambda s: replace(s, evaluation=Count(number=n), seed=s.seed or 0))


def _resampled(task: Task, change: Callable[[Sample], Sample]) -> Task:
    statements = (change(s) if isinstance(s, Sample) else s for s in task.statements or ())
    return replace(task, statements=tuple(statements))


def _at_most_few(count: Count | str) -> Count:
    if not isinstance(count, Count):
        return Count(number=FEW)
    return replace(count, number=min(count.number, FEW))


def tokenizer_for(
    hypothesis: Hypothesis, base_dir: Path
) -> tuple[TaskTokenizer | None, tuple[Diagnostic, ...]]:
    """The tokenizer of a hypothesis's model, if it is on this machine; otherwise the reason."""
    from circuitspec.model.tokenizer import tokenizer_of

    own, about = tokenizer_of(
        hypothesis.model, hypothesis.revision, base_dir, model_span(hypothesis)
    )
    return (None if own is None else task_tokenizer(own)), about


def task_tokenizer(own: ModelTokenizer) -> TaskTokenizer:
    """A model's tokenizer as tasks use it, with the BOS token that the model names."""
    from circuitspec.task.tokenizer import from_backend

    return from_backend(own.tokenizer, bos_id=own.bos_id)


def names_used(hypothesis: Hypothesis) -> Iterator[str]:
    """Names of the task that the rest of a hypothesis uses: positions, features and metrics."""
    from circuitspec.task.expressions import references

    for role in hypothesis.roles.values():
        for place in role.places:
            yield place.query.label
            yield from (key.label for key in place.keys)
        for feature in role.carries:
            yield from (ref.name for ref in references(feature))
    for kept in hypothesis.kept:
        yield from (position.label for position in kept.positions)
    yield from (element.position.label for element, _ in hypothesis.open_nodes)
    for statement in hypothesis.edges:
        yield from (edge.position.label for edge in statement.edges)
    for claim in hypothesis.claims:
        for requirement in claim.requirements:
            for side in (requirement.left, requirement.right):
                yield from (ref.name.rpartition(".")[2] for ref in references(side))


def _keep(about: Iterable[Diagnostic], found: list[Diagnostic], unseen: list[str]) -> None:
    """Mistakes are found; what is merely not on this machine is not checked, and said so."""
    for diagnostic in about:
        if diagnostic.code in UNSEEN:
            unseen.append(diagnostic.message)
        else:
            found.append(diagnostic)


def nearby(diagnostic: Diagnostic, *, given: str) -> Diagnostic:
    """The same, with files that a spec uses named from here; `given` stays as it was given."""

    def here(span: Span) -> Span:
        if span.file == given or not os.path.isabs(span.file):
            return span
        shorter = os.path.relpath(span.file)
        return span if shorter.startswith(os.pardir) else replace(span, file=shorter)

    return replace(
        diagnostic,
        span=here(diagnostic.span),
        labels=tuple(replace(label, span=here(label.span)) for label in diagnostic.labels),
    )


def in_order(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Diagnostics by file and place, those without a place last."""
    return tuple(
        sorted(diagnostics, key=lambda d: (d.span.line == 0, d.span.file, d.span.start, d.code))
    )


def sources_of(diagnostics: Iterable[Diagnostic], known: Mapping[str, str]) -> dict[str, str]:
    """The texts of all files that diagnostics point into. One that cannot be read has none."""
    sources = dict(known)
    for diagnostic in diagnostics:
        for span in (diagnostic.span, *(label.span for label in diagnostic.labels)):
            if span.file and span.file not in sources:
                sources[span.file] = read(span.file)[0]
    return sources
