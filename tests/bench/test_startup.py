"""What `bench/startup.py` times is a whole verification; how the command imports what is large."""

from __future__ import annotations

import gc
import importlib
from contextlib import suppress
from pathlib import Path

import pytest

from circuitspec.importing import importing
from circuitspec.verification import verify

BENCH = Path(__file__).parents[2] / "bench"


def test_the_toy_is_verified_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(BENCH))
    startup = importlib.import_module("startup")
    result, diagnostics = verify(startup.toy(tmp_path))
    assert result is not None, diagnostics
    (hypothesis,) = result.hypotheses
    assert len(hypothesis.claims) == 5
    assert all(claim.requirements for claim in hypothesis.claims)
    assert all(check.passed for check in hypothesis.self_checks)


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_is_as_it_was_after_importing(collects: bool) -> None:
    before, frozen = gc.isenabled(), gc.get_freeze_count()
    try:
        (gc.enable if collects else gc.disable)()
        with suppress(ImportError), importing():
            assert not gc.isenabled()
            importlib.import_module("no_such_module")
        assert gc.isenabled() is collects
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
        (gc.enable if before else gc.disable)()
