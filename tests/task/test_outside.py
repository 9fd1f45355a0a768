"""Positions that only drawn prompts show to be none."""

from __future__ import annotations

import pytest

from circuitspec.loading import load_spec

SPEC = """circuitspec 1

hypothesis h {{
  model "ioi-mini"
  task t {{
    template short "When {{IO}} and {{S1}} went to the restaurant, {{S2}} gave to"
    template long  "When the letter {{IO}} and {{S1}} went to the restaurant, {{S2}} gave to"
    slot IO, S1 from "Jason", "Kate", "Mary", "John", "Tom", "Sarah" distinct
    slot S2     from S1
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 20, reference 20, seed 0
    bos no
  }}
  role mover = a1.h0 @ END attends {place}
  expect read {{
    patch mover from abc
    require logit_diff <= 50% * model.logit_diff ci 95
  }}
}}
"""


@pytest.mark.parametrize("place", ["S2-11", "IO-2", "IO[1]"])
def test_what_some_prompt_does_not_reach_to_is_shown_in_it(place: str) -> None:
    text = SPEC.format(place=place)
    found = load_spec("t.circuit", text=text, prompts="few").diagnostics
    (one,) = [d for d in found if d.code in ("T036", "H047")]
    assert one.code == "T036"
    assert text[one.span.start : one.span.end] == place
    assert "is not in 'When" in one.message


@pytest.mark.parametrize("place", ["S2-3", "IO-1", "IO[0]"])
def test_what_every_prompt_has_is_no_mistake(place: str) -> None:
    found = load_spec("t.circuit", text=SPEC.format(place=place), prompts="few").diagnostics
    assert not {"T036", "H047"} & {d.code for d in found}


def test_what_the_text_shows_is_told_once() -> None:
    found = load_spec("t.circuit", text=SPEC.format(place="END+1"), prompts="few").diagnostics
    assert [d.code for d in found if d.code in ("T036", "H047")] == ["H047"]
