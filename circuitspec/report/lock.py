"""The lock file: what a run rested on and what it measured, kept beside the spec and compared with.

A spec names a model and draws prompts from a seed. That the model moved, that another tokenizer or
word list makes other prompts, or that a figure drifted while its claim still holds, no verdict
shows. A lock has the model's revision, a hash of the token ids of all prompts, and every
requirement's figures and verdict; it is reviewed and committed like the spec.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from circuitspec.judge.records import HypothesisResult, RequirementResult, RunResult
from circuitspec.report.json import dumps, plain

SCHEMA = "circuitspec.lock/1"

SHARE_OF_INTERVAL = 0.01
"""An estimate has moved where it differs by more than this share of its interval's width."""

ROUNDING = 1e-5
"""Where there is no interval: by more than this share of the estimate, or of 1 if that is more."""

Json = dict[str, Any]


def path_beside(spec: Path) -> Path:
    """Where the lock of a spec is kept: `ioi.circuit` has `ioi.circuit.lock`."""
    return spec.with_name(spec.name + ".lock")


def render(result: RunResult) -> str:
    """The lock of a run, as JSON that shows in a diff what moved."""
    hypotheses = {hypothesis.name: _entry(hypothesis) for hypothesis in result.hypotheses}
    return dumps(plain({"schema": SCHEMA, "hypotheses": hypotheses}))


def _entry(hypothesis: HypothesisResult) -> Json:
    return {
        "model": hypothesis.model.name,
        "revision": hypothesis.model.revision,
        "prompts": hypothesis.prompts,
        "claims": {
            claim.name: {
                "verdict": claim.verdict,
                "requirements": {_name(r): _figures(r) for r in claim.requirements},
            }
            for claim in hypothesis.claims
        },
    }


def _name(requirement: RequirementResult) -> str:
    return requirement.text + (f" ({requirement.arm})" if requirement.arm else "")


def _figures(requirement: RequirementResult) -> Json:
    return {
        "verdict": requirement.verdict,
        "estimate": requirement.estimate,
        "interval": requirement.interval,
        "n": requirement.n,
    }


def parse(text: str) -> Json | None:
    """A lock's hypotheses by name; None where the text is no lock that this version reads."""
    try:
        lock = json.loads(text)
        if lock["schema"] != SCHEMA:
            return None
        hypotheses: Json = lock["hypotheses"]
        for entry in hypotheses.values():
            for claim in entry["claims"].values():
                for figures in claim["requirements"].values():
                    _slack(figures)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return hypotheses


def differences(lock: Json, result: RunResult, *, whole: bool = True) -> tuple[str, ...]:
    """What `result` has otherwise than `lock` (which `parse` gave), a sentence each.

    `whole`: the run is of the whole spec, so that what it lacks is gone from the spec.
    """
    found = [
        sentence
        for hypothesis in result.hypotheses
        for sentence in _of_hypothesis(lock.get(hypothesis.name), hypothesis)
    ]
    if whole:
        kept = {(h.name, c.name) for h in result.hypotheses for c in h.claims}
        locked = [(name, claim) for name, entry in lock.items() for claim in entry["claims"]]
        found += [
            f"{name}.{claim} is in the lock alone"
            for name, claim in locked
            if (name, claim) not in kept
        ]
    return tuple(found)


def _of_hypothesis(locked: Json | None, hypothesis: HypothesisResult) -> Iterator[str]:
    name = hypothesis.name
    if locked is None:
        yield f"{name} is not in the lock"
        return
    now = _entry(hypothesis)
    for key, what in (("model", "the model"), ("revision", "the model's revision")):
        if locked.get(key) != now[key]:
            yield f"{name}: {what} is {now[key]}, in the lock {locked.get(key)}"
    if locked.get("prompts") != now["prompts"]:
        yield f"{name}: the prompts are others: their token ids have another hash"
    for claim, entry in now["claims"].items():
        before = locked["claims"].get(claim)
        if before is None:
            yield f"{name}.{claim} is not in the lock"
            continue
        if before["verdict"] != entry["verdict"]:
            yield f"{name}.{claim}: {entry['verdict']}, in the lock {before['verdict']}"
        for text, figures in entry["requirements"].items():
            yield from _of_requirement(
                f"{name}.{claim}: {text}", before["requirements"].get(text), figures
            )


def _of_requirement(where: str, locked: Json | None, now: Json) -> Iterator[str]:
    if locked is None:
        yield f"{where} is not in the lock"
        return
    old, new = locked["estimate"], plain(now["estimate"])
    moved = old is not new if old is None or new is None else abs(new - old) > _slack(locked)
    if moved:
        yield f"{where} measures {_shown(new)}, in the lock {_shown(old)}"


def _slack(locked: Json) -> float:
    """By how much an estimate may differ and still be the same."""
    low, high = locked["interval"] or (None, None)
    if low is None or high is None:
        return ROUNDING * max(1.0, abs(float(locked["estimate"] or 0.0)))
    return max(SHARE_OF_INTERVAL * (float(high) - float(low)), ROUNDING)


def _shown(value: float | None) -> str:
    return "nothing" if value is None else f"{value:.6g}"
