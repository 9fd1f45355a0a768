"""The shipped task specs, each against prompts written by hand: text, places, right answers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from circuitspec.language import syntax
from circuitspec.language.parser import parse
from circuitspec.task.build import build
from circuitspec.task.features import is_constant

FOLDER = Path(__file__).parents[2] / "specs" / "tasks"


@dataclass(frozen=True, kw_only=True)
class Example:
    """Slots drawn as written; then the text, the words at labels, and the answers of each metric.

    `right` and `wrong` are the words whose tokens a metric counts up and down.
    """

    spec: str
    slots: dict[str, str]
    template: str
    text: str
    at: dict[str, str]
    metric: str
    right: tuple[str, ...]
    wrong: tuple[str, ...] = ()
    values: dict[str, str] = field(default_factory=dict)


EXAMPLES = [
    Example(
        spec="acronyms",
        slots={"WORD1": "King", "WORD2": "Garden", "WORD3": "Office"},
        template="acronym",
        text="The King Garden Office (KG",
        at={"WORD1": "King", "WORD3": "Office", "LETTER1": "K", "LETTER2": "G", "END": "G"},
        metric="letter",
        right=("O",),
        wrong=("G",),
    ),
    Example(
        spec="emails",
        slots={"FIRST1": "Mark", "LAST1": "Lewis", "FIRST2": "Tom", "LAST2": "Parker"},
        template="last_name",
        text="Name: Mark Lewis; Email: lewis.markk@gmail.com\nName: Tom Parker; Email:",
        at={"LAST2": "Parker", "FIRST2": "Tom", "USER1": "lewis.markk", "END": ":"},
        metric="user",
        right=(" parker",),
    ),
    Example(
        spec="capital_after_full_stop",
        slots={"PERSON": "doctor", "PLACE": "park", "THING": "ring", "MARK": "."},
        template="stop",
        text="In the morning the doctor went to the park.",
        at={"PERSON": "doctor", "MARK": ".", "END": "."},
        metric="capital",
        right=(" The", " He", " She", " It", " They", " We", " A", " This", " There", " Then",
               " But", " And"),
        wrong=(" the", " he", " she", " it", " they", " we", " a", " this", " there", " then",
               " but", " and"),
    ),
    Example(
        spec="verbs",
        slots={"SUBJECT": "boys", "PLACE": "park"},
        template="near",
        text="The boys near the park",
        at={"SUBJECT": "boys", "END": "park"},
        metric="agreement_diff",
        right=(" are",),
        wrong=(" is",),
        values={"NUMBER": "plural"},
    ),
    Example(
        spec="verbs",
        slots={"SUBJECT": "boy", "PLACE": "park"},
        template="who",
        text="The boy from the park in town",
        at={"SUBJECT": "boy", "PLACE": "park", "END": "town"},
        metric="agreement_diff",
        right=(" is",),
        wrong=(" are",),
        values={"NUMBER": "singular"},
    ),
    Example(
        spec="pronouns",
        slots={"NAME": "Mary", "PLACE": "store"},
        template="because",
        text="Yesterday Mary went to the store because",
        at={"BOS": "<|endoftext|>", "NAME": "Mary", "END": "because"},
        metric="pronoun",
        right=(" she",),
        wrong=(" he",),
    ),
    Example(
        spec="pronouns",
        slots={"NAME": "John", "PLACE": "store"},
        template="tired",
        text="After a day at the store, John was so tired that",
        at={"NAME": "John", "END": "that"},
        metric="pronoun",
        right=(" he",),
        wrong=(" she",),
    ),
    Example(
        spec="proper_nouns",
        slots={"NAME": "Mary", "CITY": "London"},
        template="mayor",
        text="My friend Mary was born in London, and later became the mayor of",
        at={"CITY": "London", "END": "of"},
        metric="capital",
        right=(" London",),
        wrong=(" london",),
    ),
    Example(
        spec="sentiment",
        slots={"ADJECTIVE": "wonderful"},
        template="film",
        text="I thought the film was wonderful. I",
        at={"ADJECTIVE": "wonderful", "END": "I"},
        metric="liking",
        right=(" loved",),
        wrong=(" hated",),
    ),
    Example(
        spec="sentiment",
        slots={"ADJECTIVE": "awful"},
        template="novel",
        text="The novel we read last year was awful, and all of us",
        at={"ADJECTIVE": "awful", "END": "us"},
        metric="liking",
        right=(" hated",),
        wrong=(" loved",),
    ),
    Example(
        spec="memorised_fact",
        slots={"COUNTRY": "France", "CAPITAL": "Paris"},
        template="plain",
        text="The capital of France is the city of",
        at={"COUNTRY": "France", "END": "of"},
        metric="fact",
        right=(" Paris",),
    ),
    Example(
        spec="memorised_fact",
        slots={"COUNTRY": "Japan", "CAPITAL": "Tokyo"},
        template="question",
        text="Q: What is the capital of Japan? A:",
        at={"COUNTRY": "Japan", "END": ":"},
        metric="fact",
        right=(" Tokyo",),
    ),
    Example(
        spec="counting",
        slots={"FRUIT1": "apple", "FRUIT2": "pear", "FRUIT3": "orange", "FRUIT4": "fig"},
        template="three",
        text="I bought an apple, a pear, and an orange. I was holding",
        at={"FRUIT1": "apple", "ART3": "an", "FRUIT3": "orange", "END": "holding"},
        metric="number",
        right=(" three",),
        wrong=(" two",),
        values={"HOW_MANY": "3"},
    ),
    Example(
        spec="counting",
        slots={"FRUIT1": "apple", "FRUIT2": "pear", "FRUIT3": "orange", "FRUIT4": "fig"},
        template="two",
        text="I bought an apple and a pear. I was holding",
        at={"FRUIT2": "pear", "END": "holding"},
        metric="number",
        right=(" two",),
        wrong=(" one",),
        values={"HOW_MANY": "2"},
    ),
    Example(
        spec="greater_than",
        slots={"NOUN": "war", "CENTURY": "17", "YY": "96"},
        template="lasted",
        text="The war lasted from the year 1796 to the year 17",
        at={"NOUN": "war", "CENTURY": "17", "YY": "96", "CENTURY2": "17", "END": "17"},
        metric="prob_diff",
        right=("97", "98", "99"),
        wrong=tuple(f"{y:02d}" for y in range(97)),
    ),
    Example(
        spec="docstring",
        slots={"NAME": "load", "A_DEF": "file", "B_DEF": "size", "C_DEF": "mode", "D_DEF": "key",
               **{f"WORD{i}": w for i, w in enumerate(
                   ("time", "year", "people", "way", "day", "man", "thing"), 1)}},
        template="docstring",
        text='\ndef load(self, file, size, mode, key):\n    """time year people\n\n'
        "    :param file: way day\n    :param size: man thing\n    :param",
        at={"A_DEF": "file", "B_DOC": "size", "COMMA_B": ",", "END": "param"},
        metric="argument",
        right=(" mode",),
        wrong=(" key",),
    ),
]  # fmt: skip


