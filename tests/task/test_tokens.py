"""Positions point at the right tokens, answers at the right ids, whatever the tokenizer."""

from __future__ import annotations

import json

import pytest

from circuitspec.task.tokenizer import IntegerTokens, from_backend, from_file, from_hf

TASK = """
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    template baba "Then, {S1} and {IO} had a long talk, and {S2} gave a {thing} to"
    slot IO, S1 from names.english distinct
    slot S2     from S1
    slot place  from nouns.ioi_places
    slot thing  from nouns.ioi_things
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = shuffle()
    sample evaluation 60, reference 10, seed 0
    bos yes
"""


@pytest.fixture(params=["word_level", "bpe", "small_bpe"])
def tokenizer(request):
    return request.getfixturevalue(request.param)


def test_labels_stand_where_their_words_do(good, tokenizer):
    data = good(TASK.replace("baseline abc = shuffle()\n", ""), tokenizer)
    for prompt in data.evaluation:
        assert prompt.tokens == (tokenizer.bos_id, *tokenizer.encode(prompt.text).ids)
        assert prompt.positions["END"] == (len(prompt.tokens) - 1,)
        for label in ("IO", "S1", "S2", "thing"):
            places = prompt.positions[label]
            assert places == tuple(range(places[0], places[-1] + 1))
            words = tokenizer.decode([prompt.tokens[i] for i in places])
            assert words.strip() == prompt.slots[label]
        # Which of two equal words is meant shows in the token before it.
        before = tokenizer.decode([prompt.tokens[prompt.positions["S2"][0] - 1]])
        other = tokenizer.decode([prompt.tokens[prompt.positions["S2"][0] - 2]])
        assert {before.strip(), other.strip()} & {",", "and", "d"}


def test_an_answer_is_the_first_token_of_its_word_after_the_prompt(good, tokenizer):
    data = good(TASK.replace("baseline abc = shuffle()\n", ""), tokenizer)
    for prompt in data.evaluation:
        own = tokenizer.encode(prompt.text).ids
        for slot in ("IO", "S1"):
            word = prompt.slots[slot]
            added = tokenizer.encode(f"{prompt.text} {word}").ids[len(own) :]
            first = next(i for i in added if tokenizer.decode([i]).strip())
            assert prompt.answers[slot] == (first,)


def test_glued_answers_go_on_without_a_space(good, bpe):
    body = """
        template t "the year 17{YY} to 17"
        slot YY from "33", "45", "62"
        answers glued
        metric m = prob(greater(YY, numbers.two_digits)) - prob(less_equal(YY, numbers.two_digits))
        sample all
        bos no
    """
    data = good(body, bpe)
    for prompt in data.evaluation:
        start = int(prompt.slots["YY"])
        above = prompt.answers["greater(YY, numbers.two_digits)"]
        below = prompt.answers["less_equal(YY, numbers.two_digits)"]
        assert [bpe.decode([i]) for i in above] == [f"{y:02d}" for y in range(start + 1, 100)]
        assert [bpe.decode([i]) for i in below] == [f"{y:02d}" for y in range(start + 1)]


def test_a_word_that_would_change_the_prompt_is_no_answer(make, word_level):
    data, diagnostics = make(
        """
        template t "the year 17"
        answers glued
        metric m = prob("33")
        sample evaluation 1, seed 0
        bos no
        """
    )
    assert data is None
    (found,) = diagnostics
    assert found.code == "T035"
    assert "`33`" in found.message


def test_adjacent_labels_need_a_token_each(make, bpe):
    """`17` and `33` are tokens of their own in a date; `Ma` and `ry` are not in a name."""
    data, diagnostics = make(
        """
        template t "the {A}{B} went to"
        slot A from "Ma"
        slot B from "ry"
        metric m = prob(A)
        sample all
        bos no
        """,
        bpe,
    )
    assert data is None
    codes = {(d.code, d.message.split("`")[1]) for d in diagnostics}
    assert codes == {("T030", "A"), ("T030", "B")}
    assert "`Ma`" in diagnostics[0].message
    assert diagnostics[0].span.column == 25  # the label in the template


def test_words_that_are_not_one_token_are_listed(make, small_bpe):
    data, diagnostics = make(
        """
        template t "the mayor of {CITY}"
        slot CITY from cities one_token
        metric m = prob("the")
        sample evaluation 5, seed 0
        bos no
        """,
        small_bpe,
    )
    assert data is None
    (found,) = [d for d in diagnostics if d.code == "T032"]
    assert "`Vancouver`" in found.message or "more" in found.message
    assert found.span.line == 5
    assert found.hint is not None


