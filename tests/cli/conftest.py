"""Specs to run commands on, and a way to run them in this process."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from circuitspec import cli

GOOD = '''\
circuitspec 1

"""A small hypothesis about the packaged model."""
hypothesis mini {
  model "ioi-mini"
  task ioi {
    template abba "When {IO} and {S1} went to the {place}, {S2} gave a {thing} to"
    template baba "When {S1} and {IO} went to the {place}, {S2} gave a {thing} to"
    slot IO, S1 from names.english distinct one_token
    slot S2 from S1
    slot place from nouns.ioi_places one_token
    slot thing from nouns.ioi_things one_token
    metric logit_diff = logit(IO) - logit(S1)
    baseline abc = resample(IO, S1, S2)
    sample evaluation 24, reference 24 each template, seed 0
    bos no
  }
  role early = a0.h1 @ S2 attends S1
  role late = a2.h3 @ END attends S2
  keep mlps @ *
  edge input -> early.qkv, late.q
  edge early -> late.kv
  edge late -> logits
  expect faithful {
    ablate complement by nodes with mean from abc over template
    require logit_diff within 20% of model.logit_diff ci 95
    require agreement >= 0.8 ci 95
  }
}
'''

FIVE_MISTAKES = (
    GOOD.replace("nouns.ioi_places", "nouns.ioi_place")  # no such word list
    .replace("logit(S1)", "logit(S3)")  # no such slot
    .replace("edge late -> logits", "edge late -> logits, early.q")  # backwards
    .replace("mean from abc", "mean from abd")  # no such baseline
    .replace("require logit_diff", "require logit_dif")  # no such metric
)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `circuitspec` with arguments in this process."""

    def call(*arguments: object, stdin: str = "") -> Done:
        monkeypatch.setattr(sys, "argv", ["circuitspec", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            cli.main()
        out, err = capsys.readouterr()
        return Done(code=int(caught.value.code or 0), out=out, err=err)

    return call


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec without mistakes."""
    return write(tmp_path / "mini.circuit", GOOD)


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    """A spec with five different mistakes."""
    return write(tmp_path / "wrong.circuit", FIVE_MISTAKES)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
