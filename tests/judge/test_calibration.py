"""The simulation in `bench/calibration.py` measures the package's own intervals, and small runs of
it show what the published table says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from circuitspec.judge.intervals import bca, bootstrap_t, mean_interval
from circuitspec.judge.resampling import sample_of
from circuitspec.judge.sequential import asymptotic_interval


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "calibration.py"
    spec = importlib.util.spec_from_file_location("calibration", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("n", [20, 33, 80, 200])
def test_the_simulated_intervals_are_the_packages(bench: ModuleType, n: int) -> None:
    x = np.random.default_rng(n).gamma(1.0, size=(n, 12))
    x[:, 0] = np.random.default_rng(0).standard_normal(n)
    made = bench.simulate(x, strata=3, level=95.0, resamples=999, seed=4)
    for j in range(x.shape[1]):
        label = np.arange(n) % 3
        args = {"level": 95.0, "seed": 4, "resamples": 999}
        for ends, single in (
            (made.bca, bca(x[:, j], label, **args)),
            (made.student, bootstrap_t(x[:, j], label, **args)),
        ):
            assert ends[0][j] == pytest.approx(single.low, abs=1e-9)
            assert ends[1][j] == pytest.approx(single.high, abs=1e-9)
        judged = mean_interval(x[:, j], label, **args)
        assert made.method[j] == (judged.method if judged.trusted else "none")
        if judged.method in ("bca", "hull") and judged.trusted:
            assert made.judged[0][j] == pytest.approx(judged.low, abs=1e-9)
            assert made.judged[1][j] == pytest.approx(judged.high, abs=1e-9)


def test_the_running_moments_are_the_packages(bench: ModuleType) -> None:
    x = np.random.default_rng(1).exponential(size=(3, 300))
    mean, sd, gamma = bench.running(x, np.array([128, 300]))
    for i in range(3):
        for j, n in enumerate((128, 300)):
            sample = sample_of(x[i, :n])
            assert mean[i, j] == pytest.approx(sample.mean)
            assert sd[i, j] == pytest.approx(sample.sd)
            assert gamma[i, j] == pytest.approx(abs(sample.skewness) / np.sqrt(n), rel=1e-6)
            single = asymptotic_interval(x[i, :n], level=95, cap=300)
            assert single.trusted == (gamma[i, j] <= 0.15)


@pytest.mark.parametrize("name", ["normal", "heavy: lognormal(0, 1)", "heavy: t₃"])
def test_verdicts_keep_their_level_at_the_boundary(bench: ModuleType, name: str) -> None:
    """2,000 samples of 32: plain BCa errs beyond 3.5% on one side, the verdict rule does not."""
    law = next(law for law in bench.LAWS if law.name == name)
    worst, judged = 0.0, 0.0
    for seed in range(4):
        x = law.draw(np.random.default_rng(seed), (32, 500))
        made = bench.simulate(x, strata=4, level=95.0, resamples=999, seed=seed)
        worst += max(bench.missed(made.bca, law.mean)) / 4
        judged += max(bench.missed(made.judged, law.mean)) / 4
    assert worst > 3.5
    assert judged < 3.5


def test_a_table_comes_out_as_markdown(bench: ModuleType) -> None:
    lines = list(
        bench.fixed((32,), bench.LAWS[:1], reps=200, level=95.0, resamples=199, templates=4)
    )
    assert len(lines) == 3
    assert {line.count("|") for line in lines} == {10}
    assert list(bench.shares((32,), 95.0))[4].startswith("| 0.95 | 32 | **19.4** / ")
