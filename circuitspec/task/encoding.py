"""Assignments → prompts: the text tokenised once, labels found by their characters, answers named.

Mistakes are gathered by what they are about, so that a list with forty words that are not one
token gives one diagnostic that names them, and not forty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from circuitspec.language import syntax
from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Span
from circuitspec.task.answers import Continuations, answer_words
from circuitspec.task.context import TaskContext
from circuitspec.task.expressions import Scope, canonical
from circuitspec.task.functions import ExpressionError
from circuitspec.task.metrics import answers_of
from circuitspec.task.positions import PlaceFinder
from circuitspec.task.records import Prompt
from circuitspec.task.sampling import Assignment, assign
from circuitspec.task.suggestions import listing
from circuitspec.task.templates import TemplateText
from circuitspec.task.tokenizer import Encoded


@dataclass(slots=True)
class _Gathered:
    code: str
    message: str
    span: Span
    hint: str
    words: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class Findings:
    """Mistakes met while prompts are made, one for each code and subject."""

    found: dict[tuple[str, str], _Gathered] = field(default_factory=dict)

    def add(
        self, code: str, subject: str, message: str, span: Span, hint: str, *words: str
    ) -> None:
        """A mistake about `subject`; `words` join those of earlier ones, in place of `{words}`."""
        entry = self.found.setdefault((code, subject), _Gathered(code, message, span, hint))
        entry.words.update(dict.fromkeys(words))

    def fault(self, fault: ExpressionError, span: Span, hint: str) -> None:
        """A fault of an expression; its own span and hint where it has them."""
        where = span if fault.span is NO_SPAN else fault.span
        self.add(fault.code, f"at {where.start}", fault.message, where, fault.hint or hint)

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """What was found, in the order in which it was met."""
        return tuple(
            Diagnostic(
                code=g.code,
                message=g.message.replace("{words}", listing(g.words)) if g.words else g.message,
                span=g.span,
                hint=g.hint,
            )
            for g in self.found.values()
        )


@dataclass(slots=True)
class Encoder:
    """Makes prompts of assignments. `findings` gathers what is wrong with them."""

    context: TaskContext
    findings: Findings = field(default_factory=Findings)
    _answers: dict[str, syntax.Expr] = field(default_factory=dict)
    _continuations: Continuations | None = None
    _widths: dict[tuple[int, str, str], int] = field(default_factory=dict)
    _bases: dict[int, dict[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._continuations = Continuations(self.context)
        for metric in self.context.task.metrics.values():
            for expr in answers_of(metric):
                if not (isinstance(expr, syntax.Ref) and expr.name == "next"):
                    self._answers[canonical(expr)] = expr

    def encode(
        self, assignments: Sequence[Assignment], pairs: Sequence[int] | None = None
    ) -> list[Prompt | None]:
        """Prompts in order; None for one that is wrong, with what is wrong in `findings`."""
        rendered = [a.render() for a in assignments]
        encoded = self.context.tokenizer.encode_batch([text for text, _ in rendered])
        prompts: list[Prompt | None] = []
        for i, (assignment, (text, spans), tokens) in enumerate(
            zip(assignments, rendered, encoded, strict=True)
        ):
            pair = None if pairs is None else pairs[i]
            prompts.append(self._prompt(i, assignment, text, spans, tokens, pair))
        return prompts

    def _prompt(
        self,
        index: int,
        assignment: Assignment,
        text: str,
        spans: Mapping[str, tuple[int, int]],
        encoded: Encoded,
        pair: int | None,
    ) -> Prompt | None:
        task, tokenizer = self.context.task, self.context.tokenizer
        bos = task.bos is not None and task.bos.prepend and tokenizer.bos_id is not None
        before = (tokenizer.bos_id,) if bos and tokenizer.bos_id is not None else ()
        positions: dict[str, tuple[int, ...]] = {"BOS": (0,)} if before else {}
        good = self._known_words(assignment.text, text, spans, encoded)
        stretches = [stripped(text, *offset) for offset in encoded.offsets]
        for label, span in spans.items():
            places = covering(stretches, stripped(text, *span))
            if places is None:
                self._unaligned(assignment.text, label, text[slice(*span)])
                good = False
            else:
                positions[label] = tuple(i + len(before) for i in places)
        tokens = (*before, *encoded.ids)
        if not tokens or not good:
            return None
        positions["END"] = (len(tokens) - 1,)
        if assignment.row is not None:
            positions.update(assignment.row.positions)
            good = self._inside(assignment.row.positions, tokens, text) and good
        finder = self._declared(tokens, positions, assignment.values)
        answers = self._name_answers(finder, text, encoded.ids, assignment.values) if finder else {}
        if finder is None or answers is None or not good:
            return None
        return Prompt(
            index=index,
            template=assignment.template,
            text=text,
            tokens=tokens,
            positions=positions,
            slots=dict(assignment.values),
            answers=answers,
            pair=pair,
            columns=assignment.row.columns if assignment.row is not None else {},
        )

    def _known_words(
        self,
        template: TemplateText,
        text: str,
        spans: Mapping[str, tuple[int, int]],
        encoded: Encoded,
        only: str | None = None,
    ) -> bool:
        """Whether the tokenizer knows every word; those it does not are said.

        `only`: of the labels, this one's words alone.
        """
        unknown = self.context.tokenizer.unk_id
        good = True
        for token, offset in zip(encoded.ids, encoded.offsets, strict=True):
            if token != unknown:
                continue
            start, end = stripped(text, *offset)
            word = text[start:end]
            if word and word == self.context.tokenizer.decode((token,)):
                continue  # the unknown token itself, written out
            label = next((n for n, (s, e) in spans.items() if s < end and e > start), None)
            if only is not None and label not in (None, only):
                continue
            good = False
            self._unknown(template, label, word)
        return good

    def _unknown(self, template: TemplateText, label: str | None, word: str) -> None:
        integers = self.context.task.integers
        if integers is not None:
            code, what = "T022", f"no token of `{integers.first}..{integers.last}`"
            hint = "write token ids, separated by spaces"
        else:
            code, what = "T031", "not in the tokenizer's vocabulary"
            hint = "use words that the model knows"
        if label is None:
            piece = next((p for p in template.pieces if not p.is_label and word in p.text), None)
            span = piece.span if piece is not None else template.span
            message = f"{{words}} in template `{template.name}`: {what}"
            self.findings.add(code, f"template {template.name}", message, span, hint, word)
        else:
            span = self._slot_span(label, word)
            message = f"{{words}} for slot `{label}`: {what}"
            self.findings.add(code, label, message, span, hint, word)

    def _slot_span(self, slot: str, word: str, constraint: str | None = None) -> Span:
        """The word itself where it is written in the spec, else the constraint, else the slot."""
        task = self.context.task
        constraints = task.constraints.get(slot, {})
        if constraint is not None and constraint in constraints:
            return constraints[constraint]
        group = task.group_of(slot)
        if group is not None and word in group.word_spans:
            return group.word_spans[word]
        return task.spans.get(slot, task.span)

    def _unaligned(self, template: TemplateText, label: str, word: str) -> None:
        span = next(
            (p.span for p in template.pieces if p.is_label and p.text == label), template.span
        )
        self.findings.add(
            "T030",
            f"{template.name}.{label}",
            f"`{label}` does not begin and end with tokens of its own in template "
            f"`{template.name}`: {{words}}",
            span,
            "its position would be no token's: use other words, or put a space around the label",
            word,
        )

    def _inside(
        self, places: Mapping[str, tuple[int, ...]], tokens: Sequence[int], text: str
    ) -> bool:
        outside = {n: p for n, p in places.items() if any(i >= len(tokens) for i in p)}
        for name, indices in outside.items():
            self.findings.add(
                "T036",
                name,
                f"`position:{name}` is {max(indices)}, and {text!r} has {len(tokens)} tokens",
                self.context.task.span,
                "count tokens from 0, BOS included",
            )
        return not outside

    def _declared(
        self,
        tokens: tuple[int, ...],
        positions: dict[str, tuple[int, ...]],
        values: Mapping[str, str],
    ) -> PlaceFinder | None:
        """Finds the declared positions, which are added to `positions`."""
        task = self.context.task
        scope = Scope(values=values, lists=task.lists, tables=task.tables)
        finder = PlaceFinder(
            tokens=tokens,
            known=positions,
            scope=scope,
            declared=task.positions,
            word_ids=self.context.word_ids,
        )
        for name, declaration in task.positions.items():
            try:
                finder.named(name, declaration.value)
            except ExpressionError as fault:
                fault.code = "T036"
                text = self.context.tokenizer.decode(tokens)
                hint = f"it must be found in every prompt; it is not in: {text!r}"
                self.findings.fault(fault, declaration.value.span, fault.hint or hint)
                return None
        return finder

    def _name_answers(
        self, finder: PlaceFinder, text: str, ids: tuple[int, ...], values: Mapping[str, str]
    ) -> dict[str, tuple[int, ...]] | None:
        answers: dict[str, tuple[int, ...]] = {}
        for name, expr in self._answers.items():
            try:
                if self._is_place(expr):
                    answers[name] = (finder.tokens[finder.find(expr)[0]],)
                    continue
                words = answer_words(expr, self.context, values)
            except ExpressionError as fault:
                self.findings.fault(fault, expr.span, "name words that the prompt can go on with")
                return None
            tokens = [self._continuation(expr, name, text, ids, word) for word in words]
            if None in tokens:
                return None
            answers[name] = tuple(dict.fromkeys(t for t in tokens if t is not None))
        return answers

    def _is_place(self, expr: syntax.Expr) -> bool:
        """`logit(S1[0])`, `logit(BIG)`: the token that stands there, not a word spelt anew."""
        if isinstance(expr, syntax.Subscript):
            return True
        return isinstance(expr, syntax.Ref) and expr.name in self.context.task.positions

    def _continuation(
        self, expr: syntax.Expr, name: str, text: str, ids: tuple[int, ...], word: str
    ) -> int | None:
        assert self._continuations is not None
        try:
            tokens = self._continuations.after(text, ids, word)
        except ExpressionError as fault:
            if fault.code == "T035":
                message = f"answers `{name}` would merge with the prompt's last token: {{words}}"
                hint = "say `answers spaced`, or end the prompt at a token of its own"
            else:
                message = f"answers `{name}` are not in the vocabulary: {{words}}"
                hint = "use words that the model knows"
            self.findings.add(fault.code, name, message, expr.span, hint, word)
            return None
        if len(tokens) > 1 and isinstance(expr, syntax.Ref):
            constraints = self.context.task.constraints.get(expr.name, {})
            if "one_token" in constraints:
                self._not_one(expr.name, "as an answer", word)
                return None
        return tokens[0]

    def _not_one(self, slot: str, where: str, word: str) -> None:
        self.findings.add(
            "T032",
            f"{slot} {where}",
            f"not one token {where} (slot `{slot}`): {{words}}",
            self._slot_span(slot, word, "one_token"),
            "use other words, or drop `one_token` and say which token is meant: "
            f"`{slot}[0]`, `{slot}[-1]`",
            word,
        )

    def width(self, text: TemplateText, slot: str, word: str) -> int:
        """How many tokens a word has in a slot's place; see `sampling.Width`."""
        key = (id(text), slot, word)
        if key not in self._widths:
            self._measure(text, slot, (word,))
        return self._widths[key]

    def _measure(self, text: TemplateText, slot: str, words: Iterable[str]) -> None:
        new = [w for w in dict.fromkeys(words) if (id(text), slot, w) not in self._widths]
        if slot not in text.labels:
            self._widths.update({(id(text), slot, w): 0 for w in new})
            return
        base = self._bases.setdefault(id(text), self._base(text))
        rendered = [text.render({**base, slot: w}) for w in new]
        encoded = self.context.tokenizer.encode_batch([t for t, _ in rendered])
        for word, (written, spans), tokens in zip(new, rendered, encoded, strict=True):
            stretches = [stripped(written, *offset) for offset in tokens.offsets]
            places = covering(stretches, stripped(written, *spans[slot]))
            self._widths[id(text), slot, word] = -1 if places is None else len(places)

    def _base(self, text: TemplateText) -> dict[str, str]:
        """A word for each label, to measure the others between."""
        task = self.context.task
        values = dict(task.rows[0].values) if task.rows else {}
        for group in task.groups:
            n = len(group.words)
            values.update({s: group.words[i % n] for i, s in enumerate(group.names) if n})
        with suppress(ExpressionError, KeyError):  # without a value: seen in drawn prompts
            values.update(assign(task, text.name, values, None).values)
        return {n: values.get(n, "a") for n in text.labels}

    def check_words(self) -> None:
        """Every word of every list in its place: known, on token boundaries, one token if said."""
        task = self.context.task
        for text in task.templates.values():
            for label in text.labels:
                words = task.domain(label)
                if words is None:
                    continue
                self._measure(text, label, words)
                one = "one_token" in task.constraints.get(label, {}) or self._inherits(label)
                for word in words:
                    width = self._widths[id(text), label, word]
                    if width > 1 and one:
                        self._not_one(label, f"in template `{text.name}`", word)
                self._check_known(text, label, words)

    def _inherits(self, slot: str) -> bool:
        source = self.context.task.linked.get(slot)
        return source is not None and "one_token" in self.context.task.constraints.get(source, {})

    def _check_known(self, text: TemplateText, label: str, words: Sequence[str]) -> None:
        base = self._bases.setdefault(id(text), self._base(text))
        rendered = [text.render({**base, label: w}) for w in words]
        encoded = self.context.tokenizer.encode_batch([t for t, _ in rendered])
        for word, (written, spans), tokens in zip(words, rendered, encoded, strict=True):
            self._known_words(text, written, spans, tokens, only=label)
            if self._widths[id(text), label, word] == -1:
                self._unaligned(text, label, word)


def stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A stretch of text without the spaces at its ends."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def covering(stretches: Sequence[tuple[int, int]], span: tuple[int, int]) -> tuple[int, ...] | None:
    """The tokens that make up a stretch of text, or None where it is no whole number of them."""
    start, end = span
    places = tuple(i for i, (s, e) in enumerate(stretches) if s < e and s < end and e > start)
    if not places or stretches[places[0]][0] != start:
        return None
    return places if max(stretches[i][1] for i in places) == end else None
