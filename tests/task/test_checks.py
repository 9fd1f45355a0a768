"""Mistakes in a task's text: each said once, where it stands, with what to write instead."""

from __future__ import annotations

import pytest

from circuitspec.language.diagnostics import NO_SPAN, Severity
from circuitspec.task.checks import check_task
from circuitspec.task.words import built_in, built_in_names

GOOD = """
template abba "When {IO} and {S1} went to the {place}, {S2} gave a drink to"
slot IO, S1 from names.english distinct
slot S2 from S1
slot place from "store", "park"
metric m = logit(IO) - logit(S1)
baseline abc = resample(IO, S1, S2)
sample evaluation 20, reference 10 each template, seed 0
bos no
"""


def check(task, tmp_path, body, **options):
    return check_task(task(body), base_dir=tmp_path, **options)


def test_a_good_task_has_no_mistakes(task, tmp_path):
    assert check(task, tmp_path, GOOD) == ()


@pytest.mark.parametrize(
    ("change", "code", "at", "says"),
    [
        (("{place}", "{plase}"), "T002", "{plase}", "`plase`"),
        (("{S2} gave", "{S1} gave"), "T004", "{S1}", "slot S2 from S1"),
        (("slot place", 'words S2 = "a"\nslot place'), "T005", "S2", "declared twice"),
        (("metric m =", "metric m = logit(IO)\nmetric m ="), "T005", "m", "declared twice"),
        (("sample evaluation 20, reference 10 each template, seed 0", ""), "T006", "t", "sample"),
        (("bos no", ""), "T007", "t", "bos"),
        ((", seed 0", ""), "T008", None, "seed"),
        (("names.english", "names.inglish"), "T009", "names.inglish", "names.english"),
        (("slot S2 from S1", "slot S2 from S3\nslot S3 from S2"), "T010", "S2", "S3"),
        (("logit(S1)", "logit(S4)"), "T011", "S4", "did you mean `S"),
        (("resample(IO", "resample(OI"), "T011", "OI", "IO"),
        (("resample(IO, S1, S2)", "swap(IO, IO)"), "T012", "swap(IO, IO)", "itself"),
        (("resample(IO, S1, S2)", "resample(X)\nslot X from S1"), "T012", "resample(X)", "`abba`"),
        (("resample(IO, S1, S2)", "resamble(IO)"), "T013", "resamble(IO)", "resample"),
        (("logit(IO) -", "logit(grater(IO)) -"), "T013", "grater(IO)", "greater"),
        (("resample(IO, S1, S2)", "swap(IO)"), "T014", "swap(IO)", "swap(IO, S1)"),
        (("resample(IO, S1, S2)", "noise(3)"), "T014", "noise(3)", "positions"),
        (("resample(IO, S1, S2)", "noise(0, IO)"), "T014", "0", "above 0"),
        (('"store", "park"', '"store", ""'), "T015", None, "empty word"),
        (("names.english distinct", '"Mary" distinct'), "T016", "distinct", "2 distinct"),
        (("from names.english", 'from file "../names.txt"'), "T017", '"../names.txt"', "leads out"),
        (("from names.english", 'from file "/etc/passwd"'), "T017", '"/etc/passwd"', "absolute"),
        (("from names.english", 'from file "C:names.txt"'), "T017", '"C:names.txt"', "absolute"),
        (("from names.english", 'from file "http://x/y"'), "T017", '"http://x/y"', "address"),
        (("from names.english", 'from file "none.txt"'), "T017", '"none.txt"', "no file"),
        (("logit(IO) - logit(S1)", "logit(IO) * logit(S1)"), "T018", None, "multiplies"),
        (("logit(IO) - logit(S1)", "0 * logit(IO)"), "T018", None, "0 whatever the model does"),
        (("logit(IO) - logit(S1)", "1 - logit(S1)"), "T018", "1", "no measure"),
        (("logit(IO) - logit(S1)", "loggit(IO)"), "T018", "loggit(IO)", "measures"),
        (("logit(IO) - logit(S1)", "logit(IO) - logit(S1) at S2"), "T018", None, "bracket"),
        (("logit(IO) - logit(S1)", "cross_entropy(next)"), "T018", "next", "END"),
        (("logit(IO) - logit(S1)", "kl() - logit(IO)"), "T018", None, "alone"),
        (("logit(IO) - logit(S1)", "(logit(IO)) at S3"), "T011", "S3", "did you mean `S"),
        (("slot place", "position next = S1\nslot place"), "T019", "next", "another name"),
        (("bos no", "bos no\nbos yes"), "T020", "bos yes", "second"),
        (('"store", "park"', "0..99999999"), "T021", "0..99999999", "integers"),
        (("went to the", "went {to the"), "T024", "{", "doubled"),
    ],
)  # fmt: skip
def test_a_mistake(task, tmp_path, change, code, at, says):
    old, new = change
    assert old in GOOD
    body = GOOD.replace(old, new)
    text = f"circuitspec 1\ntask t {{\n{body}\n}}\n"
    found = [d for d in check(task, tmp_path, body) if d.severity is Severity.ERROR]
    assert [d.code for d in found] == [code], [d.message for d in found]
    (diagnostic,) = found
    assert says in diagnostic.message + (diagnostic.hint or "")
    assert diagnostic.hint
    span = diagnostic.span
    assert span is not NO_SPAN
    written = text[span.start : span.end]
    if at is not None:
        assert written == at
    before = text[: span.start]
    assert span.line == before.count("\n") + 1
    assert span.column == span.start - (before.rfind("\n") + 1) + 1