def test_one_token_holds_for_the_answer_too(make, bpe):
    """At the start of a text a word may be one token and after a space two, or the reverse."""
    single = [w for w in ("Oslo", "Paris", "London") if len(bpe.encode(f" {w}").ids) == 1]
    assert single
    data, diagnostics = make(
        f"""
        template t "the park of {{A}} the"
        slot A from "{single[0]}" one_token
        slot B = join(A, "xq") one_token
        metric m = prob(B)
        sample all
        bos no
        """,
        bpe,
    )
    assert data is None
    (found,) = diagnostics
    assert found.code == "T032"
    assert f"{single[0]}xq" in found.message
    assert "as an answer" in found.message


def test_unknown_words_are_named_with_their_place(make):
    data, diagnostics = make(
        """
        template t "the zyxw {A} went to"
        slot A from "Mary", "Qwertz"
        metric m = prob("Hjkl")
        sample all
        bos no
        """
    )
    assert data is None
    messages = {d.code + d.message for d in diagnostics}
    assert any("`zyxw` in template `t`" in m for m in messages)
    assert any("`Qwertz` for slot `A`" in m for m in messages)
    template = next(d for d in diagnostics if "zyxw" in d.message)
    slot = next(d for d in diagnostics if "Qwertz" in d.message)
    assert (template.span.line, slot.span.line) == (4, 5)
    assert slot.span.end - slot.span.start == len('"Qwertz"')


def test_tokens_may_be_integers(good):
    data = good(
        """
        tokens integer 0..65
        template t "64 {A} {B} 65"
        slot A, B from 0..63 distinct
        position BIG = argmax(A, B)
        metric m = logit(max(A, B)) - logit(min(A, B))
        metric same = logit(BIG) - logit(A)
        baseline b = resample(A, B)
        sample evaluation 50, reference 20, seed 0
        """,
        None,
    )
    for prompt in data.evaluation:
        a, b = int(prompt.slots["A"]), int(prompt.slots["B"])
        assert prompt.tokens == (64, a, b, 65)
        assert prompt.positions["BIG"] == ((1,) if a > b else (2,))
        assert prompt.answers["max(A, B)"] == (max(a, b),)
        assert prompt.answers["BIG"] == (max(a, b),)
        assert "BOS" not in prompt.positions


@pytest.mark.parametrize("word", ["7x", "64", "-1", "٣"])
def test_what_is_no_integer_of_the_range_is_said(make, word):
    _, diagnostics = make(
        f"""
        tokens integer 0..63
        template t "{{A}} {word}"
        slot A from 0..63
        metric m = logit(A)
        sample all
        """,
        None,
    )
    assert [d.code for d in diagnostics] == ["T022"]


def test_a_task_of_words_needs_a_tokenizer(make):
    data, diagnostics = make(TASK, None)
    assert data is None
    assert [d.code for d in diagnostics] == ["T039"]


def test_bos_needs_a_tokenizer_that_has_one(make, word_level):
    backend = from_backend(word_level._backend)
    assert backend.bos_id is None
    _, diagnostics = make(TASK, backend)
    assert "T023" in {d.code for d in diagnostics}


def test_a_tokenizer_from_its_file(tmp_path, bpe):
    bpe._backend.save(str(tmp_path / "tokenizer.json"))
    assert from_file(tmp_path).bos_id is None
    assert from_file(tmp_path, bos="<|endoftext|>").bos_id == bpe.bos_id
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<|endoftext|>"}))
    read = from_file(tmp_path / "tokenizer.json")
    assert read.bos_id == bpe.bos_id
    assert read.encode("When Mary went") == bpe.encode("When Mary went")
    assert read.vocab_size == bpe.vocab_size
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"bos_token": {"content": "the"}}))
    assert from_file(tmp_path).bos_id == bpe._backend.token_to_id("the")


def test_a_file_that_is_no_tokenizer(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Nothing"}}')
    with pytest.raises(ValueError, match="not a tokenizer"):
        from_file(tmp_path)
    with pytest.raises(OSError, match="nowhere"):
        from_file(tmp_path / "nowhere")


def test_a_fast_tokenizer_object_is_wrapped_and_left_alone(bpe):
    class Fast:
        backend_tokenizer = bpe._backend
        bos_token_id = 7

    wrapped = from_hf(Fast())
    assert wrapped.bos_id == 7
    assert wrapped.encode("When Mary") == bpe.encode("When Mary")
    with pytest.raises(ValueError, match="fast"):
        from_hf(object())


def test_integer_tokens_read_words():
    tokens = IntegerTokens(5, 9)
    assert tokens.encode("5  9 4 x 10").ids == (5, 9, -1, -1, -1)
    assert tokens.encode("5  9").offsets == ((0, 1), (3, 4))
    assert tokens.vocab_size == 10
    assert tokens.decode((5, 9)) == "5 9"