def task_of(name: str) -> syntax.Task:
    spec, diagnostics = parse((FOLDER / f"{name}.circuit").read_text(encoding="utf-8"), name)
    assert not diagnostics
    (task,) = [s for s in spec.hypotheses[0].statements if isinstance(s, syntax.Task)]
    return task


def pinned(task: syntax.Task, slots: dict[str, str]) -> syntax.Task:
    """The task with its drawn slots drawn from one word each, a prompt of each template."""
    statements: list[syntax.TaskStatement] = []
    for statement in task.statements or ():
        if isinstance(statement, syntax.Slot) and statement.names[0].text in slots:
            for name in statement.names:
                words = syntax.WordList(words=(syntax.Text(value=slots[name.text]),))
                statements.append(syntax.Slot(names=(name,), source=words))
        elif isinstance(statement, syntax.Sample):
            statements.append(syntax.Sample(evaluation="all", seed=0))
        elif not isinstance(statement, syntax.Baseline):
            statements.append(statement)
    return replace(task, statements=tuple(statements))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.spec}.{e.template}")
def test_a_prompt_written_by_hand(example, bpe):
    data, diagnostics = build(pinned(task_of(example.spec), example.slots), bpe, base_dir=FOLDER)
    assert data is not None, diagnostics
    matching = [
        p
        for p in data.evaluation
        if p.template == example.template
        and all(p.slots.get(s, v) == v for s, v in example.slots.items())
    ]
    (prompt,) = matching
    assert prompt.text == example.text
    for label, word in example.at.items():
        tokens = [prompt.tokens[i] for i in prompt.positions[label]]
        assert bpe.decode(tokens).strip() == word, label
    for slot, value in example.values.items():
        assert prompt.slots[slot] == value
    counted: dict[float, list[int]] = {1.0: [], -1.0: []}
    for term in data.metrics[example.metric].terms:
        counted[term.coefficient] += prompt.answers[term.answer]
    text_and = prompt.tokens[1 if data.bos else 0 :]
    assert tuple(bpe.encode(prompt.text).ids) == text_and
    for words, ids in ((example.right, counted[1.0]), (example.wrong, counted[-1.0])):
        assert ids == [bpe.encode(word).ids[0] for word in words]


