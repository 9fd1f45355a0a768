"""A spec to ask about, and places in it."""

from __future__ import annotations

from circuitspec.lsp.documents import Document, document

SPEC = '''\
circuitspec 1

"""Two roles; the 😀 tells characters from UTF-16 units."""
hypothesis base {
  model "ioi-mini"
  task ioi {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a"
    template baba "When {S1} and {IO} went to the {place}, {S2} gave a"
    slot IO, S1 from names.english distinct one_token
    slot S2 from S1
    slot place from nouns.ioi_places one_token
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 24, reference 24 each template, seed 0
    bos no
  }
  role early = a0.h1 @ S2 attends S1 carries token(S1)
  role late  = a2.h3 @ END attends S2
  keep mlps @ *
  edge input -> early.qkv, late.q
  edge early -> late.kv
  edge late  -> logits
  group both = early, late
  protocol paper { ablate by nodes with mean from abc over template }
  expect faithful under paper {
    ablate complement
    require logit_diff within 20% of model.logit_diff ci 95
    require agreement >= 0.8 ci 95
  }
  expect used under paper {
    ablate both
    require logit_diff <= 50% * model.logit_diff ci 95
  }
}

hypothesis rival refines base {
  role early = a0.h2 @ S2 attends S1 carries token(S1)
}
'''


def doc(text: str = SPEC, path: str = "spec.circuit") -> Document:
    return document(path, text)


def at(mark: str, text: str = SPEC) -> tuple[str, int]:
    """The text and the offset of `|` in a stretch of it: `edge |early` is before `early`."""
    plain = mark.replace("|", "")
    assert text.count(plain) == 1, f"{plain!r} must stand there once"
    return text, text.index(plain) + mark.index("|")


def typed(before: str, text: str = SPEC, *, replacing: str = "") -> tuple[str, int]:
    """The spec with `before` typed as a line of its own in place of a line, cursor at its end."""
    assert text.count(replacing) == 1
    place = text.index(replacing)
    return text.replace(replacing, before), place + len(before)