def test_every_mistake_is_found_in_one_run(task, tmp_path):
    body = (
        GOOD.replace("{place}", "{plase}")
        .replace("names.english", "names.inglish")
        .replace("logit(S1)", "logit(S4)")
        .replace("resample(IO, S1, S2)", "resamble(IO)")
        .replace("bos no", "")
    )
    codes = sorted(d.code for d in check(task, tmp_path, body) if d.severity is Severity.ERROR)
    assert codes == ["T002", "T007", "T009", "T011", "T013"]


def test_a_misspelt_slot_is_one_mistake_wherever_it_is_used(task, tmp_path):
    body = GOOD.replace("slot IO, S1", "slot I0, S1") + 'template baba "{S1} and {IO}"\n'
    (found,) = check(task, tmp_path, body)
    assert found.code == "T002"
    assert found.hint == "did you mean `I0`?"
    assert len(found.labels) == 3  # the other template, the metric, the baseline
    spans = [found.span, *(label.span for label in found.labels)]
    assert len({(s.start, s.end) for s in spans}) == 4


def test_what_is_wrong_with_words_shows_beside_other_mistakes(make, small_bpe):
    body = GOOD.replace("names.english distinct", "names.english distinct one_token")
    _, diagnostics = make(body.replace("bos no", ""), small_bpe)
    assert {"T007", "T032"} <= {d.code for d in diagnostics}


def test_what_is_never_used_is_a_warning(task, tmp_path):
    body = GOOD + 'slot spare from "a", "b"\nposition P = S1\n'
    found = check(task, tmp_path, body)
    assert [(d.code, d.severity) for d in found] == [("T003", Severity.WARNING)] * 2
    assert check(task, tmp_path, body, used=("spare", "P")) == ()


def test_a_space_at_the_end_is_a_warning(task, tmp_path):
    (found,) = check(task, tmp_path, GOOD.replace('drink to"', 'drink to "'))
    assert (found.code, found.severity) == ("T025", Severity.WARNING)


def test_a_repeated_word_is_a_warning_and_drawn_once(task, tmp_path, good):
    body = GOOD.replace('"store", "park"', '"store", "store", "park"')
    found = check(task, tmp_path, body)
    assert [d.code for d in found] == ["T040"]
    data = good(
        'template t "the {A}"\nslot A from "dog", "dog", "cat"\nmetric m = logit(A)\n'
        "sample all\nbos no\n"
    )
    assert [p.slots["A"] for p in data.evaluation] == ["dog", "cat"]


def test_a_cycle_shows_each_hop(task, tmp_path):
    body = GOOD.replace("slot S2 from S1", "slot S2 from A\nslot A from B\nslot B from S2")
    (found,) = [d for d in check(task, tmp_path, body) if d.code == "T010"]
    assert "S2 → A → B → S2" in found.message
    assert len(found.labels) == 2


def test_a_long_chain_of_slots_is_no_trouble(task, tmp_path):
    chain = "\n".join(f"slot X{i + 1} from X{i}" for i in range(3000))
    body = GOOD.replace("{place}", "{X3000}").replace(
        'slot place from "store", "park"', f'slot X0 from "store", "park"\n{chain}'
    )
    assert [d.code for d in check(task, tmp_path, body) if d.severity is Severity.ERROR] == []


def test_a_link_out_of_the_folder_is_refused(task, tmp_path):
    outside = tmp_path / "outside.txt"
    outside.write_text("Mary\nJohn\n")
    folder = tmp_path / "spec"
    folder.mkdir()
    (folder / "inside.txt").symlink_to(outside)
    body = GOOD.replace("names.english", 'file "inside.txt"')
    (found,) = check(task, folder, body)
    assert found.code == "T017"
    assert "link" in found.message


def test_words_from_a_file_beside_the_spec(good, tmp_path):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "pets.txt").write_text("# pets\ndog\n\n cat \n", encoding="utf-8")
    data = good(
        'template t "the {A}"\nslot A from file "lists/pets.txt"\nmetric m = logit(A)\n'
        "sample all\nbos no\n"
    )
    assert [p.slots["A"] for p in data.evaluation] == ["dog", "cat"]


@pytest.mark.parametrize(("content", "code"), [(b"", "T015"), (b"\xff\xfe\xff", "T017")])
def test_word_files_that_cannot_be_used(make, tmp_path, content, code):
    (tmp_path / "pets.txt").write_bytes(content)
    data, diagnostics = make(
        'template t "the {A}"\nslot A from file "pets.txt"\nmetric m = logit(A)\n'
        "sample all\nbos no\n"
    )
    assert data is None
    assert [d.code for d in diagnostics] == [code]


def test_built_in_lists_are_words_each_once():
    assert "names.english" in built_in_names()
    for name in built_in_names():
        words = built_in(name)
        assert words
        assert len(words) > 1
        assert len(set(words)) == len(words)
        assert all(w == w.strip() and w for w in words)
    assert set(built_in("nouns.ioi")) == {
        *built_in("nouns.ioi_places"),
        *built_in("nouns.ioi_things"),
    }
    assert built_in("names.nowhere") is None
