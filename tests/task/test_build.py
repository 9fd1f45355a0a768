"""Prompts are reproducible, evenly spread, and paired as the page on semantics says."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from circuitspec.language.diagnostics import Severity
from circuitspec.task.build import build
from circuitspec.task.export import prompt_lines
from circuitspec.task.words import built_in

IOI = """
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    template baba "Then, {S1} and {IO} had a long talk, and {S2} gave a {thing} to"
    slot IO, S1 from names.english distinct one_token
    slot S2     from S1
    slot place  from nouns.ioi_places one_token
    slot thing  from nouns.ioi_things one_token
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    baseline s2  = resample(S2)
    baseline s1  = resample(S1)
    baseline swapped = swap(IO, S1)
    baseline other = shuffle()
    bos no
"""
SAMPLE = "sample evaluation 20, reference 15 each template, seed 3\n"


def width_of(tokenizer, word):
    """Tokens of a word after a space, a token of nothing but the space not counted."""
    return sum(bool(tokenizer.decode([i]).strip()) for i in tokenizer.encode(f" {word}").ids)


def plain(data):
    return [list(map(str, prompt_lines(data)))]


def test_the_same_seed_gives_the_same_prompts_and_another_seed_gives_others(good):
    first, again = good(IOI + SAMPLE), good(IOI + SAMPLE)
    assert plain(first) == plain(again)
    other = good(IOI + SAMPLE, seed=4)
    assert other.seed == 4
    assert plain(other) != plain(first)


def test_the_order_of_statements_changes_no_prompt(good):
    lines = [line for line in (IOI + SAMPLE).splitlines() if line.strip()]
    # Prompts take turns over templates in their order, so those two keep theirs.
    templates, rest = lines[:2], lines[2:]
    shuffled = good("\n".join(reversed(rest)) + "\n" + "\n".join(templates))
    straight = good(IOI + SAMPLE)
    assert shuffled.evaluation.prompts == straight.evaluation.prompts
    assert shuffled.counterfactuals["abc"].prompts == straight.counterfactuals["abc"].prompts
    assert shuffled.references["abc"].prompts == straight.references["abc"].prompts


def test_more_prompts_begin_with_the_same_ones(good):
    few = good(IOI + "sample evaluation 10, reference 3 each template, seed 1\n")
    many = good(IOI + "sample evaluation 40, reference 9 each template, seed 1\n")
    assert many.evaluation.prompts[:10] == few.evaluation.prompts
    for name in ("abc", "s2", "swapped"):
        assert many.counterfactuals[name].prompts[:10] == few.counterfactuals[name].prompts
        assert many.references[name].prompts[:6] == few.references[name].prompts
    asked = good(IOI + "sample evaluation 10, reference 3 each template, seed 1\n", evaluation=40)
    assert asked.evaluation.prompts == many.evaluation.prompts


def test_a_stream_can_be_recomputed_by_hand(good):
    """The recipe of the reference page, followed without the package."""
    data = good(IOI + SAMPLE)
    words = list(built_in("names.english"))
    rng = random.Random("circuitspec:3:evaluation:baba:2:IO,S1")
    io = words.pop(int(rng.random() * len(words)))
    s1 = words[int(rng.random() * len(words))]
    prompt = data.evaluation.prompts[5]  # the third (k = 2) of the second template
    assert prompt.template == "baba"
    assert (prompt.slots["IO"], prompt.slots["S1"], prompt.slots["S2"]) == (io, s1, s1)


def test_a_counterfactual_can_be_recomputed_by_hand(good):
    data = good(IOI + SAMPLE)
    clean = data.evaluation.prompts[5]
    rng = random.Random("circuitspec:3:counterfactual:abc:baba:2:baseline")
    taken = {clean.slots["IO"], clean.slots["S1"], clean.slots["S2"]}
    drawn = {}
    for slot in ("IO", "S1", "S2"):
        words = [w for w in built_in("names.english") if w not in taken]
        drawn[slot] = words[int(rng.random() * len(words))]
        taken.add(drawn[slot])
    assert data.counterfactuals["abc"].prompts[5].slots == {**clean.slots, **drawn}


def test_templates_take_turns_and_references_are_counted_for_each(good):
    data = good(IOI + SAMPLE)
    assert [p.template for p in data.evaluation] == ["abba", "baba"] * 10
    assert [p.index for p in data.evaluation] == list(range(20))
    assert [p.template for p in data.references["abc"]] == ["abba", "baba"] * 15
    assert all(p.pair is None for p in (*data.evaluation, *data.references["abc"]))


def test_sets_are_drawn_apart(good):
    data = good(IOI + "sample evaluation 40, reference 40, seed 0\n")
    evaluation = [p.slots["thing"] for p in data.evaluation]
    for name in ("abc", "s2", "other"):
        reference = [p.slots["thing"] for p in data.references[name]]
        agree = sum(a == b for a, b in zip(evaluation, reference, strict=True))
        assert agree < 12  # 40 draws among 16 words agree 2.5 times on average


def test_resampled_slots_are_new_and_all_different(good):
    data = good(IOI + "sample evaluation 200, reference 50, seed 0\n")
    for clean, other in zip(data.evaluation, data.counterfactuals["abc"], strict=True):
        assert other.pair == other.index == clean.index
        assert other.template == clean.template
        assert len(other.tokens) == len(clean.tokens)
        assert other.positions == clean.positions
        new = [other.slots[s] for s in ("IO", "S1", "S2")]
        assert len({*new, clean.slots["IO"], clean.slots["S1"]}) == 5
        assert other.slots["place" if "place" in clean.slots else "thing"] == clean.slots.get(
            "place", clean.slots["thing"]
        )
        assert other.slots["thing"] == clean.slots["thing"]
    for prompt in data.references["abc"]:
        assert len({prompt.slots[s] for s in ("IO", "S1", "S2")}) == 3


def test_linked_slots_follow_their_source_unless_named(good):
    data = good(IOI + SAMPLE)
    for clean, other in zip(data.evaluation, data.counterfactuals["s1"], strict=True):
        assert other.slots["S2"] == other.slots["S1"] != clean.slots["S1"]
        assert other.slots["IO"] == clean.slots["IO"] != other.slots["S1"]
    for clean, other in zip(data.evaluation, data.counterfactuals["s2"], strict=True):
        assert other.slots["S1"] == clean.slots["S1"] != other.slots["S2"]
        assert f"{other.slots['S2']} gave" in other.text
    for clean, other in zip(data.evaluation, data.counterfactuals["swapped"], strict=True):
        assert (other.slots["IO"], other.slots["S1"]) == (clean.slots["S1"], clean.slots["IO"])
        assert other.slots["S2"] == clean.slots["IO"]


def test_shuffling_pairs_each_prompt_with_another_of_its_template(good):
    data = good(IOI + SAMPLE)
    partners = []
    for clean, other in zip(data.evaluation, data.counterfactuals["other"], strict=True):
        assert other.template == clean.template
        assert other.text != clean.text
        partners.append(other.text)
    assert sorted(partners) == sorted(p.text for p in data.evaluation)


@settings(max_examples=40, deadline=None)
@given(data_source=st.data())
def test_invariants_of_drawing_hold_for_any_task(data_source, word_level, task):
    """Random tasks: slots, links and baselines; the pairing rules hold for each."""
    n = data_source.draw(st.integers(2, 4), label="slots")
    slots = [f"X{i}" for i in range(n)]
    linked = data_source.draw(st.booleans(), label="linked")
    order = data_source.draw(st.permutations(slots), label="order")
    named = data_source.draw(st.lists(st.sampled_from(slots), min_size=1, unique=True))
    distinct = data_source.draw(st.sampled_from(["distinct", ""]))
    seed = data_source.draw(st.integers(0, 10**6))
    text = "the " + " and ".join(f"{{{s}}}" for s in order) + (" or {L}" if linked else "")
    body = f"""
        template t "{text} the"
        slot {", ".join(slots)} from names.english {distinct}
        {"slot L from X0" if linked else ""}
        metric m = prob(X0)
        baseline b = resample({", ".join(named)})
        sample evaluation 8, reference 5, seed {seed}
        bos yes
    """
    built, diagnostics = build(task(body), word_level, base_dir=Path())
    assert built is not None, diagnostics
    for clean, other in zip(built.evaluation, built.counterfactuals["b"], strict=True):
        own = {clean.slots[s] for s in named}
        new = [other.slots[s] for s in named]
        assert len(set(new)) == len(named)
        assert not own & set(new)
        for slot in set(slots) - set(named):
            assert other.slots[slot] == clean.slots[slot]
        if distinct:
            assert len({other.slots[s] for s in slots}) == n
        if linked:
            assert other.slots["L"] == other.slots["X0"]
        assert other.positions == clean.positions
    for prompts in (built.evaluation, built.references["b"], built.counterfactuals["b"]):
        for prompt in prompts:
            assert prompt.tokens[0] == word_level.bos_id
            for slot in order:
                (place,) = prompt.positions[slot]
                assert word_level.decode([prompt.tokens[place]]) == prompt.slots[slot]


def test_the_whole_population_is_listed_once(good):
    data = good(
        """
        template two "the {A} and the {B}"
        template one "a {A}"
        slot A, B from "dog", "cat", "cow" distinct
        metric m = prob(A)
        sample all
        bos no
        """
    )
    texts = [p.text for p in data.evaluation]
    assert data.enumerated
    assert texts == [
        "the dog and the cat",
        "the dog and the cow",
        "the cat and the dog",
        "the cat and the cow",
        "the cow and the dog",
        "the cow and the cat",
        "a dog",
        "a cat",
        "a cow",
    ]
    assert "B" not in data.evaluation.prompts[-1].slots


def test_a_population_that_is_too_large_is_refused(make):
    data, diagnostics = make(
        """
        tokens integer 0..63
        template sort "{A} {B} {C} {D} {E}"
        slot A, B, C, D, E from 0..63 distinct
        metric m = logit(A)
        sample all
        """
    )
    assert data is None
    (found,) = diagnostics
    assert found.code == "T021"
    assert "914,941,440" in found.message  # 64·63·62·61·60


def test_bos_is_there_exactly_when_said(good, word_level):
    without = good(IOI + SAMPLE).evaluation.prompts[0]
    with_bos = good(IOI.replace("bos no", "bos yes") + SAMPLE).evaluation.prompts[0]
    assert with_bos.tokens == (word_level.bos_id, *without.tokens)
    assert "BOS" not in without.positions
    assert with_bos.positions["BOS"] == (0,)
    for label, places in without.positions.items():
        assert with_bos.positions[label] == tuple(i + 1 for i in places)


def test_a_post_processor_adds_nothing(word_level, good):
    from tokenizers import processors

    from circuitspec.task.tokenizer import FileTokenizer

    backend = word_level._backend
    plain_ids = word_level.encode("When Mary").ids
    backend.post_processor = processors.TemplateProcessing(
        single="[BOS] $A", special_tokens=[("[BOS]", word_level.bos_id)]
    )
    try:
        wrapped = FileTokenizer(backend, bos_id=word_level.bos_id, unk_id=word_level.unk_id)
        assert backend.encode("When Mary").ids != list(plain_ids)
        assert wrapped.encode("When Mary").ids == plain_ids
        prompt = good(IOI + SAMPLE, wrapped).evaluation.prompts[0]
        assert word_level.bos_id not in prompt.tokens
    finally:
        backend.post_processor = processors.Sequence([])


def test_counterfactuals_of_long_words_have_as_many_tokens(good, small_bpe):
    def several(name):
        """Words of a list whose number of tokens three others share."""
        by_width = {}
        for word in built_in(name):
            total = len(small_bpe.encode(f" {word}").ids)
            by_width.setdefault((total, width_of(small_bpe, word)), []).append(word)
        return ", ".join(f'"{w}"' for ws in by_width.values() if len(ws) > 3 for w in ws)

    body = f"""
        template t "the mayor of {{CITY}} met {{NAME}} in the {{PLACE}} of {{CITY2}}"
        slot CITY  from {several("cities")}
        slot CITY2 from CITY
        slot NAME  from {several("names.english")}
        slot PLACE from nouns.ioi_places
        metric m = prob(CITY)
        baseline b = resample(CITY, NAME)
        sample evaluation 60, reference 20, seed 0
        bos no
    """
    data = good(body, small_bpe)
    widths = {len(p.positions["CITY"]) for p in data.evaluation}
    assert len(widths) > 1
    for clean, other in zip(data.evaluation, data.counterfactuals["b"], strict=True):
        assert len(other.tokens) == len(clean.tokens)
        assert other.positions == clean.positions
        assert other.slots["CITY"] != clean.slots["CITY"]
        assert other.slots["CITY2"] == other.slots["CITY"]


def test_slots_of_same_tokens_are_equally_long_and_every_pair_is_as_likely(good, small_bpe):
    body = """
        template t "the {A} and the {B}"
        slot A, B from cities distinct same_tokens
        metric m = prob(A)
        sample evaluation 400, seed 0
        bos no
    """
    data = good(body, small_bpe)
    lengths = [len(p.positions["A"]) for p in data.evaluation]
    assert all(len(p.positions["A"]) == len(p.positions["B"]) for p in data.evaluation)
    sizes: dict[int, int] = {}
    for word in built_in("cities"):
        width = width_of(small_bpe, word)
        sizes[width] = sizes.get(width, 0) + 1
    pairs = {w: n * (n - 1) for w, n in sizes.items()}
    commonest = max(pairs, key=lambda w: pairs[w])
    expected = pairs[commonest] / sum(pairs.values())
    assert (
        abs(lengths.count(commonest) / 400 - expected)
        < 4 * (expected * (1 - expected) / 400) ** 0.5
    )


def test_the_other_template_is_paired_and_not_in_the_task(good):
    data = good(
        """
        template stop  "the {A} went to the park."
        template comma "the {A} went to the park,"
        slot A from names.english
        metric m = prob("the") - prob("The")
        baseline b = template(comma)
        sample evaluation 4, reference 3, seed 0
        bos no
        """
    )
    assert data.templates == ("stop",)
    for clean, other in zip(data.evaluation, data.counterfactuals["b"], strict=True):
        assert clean.text.endswith(".")
        assert other.text == clean.text[:-1] + ","
        assert other.template == "stop"
    assert all(p.text.endswith(",") for p in data.references["b"])


def test_templates_may_be_each_others_counterfactual(good):
    data = good(
        IOI.replace(
            '"Then, {S1} and {IO} had a long talk, and {S2} gave a {thing} to"',
            '"When {S1} and {IO} went to the {place}, {S2} gave a {thing} to"',
        )
        + "baseline flipped = template(abba = baba, baba = abba)\n"
        + SAMPLE
    )
    assert data.templates == ("abba", "baba")
    for clean, other in zip(data.evaluation, data.counterfactuals["flipped"], strict=True):
        assert other.slots == clean.slots
        assert other.positions["IO"] == clean.positions["S1"]


def test_noise_leaves_prompts_as_they_are_and_says_where_it_goes(good):
    data = good(IOI + "baseline noised = noise(3, S1, S2)\n" + SAMPLE)
    noise = data.noise["noised"]
    assert noise.scale == 3.0
    assert [str(p) for p in noise.positions] == ["S1", "S2"]
    for clean, other in zip(data.evaluation, data.counterfactuals["noised"], strict=True):
        assert other.tokens == clean.tokens
        assert other.pair == clean.index


def test_set_replaces_a_value(good):
    data = good(IOI + 'baseline named = set(S1 = "Mary")\n' + SAMPLE)
    for clean, other in zip(data.evaluation, data.counterfactuals["named"], strict=True):
        assert other.slots["S1"] == other.slots["S2"] == "Mary"
        assert other.slots["IO"] == clean.slots["IO"]


def test_resampling_can_ask_that_another_slot_changes_or_stays(good):
    body = """
        template t "{WHO} was here because"
        slot WHO   from names.english
        slot FIRST = initial(WHO)
        slot HERS  = member(WHO, names.female)
        metric m = prob("she")
        baseline changed = resample(WHO, changing = HERS)
        baseline kept    = resample(WHO, keeping = FIRST)
        sample evaluation 40, reference 10, seed 0
        bos no
    """
    data = good(body.replace("from names.english", 'from "Mary", "Mark", "John", "Jane"'))
    for clean, other in zip(data.evaluation, data.counterfactuals["changed"], strict=True):
        assert other.slots["HERS"] != clean.slots["HERS"]
    for clean, other in zip(data.evaluation, data.counterfactuals["kept"], strict=True):
        assert other.slots["FIRST"] == clean.slots["FIRST"]
        assert other.slots["WHO"] != clean.slots["WHO"]


def test_shared_first_tokens_make_a_metric_zero(make, bpe):
    body = """
        template t "the {A} went to"
        slot A from "dog", "cat"
        slot B from A
        metric m = logit(A) - logit(B)
        sample evaluation 5, seed 0
        bos no
    """
    data, diagnostics = make(body, bpe)
    assert data is None
    assert [(d.code, d.severity) for d in diagnostics] == [("T034", Severity.ERROR)]


@pytest.mark.parametrize("sets", [("evaluation", "counterfactual:abc", "reference:abc")])
def test_lines_for_the_prompts_command(good, sets):
    data = good(IOI + SAMPLE)
    lines = list(prompt_lines(data, [data.evaluation]))
    assert set(sets) <= {line["set"] for line in lines}
    line = lines[0]
    assert list(line)[:8] == [
        "set", "index", "pair", "template", "text", "tokens", "positions", "slots",
    ]  # fmt: skip
    assert line["positions"]["END"] == [len(line["tokens"]) - 1]
    assert line["positions"]["IO"] == [1]


@pytest.mark.parametrize(
    ("baseline", "other"),
    [
        ('set(A = "dog and cat")', "'the dog and cat went to' (6)"),
        ("template(longer)", "went to the' (5)"),
    ],
)
def test_a_counterfactual_of_another_length_is_an_error(make, baseline, other):
    data, diagnostics = make(
        f"""
        template short "the {{A}} went to"
        {'template longer "the {A} went to the"' if "longer" in baseline else ""}
        slot A from "dog", "cat"
        metric m = logit(A)
        baseline b = {baseline}
        sample evaluation 4, seed 0
        bos no
        """
    )
    assert data is None
    (found,) = diagnostics
    assert found.code == "T033"
    assert "(4 tokens)" in found.message
    assert other in found.message
