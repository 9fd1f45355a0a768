"""A mistake is told once, by the first command that can see it, and soon however many there are."""

from __future__ import annotations

from difflib import SequenceMatcher
from pathlib import Path

import pytest

from circuitspec.hypothesis.report import Report
from circuitspec.language.diagnostics import NO_SPAN, Diagnostic, Severity
from circuitspec.loading import load_spec
from circuitspec.task.suggestions import MOST_GUESSED

SPEC = (Path(__file__).parents[2] / "specs" / "ioi_mini.circuit").read_text(encoding="utf-8")


def found(*changes: tuple[str, str], spec: str = SPEC) -> list[Diagnostic]:
    """All but notes of the spec with words exchanged."""
    for old, new in changes:
        assert old in spec
        spec = spec.replace(old, new)
    diagnostics = load_spec("t.circuit", text=spec, prompts="all").diagnostics
    return [d for d in diagnostics if d.severity is not Severity.NOTE]


def test_the_spec_itself_has_no_mistake() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a3.h5 @ END attends S2", "a3.h5 @ S9 attends S2"),
        ("a3.h5 @ END attends S2", "a3.h5 @ END attends S9"),
        ("m0                         @ S2", "m0 @ S9"),
    ],
)
def test_what_reads_or_sends_at_no_place_is_not_told_of_as_well(old: str, new: str) -> None:
    (one,) = found((old, new))
    assert (one.code, one.message) == ("H047", "`S9` is not a position")


def test_a_constant_is_told_by_the_text_and_not_by_the_prompts_again() -> None:
    (one,) = found(("@ S2  attends IO, S1, S2 carries token(S1)", "@ S2  attends S1 carries 1"))
    assert (one.code, one.message[:31]) == ("H049", "1 is the same in every prompt: ")


def test_an_unknown_word_list_is_one_mistake_wherever_it_is_used() -> None:
    (one,) = found(("nouns.ioi_places", "nouns.xyzzy"), ("nouns.ioi_things", "nouns.xyzzy"))
    assert one.code == "T009"
    assert [label.message for label in one.labels] == ["and here"]
    assert one.labels[0].span.line == one.span.line + 1


def test_words_in_the_texts_of_many_templates_are_one_mistake() -> None:
    (one,) = found((" sunny morning", " zebra quux"))
    assert one.code == "T031"
    assert one.message == (
        "`zebra`, `quux` in templates `met_abba`, `met_baba`: not in the tokenizer's vocabulary"
    )
    assert len(one.labels) == 1
    (single,) = found(
        ('{S2} said to"\n  template argued_baba', '{S2} said zebra to"\n  template argued_baba')
    )
    assert "`zebra` in template `argued_abba`: " in single.message


def test_a_scrub_without_a_pool_is_found_without_the_model() -> None:
    scrub = "expect story { scrub over ioi draws 2 require scrub_recovered >= 0.5 ci 95 }\n}"
    text = SPEC.rstrip().removesuffix("}") + scrub
    (one,) = found(spec=text)
    assert (one.code, one.severity) == ("T006", Severity.ERROR)
    assert "how many prompts a pool has" in one.message
    assert found(("each template, seed 0", "each template, pool 500, seed 0"), spec=text) == []


@pytest.mark.parametrize(
    ("model", "code", "says"),
    [
        ('""', "M001", "the model has no name"),
        ('"ioi-mini" revision "abc"', "M012", "and the spec was written for abc"),
        ('"ioi-mini" revision "sha256:0123456789abcdef"', "M012", "the spec was written for"),
    ],
)
def test_a_model_that_cannot_be_meant_is_found_without_loading_it(
    model: str, code: str, says: str
) -> None:
    one = found(('model "ioi-mini"', f"model {model}"))[0]
    assert (one.code, one.severity) == (code, Severity.ERROR)
    assert says in one.message


def test_its_own_revision_is_no_mistake() -> None:
    (other,) = found(('model "ioi-mini"', 'model "ioi-mini" revision "abc"'))
    revision = other.message.split("is ")[1].split(",")[0]
    assert found(('model "ioi-mini"', f'model "ioi-mini" revision "{revision}"')) == []


def test_the_only_metric_of_a_task_is_in_use() -> None:
    """Every report says by it how well the model does; a second one that nothing reads is idle."""
    start, _, rest = SPEC.partition("  edge input")
    assert rest
    text = start + (
        "  edge input -> name_encoder.qkv\n"
        "  expect looks { require attention(suppressor) >= 0.5 ci 95 }\n}\n"
    )
    idle = [d.message for d in found(spec=text) if d.code == "H050"]
    assert not any("metric" in message for message in idle)
    two = text.replace("  baseline abc", "  metric again = logit(S1)\n  baseline abc")
    idle = [d.message for d in found(spec=two) if d.code == "H050"]
    assert sum("metric" in message for message in idle) == 2


def test_names_without_number_are_not_each_compared_with_all_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = 0
    real = SequenceMatcher.set_seq1

    def counted(self: SequenceMatcher[str], a: str) -> None:
        nonlocal compared
        compared += 1
        real(self, a)

    monkeypatch.setattr(SequenceMatcher, "set_seq1", counted)
    known = tuple(f"role{number}" for number in range(300))
    report = Report()
    meant = [report.unknown("H001", "role", f"rolle{n}", NO_SPAN, known) for n in range(300)]
    assert meant[:3] == ["role0", "role1", "role2"]
    assert len(report.found) == 300
    assert compared <= (MOST_GUESSED + 1) * (len(known) + 1)
    assert all("there are: " in (d.hint or "") for d in report.found)
