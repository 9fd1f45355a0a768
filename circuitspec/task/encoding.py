"""Assignments → prompts: a text tokenised once, its labels found by their characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from circuitspec.language import syntax
from circuitspec.task.answers import Continuations, answer_words, last_word
from circuitspec.task.context import TaskContext
from circuitspec.task.expressions import Scope, canonical, references
from circuitspec.task.findings import Findings
from circuitspec.task.fit import WordFit, covering, stripped
from circuitspec.task.functions import ExpressionError
from circuitspec.task.metrics import answers_of
from circuitspec.task.positions import PlaceFinder
from circuitspec.task.records import Prompt
from circuitspec.task.sampling import Assignment
from circuitspec.task.tokenizer import Encoded


@dataclass(slots=True)
class Encoder:
    """Makes prompts of assignments. `findings` gathers what is wrong with them."""

    context: TaskContext
    findings: Findings = field(default_factory=Findings)
    _answers: dict[str, syntax.Expr] = field(default_factory=dict)
    _named: dict[tuple[object, ...], tuple[int, ...]] = field(default_factory=dict)
    _continuations: Continuations = field(init=False)
    fit: WordFit = field(init=False)

    def __post_init__(self) -> None:
        self._continuations = Continuations(self.context)
        self.fit = WordFit(self.context, self.findings)
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
        good = self.fit.known_words(assignment.text, text, spans, encoded)
        stretches = [stripped(text, *offset) for offset in encoded.offsets]
        for label, span in spans.items():
            places = covering(stretches, stripped(text, *span))
            if places is None:
                self.fit.unaligned(assignment.text, label, text[slice(*span)])
                good = False
            else:
                word = text[slice(*span)]
                good = self.fit.one_token(assignment.text, label, word, len(places)) and good
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
        tail = last_word(text)
        for name, expr in self._answers.items():
            if self._is_place(expr):
                answers[name] = (finder.tokens[finder.find(expr)[0]],)
                continue
            # Answers follow from the values they name and the word they come after.
            key = (name, tail, *(values.get(r.name) for r in references(expr)))
            if key not in self._named:
                tokens = self._tokens_of(name, expr, text, ids, values)
                if tokens is None:
                    return None
                self._named[key] = tokens
            answers[name] = self._named[key]
        return answers

    def _tokens_of(
        self,
        name: str,
        expr: syntax.Expr,
        text: str,
        ids: tuple[int, ...],
        values: Mapping[str, str],
    ) -> tuple[int, ...] | None:
        try:
            words = answer_words(expr, self.context, values)
        except ExpressionError as fault:
            self.findings.fault(fault, expr.span, "name words that the prompt can go on with")
            return None
        tokens = [self._continuation(expr, name, text, ids, word) for word in words]
        known = tuple(dict.fromkeys(t for t in tokens if t is not None))
        return None if None in tokens else known

    def _is_place(self, expr: syntax.Expr) -> bool:
        """`logit(S1[0])`, `logit(BIG)`: the token that stands there, not a word spelt anew."""
        if isinstance(expr, syntax.Subscript):
            return True
        return isinstance(expr, syntax.Ref) and expr.name in self.context.task.positions

    def _continuation(
        self, expr: syntax.Expr, name: str, text: str, ids: tuple[int, ...], word: str
    ) -> int | None:
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
                self.fit.not_one(expr.name, "as an answer", word)
                return None
        return tokens[0]
