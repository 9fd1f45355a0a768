"""The slow path through TransformerLens's hooks gives what the engine and the reference give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuitspec.engine.audit import Audit

from .models import NAMES, model
from .oracle import expected
from .strategies import KINDS, runs, tries
from .worlds import world


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_run_through_hooks(name: str) -> None:
    subject = model(name)

    @tries(2)
    @given(data=st.data(), seed=st.integers(0, 99))
    def holds(data: st.DataObject, seed: int) -> None:
        place = world(seed, plain=seed % 3 != 0)
        audit = Audit(subject.loaded, place.sets, place.metrics)
        for kind in KINDS:
            run = replace(data.draw(runs(place, subject.loaded.shape, kind)), rows=None)
            rows = [2, 0, 3]
            got = audit.evaluate(run, rows, margin=1e-4)
            want = expected(subject.slow, place, run)
            for metric, values in got.metrics.items():
                off = np.abs(values - want.metrics[metric][rows].numpy())
                assert (off <= got.slack[metric] + 1e-6).all(), (kind, metric, off, run)

    holds()
