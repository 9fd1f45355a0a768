"""Prompts from files; pools to draw from."""

from __future__ import annotations

import pytest

from circuitspec.language.syntax import PromptsFile, Text
from circuitspec.task.pools import draw_pool
from circuitspec.task.promptfile import read_rows

FACTS = """country,city,kind
France,Paris,west
Japan,Tokyo,east
China,Beijing,east
Italy,Rome,west
Spain,Madrid,west
Egypt,Cairo,south
"""

TASK = """
    prompts from "facts.csv"
    template plain "the mayor of {country} the"
    template other "in {country} the park of"
    metric m = log_prob(city)
    baseline another = shuffle()
    bos no
"""


@pytest.fixture
def facts(tmp_path):
    (tmp_path / "facts.csv").write_text(FACTS)


@pytest.mark.usefixtures("facts")
def test_columns_fill_the_templates(good, word_level):
    data = good(TASK + "sample evaluation all, seed 0\n")
    assert data.enumerated
    assert len(data.evaluation) == 12
    for prompt in data.evaluation:
        (place,) = prompt.positions["country"]
        assert word_level.decode([prompt.tokens[place]]) == prompt.slots["country"]
        assert prompt.answers["city"] == word_level.encode(prompt.slots["city"]).ids
        pair = (prompt.slots["country"], prompt.slots["city"])
        assert ",".join(pair) in FACTS


@pytest.mark.usefixtures("facts")
def test_evaluation_and_reference_share_no_row(good, make):
    data = good(TASK + "sample evaluation 4, reference 2, seed 0\n")
    used = [p.slots["country"] for p in data.evaluation]
    reference = [p.slots["country"] for p in data.references["another"]]
    assert len({*used, *reference}) == 6
    _, diagnostics = make(TASK + "sample evaluation 4, reference 3, seed 0\n")
    assert [d.code for d in diagnostics] == ["T038"]


@pytest.mark.usefixtures("facts")
def test_a_column_may_be_resampled(good):
    body = TASK.replace("shuffle()", "resample(country, changing = LETTER)")
    data = good(body + "slot LETTER = initial(country)\nsample evaluation 6, seed 0\n")
    countries = {line.split(",")[0] for line in FACTS.splitlines()[1:]}
    for clean, other in zip(data.evaluation, data.counterfactuals["another"], strict=True):
        assert other.slots["country"] in countries - {clean.slots["country"]}
        assert other.slots["LETTER"] != clean.slots["LETTER"]
        assert other.slots["city"] == clean.slots["city"]


def test_texts_with_their_own_places(good, tmp_path, word_level):
    (tmp_path / "p.jsonl").write_text(
        '{"text": "When {A} went to the park, {B} gave a", "template": "long", "A": "Mary",'
        ' "B": "John", "position:COMMA": [6], "corrupt": "When John went to the park, Mary gave'
        ' a"}\n'
        '{"text": "the {A} and the {B}", "template": "short", "A": "dog", "B": "cat",'
        ' "position:COMMA": "2", "corrupt": "the cow and the cow"}\n'
    )
    body = """
        prompts from "p.jsonl"
        metric m = logit(A) - logit(B)
        baseline paired = column(corrupt)
        sample evaluation all, seed 0
        bos no
    """
    data = good(body)
    assert data.templates == ("long", "short")
    first, second = data.evaluation
    assert first.text == "When Mary went to the park, John gave a"
    assert first.positions["COMMA"] == (6,)
    assert word_level.decode([first.tokens[6]]) == ","
    assert first.positions["B"] == (7,)
    assert second.positions == {"A": (1,), "B": (4,), "COMMA": (2,), "END": (4,)}
    assert data.counterfactuals["paired"].prompts[0].text == (
        "When John went to the park, Mary gave a"
    )


def test_braces_of_a_row_that_are_no_label_stay(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"text": "the {A} {B}", "A": "dog"}\n')
    rows, diagnostics = read_rows(PromptsFile(path=Text(value="p.jsonl")), tmp_path, set())
    assert not diagnostics
    assert rows[0].text.render({"A": "dog"})[0] == "the dog {B}"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("p.jsonl", "{", "line 1"),
        ("p.jsonl", "[1]", "not a JSON object"),
        ("p.jsonl", '{"a b": "x"}', "cannot be a column"),
        ("p.jsonl", '{"text": "{A} {A}", "A": "x"}', "twice"),
        ("p.jsonl", '{"A": "x"}\n{"B": "x"}', "not in every row"),
        ("p.jsonl", '{"A": "x", "position:P": "one"}', "token indices"),
        ("p.jsonl", "", "no prompts"),
        ("p.csv", "A,B\n1,2,3\n", "more values"),
        ("p.csv", 'A\n"x', "not CSV"),
        ("p.txt", "A", "neither"),
    ],
)
def test_files_that_are_not_prompts(make, tmp_path, name, content, says):
    (tmp_path / name).write_text(content)
    data, diagnostics = make(
        f'prompts from "{name}"\ntemplate t "the {{A}}"\nmetric m = prob("the")\n'
        "sample all\nbos no\n"
    )
    assert data is None
    assert any(says in d.message for d in diagnostics), [d.message for d in diagnostics]
    assert {"T041", "T017"} & {d.code for d in diagnostics}


IOI = """
    template t "When {A} and {B} went to the {place}"
    slot A, B from names.english distinct
    slot place from nouns.ioi_places
    metric m = logit(A) - logit(B)
    baseline other = resample(A)
    sample evaluation 10, pool 25, seed 0
    bos no
"""


def test_pools_are_drawn_apart_and_say_their_claim(task, word_level, tmp_path, good):
    def pool(name, n=None, **options):
        found, diagnostics = draw_pool(
            task(IOI), name, n, tokenizer=word_level, base_dir=tmp_path, **options
        )
        assert found is not None, diagnostics
        return found

    first = pool("scrubbed")
    assert (first.name, len(first)) == ("pool:scrubbed", 25)
    assert pool("scrubbed") == first
    assert pool("scrubbed", 40).prompts[:25] == first.prompts
    assert [p.text for p in pool("again")] != [p.text for p in first]
    assert [p.text for p in pool("scrubbed", seed=1)] != [p.text for p in first]
    assert pool("scrubbed", over="t") == first
    assert [p.text for p in pool("scrubbed", over="other")] != [p.text for p in first]
    evaluation = {p.text for p in good(IOI).evaluation}
    assert not evaluation & {p.text for p in first}


def test_a_pool_over_nothing(task, word_level, tmp_path):
    found, diagnostics = draw_pool(
        task(IOI), "x", 5, tokenizer=word_level, base_dir=tmp_path, over="nothing"
    )
    assert found is None
    assert [d.code for d in diagnostics] == ["T011"]
    found, diagnostics = draw_pool(
        task(IOI.replace(", pool 25", "")), "x", None, tokenizer=word_level, base_dir=tmp_path
    )
    assert found is None
    assert [d.code for d in diagnostics] == ["T006"]