def test_induction_repeats_and_its_loss_is_of_the_second_half(bpe):
    data, diagnostics = build(task_of("induction"), None, base_dir=FOLDER)
    assert data is not None, diagnostics
    (metric,) = data.metrics.values()
    (term,) = metric.terms
    assert (term.coefficient, term.quantity, term.next_token) == (-1.0, "log_prob", True)
    for prompt in data.evaluation:
        assert prompt.tokens[0] == 50256
        assert prompt.tokens[1:21] == prompt.tokens[21:41]
        assert metric.places(prompt) == tuple(range(21, 40))
    broken = data.counterfactuals["unrepeated"]
    for clean, other in zip(data.evaluation, broken, strict=True):
        assert other.tokens[:21] == clean.tokens[:21]
        assert other.tokens[21:] != clean.tokens[21:]


@pytest.mark.parametrize("name", sorted(p.stem for p in FOLDER.glob("*.circuit")))
def test_every_task_spec_builds_with_pairs_and_no_feature_is_constant(name, bpe):
    spec, _ = parse((FOLDER / f"{name}.circuit").read_text(encoding="utf-8"), name)
    (hypothesis,) = spec.hypotheses
    features = [f for s in hypothesis.statements if isinstance(s, syntax.Role) for f in s.carries]
    task = without_one_token(task_of(name))
    data, diagnostics = build(task, bpe, base_dir=FOLDER)
    assert data is not None, [d.message for d in diagnostics]
    assert data.metrics
    assert data.counterfactuals or data.noise
    for prompts in data.counterfactuals.values():
        for clean, other in zip(data.evaluation, prompts, strict=True):
            assert len(other.tokens) == len(clean.tokens)
            assert other.template == clean.template
    for feature in features:
        assert not is_constant(feature, data.evaluation.prompts, data.context)


def without_one_token(task: syntax.Task) -> syntax.Task:
    """The test's tokenizer is not the model's: its words may be more tokens."""
    statements = tuple(
        replace(s, constraints=tuple(c for c in s.constraints if c.text != "one_token"))
        if isinstance(s, syntax.Slot)
        else s
        for s in task.statements or ()
    )
    return replace(task, statements=statements)


def test_the_twelve_tasks_are_here():
    assert len(list(FOLDER.glob("*.circuit"))) >= 12
    assert {e.spec for e in EXAMPLES} | {"induction"} == {p.stem for p in FOLDER.glob("*.circuit")}
