"""What pooling a scrub's draws costs: exact and pooled means of the same claims, on a few circuits.

    python scripts/scrub_pooling.py --seeds 24

With exact draws every path of the tree has its own; pooled, every state on a prompt has sixteen
samples (`SAMPLES`), shared by all that read it there. Both are means over many draws and over
several pools (one a seed); the interval is Student's over the pools, of the paired difference.
Differences are in shares of m(M) - m_rand, which is m(M) where the metric is a logit difference.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy import stats

from circuitspec.claims import scrubbing
from circuitspec.claims.context import Context
from circuitspec.engine.engine import Engine
from circuitspec.engine.scrubbing.story import scrubbed_roles
from circuitspec.hypothesis.circuit import circuit_of
from circuitspec.hypothesis.records import Claim, Scrub
from circuitspec.loading import Bound, load_spec
from circuitspec.model.load import LoadedModel, load
from circuitspec.verification import prompt_sets

ROOT = Path(__file__).resolve().parents[1]
CIRCUITS = (
    ("specs/models/induction.circuit", "finds_by_previous_token"),
    ("specs/models/brackets.circuit", "gates_know_the_height"),
    ("specs/models/brackets.circuit", "counters_see_the_last"),
    ("specs/models/modular_addition.circuit", "each_head_adds"),
    ("specs/ioi_mini_scrubbing.circuit", "names_are_passed_on"),
    ("specs/ioi_mini_scrubbing.circuit", "suppressor_hears_the_object"),
)
PROMPTS, DRAWS = 48, 48


@cache
def model_of(name: str, folder: Path) -> LoadedModel:
    """The model of a spec in `folder`."""
    model, found = load(name, base_dir=folder)
    assert model is not None, found
    return model


def means(bound: Bound, spec: Path, claim: Claim, seed: int) -> tuple[float, float, float, float]:
    """m_scrub exact and pooled, m(M) and m_rand, over the first prompts of a seed's pool."""
    hypothesis, task = bound.hypothesis, bound.task
    assert task is not None
    task = replace(task.first(PROMPTS), seed=seed)
    model = model_of(hypothesis.model, spec.parent)
    context = Context(
        hypothesis=hypothesis,
        circuit=circuit_of(hypothesis, model.shape),
        task=task,
        engine=Engine(model.weights, prompt_sets(task), task.metrics),
        seed=seed,
    )
    stated = claim.intervention
    assert isinstance(stated, Scrub)
    made = scrubbing.scrubbing_of(claim, replace(stated, draws=DRAWS), context)
    (metric,) = task.metrics
    roles = scrubbed_roles(hypothesis, ())
    found_means = []
    for pool in (False, True):
        scrubbed, random = scrubbing.read(made, made.trees(roles, pool=pool), context)
        found_means.append(float(np.mean([r.metrics[metric] for r in scrubbed])))
    whole = context.evaluate([context.model_run()])[0].metrics[metric]
    rand = float(np.mean([r.metrics[metric] for r in random]))
    return found_means[0], found_means[1], float(whole.mean()), rand


def main() -> None:
    """Print one row a circuit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--only", nargs="*", help="names of hypotheses")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| circuit | m(M) | m_rand | exact | pooled | difference | 95% interval |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for file, name in CIRCUITS:
        if options.only and name not in options.only:
            continue
        spec = ROOT / file
        rows = []
        for seed in range(options.seeds):
            loaded = load_spec(spec, seed=seed)
            bound = next(b for b in loaded.bound if b.hypothesis.name == name)
            if bound.task is None:
                break
            claim = next(c for c in bound.hypothesis.claims if c.name == "scrubbed")
            rows.append(means(bound, spec, claim, seed))
        if not rows:
            print(f"| {name} | its model is not on this machine | | | | | |")
            continue
        exact, pooled, whole, rand = np.array(rows).T
        share = (pooled - exact) / (whole - rand).mean()
        half = stats.t.ppf(0.975, len(rows) - 1) * share.std(ddof=1) / len(rows) ** 0.5
        print(
            f"| {name} | {whole.mean():.3f} | {rand.mean():.3f} | {exact.mean():.3f} "
            f"| {pooled.mean():.3f} | {share.mean():+.2%} "
            f"| [{share.mean() - half:+.2%}, {share.mean() + half:+.2%}] |",
            flush=True,
        )


if __name__ == "__main__":
    main()
