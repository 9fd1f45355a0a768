"""A task and a tokenizer → prompts: evaluation, references and paired counterfactuals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from circuitspec.language import syntax
from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Severity, Span, has_errors
from circuitspec.language.nodes import Position
from circuitspec.task.baselines import read_baseline
from circuitspec.task.checks import check_resolved
from circuitspec.task.context import TaskContext
from circuitspec.task.counterfactuals import TRIES, transform
from circuitspec.task.encoding import Encoder
from circuitspec.task.foreign import CODE, partners
from circuitspec.task.functions import ExpressionError
from circuitspec.task.metrics import read_metric
from circuitspec.task.positions import as_position
from circuitspec.task.records import Metric, Noise, Prompt, PromptSet, TaskData
from circuitspec.task.resolve import resolve
from circuitspec.task.resolved import (
    Borrowed,
    NoiseOn,
    Resample,
    ResolvedTask,
    Row,
    Shuffle,
    Transformation,
)
from circuitspec.task.sampling import Assignment, draw, pick, population, stream
from circuitspec.task.suggestions import listing
from circuitspec.task.tokenizer import IntegerTokens, TaskTokenizer


def build(
    task: syntax.Task,
    tokenizer: TaskTokenizer | None,
    *,
    base_dir: Path,
    seed: int | None = None,
    evaluation: int | None = None,
    used: Sequence[str] = (),
    foreign: bool = False,
) -> tuple[TaskData | None, tuple[Diagnostic, ...]]:
    """All prompts of a task, or what keeps them from being made.

    `seed` replaces the spec's. At least `evaluation` prompts are drawn to evaluate on: where the
    spec says fewer, the first of them are the spec's (`TaskData.stated`), and the others are there
    for claims that sample until decided. `tokenizer` may be None for tasks over integer tokens.
    `used` are names that the rest of the hypothesis uses, and that therefore are no unused slots.
    `foreign`: whether baselines of other packages are run. Where they are not, a task that has some
    has no prompts, without a mistake: what else there is to find is found.
    """
    started, diagnostics = start(task, tokenizer, base_dir=base_dir, seed=seed, used=used)
    if started is None:
        return None, diagnostics
    builder = started
    builder.foreign = foreign
    data = builder.data(evaluation)
    found = diagnostics + builder.encoder.findings.diagnostics() + tuple(builder.diagnostics)
    return (None if has_errors(found) else data), found


def start(
    task: syntax.Task,
    tokenizer: TaskTokenizer | None,
    *,
    base_dir: Path,
    seed: int | None = None,
    used: Sequence[str] = (),
) -> tuple[Builder | None, tuple[Diagnostic, ...]]:
    """A task checked and bound to its tokenizer, ready to draw from; None where it has mistakes."""
    resolved, diagnostics = resolve(task, base_dir)
    diagnostics += check_resolved(resolved, used=used)
    if resolved.integers is not None:
        tokenizer = IntegerTokens(resolved.integers.first, resolved.integers.last)
    if tokenizer is None:
        missing = Diagnostic(
            code="T039",
            message=f"task `{resolved.name}` is made of words, and there is no tokenizer for them",
            span=resolved.span,
            hint="name a model that has one, or write token ids: `tokens integer 0..63`",
        )
        return None, (*diagnostics, missing)
    if resolved.bos is not None and resolved.bos.prepend and tokenizer.bos_id is None:
        no_bos = Diagnostic(
            code="T023",
            message="`bos yes`, but the tokenizer names no BOS token",
            span=resolved.bos.span,
            hint="write `bos no`",
        )
        diagnostics += (no_bos,)
    encoder = Encoder(TaskContext(task=resolved, tokenizer=tokenizer))
    # What is wrong with words shows even where other statements are wrong too.
    if all(g.words for g in resolved.groups):
        encoder.fit.check_words()
    diagnostics += encoder.findings.diagnostics()
    encoder.findings.found.clear()
    if has_errors(diagnostics):
        return None, diagnostics
    assert resolved.sample is not None, "a task without `sample` has been refused"
    chosen = seed if seed is not None else resolved.sample.seed or 0
    return Builder(resolved, encoder, chosen, []), diagnostics


@dataclass(slots=True)
class Builder:
    """Draws the sets of a task that has passed its checks."""

    task: ResolvedTask
    encoder: Encoder
    seed: int
    diagnostics: list[Diagnostic]
    evaluation: int = 0
    foreign: bool = True

    def data(self, evaluation: int | None = None) -> TaskData | None:
        """The task's sets; None where something is wrong (see the findings)."""
        sample = self.task.sample
        assert sample is not None
        count = sample.evaluation
        stated = None
        if evaluation is not None and isinstance(count, syntax.Count):
            stated = self._total(count)
            if evaluation > stated:
                count = syntax.Count(number=evaluation, span=count.span)
                self.evaluation = evaluation
        clean = self.assignments("evaluation", count)
        if clean is None:
            return None
        prompts = self.complete(self.encoder.encode(clean))
        if prompts is None:
            return None
        self._answers_differ(prompts)
        self._places_exist(prompts)
        references: dict[str, PromptSet] = {}
        counterfactuals: dict[str, PromptSet] = {}
        noise: dict[str, Noise] = {}
        withheld = False
        for name, baseline in self.task.baselines.items():
            transformation, _ = read_baseline(self.task, baseline)
            assert transformation is not None, "a baseline that says nothing has been refused"
            if isinstance(transformation, Borrowed) and not self.foreign:
                withheld = True
                continue
            if isinstance(transformation, NoiseOn):
                noise[name] = _noise(transformation)
                self._noise_has_places(name, noise[name], prompts)
            paired = self.counterfactual(name, transformation, clean, prompts)
            if paired is not None:
                counterfactuals[name] = PromptSet(name=f"counterfactual:{name}", prompts=paired)
            if sample.reference is not None:
                drawn = self.distribution(f"reference:{name}", sample.reference, name)
                if drawn is not None:
                    references[name] = PromptSet(name=f"reference:{name}", prompts=drawn)
        if withheld:
            return None
        return TaskData(
            name=self.task.name,
            templates=self.task.rotation,
            metrics=self._metrics(),
            evaluation=PromptSet(name="evaluation", prompts=prompts),
            references=references,
            counterfactuals=counterfactuals,
            bos=self.task.bos is not None and self.task.bos.prepend,
            enumerated=count == "all",
            seed=self.seed,
            noise=noise,
            context=self.encoder.context,
            stated=stated,
        )

    def _total(self, count: syntax.Count) -> int:
        return count.number * (len(self.task.rotation) if count.each_template else 1)

    def _metrics(self) -> dict[str, Metric]:
        records = {name: read_metric(m)[0] for name, m in self.task.metrics.items()}
        return {name: record for name, record in records.items() if record is not None}

    def complete(self, prompts: Sequence[Prompt | None]) -> tuple[Prompt, ...] | None:
        """The prompts, if none of them is wrong."""
        good = tuple(p for p in prompts if p is not None)
        return good if len(good) == len(prompts) else None

    # ── drawing ──────────────────────────────────────────────────────────────────────────────────

    def assignments(self, name: str, count: syntax.Count | str) -> list[Assignment] | None:
        """The task's own distribution under a set's name, or None where a value is missing."""
        try:
            if not isinstance(count, syntax.Count):
                return list(population(self.task, self.encoder.fit.width))
            return list(self._drawn(name, count))
        except ExpressionError as fault:
            self.encoder.findings.fault(fault, self.task.span, "give every prompt a value")
            return None

    def _drawn(self, name: str, count: syntax.Count) -> Iterator[Assignment]:
        rotation = self.task.rotation
        total = self._total(count)
        rows = self._rows(name, total, count)
        for i in range(total):
            template, row = rotation[i % len(rotation)], None
            if rows is not None:
                row = rows[i]
                template = (row.template or "file") if row.text is not None else template
            key = (self.seed, name, template, i // len(rotation))
            yield draw(self.task, template, key, self.encoder.fit.width, row)

    def _rows(self, name: str, total: int, count: syntax.Count) -> list[Row] | None:
        """Rows of the prompts file, none in both the evaluation and the reference sets."""
        if self.task.rows is None:
            return None
        rows = self._shuffled_rows()
        skip = 0
        sample = self.task.sample
        if name.startswith("reference:") and sample is not None:
            own = sample.evaluation
            skip = self._total(own) if isinstance(own, syntax.Count) else 0
            skip = max(skip, self.evaluation)
        elif name.startswith("pool:"):
            total = min(total, len(rows))
        if skip + total > len(rows):
            raise ExpressionError(
                f"{skip + total} prompts are drawn and the prompts file has {len(rows)}",
                count.span if count.span is not NO_SPAN else self.task.span,
                "draw fewer, or write `sample all`: evaluation and reference share no prompt",
                code="T038",
            )
        return rows[skip : skip + total]

    def _shuffled_rows(self) -> list[Row]:
        """All rows in random order, those of several templates taking turns."""
        assert self.task.rows is not None
        rng = stream(self.seed, "rows")
        order = sorted((rng.random(), i) for i in range(len(self.task.rows)))
        by_template: dict[str, list[Row]] = {name: [] for name in self.task.rotation}
        rows = [self.task.rows[i] for _, i in order]
        if any(r.text is None for r in rows):
            return rows
        for row in rows:
            by_template[row.template or "file"].append(row)
        turns = max(len(own) for own in by_template.values())
        return [own[i] for i in range(turns) for own in by_template.values() if i < len(own)]

    # ── baselines ────────────────────────────────────────────────────────────────────────────────

    def counterfactual(
        self,
        name: str,
        transformation: Transformation,
        clean: list[Assignment],
        prompts: tuple[Prompt, ...],
    ) -> tuple[Prompt, ...] | None:
        """Each prompt's counterfactual: same template, same number of tokens."""
        if isinstance(transformation, NoiseOn):
            return tuple(replace(p, pair=i) for i, p in enumerate(prompts))
        if isinstance(transformation, Shuffle):
            return self._shuffled(name, prompts)
        return self._partners(f"counterfactual:{name}", transformation, clean, prompts, name, True)

    def distribution(
        self, set_name: str, count: syntax.Count | str, baseline: str | None
    ) -> tuple[Prompt, ...] | None:
        """A baseline's distribution (or, without one, the task's), drawn for a set of its own."""
        fresh = self.assignments(set_name, count)
        if fresh is None:
            return None
        prompts = self.complete(self.encoder.encode(fresh))
        if baseline is None or prompts is None:
            return prompts
        transformation, _ = read_baseline(self.task, self.task.baselines[baseline])
        if transformation is None or isinstance(transformation, NoiseOn | Shuffle):
            return prompts
        return self._partners(set_name, transformation, fresh, prompts, baseline, False)

    def _partners(
        self,
        set_name: str,
        transformation: Transformation,
        clean: list[Assignment],
        prompts: tuple[Prompt, ...],
        baseline: str,
        paired: bool,
    ) -> tuple[Prompt, ...] | None:
        """Transformed prompts that line up with the ones they come from, redrawn until they do."""
        span = self.task.baselines[baseline].value.span
        redrawn = isinstance(transformation, Resample)
        # Named by template and number, so that a larger sample leaves earlier prompts as they are.
        numbers: dict[str, int] = {}
        named: list[tuple[object, ...]] = []
        for assignment in clean:
            k = numbers.get(assignment.template, 0)
            numbers[assignment.template] = k + 1
            named.append((self.seed, set_name, assignment.template, k, "baseline"))
        if isinstance(transformation, Borrowed):
            return self._borrowed(set_name, transformation, clean, prompts, named, baseline, paired)
        streams = [stream(*parts) for parts in named]
        found: list[Prompt | None] = [None] * len(clean)
        waiting = list(range(len(clean)))
        for _ in range(TRIES if redrawn else 1):
            try:
                tried = [
                    transform(
                        self.task,
                        transformation,
                        clean[i],
                        streams[i],
                        self.encoder.fit.alike,
                        span,
                    )
                    for i in waiting
                ]
            except ExpressionError as fault:
                self._unfit(fault, span)
                return None
            encoded = self.encoder.encode(tried)
            if any(e is None for e in encoded):
                return None
            left = []
            for i, prompt in zip(waiting, encoded, strict=True):
                assert prompt is not None
                if _lines_up(prompts[i], prompt, redrawn):
                    found[i] = replace(prompt, index=i, pair=i if paired else None)
                else:
                    left.append((i, prompt))
            waiting = [i for i, _ in left]
            if not waiting:
                return self.complete(found)
        i, prompt = left[0]
        self._too_long(baseline, prompts[i], prompt)
        return None

    def _too_long(self, baseline: str, clean: Prompt, other: Prompt) -> None:
        span = self.task.baselines[baseline].value.span
        self._unfit(
            ExpressionError(
                f"baseline `{baseline}`: the counterfactual of {clean.text!r} "
                f"({len(clean.tokens)} tokens) is {other.text!r} ({len(other.tokens)})",
                span,
                "their values correspond token by token, so both must be equally long: use words "
                "of the same number of tokens (`same_tokens`, `one_token`)",
            ),
            span,
        )

    def _borrowed(
        self,
        set_name: str,
        made: Borrowed,
        clean: list[Assignment],
        prompts: tuple[Prompt, ...],
        streams: list[tuple[object, ...]],
        baseline: str,
        paired: bool,
    ) -> tuple[Prompt, ...] | None:
        """What another package makes of prompts, as prompts that line up with them."""
        span = self.task.baselines[baseline].value.span
        known = set(self.encoder.findings.found)
        try:
            found = partners(
                made, baseline, clean, prompts, streams, self.encoder,
                words=set_name.startswith("pool:"),
            )  # fmt: skip
        except ExpressionError as fault:
            self.encoder.findings.fault(fault, span, "give every prompt a counterfactual")
            return None
        if any(prompt is None for prompt in found):
            about = f"baseline `{baseline}`: {made.source}"
            self.encoder.findings.blame(span, about, CODE, known)
            return None
        for own, other in zip(prompts, found, strict=True):
            if other is not None and not _lines_up(own, other, redrawn=True):
                self._too_long(baseline, own, other)
                return None
        return self.complete(
            [
                None if other is None else replace(other, index=i, pair=i if paired else None)
                for i, other in enumerate(found)
            ]
        )

    def _unfit(self, fault: ExpressionError, span: Span) -> None:
        fault.code = "T033"
        self.encoder.findings.fault(fault, span, "use other words")

    def _shuffled(self, name: str, prompts: tuple[Prompt, ...]) -> tuple[Prompt, ...] | None:
        """For each prompt another one of its template and length: a random cycle through all."""
        rng = stream(self.seed, f"counterfactual:{name}")
        alike: dict[tuple[str, int], list[int]] = {}
        for prompt in prompts:
            alike.setdefault((prompt.template, len(prompt.tokens)), []).append(prompt.index)
        partner: dict[int, int] = {}
        for (template, length), indices in alike.items():
            if len(indices) == 1:
                fault = ExpressionError(
                    f"baseline `{name}`: no other prompt of template `{template}` has "
                    f"{length} tokens, so {prompts[indices[0]].text!r} cannot be shuffled",
                    hint="draw more prompts, or words of the same number of tokens",
                )
                self._unfit(fault, self.task.baselines[name].value.span)
                return None
            left, cycle = list(indices), []
            while left:
                cycle.append(left.pop(pick(rng, len(left))))
            for i, index in enumerate(cycle):
                partner[index] = cycle[(i + 1) % len(cycle)]
        return tuple(replace(prompts[partner[i]], index=i, pair=i) for i in range(len(prompts)))

    # ── metrics ──────────────────────────────────────────────────────────────────────────────────

    def _places_exist(self, prompts: tuple[Prompt, ...]) -> None:
        """A metric that is read where a prompt has no token."""
        for name, metric in self._metrics().items():
            for prompt in prompts:
                if not _missing(metric, prompt):
                    continue
                until = "" if metric.until is None else f"..{metric.until}"
                self.diagnostics.append(
                    Diagnostic(
                        code="T036",
                        message=f"metric `{name}` is read at `{metric.at}{until}`, which is not "
                        f"in {prompt.text!r}, or has no next token there",
                        span=self.task.metrics[name].span,
                        hint="read it at a position that every prompt has",
                    )
                )
                break

    def _noise_has_places(self, name: str, noise: Noise, prompts: tuple[Prompt, ...]) -> None:
        for prompt in prompts:
            try:
                for position in noise.positions:
                    prompt.at(position)
            except (KeyError, IndexError):
                self.diagnostics.append(
                    Diagnostic(
                        code="T036",
                        message=f"baseline `{name}` puts noise at a place that is not in "
                        f"{prompt.text!r}",
                        span=self.task.baselines[name].value.span,
                        hint="name positions that every prompt has",
                    )
                )
                return

    def _answers_differ(self, prompts: tuple[Prompt, ...]) -> None:
        """A metric whose answers are the same tokens is zero whatever the model does."""
        for name, metric in self._metrics().items():
            if metric.kl or any(t.next_token for t in metric.terms):
                continue
            same = [p for p in prompts if _cancels(metric, p)]
            if same:
                names = [t.answer for t in metric.terms]
                self.diagnostics.append(
                    Diagnostic(
                        code="T034",
                        message=f"metric `{name}` is 0 whatever the model does in "
                        f"{len(same)} of {len(prompts)} prompts: {listing(names)} begin with the "
                        f"same token, as in {same[0].text!r}",
                        span=self.task.metrics[name].span,
                        hint="draw them `distinct`, from words that differ in their first token",
                        severity=Severity.ERROR if len(same) == len(prompts) else Severity.WARNING,
                    )
                )


def _missing(metric: Metric, prompt: Prompt) -> bool:
    """Whether a metric cannot be read in a prompt: no such place, or no token after it."""
    try:
        places = metric.places(prompt)
    except (KeyError, IndexError):
        return True
    follows = any(term.next_token for term in metric.terms)
    return not places or (follows and max(places) + 1 >= len(prompt.tokens))


def _cancels(metric: Metric, prompt: Prompt) -> bool:
    weights: dict[tuple[object, int], float] = {}
    for term in metric.terms:
        for token in prompt.answers[term.answer]:
            key = (term.quantity, token)
            weights[key] = weights.get(key, 0.0) + term.coefficient
    return not any(weights.values())


def _lines_up(clean: Prompt, other: Prompt, redrawn: bool) -> bool:
    """Equally long; redrawn words also stand where the old ones stood."""
    if len(clean.tokens) != len(other.tokens):
        return False
    labels = set(clean.slots) & set(clean.positions)
    return not redrawn or all(clean.positions[n] == other.positions.get(n) for n in labels)


def _noise(transformation: NoiseOn) -> Noise:
    places = [as_position(p) for p in transformation.positions]
    known: list[Position] = [p for p in places if p is not None]
    return Noise(scale=transformation.scale, positions=tuple(known))
