"""Whether words fit their places: known to the tokenizer, whole numbers of tokens, one if said."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from circuitspec.language.diagnostics import Span
from circuitspec.task.context import TaskContext
from circuitspec.task.findings import Findings
from circuitspec.task.functions import ExpressionError
from circuitspec.task.sampling import assign
from circuitspec.task.templates import TemplateText
from circuitspec.task.tokenizer import Encoded


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


@dataclass(slots=True)
class WordFit:
    """Measures words where they stand in a template; what is wrong with them goes to `findings`."""

    context: TaskContext
    findings: Findings
    _widths: dict[tuple[int, str, str], int] = field(default_factory=dict)
    _alike: dict[Hashable, list[str]] = field(default_factory=dict)
    _totals: dict[tuple[int, str, str], int] = field(default_factory=dict)
    _bases: dict[int, dict[str, str]] = field(default_factory=dict)

    def known_words(
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
            if label is not None or self.context.task.integers is None:
                self._unknown(template, label, word)  # integers in a template: `checks` says so
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
            message = f"{{words}} in {{places}}: {what}"
            # One word in the texts of many templates is one mistake.
            self.findings.add(code, "templates", message, span, hint, word, template=template.name)
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

    def unaligned(self, template: TemplateText, label: str, word: str) -> None:
        """Say that a word shares a token with what stands beside it."""
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

    def not_one(self, slot: str, where: str, word: str) -> None:
        """Say that a word is several tokens where one is asked for."""
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

    def alike(
        self, text: TemplateText, slot: str, word: str, words: Sequence[str]
    ) -> Sequence[str]:
        """Those of `words` that take as many tokens as `word` in a slot's place.

        The whole text must be as long too: some tokenizers write the space before some words as a
        token of its own, which belongs to neither. Of all words of a slot it is asked once.
        """
        key = (id(text), slot, self._taken(text, slot, word), tuple(words))
        if key not in self._alike:
            self._alike[key] = [w for w in words if self._taken(text, slot, w) == key[2]]
        return self._alike[key]

    def _taken(self, text: TemplateText, slot: str, word: str) -> tuple[int, int | None]:
        """The tokens of a word in a slot's place, and of the whole text with it."""
        return self.width(text, slot, word), self._totals.get((id(text), slot, word))

    def _measure(
        self, text: TemplateText, slot: str, words: Iterable[str], *, say: bool = False
    ) -> None:
        """Remember how many tokens words have; `say` what is wrong with them."""
        new = [w for w in dict.fromkeys(words) if (id(text), slot, w) not in self._widths]
        if slot not in text.labels:
            self._widths.update({(id(text), slot, w): 0 for w in new})
            return
        if id(text) not in self._bases:
            self._bases[id(text)] = self._base(text)
        base = self._bases[id(text)]
        rendered = [text.render({**base, slot: w}) for w in new]
        encoded = self.context.tokenizer.encode_batch([t for t, _ in rendered])
        for word, (written, spans), tokens in zip(new, rendered, encoded, strict=True):
            stretches = [stripped(written, *offset) for offset in tokens.offsets]
            places = covering(stretches, stripped(written, *spans[slot]))
            self._widths[id(text), slot, word] = -1 if places is None else len(places)
            self._totals[id(text), slot, word] = len(tokens.ids)
            if not say:
                continue
            if self.known_words(text, written, spans, tokens, only=slot) and places is None:
                self.unaligned(text, slot, word)
            elif places is not None:
                self.one_token(text, slot, word, len(places))

    def one_token(self, text: TemplateText, slot: str, word: str, width: int) -> bool:
        """Whether a slot that is to be one token is; a linked slot is bound by its source too."""
        constraints = self.context.task.constraints
        source = self.context.task.source(slot)
        said = "one_token" in {*constraints.get(slot, {}), *constraints.get(source, {})}
        if said and width > 1:
            self.not_one(slot, f"in template `{text.name}`", word)
        return not said or width <= 1

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
        for text in self.context.task.templates.values():
            for label in text.labels:
                words = self.context.task.domain(label)
                if words is not None:
                    self._measure(text, label, words, say=True)
